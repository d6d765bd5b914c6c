# SPDX-License-Identifier: LGPL-3.0-or-later
"""All checks of param.json and machine.json that can be made before anything runs."""

from __future__ import annotations

import copy
import errno
import re
from typing import TYPE_CHECKING, Any

from ipip_dp.checks import exploration, files, fp, training
from ipip_dp.config import schema
from ipip_dp.config.inputs import require_schema
from ipip_dp.config.params import Params, param_json_argument
from ipip_dp.errors import IpipError
from ipip_dp.running import machine
from ipip_dp.text import one_line, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import dpdata
    from dargs import Argument


INDEX = re.compile(r"(?<=\[)\d+(?=\])")  # in a key path
VARYING = re.compile(r"\S*[\d/]\S*")  # numbers and paths in a message
# What takes the place of a required key that is broken, so that the rest can still be checked.
STAND_INS: dict[tuple[str, ...], Any] = {
    ("numb_models",): 1,
    ("fp_task_max",): 0,
    ("fp_task_min",): 0,
    ("model_devi_dt",): 0.001,
    ("model_devi_skip",): 0,
    ("model_devi_f_trust_lo",): 0.0,
    ("model_devi_f_trust_hi",): 1e10,
    ("model_devi_jobs",): [],
    ("sys_configs",): [],
    ("init_data_sys",): [],
    ("default_training_param",): {},
    ("ipip",): {"held_out": ".", "teacher": {"type": "dp", "models": ["teacher.pb"]}},
    ("ipip", "held_out"): ".",
    ("ipip", "teacher"): {"type": "dp", "models": ["teacher.pb"]},
}


def normalized(jdata: dict[str, Any], param_file: str) -> dict[str, Any]:
    """The param.json with every default filled in, checked against DP-GEN's schema and ours.

    Raises
    ------
    IpipError
        With one line for every key that is unknown, missing or has a wrong value.
    """
    argument = _param_schema()
    require_schema(argument, jdata, param_file)
    return _with_defaults(argument, jdata)


def _param_schema() -> Argument:
    argument = param_json_argument()
    argument.sub_fields["ipip"].optional = False
    type_map = argument.sub_fields["type_map"]
    type_map.extra_check = lambda elements: elements and len(set(elements)) == len(elements)
    type_map.extra_check_errmsg = "expected every element once"
    return argument


def _with_defaults(argument: Argument, jdata: dict[str, Any]) -> dict[str, Any]:
    from dpgen.util import normalize

    return normalize(argument, copy.deepcopy(jdata))


def require_valid(
    jdata: dict[str, Any],
    mdata: dict[str, Any] | None,
    param_file: str,
    machine_file: str,
    with_data: bool | None = True,
) -> Params:
    """Check the whole input before a run; see :func:`problems`.

    Returns
    -------
    Params

    Raises
    ------
    IpipError
        With one line for every problem found.
    """
    found = problems(jdata, mdata, param_file, machine_file, with_data)
    if found:
        raise IpipError("\n".join(found))
    return Params.from_jdata(normalized(jdata, param_file))


def problems(
    jdata: dict[str, Any],
    mdata: dict[str, Any] | None,
    param_file: str,
    machine_file: str,
    with_data: bool | None = True,
) -> list[str]:
    """Every problem of an input, one line each.

    Parameters
    ----------
    jdata, mdata : dict
        param.json and machine.json as they were read; ``mdata`` None skips machine.json.
    param_file, machine_file : str
        Their names, for the messages.
    with_data : bool or None
        Whether D_0 and the held-out set must exist already. None: unless ``ipip init`` has both still to make.
    """
    try:
        found = []
        if mdata is not None:
            with_fp = bool(jdata.get("fp_task_max"))
            found = [f"{machine_file}: {problem}" for problem in machine.problems(mdata, with_fp)]
        of_param = _param_problems(jdata, None if found else mdata, with_data)
        return _summed_up(found + [one_line(f"{param_file}: {problem}") for problem in of_param])
    except RecursionError:
        return [f"{param_file} or {machine_file}: nested too deeply"]
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return [one_line(f"{param_file} or {machine_file}: expected the name of a file, found {shown(error.filename)}")]


