# SPDX-License-Identifier: LGPL-3.0-or-later
"""Checks of 02.fp: the files and settings of the reference calculations."""

from __future__ import annotations

import copy
import itertools
import os
import shlex
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp.checks import exploration
from ipip_dp.config.params import LABELERS
from ipip_dp.errors import IpipError
from ipip_dp.labelers import labeler_files
from ipip_dp.text import is_command, is_positive, reason, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dpdata

    from ipip_dp.config.params import Params

FRACTIONS = ("ratio_failed", "fp_accurate_threshold", "fp_accurate_soft_threshold")
# Keys that name one file, at the top level or in fp_params.
FILES = ("fp_incar", "fp_kpt_file", "external_input_path", "template_fn")
# DFT codes whose input DP-GEN writes without running anything.
CODES = ("abacus", "cp2k", "cpx", "gaussian", "pwscf", "siesta", "vasp")
# As check_bad_box of dpgen/generator/run.py knows them.
PERIODIC_FORMATS = ("lammps/lmp", "lmp", "abacus/stru", "stru", "vasp/string")
# Keys that DP-GEN reads with a reference code, but forbids in param.json (deepmodeling/dpgen#1754).
LEFT_OUT: dict[str, dict[str, Any]] = {"cp2k": {"fp_pp_path": ".", "fp_pp_files": []}}
BAD_BOX = ("length_ratio", "height_ratio", "wrap_ratio", "tilt_ratio", "min_distance", "min_dist")


def check(jdata: dict[str, Any]) -> Iterator[str]:
    """Check the keys ``fp_...``."""
    for key in ("fp_task_max", "fp_task_min"):
        if jdata[key] < 0:
            yield f"{key}: expected an integer of at least 0, found {shown(jdata[key])}"
    for key in FRACTIONS:
        if not 0 <= jdata.get(key, 0) <= 1:
            yield f"{key}: expected a number between 0 and 1, found {shown(jdata[key])}"
    if "fp_cluster_vacuum" in jdata and not is_positive(jdata["fp_cluster_vacuum"]):
        yield f"fp_cluster_vacuum: expected a number greater than 0, found {shown(jdata['fp_cluster_vacuum'])}"
    if jdata.get("cluster_cutoff") is not None:
        yield "cluster_cutoff: frames cut into clusters cannot be relabelled; remove the key"
    if jdata["fp_task_max"] <= 0:
        return  # nothing below is used
    yield from _check_bad_box(jdata)
    yield from _check_files(jdata)
    if jdata["fp_style"] == "vasp":
        yield from _check_incar(jdata)
    if jdata["fp_style"] == "custom":
        yield from _check_custom(jdata["fp_params"])
    for key, edges in exploration.boundaries(jdata):
        yield from _check_open(jdata, key, edges)


def check_input(jdata: dict[str, Any], start: dpdata.System) -> Iterator[str]:
    """Let DP-GEN write the input of its DFT code, for a start structure in a folder that is then removed.

    What it needs in user_fp_params and the like, no schema of it says.
    """
    if jdata["fp_task_max"] <= 0 or jdata["fp_style"] not in CODES:
        return
    from dpgen.generator.run import make_fp_calculation, update_mass_map

    here = Path.cwd()
    jdata = {**copy.deepcopy(jdata), **LEFT_OUT.get(jdata["fp_style"], {})}
    for section in (jdata, jdata.get("fp_params") or {}):
        for key in (*FILES, "fp_pp_path"):
            if section.get(key):
                section[key] = str(here / section[key])
    jdata.pop("fp_nbands_esti_data", None)  # for electron temperatures
    problem = ""
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task = Path(scratch, "iter.000000/02.fp/task.000.000000")
        task.mkdir(parents=True)
        start.to("vasp/poscar", str(task / "POSCAR"))
        os.chdir(scratch)
        try:
            update_mass_map(jdata)
            make_fp_calculation(0, jdata, {})
        except Exception as error:  # whatever DP-GEN raises
            problem = f"it needs {error}, which is missing" if isinstance(error, KeyError) else reason(error)
        finally:
            os.chdir(here)
    if problem:
        yield f"fp_style: DP-GEN cannot write the input of {jdata['fp_style']}: {problem}"


def check_labeler(params: Params, mdata: dict[str, Any]) -> Iterator[str]:
    """Check that `ipip label`, if it is the command of fp, finds what it needs in a task folder."""
    fp = mdata.get("fp") or []
    for section in fp if isinstance(fp, list) else [fp]:
        options = _options(section["command"])
        labeler = options.get("--labeler")
        if labeler is None:
            continue
        forwarded = {Path(name).name for name in section.get("user_forward_files", [])}
        if (name := options.get("--param", labeler)) == Path(name).name and name not in forwarded:
            yield f"fp_style: {name}: expected in user_forward_files of section fp in machine.json, which reads it"
        if "--param" not in options:
            continue
        if labeler not in LABELERS:
            yield (
                f"fp_style: expected --labeler {' or '.join(LABELERS)} beside --param in the command of section fp in "
                f"machine.json, found {labeler}"
            )
            continue
        config = getattr(params, labeler)
        if config is None:
            yield (
                f"ipip.{labeler}: missing; the command of section fp in machine.json runs it. Give the command of your "
                f"DFT code there instead, or add ipip.{labeler}"
            )
            return
        try:
            files = labeler_files(config)
        except IpipError:
            return  # which the check of the labeler itself reports
        for name in files:
            if Path(name).name != name:
                yield f"ipip.{labeler}: {name}: expected in the run folder itself; tasks of 02.fp have no folders"
            elif name not in forwarded:
                yield f"ipip.{labeler}: {name}: expected in user_forward_files of section fp in machine.json, too"


