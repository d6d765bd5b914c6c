# SPDX-License-Identifier: LGPL-3.0-or-later
"""Checks of 01.model_devi: the jobs, and the trust levels that sort their frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp.config.trainings import learns_virials
from ipip_dp.text import is_positive, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

# As make_lammps_files of dpgen/generator/lib/lammps.py knows them.
ENSEMBLES = ("nvt", "nve", "npt", "npt-i", "npt-iso", "npt-a", "npt-aniso", "npt-t", "npt-tri")
# Counts and times that DP-GEN's own schema does not bound.
PAIR_STYLE_WORDS = 6  # pair_style deepmd out_freq N out_file FILE, besides the models
LONG_TIMESTEP, SHORT_TIMESTEP = 0.02, 0.05  # ps and fs; nobody's MD of atoms is beyond
POSITIVE = ("model_devi_dt", "lmp_neigh_modify_one", "epsilon", "epsilon_v")
JOB_POSITIVE = ("trj_freq", "nsteps", "dt", "taut", "taup")
NOT_NEGATIVE = ("model_devi_skip", "model_devi_numb_candi_f", "model_devi_numb_candi_v")


def check(jdata: dict[str, Any]) -> Iterator[str]:
    """Check the keys ``model_devi_...`` and every job."""
    if jdata["use_ele_temp"]:
        yield "use_ele_temp: pseudo-labels have no electron temperature; remove the key"
    for key in POSITIVE:
        if key in jdata and not is_positive(jdata[key]):
            yield f"{key}: expected a number greater than 0, found {shown(jdata[key])}"
    for key in NOT_NEGATIVE:
        if jdata.get(key, 0) < 0:
            yield f"{key}: expected an integer of at least 0, found {shown(jdata[key])}"
    for key in ("model_devi_perc_candi_f", "model_devi_perc_candi_v"):
        if not 0 <= jdata.get(key, 0) <= 100:
            yield f"{key}: expected a number between 0 and 100, found {shown(jdata[key])}"
    for switch, key in (("use_relative", "epsilon"), ("use_relative_v", "epsilon_v")):
        if jdata.get(switch) and key not in jdata:
            yield f"{key}: missing; {switch} needs it"
    if jdata.get("model_devi_plumed_path"):
        yield "model_devi_plumed_path: DP-GEN has no key for the file it needs; remove it"
    yield from _check_trust_levels(jdata)
    for number, job in enumerate(jdata["model_devi_jobs"]):
        for problem in _check_job(jdata, job):
            yield f"model_devi_jobs[{number}].{problem}"


def notes(jdata: dict[str, Any]) -> Iterator[str]:
    """What a user may not know of a job that is in order."""
    changing = [number for number, job in enumerate(jdata["model_devi_jobs"]) if "npt" in job.get("ensemble", "")]
    if changing and not learns_virials(jdata):
        yield (
            f"model_devi_jobs[{changing[0]}].ensemble: changes the volume by the pressure of students, which are not "
            "trained on virials; set default_training_param.loss.start_pref_v and limit_pref_v, as to 0.02 and 1"
        )
    yield from _time_step_notes(jdata)
    if 0 < jdata["fp_task_max"] < jdata["fp_task_min"]:
        yield f"fp_task_min: {jdata['fp_task_min']} is more than fp_task_max, so that nothing will ever be labelled"
    if jdata.get("shuffle_poscar"):
        yield (
            "shuffle_poscar: shuffles the structures that explore, and by no seed; the teacher's MD starts from those "
            "of sys_configs as they are. To have both alike, shuffle the files"
        )
    opened = [key for key, edges in boundaries(jdata) if is_open(edges) and not jdata.get("model_devi_nopbc")]
    if opened:
        yield (
            f"{opened[0]}: has open boundaries, but the teacher's MD those of the start structures; for open ones in "
            "both set model_devi_nopbc to true"
        )


def _time_step_notes(jdata: dict[str, Any]) -> Iterator[str]:
    jobs = [(f"model_devi_jobs[{number}].dt", job.get("dt", 0)) for number, job in enumerate(jdata["model_devi_jobs"])]
    for key, timestep in [("model_devi_dt", jdata["model_devi_dt"]), *jobs]:
        if timestep > LONG_TIMESTEP:
            yield f"{key}: {timestep} ps is {1000 * timestep:g} fs; 0.001 is 1 fs"
    timestep = jdata["ipip"]["teacher_md"]["timestep"]
    if timestep < SHORT_TIMESTEP:
        yield f"ipip.teacher_md.timestep: {timestep} fs; unlike model_devi_dt, it is in fs"


def _check_job(jdata: dict[str, Any], job: dict[str, Any]) -> Iterator[str]:
    yield from _check_systems(jdata, job)
    for key in JOB_POSITIVE:
        if key in job and not is_positive(job[key]):
            yield f"{key}: expected a number greater than 0, found {shown(job[key])}"
    if job.get("neidelay", 0) < 0:
        yield f"neidelay: expected an integer of at least 0, found {shown(job['neidelay'])}"
    if job.get("nsteps", job["trj_freq"]) < job["trj_freq"]:
        yield f"nsteps: expected at least trj_freq, {job['trj_freq']}, or there is no frame; found {job['nsteps']}"
    yield from _check_template(jdata, job) if "template" in job else _check_native(jdata, job)


def _check_systems(jdata: dict[str, Any], job: dict[str, Any]) -> Iterator[str]:
    systems = jdata["sys_configs"]
    if not job["sys_idx"]:
        yield "sys_idx: expected at least one index of sys_configs"
    if len(set(job["sys_idx"])) < len(job["sys_idx"]):
        yield f"sys_idx: expected every index once, found {shown(job['sys_idx'])}"
    for index in job["sys_idx"]:
        if not 0 <= index < len(systems):
            yield f"sys_idx: expected indices of the {len(systems)} entries of sys_configs, from 0 on; found {index}"
        elif not systems[index] and any(systems):
            yield f"sys_idx: sys_configs[{index}] has no start structure"


def _check_native(jdata: dict[str, Any], job: dict[str, Any]) -> Iterator[str]:
    if jdata.get("model_devi_plumed"):
        yield "template: missing; model_devi_plumed needs it"
    if "nbeads" in job:
        yield "nbeads: frames of path integrals cannot be relabelled; remove the key"
    ensemble = job.get("ensemble", "")
    if ensemble not in ENSEMBLES:
        yield f"ensemble: expected one of {', '.join(ENSEMBLES)}, found {shown(ensemble)}"
        return
    if "nsteps" not in job:
        yield "nsteps: missing; expected an integer"
    elif jdata.get("model_devi_skip", 0) > job["nsteps"]:
        yield f"nsteps: {job['nsteps']} is below model_devi_skip, {jdata['model_devi_skip']}; no frame is looked at"
    temperatures = job.get("temps")
    if not temperatures or not all(is_positive(temperature) for temperature in temperatures):
        yield f"temps: expected a list of temperatures in K, all greater than 0, found {shown(temperatures)}"
    if ensemble.startswith("npt"):
        if not job.get("press"):
            yield f"press: expected a list of pressures in bar for {ensemble}, found {shown(job.get('press'))}"
        if jdata.get("model_devi_nopbc"):
            yield f"ensemble: {ensemble} needs periodic boundaries, but model_devi_nopbc is true"


def _check_template(jdata: dict[str, Any], job: dict[str, Any]) -> Iterator[str]:
    """Check the files of a template, and that its values are lists."""
    for name in ("lmp", "plm") if jdata.get("model_devi_plumed") else ("lmp",):
        file = job["template"].get(name)
        if file is None or not Path(file).is_file():
            yield f"template.{name}: expected a file that exists, found {shown(file)}"
        elif name == "lmp":
            lines = Path(file).read_text(errors="replace").splitlines(keepends=True)
            for problem in _check_lines(jdata, job["trj_freq"], lines):
                yield f"template.lmp: {problem} in {file}"
    revised = {"rev_mat": job.get("rev_mat", {})}
    by_system = job.get("sys_rev_mat", {})
    if not all(isinstance(value, dict) for value in by_system.values()):
        yield f"sys_rev_mat: expected an object for every index of sys_configs, found {shown(by_system)}"
    else:
        revised.update({f"sys_rev_mat.{index}": value for index, value in by_system.items()})
    read = ("lmp", "plm") if jdata.get("model_devi_plumed") else ("lmp",)  # of others, DP-GEN takes no notice
    for key, value in revised.items():
        for name, values in value.items():
            if name not in read:
                continue
            if not isinstance(values, dict) or not all(isinstance(item, list) and item for item in values.values()):
                yield f"{key}.{name}: expected a list of values for every variable, found {shown(values)}"


def _check_lines(jdata: dict[str, Any], trj_freq: int, lines: list[str]) -> Iterator[str]:
    """Check the lines of a template that DP-GEN revises, and its boundaries."""
    from dpgen.generator.run import _get_model_backend_config, _validate_pt2_template_atom_map, find_only_one_key

    if _get_model_backend_config(jdata)[2] == "pt2":
        try:
            _validate_pt2_template_atom_map(lines)
        except ValueError as error:
            yield f"{error}; expected atom_modify map yes in front"
    revised = [["dump", "dpgen_dump"]]
    if jdata.get("model_devi_plumed"):
        revised.append(["fix", "dpgen_plm"])
    own = [line.split() for line in lines if line[:1] != "#" and "pair_style" in line and "deepmd" in line]
    if own and len(own[-1]) == jdata["numb_models"] + PAIR_STYLE_WORDS:  # whole, so that DP-GEN leaves it as it is
        freq = own[-1][own[-1].index("out_freq") + 1] if "out_freq" in own[-1][:-1] else ""
        if freq.isdecimal() and (int(freq) == 0 or int(freq) % trj_freq):
            yield f"expected out_freq to be a multiple of trj_freq, {trj_freq}, or rows lack a frame; found {freq}"
    else:
        revised.append(["pair_style", "deepmd"])
    for words in revised:
        try:
            find_only_one_key(lines, words)
        except RuntimeError:
            yield f"expected exactly one line {' '.join(words)} ..."
    edges = _boundary(lines)
    if _is_mixed(edges):
        yield f"expected boundaries that are all periodic (p), or none is, found {' '.join(edges)}"


def _boundary(lines: list[str]) -> list[str]:
    """The last boundaries that LAMMPS input sets; its default if it sets none."""
    found = [line.split()[1:4] for line in lines if line.split()[:1] == ["boundary"]]
    return found[-1] if found else ["p", "p", "p"]


def is_open(edges: list[str]) -> bool:
    """Whether LAMMPS' boundaries are periodic in no direction; not known of variables."""
    return set("".join(edges)) <= set("fsm")


