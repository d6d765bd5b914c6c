"""All checks of param.json and machine.json that can be made before anything runs."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import data, dispatch, labelers
from ipip_dp.errors import IpipError
from ipip_dp.labelers.ase import require_package
from ipip_dp.params import Params, ipip_argument
from ipip_dp.steps.seed import start_structures

if TYPE_CHECKING:
    from collections.abc import Callable

# Keys of param.json that start or steer a training in a way that IPIP replaces.
REPLACED_KEYS = ("training_init_frozen_model", "training_finetune_model", "training_iter0_model_path")


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
        raise IpipError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise IpipError(f"{path} cannot be read: {error}") from None
    except json.JSONDecodeError as error:
        raise IpipError(f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(value, dict):
        raise IpipError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def normalized(jdata: dict[str, Any], param_file: str) -> dict[str, Any]:
    """The param.json with every default filled in, checked against DP-GEN's schema and ours.

    Raises
    ------
    IpipError
        At the first key that is unknown or has a wrong value.
    """
    from dargs.dargs import ArgumentError
    from dpgen.generator.arginfo import run_jdata_arginfo
    from dpgen.util import normalize

    jdata = copy.deepcopy(jdata)
    schema = run_jdata_arginfo()
    if "ipip" not in schema.sub_fields:  # the plugin's hook has not run, as in an uninstalled checkout
        schema.extend_subfields([ipip_argument(optional=True)])
    if "ipip" not in jdata:
        raise IpipError(f"{param_file}: section ipip is missing")
    try:
        return normalize(schema, jdata)
    except ArgumentError as error:
        raise IpipError(f"{param_file}: {_readable(error)}") from None


def _readable(error: Exception) -> str:
    """A dargs message with the key path written as in JSON: ``ipip.pool.retention``."""
    text = str(error)
    for location in ("root location", "location"):
        text = text.replace(f"[at {location}", f"[{location}")
    head, _, rest = text.partition("] ")
    path = head.split("`")[1].replace("/", ".") if "`" in head else ""
    return f"{path}: {rest}" if path else rest or text


def require_valid(jdata: dict[str, Any], mdata: dict[str, Any] | None, param_file: str, machine_file: str) -> Params:
    """Check the whole input before a run.

    Parameters
    ----------
    jdata, mdata : dict
        param.json and machine.json as they were read; ``mdata`` None skips machine.json.
    param_file, machine_file : str
        Their names, for the messages.

    Returns
    -------
    Params

    Raises
    ------
    IpipError
        With one line for every problem found.
    """
    found = problems(jdata, mdata, param_file, machine_file)
    if found:
        raise IpipError("\n".join(found))
    return Params.from_jdata(normalized(jdata, param_file))


def problems(
    jdata: dict[str, Any], mdata: dict[str, Any] | None, param_file: str, machine_file: str, with_data: bool = True
) -> list[str]:
    """Every problem of an input, one line each.

    Parameters
    ----------
    with_data : bool
        Whether D_0 and the held-out set must exist already (not so before ``ipip init``).
    """
    found: list[str] = []

    def attempt(file: str, check: Callable[..., Any], *arguments: Any) -> None:
        try:
            check(*arguments)
        except IpipError as error:
            found.append(f"{file}: {error}")

    if mdata is not None:
        for section in ("train", "model_devi", *(("fp",) if jdata.get("fp_task_max") else ())):
            if section not in mdata:
                found.append(f"{machine_file}: section {section} is missing")
        for section in dispatch.FALLBACK:
            attempt(machine_file, dispatch.section, mdata, section)
    try:
        jdata = normalized(jdata, param_file)
    except IpipError as error:
        return [*found, str(error)]
    params = Params.from_jdata(jdata)
    for check in (_check_modes, _check_forgetting, _check_pretraining, _check_structures):
        attempt(param_file, check, jdata, params)
    for key, labeler in (("ipip.teacher", params.teacher), ("ipip.reference", params.reference)):
        if labeler is not None:
            attempt(param_file, _check_labeler, key, labeler, mdata)
    attempt(param_file, _check_elements, jdata, params)
    if with_data:
        attempt(param_file, _check_data, jdata, params)
    return found


def _check_modes(jdata: dict[str, Any], params: Params) -> None:
    backend = jdata.get("train_backend", "tensorflow")
    if backend not in ("tensorflow", "pytorch"):
        raise IpipError(f"train_backend: {backend!r} cannot forget; expected tensorflow or pytorch")
    if jdata.get("model_devi_engine", "lammps") != "lammps":
        raise IpipError("model_devi_engine: only lammps explores in an IPIP run")
    if jdata.get("cluster_cutoff") is not None:
        raise IpipError("cluster_cutoff: frames cut into clusters cannot be relabelled; remove the key")
    for key in REPLACED_KEYS:
        if jdata.get(key):
            raise IpipError(f"{key}: an IPIP run starts every training from its own checkpoints; remove the key")
    if len(set(jdata["type_map"])) != len(jdata["type_map"]) or not jdata["type_map"]:
        raise IpipError(f"type_map: expected every element once, found {jdata['type_map']}")
    if jdata["numb_models"] < 1:
        raise IpipError(f"numb_models: expected at least 1, found {jdata['numb_models']}")


def _check_forgetting(jdata: dict[str, Any], params: Params) -> None:
    if params.pretrain.numb_models == 1 and params.forget.method_at("finetune") == "none" and jdata["numb_models"] > 1:
        raise IpipError(
            "ipip.pretrain.numb_models: one pretrained student makes an ensemble only if fine-tuning starts with "
            "forgetting; set ipip.forget.at to finetune or both, with a method other than none"
        )


def _check_pretraining(jdata: dict[str, Any], params: Params) -> None:
    own = params.pretrain.training_param
    default = jdata["default_training_param"]
    if own is None or not isinstance(default, dict):
        return
    for key in ("descriptor", "fitting_net"):
        ours, theirs = own.get("model", {}).get(key, {}), default.get("model", {}).get(key, {})
        for name in sorted({*ours, *theirs} - {"seed"}):
            if ours.get(name) != theirs.get(name):
                raise IpipError(
                    f"ipip.pretrain.training_param.model.{key}.{name}: {ours.get(name)!r} differs from "
                    f"default_training_param.model.{key}.{name}: {theirs.get(name)!r}; fine-tuning starts from the "
                    "pretrained weights, so the two models must be the same"
                )


def _check_structures(jdata: dict[str, Any], params: Params) -> None:
    if not any(jdata["sys_configs"]):
        raise IpipError("sys_configs: no start structures; expected at least one file pattern")
    prefix = jdata.get("sys_configs_prefix") or "."
    matched = {name.split(".")[0] for name, _ in start_structures(jdata)}
    for index, patterns in enumerate(jdata["sys_configs"]):
        if f"{index:03d}" not in matched:
            raise IpipError(f"sys_configs[{index}]: no file matches {patterns} below {prefix}")


def _check_labeler(key: str, labeler: dict[str, Any], mdata: dict[str, Any] | None) -> None:
    if labeler["type"] == "dp":
        for model in labeler["models"]:
            if not Path(model).is_file():
                raise IpipError(f"{key}.models: {model} does not exist")
    if labeler["type"] == "ase" and (mdata is None or _runs_here(mdata)):
        try:
            require_package(labeler["calculator"])
        except IpipError as error:
            raise IpipError(f"{key}.calculator: {error}") from None


def _runs_here(mdata: dict[str, Any]) -> bool:
    """Whether labelling jobs run in this environment, as far as machine.json tells."""
    with suppress(IpipError):
        machine = dispatch.section(mdata, "ipip_label")["machine"]
        return machine.get("batch_type") == "Shell" and "Local" in machine.get("context_type", "")
    return False


def _check_elements(jdata: dict[str, Any], params: Params) -> None:
    import dpdata

    known = labelers.known_elements(params.teacher)
    for _, path in start_structures(jdata):
        try:
            system = dpdata.System(str(path), fmt=jdata.get("sys_format", "vasp/poscar"))
        except Exception as error:  # whatever dpdata's parsers raise on a broken file
            raise IpipError(
                f"sys_configs: {path} cannot be read as {jdata.get('sys_format', 'vasp/poscar')}: {error}"
            ) from None
        for element in system["atom_names"]:
            if element not in jdata["type_map"]:
                raise IpipError(f"sys_configs: {path} has element {element}, which type_map {jdata['type_map']} lacks")
            if known is not None and element not in known:
                raise IpipError(f"ipip.teacher: it knows {', '.join(known)}, but {path} has element {element}")


def _check_data(jdata: dict[str, Any], params: Params) -> None:
    prefix = Path(jdata.get("init_data_prefix") or ".")
    folders = {
        "init_data_sys": [prefix / name for name in jdata["init_data_sys"]],
        "ipip.held_out": list(params.held_out),
    }
    for key, paths in folders.items():
        if not paths:
            raise IpipError(f"{key}: expected at least one data folder")
        try:
            for system in data.find_systems(paths):
                data.check_type_map(system, jdata["type_map"])
                data.check_frames(system)
        except IpipError as error:
            raise IpipError(f"{key}: {error}") from None
    shared = {s.resolve() for s in data.find_systems(folders["init_data_sys"])} & {
        s.resolve() for s in data.find_systems(folders["ipip.held_out"])
    }
    if shared:
        raise IpipError(f"ipip.held_out: {sorted(shared)[0]} is training data as well (init_data_sys)")
