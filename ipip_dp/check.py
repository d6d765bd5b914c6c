"""All checks of param.json and machine.json that can be made before anything runs."""

from __future__ import annotations

import copy
import glob
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import data, labelers, machine, schema
from ipip_dp.errors import IpipError
from ipip_dp.labelers.ase import require_class
from ipip_dp.labelers.dp import require_models
from ipip_dp.labelers.lammps import require_files, require_program
from ipip_dp.params import Params, param_json_argument
from ipip_dp.schema import shown
from ipip_dp.steps import labeler_files
from ipip_dp.steps.seed import start_structures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dargs import Argument

# Keys of param.json that start or steer a training in a way that IPIP replaces.
REPLACED_KEYS = ("training_init_frozen_model", "training_finetune_model", "training_iter0_model_path")
# Counts of DP-GEN's that its own schema does not bound, and their smallest values.
SMALLEST = {"numb_models": 1, "fp_task_max": 0, "fp_task_min": 0, "model_devi_skip": 0}


def load(path: Path) -> dict[str, Any]:
    """Read a JSON file of the user's.

    Raises
    ------
    IpipError
        If it is missing, is not JSON or is not an object.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise IpipError(f"{path}: does not exist (working directory {Path.cwd()})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise IpipError(f"{path}: cannot be read: {error}") from None
    except json.JSONDecodeError as error:
        raise IpipError(f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(value, dict):
        raise IpipError(f"{path}: expected an object {{...}}, found {shown(value)}")
    return value


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
    found = []
    if mdata is not None:
        found = [f"{machine_file}: {problem}" for problem in machine.problems(mdata, bool(jdata.get("fp_task_max")))]
    for problem in _param_problems(jdata, None if found else mdata, with_data):
        found.append(" ".join(f"{param_file}: {problem}".split()))  # whatever parsers say, on one line
    return found


def _param_problems(jdata: dict[str, Any], mdata: dict[str, Any] | None, with_data: bool) -> Iterator[Any]:
    """Problems of param.json; what depends on machine.json only if ``mdata`` is given."""
    if jdata.get("model_devi_engine", "lammps") != "lammps":
        yield f"model_devi_engine: expected lammps, found {shown(jdata['model_devi_engine'])}"
        return
    argument = _param_schema()
    found = list(schema.problems(argument, jdata))
    yield from found
    # The other checks see defaults where there is something wrong.
    jdata = schema.without(jdata, [problem.path for problem in found])
    if any(True for _ in schema.problems(argument, jdata)):  # something without a default
        return
    jdata = _with_defaults(argument, jdata)
    params = Params.from_jdata(jdata)
    yield from _check_modes(jdata)
    yield from _check_elements(jdata)
    yield from _check_training(jdata, params)
    elements: dict[Path, list[str]] = {}
    yield from _check_structures(jdata, elements)
    here = mdata is not None and machine.labels_here(mdata)
    for key, labeler in (("ipip.teacher", params.teacher), ("ipip.reference", params.reference)):
        if labeler is not None:
            yield from _check_labeler(key, labeler, here, elements)
    if params.reference is None and "--labeler reference" in str((mdata or {}).get("fp")):
        yield "ipip.reference: missing; the command of section fp in machine.json uses it"
    if with_data:
        yield from _check_data(jdata, params)


def _check_modes(jdata: dict[str, Any]) -> Iterator[str]:
    backend = jdata.get("train_backend", "tensorflow")
    if backend not in ("tensorflow", "pytorch"):
        yield f"train_backend: expected tensorflow or pytorch, which can forget; found {shown(backend)}"
    if jdata.get("dp_compress") and jdata.get("dp_train_skip_neighbor_stat") and backend == "tensorflow":
        yield "dp_train_skip_neighbor_stat: dp_compress needs the neighbour statistics; set one of the two to false"
    if jdata.get("cluster_cutoff") is not None:
        yield "cluster_cutoff: frames cut into clusters cannot be relabelled; remove the key"
    for key in REPLACED_KEYS:
        if jdata.get(key):
            yield f"{key}: an IPIP run starts every training from its own checkpoints; remove the key"
    for key, smallest in SMALLEST.items():
        value = jdata.get(key, smallest)
        if isinstance(value, bool) or value < smallest:
            yield f"{key}: expected an integer of at least {smallest}, found {shown(value)}"
    low, high = jdata["model_devi_f_trust_lo"], jdata["model_devi_f_trust_hi"]
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and not 0 <= low <= high:
        yield f"model_devi_f_trust_lo: expected from 0 up to model_devi_f_trust_hi, {high}; found {low}"
    for number, job in enumerate(jdata["model_devi_jobs"]):
        for index in job["sys_idx"]:
            if not 0 <= index < len(jdata["sys_configs"]):
                yield (
                    f"model_devi_jobs[{number}].sys_idx: expected indices of the {len(jdata['sys_configs'])} entries "
                    f"of sys_configs, from 0 on; found {index}"
                )


def _check_elements(jdata: dict[str, Any]) -> Iterator[str]:
    from dpdata.periodic_table import ELEMENTS

    type_map, mass_map = jdata["type_map"], jdata["mass_map"]
    for element in type_map:
        if element not in ELEMENTS and mass_map == "auto":
            yield f"type_map: {element} is no element, so its mass must be given in mass_map"
    if isinstance(mass_map, list) and len(mass_map) != len(type_map):
        yield f"mass_map: expected one mass for each of type_map {shown(type_map)}, found {shown(mass_map)}"


def _check_training(jdata: dict[str, Any], params: Params) -> Iterator[str]:
    """Check what forgetting and the hand-over between trainings rely on."""
    if params.pretrain.numb_models == 1 and params.forget.method_at("finetune") == "none" and jdata["numb_models"] > 1:
        yield (
            "ipip.pretrain.numb_models: one pretrained student makes an ensemble only if fine-tuning starts with "
            "forgetting; set ipip.forget.at to finetune or both, with a method other than none"
        )
    default, own = jdata["default_training_param"], params.pretrain.training_param
    if isinstance(default, list) and len(default) != jdata["numb_models"]:
        yield f"default_training_param: expected numb_models = {jdata['numb_models']} entries, found {len(default)}"
    inputs = {"default_training_param": default} if isinstance(default, dict) else {}
    if isinstance(default, list):
        inputs = {f"default_training_param[{number}]": value for number, value in enumerate(default)}
    own_key = "ipip.pretrain.training_param"
    if own is not None:
        inputs[own_key] = own
    found = [
        f"{key}.model.descriptor: missing; expected a DeePMD-kit training input with its model"
        for key, value in inputs.items()
        if not isinstance(value.get("model"), dict) or not isinstance(value["model"].get("descriptor"), dict)
    ]
    yield from found
    if own is None or found:
        return
    for key, value in inputs.items():
        for name in ("descriptor", "fitting_net"):
            yield from _same_model(own_key, own["model"], key, value["model"], name)


def _same_model(own_key: str, own: dict[str, Any], key: str, default: dict[str, Any], name: str) -> Iterator[str]:
    ours, theirs = (_without_seeds(model.get(name, {})) for model in (own, default))
    for part in sorted({*ours, *theirs}):
        if ours.get(part) != theirs.get(part):
            yield (
                f"{own_key}.model.{name}.{part}: {shown(ours.get(part))} differs from {key}.model.{name}.{part}: "
                f"{shown(theirs.get(part))}; fine-tuning starts from the pretrained weights, so the two models must "
                "be the same"
            )


def _without_seeds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_seeds(item) for key, item in value.items() if key != "seed"}
    return [_without_seeds(item) for item in value] if isinstance(value, list) else value


def _check_structures(jdata: dict[str, Any], elements: dict[Path, list[str]]) -> Iterator[str]:
    """Check the start structures; their elements are added to ``elements``."""
    import dpdata
    from dpdata.format import Format

    fmt = jdata.get("sys_format", "vasp/poscar")
    if fmt not in Format.get_formats():
        yield f"sys_format: expected a format of dpdata, as vasp/poscar, found {shown(fmt)}"
        return
    if not any(jdata["sys_configs"]):
        yield "sys_configs: no start structures; expected at least one file pattern"
    prefix = Path(jdata.get("sys_configs_prefix") or ".")
    for index, patterns in enumerate(jdata["sys_configs"]):
        for number, pattern in enumerate(patterns):
            if not glob.glob(str(prefix / pattern)):
                yield f"sys_configs[{index}][{number}]: no file matches {prefix / pattern}"
    for path in sorted({path for _, path in start_structures(jdata)}):
        try:
            elements[path] = dpdata.System(str(path), fmt=fmt)["atom_names"]
        except Exception as error:  # whatever dpdata's parsers raise on a broken file
            yield f"sys_configs: {path} cannot be read as {fmt} ({type(error).__name__}: {error})"
            continue
        if unknown := sorted(set(elements[path]) - set(jdata["type_map"])):
            yield f"sys_configs: {path} has {', '.join(unknown)}, which type_map {shown(jdata['type_map'])} lacks"


def _check_labeler(key: str, labeler: dict[str, Any], here: bool, elements: dict[Path, list[str]]) -> Iterator[str]:
    """Check a labeler's files, elements and, if it runs in this environment, its program."""
    kind = labeler["type"]
    checks: dict[str, Callable[[], Any]] = {"": lambda: labeler_files(labeler)}
    if kind == "dp":
        checks[".models"] = lambda: require_models(labeler["models"])
    elif kind == "ase" and here:
        checks[".calculator"] = lambda: require_class(labeler["calculator"])
    elif kind == "lammps" and here:
        checks[".command"] = lambda: require_program(labeler["command"])
        checks[".pair_coeff"] = lambda: require_files(labeler["pair_coeff"])
    for name, check in checks.items():
        try:
            check()
        except IpipError as error:
            yield f"{key}{name}: {error}"
    known = labelers.known_elements(labeler)
    for path, present in elements.items():
        if known is not None and (unknown := sorted(set(present) - set(known))):
            yield f"{key}.elements: it knows {', '.join(known)}, but {path} has {', '.join(unknown)}"


def _check_data(jdata: dict[str, Any], params: Params) -> Iterator[str]:
    prefix = Path(jdata.get("init_data_prefix") or ".")
    folders = {
        "init_data_sys": [prefix / name for name in jdata["init_data_sys"]],
        "ipip.held_out": list(params.held_out),
    }
    hint = "; `ipip init` makes it" if params.reference is not None else ""
    frames: dict[str, dict[bytes, Path]] = {key: {} for key in folders}
    for key, paths in folders.items():
        if not paths:
            yield f"{key}: expected at least one data folder"
        for path in paths:
            try:
                for system in data.find_systems([path]):
                    data.check_type_map(system, jdata["type_map"])
                    data.check_frames(system)
                    frames[key].update(dict.fromkeys(data.frame_digests(system), system))
            except IpipError as error:
                yield f"{key}: {error}{'' if path.exists() else hint}"
    train, held_out = frames.values()
    shared = [system for frame, system in held_out.items() if frame in train]
    if shared:
        yield (
            f"ipip.held_out: {len(shared)} of its {len(held_out)} frames are training data as well (init_data_sys), "
            f"the first in {shared[0]}; expected frames that no student trains on"
        )
