# SPDX-License-Identifier: LGPL-3.0-or-later
"""The folder of a run: param.json, machine.json, start structures and data."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.errors import IpipError
from ipip_dp.labelers import labeler_files
from ipip_dp.new import data, effort, labelers, structures, templates
from ipip_dp.new.codes import CODES, OPEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipip_dp.new.structures import Structure

TRAIN, HELD_OUT, STRUCTURES = Path("data/train"), Path("data/held_out"), Path("structures")
NO_REFERENCE = "none"
LABELERS = ("teacher", "reference")  # sections of ipip that may name files
# Prefactors for cells that may change their volume; without virials, pressures of a model mean nothing.
VIRIALS = {"start_pref_v": 0.02, "limit_pref_v": 1}


@dataclass(frozen=True)
class Choices:
    """What a run is to be.

    Parameters
    ----------
    structures : sequence of str
        Files with start structures.
    data : sequence of Path
        Labelled data.
    data_format : str
        Their dpdata format, or "auto".
    teacher : str
        A name of :data:`ipip_dp.new.templates.NAMES` or a JSON file; empty for what is installed.
    reference : str
        The same, a name of :data:`ipip_dp.new.codes.CODES`, or "none".
    machine : str
        A name of :func:`ipip_dp.new.templates.machines`.
    effort : str
        A name of :data:`ipip_dp.new.effort.EFFORTS`.
    temperatures : sequence of float
        Of all MD, K.
    rcut : float
        Cutoff of the students, Angstrom.
    shortest : float
        Cells are repeated until opposite faces are so far apart, Angstrom.
    """

    structures: Sequence[str]
    data: Sequence[Path]
    data_format: str
    teacher: str
    reference: str
    machine: str
    effort: str
    temperatures: Sequence[float]
    rcut: float
    shortest: float


@dataclass(frozen=True)
class Written:
    """What there is in a new folder.

    Parameters
    ----------
    structures : list of Structure
        Start structures.
    type_map : list of str
        Elements.
    sel : list of int
        Neighbours of each that the descriptor has room for.
    teacher : str
        As in :class:`Choices`.
    frames : tuple of int or None
        Numbers of frames for training and held out; None without data.
    labels : bool
        Whether ``ipip init`` can make data.
    files : list of str
        Other files, which are to be looked at.
    """

    structures: list[Structure]
    type_map: list[str]
    sel: list[int]
    teacher: str
    frames: tuple[int, int] | None
    labels: bool
    files: list[str]


def write(folder: Path, choices: Choices) -> Written:
    """Make the folder of a run; all of it or, if anything is wrong, nothing.

    Raises
    ------
    IpipError
        If the folder exists, an input cannot be read or choices do not go together.
    """
    if folder.exists():
        raise IpipError(f"{folder}: is there already, and `ipip new` changes no folder; give another name")
    starts = structures.read(choices.structures, choices.shortest)
    read = data.read(choices.data, choices.data_format)
    if choices.reference == NO_REFERENCE and not read:
        raise IpipError("--reference none: expected --data, as nothing else labels frames for training")
    symbols = [symbol for start in starts for symbol in start.atoms.get_chemical_symbols()]
    symbols += [symbol for file in read for system in file for symbol in data.elements(system)]
    type_map = list(dict.fromkeys(symbols))
    named = data.grouped(read, type_map)
    frames = (*(start.atoms for start in starts), *data.frames(named))
    sel = structures.neighbours(frames, type_map, choices.rcut)
    teacher = choices.teacher or labelers.default(type_map, periodic=choices.reference not in OPEN)
    names = [start.name for start in starts]
    param, mdata = inputs(replace(choices, teacher=teacher), type_map, sel, names)
    if any(start.is_bulk for start in starts):
        param["default_training_param"]["loss"].update(VIRIALS)
    code = CODES.get(choices.reference)

    temporary = workdir.fresh(folder.with_name(f".{folder.name}.tmp"))
    try:
        structures.write(starts, temporary / STRUCTURES)
        counts = data.write(named, temporary / TRAIN, temporary / HELD_OUT) if named else None
        for name in {name for key in LABELERS if key in param["ipip"] for name in labeler_files(param["ipip"][key])}:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, temporary / name)
        for name, text in (code.files if code else {}).items():
            workdir.write_text(temporary / name, text)
        workdir.write_json(temporary / "param.json", param)
        workdir.write_json(temporary / "machine.json", mdata)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    can_label = "reference" in param["ipip"]
    return Written(starts, type_map, sel, teacher, counts, can_label, list(code.files) if code else [])


def inputs(
    choices: Choices, type_map: Sequence[str], sel: Sequence[int], starts: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of param.json and machine.json.

    Parameters
    ----------
    choices : Choices
        With a teacher.
    type_map : sequence of str
        Elements.
    sel : sequence of int
        Neighbours of each that the descriptor has room for.
    starts : sequence of str
        Files of the start structures.
    """
    from ase.data import atomic_masses, atomic_numbers

    code = choices.reference in CODES
    param = templates.param("universal_teacher_vasp" if code else "universal_teacher_ase_reference")
    mdata = _machine(choices.machine)
    ipip, temperatures = param["ipip"], list(choices.temperatures)
    param.update(
        type_map=list(type_map),
        mass_map=[float(atomic_masses[atomic_numbers[element]]) for element in type_map],
        init_data_sys=[str(TRAIN)],
        sys_configs_prefix=str(STRUCTURES),
        sys_configs=[[name] for name in starts],
    )
    ipip.update(held_out=[str(HELD_OUT)], teacher=labelers.section(choices.teacher, type_map))
    if mdata["train"]["machine"]["batch_type"] == "Shell":
        ipip["check_interval"] = 1
    param["default_training_param"]["model"]["descriptor"].update(sel=list(sel), rcut=choices.rcut)
    effort.apply(param, choices.effort)
    ipip["teacher_md"]["temperatures"] = temperatures
    for job in param["model_devi_jobs"]:
        job.update(sys_idx=list(range(len(starts))), temps=temperatures)
    ipip["trust"] = "given" if choices.reference == NO_REFERENCE else "auto"  # the template's suit its own system
    if code:
        _set_code(param, mdata["fp"], choices.reference, type_map)
    elif choices.reference == NO_REFERENCE:
        for key in ("reference", "init", "evaluate"):
            del ipip[key]
        param["fp_task_max"] = 0
        del mdata["fp"]
    else:
        ipip["reference"] = labelers.section(choices.reference, type_map, (*CODES, NO_REFERENCE))
        if ipip["reference"] == ipip["teacher"]:
            raise IpipError(f"--reference {choices.reference}: is the teacher, too, which has nothing to learn from it")
        ipip["init"]["temperatures"] = temperatures
        for key in ("train_frames", "held_out_frames"):  # at least one of every structure
            ipip["init"][key] = max(ipip["init"][key], len(starts))
        mdata["fp"]["user_forward_files"] += labeler_files(ipip["reference"])
    return param, mdata


def _set_code(param: dict[str, Any], fp: dict[str, Any], name: str, type_map: Sequence[str]) -> None:
    """Set the reference code in a template for VASP and in a section of a template for machine.json."""
    cores = fp["resources"]["cpu_per_node"]
    for key in CODES["vasp"].keys(type_map, cores):
        del param[key]
    param.update(fp_style=name, **CODES[name].keys(type_map, cores))
    fp["command"] = CODES[name].command.format(cores=cores)
    fp["resources"]["para_deg"] = 1
    del fp["user_forward_files"]


def _machine(name: str) -> dict[str, Any]:
    """A template for machine.json, with the cores of this machine where jobs run here."""
    mdata = templates.machine(name)
    for section in mdata.values():
        if isinstance(section, dict) and section["machine"]["batch_type"] == "Shell":
            resources = section["resources"]
            cores = len(os.sched_getaffinity(0))
            if resources["para_deg"] == resources["cpu_per_node"]:  # one task a core
                resources["para_deg"] = cores
            resources["cpu_per_node"] = cores
    return mdata