def _options(command: str) -> dict[str, str]:
    """The options of `ipip label` in a command, with their values; none if another program or folder is in play."""
    words = shlex.split(command.replace("=", " ")) if is_command(command) else []
    if "cd" in words or "label" not in words or not any(Path(word).name == "ipip" for word in words):
        return {}
    return {word: value for word, value in itertools.pairwise(words) if word.startswith("--")}


def _check_open(jdata: dict[str, Any], key: str, edges: list[str]) -> Iterator[str]:
    """Check that candidates without periodic boundaries reach the reference as they are."""
    if not exploration.is_open(edges):
        return
    found = f"{key} has boundary {' '.join(edges)}"
    if jdata["fp_style"] == "custom":
        if jdata["fp_params"]["input_fmt"] in PERIODIC_FORMATS:
            yield (
                f"fp_params.input_fmt: expected a format that keeps open boundaries, as deepmd/npy, since {found}; "
                f"found {jdata['fp_params']['input_fmt']}"
            )
    elif set("sm") & set("".join(edges)):
        yield (
            f"fp_style: {jdata['fp_style']} gets the shrink-wrapped box as a periodic cell, but {found}; use boundary "
            "f f f with enough vacuum"
        )


def _check_bad_box(jdata: dict[str, Any]) -> Iterator[str]:
    for criterion in (jdata.get("fp_skip_bad_box") or "length_ratio:1").split(";"):
        name, _, limit = criterion.partition(":")
        if name not in BAD_BOX or not is_positive(limit):
            yield (
                f"fp_skip_bad_box: expected NAME:LIMIT;... of {', '.join(BAD_BOX)}, as in length_ratio:3, "
                f"found {shown(jdata['fp_skip_bad_box'])}"
            )


def _check_files(jdata: dict[str, Any]) -> Iterator[str]:
    for section, prefix in ((jdata, ""), (jdata.get("fp_params") or {}, "fp_params.")):
        for key in FILES:
            if section.get(key) and not Path(section[key]).is_file():
                yield f"{prefix}{key}: expected a file that exists, found {shown(section[key])}"
    names = jdata.get("fp_pp_files")
    if names is None:
        return
    folder = Path(jdata["fp_pp_path"])
    if not folder.is_dir():
        yield f"fp_pp_path: expected a folder that exists, found {shown(jdata['fp_pp_path'])}"
    elif len(names) < len(jdata["type_map"]):
        yield f"fp_pp_files: expected one for each of type_map {shown(jdata['type_map'])}, found {shown(names)}"
    else:
        beside = ("fp_orb_files", "fp_dpks_descriptor") if jdata["fp_style"] == "abacus" else ()
        for key in ("fp_pp_files", *beside):
            given = jdata.get(key) or []
            for name in [given] if isinstance(given, str) else given:
                if not (folder / name).is_file():
                    yield f"{key}: there is no file {folder / name}"


def _check_incar(jdata: dict[str, Any]) -> Iterator[str]:
    file = Path(jdata["fp_incar"])
    spacing = jdata.get("fp_aniso_kspacing")
    if spacing is not None and (len(spacing) != 3 or not all(is_positive(value) for value in spacing)):
        yield f"fp_aniso_kspacing: expected three numbers greater than 0, found {shown(spacing)}"
    if not file.is_file():
        return
    from pymatgen.io.vasp import Incar

    try:
        tags = {tag.upper() for tag in Incar.from_file(file)}
    except Exception as error:  # whatever pymatgen raises, by which DP-GEN reads it
        yield f"fp_incar: {file} cannot be read as INCAR ({reason(error)})"
        return
    for tag in ("KGAMMA",) if spacing is not None else ("KSPACING", "KGAMMA"):
        if tag not in tags:
            yield f"fp_incar: {file} lacks {tag}, which DP-GEN needs"


def _check_custom(fp_params: dict[str, Any]) -> Iterator[str]:
    from dpdata.format import Format

    formats = Format.get_formats()
    for key in ("input_fmt", "output_fmt"):
        method = "to_system" if key == "input_fmt" else "from_labeled_system"
        known = formats.get(fp_params[key])
        if known is None or getattr(known, method) is getattr(Format, method):
            does = "writes frames" if key == "input_fmt" else "reads labels"
            yield f"fp_params.{key}: expected a format of dpdata that {does}, found {shown(fp_params[key])}"
    for key in ("input_fn", "output_fn"):
        name = fp_params[key]
        if not name or Path(name).name != name:
            yield f"fp_params.{key}: expected the name of a file in the task folder, found {shown(name)}"
    # DP-GEN's Task writes the log of a calculation there.
    if fp_params["output_fn"] in ("output", fp_params["input_fn"]):
        yield f"fp_params.output_fn: expected a name of its own, found {shown(fp_params['output_fn'])}"
