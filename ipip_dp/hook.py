"""Loaded by ``import dpdata`` (entry point group ``dpdata.plugins``).

DP-GEN imports dpdata, so this is where the plugin gets its foot in the door. It
registers this package's dpdata drivers, formats and data types, and a hook that
runs when ``dpgen.generator.arginfo`` is imported; nothing else, and nothing heavy.

A failure here must not break ``import dpdata``. It is logged, and DP-GEN then
rejects the ``ipip`` key of param.json as an unknown key.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from pathlib import Path
from typing import Any

# Names of dpgen/generator/run.py: imported, and started by python -m.
RUN_MODULES = ("dpgen.generator.run", "__main__")


def _extend_arginfo(arginfo: Any) -> None:
    """Add the ``ipip`` section to DP-GEN's schema, and the loop once run.py is loaded.

    ``run_iter`` calls ``run_jdata_arginfo`` before anything else, when
    ``dpgen.generator.run`` is complete under every way of starting DP-GEN, also as
    ``__main__``; a hook on run.py itself would miss ``python -m dpgen.generator.run``.
    """
    original = arginfo.run_jdata_arginfo

    @functools.wraps(original)
    def run_jdata_arginfo() -> Any:
        from ipip_dp import loop, params

        for name in RUN_MODULES:
            module = sys.modules.get(name)
            if module is not None and hasattr(module, "run_iter") and hasattr(module, "make_train"):
                loop.install(module)
        argument = original()
        argument.extend_subfields([params.ipip_argument(optional=True)])
        return argument

    arginfo.run_jdata_arginfo = run_jdata_arginfo
    for name in RUN_MODULES:  # run.py, if it is what imports arginfo.py, has imported load_file already
        module = sys.modules.get(name)
        if module is not None and hasattr(module, "load_file"):
            module.load_file = _explained(module.load_file)  # type: ignore[attr-defined]


def _explained(load_file: Any) -> Any:
    """DP-GEN's reader of param.json and machine.json; one line instead of a traceback in an IPIP run."""

    @functools.wraps(load_file)
    def wrapped(filename: Any) -> Any:
        try:
            return load_file(filename)
        except Exception as error:
            path = Path(filename)
            caller = sys._getframe(1).f_locals  # of run_iter
            if "jdata" in caller:  # it reads machine.json
                ours = isinstance(caller["jdata"], dict) and "ipip" in caller["jdata"]
            else:  # without a param.json there is no plain run that could go on
                ours = not os.path.isfile(path) or b"ipip" in path.read_bytes()
            if not ours:
                raise
            from ipip_dp import check, loop, schema
            from ipip_dp.errors import IpipError

            with loop.user_errors():
                check.load(path)
                raise IpipError(schema.one_line(f"{path}: {error}")) from error

    return wrapped


def _require_writable() -> None:
    """End an IPIP run in a read-only folder with one line; dpdispatcher, imported next, would fail on its log."""
    if "dpgen" not in sys.modules or os.access(".", os.W_OK):
        return
    files = [Path(name) for name in sys.argv[1:] if os.path.isfile(name)]
    if any('"ipip"' in path.read_text(errors="replace") for path in files):
        raise SystemExit(f"ipip: {Path.cwd()}: read-only; a run needs a folder it can write to")


try:
    _require_writable()

    import wrapt

    from ipip_dp import labelers as labelers  # registers drivers and formats
    from ipip_dp import provenance

    provenance.register()
    wrapt.register_post_import_hook(_extend_arginfo, "dpgen.generator.arginfo")
except Exception:  # see the module's docstring: dpdata must still import
    logging.getLogger(__name__).exception("ipip-dp could not be loaded; DP-GEN will not know the 'ipip' section")
