"""All checks of param.json and machine.json that can be made before anything runs."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import machine, schema
from ipip_dp.checks import exploration, files, reference, training
from ipip_dp.errors import IpipError
from ipip_dp.params import Params, param_json_argument
from ipip_dp.schema import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dargs import Argument


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


def load(path: Path) -> dict[str, Any]:
    """Read a JSON file of the user's.

    Raises
    ------
    IpipError
        If it is missing, is not JSON or is not an object.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise IpipError(f"{path}: is not a file")
        text = path.read_text(encoding="utf-8")
        value = _parse_yaml(text) if path.suffix in (".yaml", ".yml") else json.loads(text, object_pairs_hook=_object)
    except FileNotFoundError:
        raise IpipError(f"{path}: does not exist (working directory {Path.cwd()})") from None
    except json.JSONDecodeError as error:
        raise IpipError(f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise IpipError(schema.one_line(f"{path}: cannot be read: {error}")) from None
    if not isinstance(value, dict):
        raise IpipError(f"{path}: expected an object {{...}}, found {shown(value)}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, of which DP-GEN's reader would silently take the last of equal keys."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and not key.startswith("_"):  # a comment
            raise ValueError(f"key {shown(key)} stands twice in one object; remove one")
        found[key] = value
    return found


def _parse_yaml(text: str) -> Any:
    """The other format of DP-GEN's; without any tag that makes Python objects."""
    from ruamel.yaml import YAML, YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError(f"not valid YAML: {error}") from None


def load_input(param_file: Path, machine_file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read param.json and machine.json.

    Raises
    ------
    IpipError
        With one line for each of the two that cannot be read.
    """
    values, found = [], []
    for path in (param_file, machine_file):
        try:
            values.append(load(path))
        except IpipError as error:
            found.append(str(error))
    if found:
        raise IpipError("\n".join(found))
    return values[0], values[1]


def require_schema(argument: Argument, value: Any, where: str) -> None:
    """Compare a JSON value with its schema.

    Parameters
    ----------
    where : str
        The value's file, for the messages.

    Raises
    ------
    IpipError
        With one line for every key that is unknown, missing or has a wrong value.
    """
    found = list(schema.problems(argument, value))
    if found:
        raise IpipError("\n".join(f"{where}: {problem}" for problem in found))


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
    jdata: dict[str, Any], mdata: dict[str, Any] | None, param_file: str, machine_file: str, with_data: bool = True
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
    jdata: dict[str, Any], mdata: dict[str, Any] | None, param_file: str, machine_file: str, with_data: bool = True
) -> list[str]:
    """Every problem of an input, one line each.

    Parameters
    ----------
    jdata, mdata : dict
        param.json and machine.json as they were read; ``mdata`` None skips machine.json.
    param_file, machine_file : str
        Their names, for the messages.
    with_data : bool
        Whether D_0 and the held-out set must exist already (not so before ``ipip init``).
    """
    try:
        found = []
        if mdata is not None:
            with_fp = bool(jdata.get("fp_task_max"))
            found = [f"{machine_file}: {problem}" for problem in machine.problems(mdata, with_fp)]
        of_param = _param_problems(jdata, None if found else mdata, with_data)
        return found + [schema.one_line(f"{param_file}: {problem}") for problem in of_param]
    except RecursionError:
        return [f"{param_file} or {machine_file}: nested too deeply"]


def _param_problems(jdata: dict[str, Any], mdata: dict[str, Any] | None, with_data: bool) -> Iterator[Any]:
    """Problems of param.json; what depends on machine.json only if ``mdata`` is given."""
    if jdata.get("model_devi_engine", "lammps") != "lammps":
        yield f"model_devi_engine: expected lammps, found {shown(jdata['model_devi_engine'])}"
        return
    argument = _param_schema()
    found = list(schema.problems(argument, jdata))
    paths = [problem.path for problem in found]
    found += [problem for problem in schema.unusable(jdata) if not any(problem.path[: len(p)] == p for p in paths)]
    yield from found
    jdata, replaced = _mended(argument, jdata, found)
    if any(True for _ in schema.problems(argument, jdata)):  # of what has no stand-in
        return
    for problem in _deeper_problems(_with_defaults(argument, jdata), mdata, with_data):
        if not any(key in problem for key in replaced):
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


def _deeper_problems(jdata: dict[str, Any], mdata: dict[str, Any] | None, with_data: bool) -> Iterator[str]:
    """Problems of a normalised param.json, of files and of keys that do not go together."""
    params = Params.from_jdata(jdata)
    yield from training.check(jdata, params)
    yield from exploration.check(jdata)
    yield from reference.check(jdata)
    yield from files.check_elements(jdata)
    elements: dict[Path, list[str]] = {}
    yield from files.check_structures(jdata, elements)
    for key, md in (("teacher_md", params.teacher_md), ("init", params.init)):
        if md.nsteps < md.interval:
            yield f"ipip.{key}.nsteps: expected at least interval, {md.interval}, for one frame; found {md.nsteps}"
    here = mdata is not None and machine.labels_here(mdata)
    for key, labeler in (("ipip.teacher", params.teacher), ("ipip.reference", params.reference)):
        if labeler is not None:
            yield from files.check_labeler(key, labeler, here, elements)
    yield from reference.check_labeler(params, mdata or {})
    if with_data:
        yield from files.check_data(jdata, params)