def _summed_up(lines: list[str]) -> list[str]:
    """The lines, with those as one that differ in indices, numbers and names of files only."""
    alike: dict[str, list[str]] = {}
    for line in lines:
        file, key, *text = line.split(": ")
        alike.setdefault(": ".join([file, INDEX.sub("*", key), VARYING.sub("*", ": ".join(text))]), []).append(line)
    return [f"{same[0]} (and {len(same) - 1} more of this kind)" if same[1:] else same[0] for same in alike.values()]


def _param_problems(jdata: dict[str, Any], mdata: dict[str, Any] | None, with_data: bool | None) -> Iterator[Any]:
    """Problems of param.json; what depends on machine.json only if ``mdata`` is given."""
    if jdata.get("model_devi_engine", "lammps") != "lammps":
        yield f"model_devi_engine: expected lammps, found {shown(jdata['model_devi_engine'])}"
        return
    argument = _param_schema()
    found = list(schema.problems(argument, jdata))
    paths = [problem.path for problem in found]
    found += [problem for problem in schema.unusable(jdata) if not any(problem.path[: len(p)] == p for p in paths)]
    yield from found
    yield from schema.unfilled(jdata)
    jdata, replaced = _mended(argument, jdata, found)
    if any(True for _ in schema.problems(argument, jdata)):  # of what has no stand-in
        return
    reported = {str(problem).partition(": ")[0] for problem in found}
    for problem in _deeper_problems(_with_defaults(argument, jdata), mdata, with_data):
        if problem.partition(": ")[0] not in reported and not any(key in problem for key in replaced):
            yield problem


def _mended(
    argument: Argument, jdata: dict[str, Any], found: Iterable[schema.Problem]
) -> tuple[dict[str, Any], set[str]]:
    """The param.json with defaults, or stand-ins, where there is something wrong; and the keys with stand-ins."""
    jdata = schema.without(jdata, [problem.path for problem in found])
    replaced = set()
    for problem in list(schema.problems(argument, jdata)):
        names = tuple(map(str, problem.path))
        for path in (names[:2], names[:1]):
            if path in STAND_INS:
                parent = jdata["ipip"] if len(path) > 1 else jdata
                parent[path[-1]] = copy.deepcopy(STAND_INS[path])
                replaced.add(path[-1])
                break
    return jdata, replaced


def _deeper_problems(jdata: dict[str, Any], mdata: dict[str, Any] | None, with_data: bool | None) -> Iterator[str]:
    """Problems of a normalised param.json, of files and of keys that do not go together."""
    params = Params.from_jdata(jdata)
    yield from training.check(jdata, params, mdata)
    yield from exploration.check(jdata)
    structures: dict[Path, dpdata.System] = {}
    found = [*fp.check(jdata), *files.check_elements(jdata), *files.check_structures(jdata, structures)]
    yield from found
    if structures and not found:
        yield from fp.check_input(jdata, next(iter(structures.values())))
    for key, md in (("teacher_md", params.teacher_md), ("init", params.init)):
        if md.nsteps < md.interval:
            yield f"ipip.{key}.nsteps: expected at least interval, {md.interval}, for one frame; found {md.nsteps}"
    edges = exploration.boundaries(jdata)
    open_md = next((where for where, boundary in edges if exploration.is_open(boundary)), None)
    here = mdata is not None and machine.labels_here(mdata)
    for key, labeler in (("ipip.teacher", params.teacher), ("ipip.reference", params.reference)):
        if labeler is not None:
            yield from files.check_labeler(key, labeler, here, structures, open_md)
    yield from files.check_fine_tuning(params.teacher_fine_tune)
    if jdata["fp_task_max"] > 0:
        yield from fp.check_labeler(params, mdata or {})
    if params.evaluate.audit_frames and params.reference is None:
        yield "ipip.evaluate.audit_frames: expected 0 without ipip.reference, which labels these frames; add that"
    if params.trust == "auto":
        for name in ("use_relative", "model_devi_f_avg_relative", "model_devi_adapt_trust_lo"):
            if jdata.get(name):
                yield f"{name}: expected false beside ipip.trust: auto, whose levels are for deviations in eV/Angstrom"
    if with_data or (with_data is None and not files.data_to_make(jdata, params)):
        yield from files.check_data(jdata, params)
    else:
        yield from files.check_data_to_make(jdata, params)
