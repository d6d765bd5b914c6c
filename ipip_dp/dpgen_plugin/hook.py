# SPDX-License-Identifier: LGPL-3.0-or-later
"""Loaded by ``import dpdata`` (entry point group ``dpdata.plugins``).

DP-GEN imports dpdata, so this is where the plugin gets its foot in the door. It
registers this package's dpdata drivers and formats, and hooks that run when
``dpgen.generator.arginfo`` and ``dpgen.generator.run`` are imported; nothing else, and nothing heavy.

A failure here must not break ``import dpdata``. It is logged, and DP-GEN then
rejects the ``ipip`` key of param.json as an unknown key.
"""

from __future__ import annotations

import functools
import logging
import sys
from typing import Any

# Names of dpgen/generator/run.py: imported, and started by python -m.
RUN_MODULES = ("dpgen.generator.run", "__main__")
loaded: list[tuple[str, Any]] = []
"""Names and contents of the files DP-GEN has read since it started or refused a run: param.json, machine.json."""


def _run_modules() -> list[Any]:
    """Modules that are dpgen/generator/run.py, perhaps half-way through their import."""
    modules = (sys.modules.get(name) for name in RUN_MODULES)
    return [module for module in modules if hasattr(module, "load_file") and hasattr(module, "run_jdata_arginfo")]


def _extend_arginfo(arginfo: Any) -> None:
    """Add the ``ipip`` section to DP-GEN's schema, and the loop once run.py is loaded.

    ``run_iter`` calls ``run_jdata_arginfo`` before anything else, when
    ``dpgen.generator.run`` is complete under every way of starting DP-GEN, also as
    ``__main__``; a hook on run.py itself would miss ``python -m dpgen.generator.run``.
    """
    original = arginfo.run_jdata_arginfo

    @functools.wraps(original)
    def run_jdata_arginfo() -> Any:
        from ipip_dp.dpgen_plugin import install

        runs = [module for module in _run_modules() if hasattr(module, "run_iter")]
        return install.extended(original(), runs, loaded)

    arginfo.run_jdata_arginfo = run_jdata_arginfo
    for name in RUN_MODULES:  # run.py, if it is what imports arginfo.py, has imported load_file already
        _extend_load_file(sys.modules.get(name))


def _extend_load_file(run: Any) -> None:
    """Remember what DP-GEN reads param.json and machine.json from, and explain what cannot be read in an IPIP run."""
    original = getattr(run, "load_file", None)
    if original is None or hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def load_file(filename: Any) -> Any:
        try:
            value = original(filename)
        except Exception as error:
            param = [value for _, value in loaded]  # if it is machine.json that cannot be read
            loaded.clear()
            from ipip_dp.dpgen_plugin import install

            install.explain_unreadable(filename, error, *param)
            raise
        loaded.append((str(filename), value))
        return value

    run.load_file = load_file


try:
    import wrapt

    from ipip_dp import labelers as labelers  # registers drivers and formats

    wrapt.register_post_import_hook(_extend_arginfo, "dpgen.generator.arginfo")
    wrapt.register_post_import_hook(_extend_load_file, "dpgen.generator.run")
except Exception:  # see the module's docstring: dpdata must still import
    logging.getLogger(__name__).exception("ipip-dp could not be loaded; DP-GEN will not know the 'ipip' section")
