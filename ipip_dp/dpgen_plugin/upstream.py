# SPDX-License-Identifier: LGPL-3.0-or-later
"""Every name of DP-GEN and dpdispatcher that an IPIP run replaces, with the signature it relies on.

They are looked at once, before a run starts (:func:`problems`). If one is missing or differs, DP-GEN is left as it
is and only a run with an ``ipip`` section is refused.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

RUN = "dpgen.generator.run"
STAGES = {
    name: ("iter_index", "jdata") if name == "post_fp" else ("iter_index", "jdata", "mdata")
    for name in (
        *("make_train", "run_train", "post_train"),
        *("make_model_devi", "run_model_devi", "post_model_devi"),
        *("make_fp", "run_fp", "post_fp"),
    )
}
# Module -> name in it -> its first parameters, and after "*" others that must be there.
REPLACED: dict[str, dict[str, tuple[str, ...]]] = {
    RUN: {
        **STAGES,
        "load_file": ("filename",),
        "normalize": ("arginfo", "data"),
        "record_iter": ("record", "ii", "jj"),
        "_check_empty_iter": ("iter_index", "max_v"),
        "_read_model_devi_file": ("task_path",),
        "make_fp_custom": ("iter_index", "jdata"),
    },
    "dpdispatcher.submission": {
        "Submission.run_submission": ("self", "*", "check_interval", "continue_on_failure"),
        "Submission.try_recover_from_json": ("self",),
        "Submission.update_submission_state": ("self",),
        "Submission.submission_to_json": ("self",),
    },
    "dpdispatcher.contexts.ssh_context": {
        "SSHSession.__init__": ("self", "hostname", "username"),
        "SSHSession._setup_ssh": ("self",),
        "SSHContext.block_call": ("self", "cmd"),
        "get_sha256": ("filename",),
    },
}


def problems(run: ModuleType) -> list[str]:
    """What an IPIP run relies on and this DP-GEN or dpdispatcher does not have, one line each.

    Parameters
    ----------
    run : module
        ``dpgen.generator.run``, possibly as ``__main__``.
    """
    found = []
    for module_name, names in REPLACED.items():
        package = module_name.partition(".")[0]
        version = f"{package} {importlib.metadata.version(package)}"
        try:
            module = run if module_name == RUN else importlib.import_module(module_name)
        except ImportError:
            found.append(f"{version} has no module {module_name}")
            continue
        for name, wanted in names.items():
            value: Any = module
            for part in name.split("."):
                value = getattr(value, part, None)
            if not callable(value):
                found.append(f"{version} has no {module_name}.{name}")
            elif not _takes(value, wanted):
                has = inspect.signature(value)
                found.append(f"{module_name}.{name}{has} of {version}: expected ({', '.join(wanted)})")
    return found


def _takes(function: Callable, wanted: tuple[str, ...]) -> bool:
    """Whether a function has the parameters that a call of ours gives, or takes any, and requires no others."""
    parameters = inspect.signature(function).parameters
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters.values()):
        return True
    first = wanted[: wanted.index("*")] if "*" in wanted else wanted
    others = [each for name, each in parameters.items() if name not in wanted]
    callable_so = all(each.default is not each.empty or each.kind is each.VAR_KEYWORD for each in others)
    return tuple(parameters)[: len(first)] == first and set(wanted) - {"*"} <= set(parameters) and callable_so


@contextmanager
def replaced(module: ModuleType, **functions: Callable) -> Iterator[None]:
    """Replace functions of a module for a while; each replacement gets the original as its first argument."""
    originals = {name: getattr(module, name) for name in functions}
    try:
        for name, function in functions.items():
            setattr(module, name, functools.partial(function, originals[name]))
        yield
    finally:
        for name, original in originals.items():
            setattr(module, name, original)


def refusal(found: list[str]) -> str:
    """What is said to a run with an ``ipip`` section when :func:`problems` has found something."""
    versions = f"dpgen {importlib.metadata.version('dpgen')}, dpdispatcher {importlib.metadata.version('dpdispatcher')}"
    return "\n".join([*found, f"ipip-dp cannot run with {versions}; install versions that its pyproject.toml allows"])
