# SPDX-License-Identifier: LGPL-3.0-or-later
"""Checks of what param.json names: elements, start structures, labelers, data folders."""

from __future__ import annotations

import glob
import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.data import labelled, systems
from ipip_dp.data.gate import have_volume
from ipip_dp.errors import IpipError
from ipip_dp.labelers import kind_of, labeler_files
from ipip_dp.labelers.read import read_frames
from ipip_dp.steps.seed_pool import start_format, start_structures
from ipip_dp.text import is_positive, reason, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dpdata

    from ipip_dp.config.params import Params


# Formats of dpdata's that number types instead of naming elements.
NAMELESS = ("lammps/lmp", "lmp", "lammps/dump", "dump")
# Names of elements end up in files and LAMMPS inputs, separated by blanks or commas.
ELEMENT = re.compile(r"[A-Za-z]\w*", re.ASCII)


def check_elements(jdata: dict[str, Any]) -> Iterator[str]:
    """Check type_map and mass_map."""
    from dpdata.periodic_table import ELEMENTS

    type_map, mass_map = jdata["type_map"], jdata["mass_map"]
    for element in type_map:
        if not ELEMENT.fullmatch(element):
            yield f"type_map: expected names of letters and digits, as Mo, found {shown(element)}"
        elif element not in ELEMENTS and mass_map == "auto":
            yield f"type_map: {element} is no element, so its mass must be given in mass_map"
    if isinstance(mass_map, str):
        if mass_map != "auto":
            yield f"mass_map: expected a list of masses or auto, found {shown(mass_map)}"
    elif len(mass_map) != len(type_map):
        yield f"mass_map: expected one mass for each of type_map {shown(type_map)}, found {shown(mass_map)}"
    elif not all(is_positive(mass) for mass in mass_map):
        yield f"mass_map: expected masses in g/mol, all greater than 0, found {shown(mass_map)}"


def notes(jdata: dict[str, Any]) -> Iterator[str]:
    """What looks like a slip in elements that are in order."""
    from ase.data import atomic_masses, atomic_numbers

    known = {name: atomic_masses[atomic_numbers[name]] for name in jdata["type_map"] if name in atomic_numbers}
    masses = jdata["mass_map"] if isinstance(jdata["mass_map"], list) else []
    for name, mass in zip(jdata["type_map"], masses, strict=False):
        same = [other for other in known if math.isclose(known[other], mass, rel_tol=0.005)]
        if same and name in known and name not in same:
            yield f"mass_map: gives {name} the mass of {same[0]}, {mass}; its order is to be that of type_map"


def check_structures(jdata: dict[str, Any], structures: dict[Path, dpdata.System]) -> Iterator[str]:
    """Check the start structures, which are added to ``structures``."""
    import dpdata
    from dpdata.format import Format
    from dpdata.periodic_table import ELEMENTS

    fmt = start_format(jdata)
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
            system = dpdata.System(str(path), fmt=fmt, type_map=jdata["type_map"] if fmt in NAMELESS else None)
            solid = system.nopbc or have_volume(system["cells"]).all()
            usable = len(system) == 1 and np.isfinite(system["coords"]).all() and solid
            structures[path] = system
        except Exception as error:  # whatever dpdata's parsers raise on a broken file
            yield f"sys_configs: {path} cannot be read as {fmt} ({reason(error)})"
            continue
        if not usable:
            yield f"sys_configs: {path}: expected one structure with finite coordinates, in a cell that has a volume"
        names = system["atom_names"]
        if strange := [element for element in names if element not in ELEMENTS]:
            yield f"sys_configs: {path} has {', '.join(strange)}, which is no element, so no teacher can label it"
        if unknown := sorted(set(names) - set(jdata["type_map"])):
            yield f"sys_configs: {path} has {', '.join(unknown)}, which type_map {shown(jdata['type_map'])} lacks"
        if not usable or strange or unknown:
            continue
        try:
            read_frames([path], jdata["type_map"], fmt)  # as the teacher's MD does
        except IpipError as error:
            yield f"sys_configs: {error}"


