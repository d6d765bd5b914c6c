"""``ipip init``: the first training data D_0 and the held-out set a newcomer lacks.

The teacher runs MD from sys_configs, twice with different velocities: D_0 is a diverse
subset of one set of trajectories, the held-out set a random subset of the other, so that
no held-out frame neighbours a training frame in time. The first third of a trajectory is
left out, since all of them leave from the same structure. The reference labels both.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import data, dispatch, diversity, workdir
from ipip_dp.errors import IpipError
from ipip_dp.labelers import labels_format
from ipip_dp.steps import labeler_files, link_labeler_files, seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipip_dp.steps import Context

SETS = ("train", "held_out")


def targets(context: Context) -> dict[str, Path]:
    """Where the two sets go: the first folder of init_data_sys and of ipip.held_out."""
    prefix = Path(context.jdata.get("init_data_prefix") or ".")
    folders = {"init_data_sys": context.jdata["init_data_sys"], "ipip.held_out": context.params.held_out}
    for key, value in folders.items():
        if len(value) != 1:
            raise IpipError(f"{key}: `ipip init` makes one folder; expected a list of one path, found {len(value)}")
    return {"train": prefix / context.jdata["init_data_sys"][0], "held_out": context.params.held_out[0]}


def init(context: Context) -> dict[str, int]:
    """Make the two sets; what is there already is left alone, an interrupted call goes on.

    Returns
    -------
    dict
        Number of frames in ``train`` and ``held_out``.

    Raises
    ------
    IpipError
        If there is no reference labeler, fewer frames are wanted than there are start structures, the teacher
        gives no frame or the reference no label.
    """
    if context.params.reference is None:
        raise IpipError("ipip.reference is missing; `ipip init` needs a labeler for the reference data")
    wanted = targets(context)
    missing = [name for name in SETS if not wanted[name].is_dir()]
    n_structures = len(seed.start_structures(context.jdata))
    for name in missing:
        if (found := _n_frames(context, name)) < n_structures:
            raise IpipError(
                f"ipip.init.{name}_frames: expected at least one frame of each of the {n_structures} start structures "
                f"of sys_configs, found {found}"
            )
    if missing:
        with dispatch.submissions(context.params.check_interval):
            tasks = {name: _teacher_md(context, name) for name in missing}
            for name in missing:
                _choose(context, name, tasks[name])
            _label(context, missing)
        for name in missing:
            wanted[name].parent.mkdir(parents=True, exist_ok=True)
            temporary = workdir.fresh(wanted[name].with_name(f".{wanted[name].name}.tmp"))
            for system in data.find_systems([workdir.INIT / name / "labels"]):
                shutil.copytree(system, temporary / system.name)
            temporary.rename(wanted[name])
    return {name: sum(data.check_frames(path) for path in data.find_systems([wanted[name]])) for name in SETS}


def _teacher_md(context: Context, name: str) -> list[Path]:
    settings = context.params.init
    work_path = workdir.INIT / f"md.{name}"
    tasks = seed.prepare_md(context, work_path, settings.temperatures, settings.nsteps, settings.interval)
    if not workdir.is_done(work_path):
        seed.run_md(context, work_path, tasks)
    labels = seed.collect_md(work_path, tasks)
    workdir.mark_done(work_path, [marker for folder in labels for marker in folder.rglob(labels_format.MARKER)])
    return labels


def _n_frames(context: Context, name: str) -> int:
    settings = context.params.init
    return settings.train_frames if name == "train" else settings.held_out_frames


def _choose(context: Context, name: str, labels: Sequence[Path]) -> None:
    """Write the chosen frames of every start structure, the same number of each."""
    import dpdata

    total = _n_frames(context, name)
    target = workdir.INIT / name / "frames"
    md = [json.loads((folder.parent / "md.json").read_text()) for folder in labels]
    workdir.write_task(target.with_name("choice.json"), {"frames": total, "md": md}, "frames", "labels")
    if target.is_dir():
        return
    by_structure: dict[str, list[Any]] = defaultdict(list)
    for folder in labels:
        structure = folder.parent.name.removeprefix("task.")
        for path in sorted(raw.parent for raw in folder.rglob("type.raw")):
            trajectory = data.read(path, context.type_map)
            by_structure[structure].append(trajectory[len(trajectory) // 3 :])
    temporary = workdir.fresh(target.with_name(".frames.tmp"))
    for number, (structure, systems) in enumerate(sorted(by_structure.items())):
        share = total // len(by_structure) + (number < total % len(by_structure))
        frames = systems[0].copy()
        for system in systems[1:]:
            frames.append(system)
        if name == "train":
            chosen = diversity.farthest_points(
                diversity.radial_features(frames.data), share, context.seed("init", structure)
            )
        else:
            generator = np.random.default_rng(context.seed("init", name, structure))
            chosen = generator.choice(len(frames), min(share, len(frames)), replace=False)
        part = frames.sub_system(np.sort(chosen))
        names = ("atom_names", "atom_numbs", "atom_types", "orig", "coords", "cells", "nopbc")
        unlabeled = dpdata.System(data={name: part.data[name] for name in names if name in part.data})
        unlabeled.to("deepmd/npy", str(temporary / structure), set_size=len(part))
    temporary.rename(target)


def _label(context: Context, names: Sequence[str]) -> None:
    params = context.params
    for name in names:
        link_labeler_files(params.reference, workdir.INIT / name)
        workdir.write_task(workdir.INIT / name / "labeler.json", params.reference, "labels")
        workdir.write_task(workdir.INIT / name / "gate.json", asdict(params.gate), "labels")
    command = dispatch.label_command(context.type_map, params.gate, min_success=0.5)
    command += ["--workers", str(dispatch.workers(context.mdata))]
    waiting = [name for name in names if not (workdir.INIT / name / "labels" / labels_format.MARKER).is_file()]
    if waiting:
        dispatch.submit(
            context.mdata,
            "ipip_label",
            workdir.INIT,
            waiting,
            command,
            forward=["frames", "labeler.json", *labeler_files(params.reference)],
            backward=["labels"],
        )