def _is_mixed(edges: list[str]) -> bool:
    """Whether LAMMPS' boundaries are periodic in some directions only; not known of variables."""
    return set("".join(edges)) <= set("pfsm") and 0 < edges.count("p") + edges.count("pp") < len(edges)


def boundaries(jdata: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Where the boundaries of every job's MD are set, and what they are."""
    for number, job in enumerate(jdata["model_devi_jobs"]):
        file = job.get("template", {}).get("lmp")
        if file is None:
            yield "model_devi_nopbc", ["f" if jdata.get("model_devi_nopbc") else "p"] * 3
        elif Path(file).is_file():
            lines = Path(file).read_text(errors="replace").splitlines()
            yield f"model_devi_jobs[{number}].template.lmp", _boundary(lines)


def _check_trust_levels(jdata: dict[str, Any]) -> Iterator[str]:
    """Check every pair of trust levels, as a number, a list for all of sys_configs or an object by their indices."""
    places: list[tuple[str, dict[str, Any]]] = [("", jdata)]
    places += [(f"model_devi_jobs[{number}].", job) for number, job in enumerate(jdata["model_devi_jobs"])]
    systems = {index for job in jdata["model_devi_jobs"] for index in job["sys_idx"]} or {0}
    for kind in ("f", "v"):
        for prefix, keys in places:
            low_key, high_key = f"model_devi_{kind}_trust_lo", f"model_devi_{kind}_trust_hi"
            if low_key not in keys and high_key not in keys:
                continue
            low, high = ({**jdata, **keys}[key] for key in (low_key, high_key))
            for index in sorted(set(keys.get("sys_idx", systems))):
                pair = _level(low, index), _level(high, index)
                for key, value, level in zip((low_key, high_key), (low, high), pair, strict=True):
                    if level is None:
                        yield f"{prefix}{key}: expected a number for entry {index} of sys_configs, found {shown(value)}"
                if None not in pair and not 0 <= pair[0] <= pair[1]:
                    yield f"{prefix}{low_key}: expected from 0 up to {high_key}, {pair[1]}; found {pair[0]}"
                    break


def _level(value: Any, index: int) -> Any:
    """The trust level of one entry of sys_configs; None if there is none."""
    if isinstance(value, list):
        value = value[index] if 0 <= index < len(value) else None
    elif isinstance(value, dict):
        value = value.get(str(index))
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