def check_labeler(
    key: str, labeler: dict[str, Any], here: bool, structures: dict[Path, dpdata.System], open_md: str | None
) -> Iterator[str]:
    """Check a labeler's files, elements, boundaries and, if it runs in this environment, what its kind needs there.

    ``open_md`` is where the input says that MD has open boundaries, if it does.
    """
    kind = kind_of(labeler)
    try:
        labeler_files(labeler)
    except IpipError as error:
        yield f"{key}: {error}"
    for name, problem in kind.check(labeler, here):
        yield f"{key}.{name}: {problem}"
    known = kind.known_elements(labeler)
    where = f"{key}.elements" if "elements" in labeler else key
    for path, system in structures.items():
        if known is not None and (unknown := sorted(set(system["atom_names"]) - set(known))):
            yield f"{where}: it knows {', '.join(known)}, but {path} has {', '.join(unknown)}"
    if kind.needs_cell(labeler):
        without = [open_md] if open_md else [str(path) for path, system in structures.items() if system.nopbc]
        for edge in without[:1]:
            yield f"{key}: it labels periodic structures only, but those of {edge} have open boundaries"


def check_fine_tuning(settings: dict[str, Any] | None) -> Iterator[str]:
    """Check the files of the command that fine-tunes the teacher, and that its results make one."""
    if settings is None:
        return
    key = "ipip.teacher_fine_tune"
    for name in settings["files"]:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            yield f"{key}.files: expected files in the run folder, found {name}"
        elif not Path(name).exists():
            yield f"{key}.files: {name} does not exist"
    used = json.dumps(settings["teacher"])
    if not any(name in used for name in settings["results"]):
        yield f"{key}.results: expected a file that {key}.teacher is made of, found {shown(settings['results'])}"


def data_to_make(jdata: dict[str, Any], params: Params) -> list[Path]:
    """The folders of D_0 and the held-out set, if neither is there and ``ipip init`` can make them."""
    folders = _data_folders(jdata, params)
    to_make = [path for paths in folders.values() for path in paths]
    can = params.reference is not None and all(len(paths) == 1 for paths in folders.values())
    return to_make if can and not any(os.path.exists(path) for path in to_make) else []


def _data_folders(jdata: dict[str, Any], params: Params) -> dict[str, list[Path]]:
    prefix = Path(jdata.get("init_data_prefix") or ".")
    return {
        "init_data_sys": [prefix / name for name in jdata["init_data_sys"]],
        "ipip.held_out": list(params.held_out),
    }


def check_data_to_make(jdata: dict[str, Any], params: Params) -> Iterator[str]:
    """Check that the training data and the held-out set get folders of their own."""
    train, held_out = _data_folders(jdata, params).values()
    for path in held_out:
        own = path.absolute()
        if any(own.is_relative_to(other.absolute()) or other.absolute().is_relative_to(own) for other in train):
            yield f"ipip.held_out: expected a folder apart from those of init_data_sys, found {path}"


def check_data(jdata: dict[str, Any], params: Params) -> Iterator[str]:
    """Check the training data and the held-out set, and that they share no frame."""
    folders = _data_folders(jdata, params)
    hint = "; `ipip init` makes it" if params.reference is not None else ""
    frames: dict[str, dict[bytes, Path]] = {key: {} for key in folders}
    for key, paths in folders.items():
        if not paths:
            yield f"{key}: expected at least one data folder"
        for path in paths:
            try:
                for system in systems.find([path]):
                    labelled.types_in(system, jdata["type_map"])
                    labelled.check_frames(system)
                    frames[key].update(dict.fromkeys(labelled.frame_digests(system), system))
            except IpipError as error:
                yield f"{key}: {error}{'' if os.path.exists(path) else hint}"  # unlike Path.exists, false for any name
    train, held_out = frames.values()
    shared = [system for frame, system in held_out.items() if frame in train]
    if shared:
        yield (
            f"ipip.held_out: {len(shared)} of its {len(held_out)} frames are training data as well (init_data_sys), "
            f"the first in {shared[0]}; expected frames that no student trains on"
        )
