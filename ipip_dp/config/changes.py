# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which changes of param.json a run that has begun can take.

Most: what is not listed here counts from the next step that uses it on, and so does everything
in machine.json. What is listed has made something that later steps build on; a new value would
mix results that do not belong together, or have no effect and nobody would know.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.config.schema import Problem, without_seeds
from ipip_dp.errors import IpipError
from ipip_dp.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipip_dp.config.schema import KeyPath

START = workdir.Iteration(0)
SEEDED = START.seed_pool / "done"
PRETRAINED = START.pretrain / "*/model.ckpt*"
EVALUATED = START.evaluate / "*/predictions.npz"
ANY = Path("iter.??????")
LABELLED = ANY / START.fp.name / "task.*"
AUDITED = ANY / START.on_policy.relative_to(START.root) / "audit/*/labels"

# Key of param.json -> what is made with it; as soon as that is there, the key is fixed.
FIXED: dict[KeyPath, Path] = {
    ("type_map",): SEEDED,
    ("ipip", "seed"): SEEDED,
    ("ipip", "teacher"): SEEDED,
    ("ipip", "teacher_md"): SEEDED,
    ("ipip", "teacher_fine_tune"): START.teacher / "task",
    ("train_backend",): PRETRAINED,
    ("numb_models",): PRETRAINED,
    ("default_training_param",): PRETRAINED,
    ("ipip", "pretrain", "numb_models"): PRETRAINED,
    ("ipip", "pretrain", "init_from"): PRETRAINED,
    ("ipip", "held_out"): EVALUATED,
    ("model_devi_merge_traj",): START.exploration / "task.*",
    ("fp_style",): LABELLED,
    ("ipip", "reference"): LABELLED,
}


def require_allowed(jdata: dict[str, Any], param_file: str) -> None:
    """Compare param.json with that of the latest start of the run in this folder, if there is one.

    Parameters
    ----------
    jdata : dict
        The normalised param.json.
    param_file : str
        Its name, for the messages.

    Raises
    ------
    IpipError
        With one line for every change that comes too late; or if the run has begun without IPIP.
    """
    began = workdir.RECORD.is_file() and workdir.RECORD.read_text(errors="replace").strip()
    if began and not any(iteration.ipip.is_dir() for iteration in workdir.iterations()):
        raise IpipError(
            f"{workdir.RECORD}: a run without an ipip section has begun in this folder, and IPIP cannot take it over; "
            "start in a new folder with the data of this one, also those of iter.*/02.fp, in init_data_sys"
        )
    if workdir.STARTED.is_file():
        try:
            earlier = json.loads(workdir.STARTED.read_text())
        except ValueError:
            raise IpipError(
                f"{workdir.STARTED}: damaged; remove it if {param_file} is still the one the run was started with"
            ) from None
        found = list(_too_late(earlier, jdata))
        if found:
            raise IpipError("\n".join(f"{param_file}: {problem}" for problem in found))


def keep(jdata: dict[str, Any]) -> None:
    """Keep the normalised param.json of a run that starts, for :func:`require_allowed` at its next start."""
    workdir.write_json(workdir.STARTED, jdata)


def _too_late(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Problem]:
    for path, made in FIXED.items():
        yield from _changed(path, _meaning(path, old), _meaning(path, new), made)
    if not any(Path().glob(str(LABELLED))):  # otherwise it has just been compared
        key = ("ipip", "reference")
        yield from _changed(key, _meaning(key, old), _meaning(key, new), AUDITED)
    # These lists may grow, but entries that have been used are fixed.
    yield from _changed(("sys_configs",), old["sys_configs"], new["sys_configs"][: len(old["sys_configs"])], SEEDED)
    jobs = [(jdata["model_devi_jobs"] + [None])[: len(old["model_devi_jobs"])] for jdata in (old, new)]
    for number, (before, now) in enumerate(zip(*jobs, strict=False)):
        explored = workdir.Iteration(number).exploration / "task.*"
        yield from _changed(("model_devi_jobs", number), before, now, explored)


def _changed(path: KeyPath, old: Any, new: Any, made: Path) -> Iterator[Problem]:
    """The differences below one key, if what was made with it is there."""
    there = next(Path().glob(str(made)), None)
    if old == new or there is None:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _changed((*path, key), old.get(key), new.get(key), made)
        return
    folder = there.parent if made.parent.name != "*" else there.parent.parent
    yield Problem(
        path,
        f"changed from {shown(old)} to {shown(new)}, but {folder} was made with the old value; restore it, or start a "
        f"new run in another folder, or remove {folder} and whatever was made after it",
    )


def _meaning(path: KeyPath, jdata: dict[str, Any]) -> Any:
    """The value of a key, without the parts of it that may change."""
    value: Any = jdata
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    if path == ("default_training_param",):
        templates = value if isinstance(value, list) else [value]
        models = [{"model": without_seeds(template["model"])} for template in templates]
        return dict(enumerate(models)) if isinstance(value, list) else models[0]
    if path in (("ipip", "teacher"), ("ipip", "reference")) and value is not None:
        return {key: item for key, item in value.items() if key != "command"}
    if path == ("ipip", "held_out") and isinstance(value, str):
        return [value]
    return value
