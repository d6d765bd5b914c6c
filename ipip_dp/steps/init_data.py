# SPDX-License-Identifier: LGPL-3.0-or-later
"""``ipip init``: the first training data D_0 and the held-out set a newcomer lacks.

The teacher runs MD from sys_configs, twice with different velocities: D_0 is a diverse
subset of one set of trajectories, the held-out set a random subset of the other, so that
no held-out frame neighbours a training frame in time. The first third of a trajectory is
left out, since all of them leave from the same structure. The reference labels both. It
labels the start structures first of all: a reference that can label none of them is found in
seconds, not after the teacher's MD.
"""

from __future__ import annotations

import json
import math
import shutil
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir
from ipip_dp.data import diversity, labelled, systems
from ipip_dp.data.frames import joined, take
from ipip_dp.data.gate import Gate
from ipip_dp.errors import IpipError
from ipip_dp.labelers import labels_format
from ipip_dp.labelers.read import read_frames
from ipip_dp.running import dispatch
from ipip_dp.steps import labelling, seed_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipip_dp.steps.context import Context

SETS = ("train", "held_out")
TRIAL = workdir.INIT / "trial"


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
        If there is no reference labeler, fewer frames are wanted than there are start structures, the reference
        labels no start structure, the teacher gives no frame or the reference no label.
    """
    if context.params.reference is None:
        raise IpipError("ipip.reference is missing; `ipip init` needs a labeler for the reference data")
    wanted = targets(context)
    missing = [name for name in SETS if not wanted[name].is_dir()]
    n_structures = len(seed_pool.start_structures(context.jdata))
    for name in missing:
        if (found := _n_frames(context, name)) < n_structures:
            raise IpipError(
                f"ipip.init.{name}_frames: expected at least one frame of each of the {n_structures} start structures "
                f"of sys_configs, found {found}"
            )
    if missing:
        with dispatch.submissions(context.mdata, context.params.check_interval, "init"):
            _try_reference(context)
            tasks = {name: _teacher_md(context, name) for name in missing}
            for name in missing:
                _choose(context, name, tasks[name])
            _label(context, missing)
        for name in missing:
            wanted[name].parent.mkdir(parents=True, exist_ok=True)
            temporary = workdir.fresh(wanted[name].with_name(f".{wanted[name].name}.tmp"))
            for system in systems.find([workdir.INIT / name / "labels"]):
                shutil.copytree(system, temporary / system.name)
            temporary.rename(wanted[name])
    return {name: sum(labelled.check_frames(path) for path in systems.find([wanted[name]])) for name in SETS}


def _try_reference(context: Context) -> None:
    """Label the start structures, whatever their forces; one success is enough."""
    labelling.prepare(context, "reference", TRIAL, "labels")
    if (TRIAL / "labels" / labels_format.MARKER).is_file():
        return
    starts = [path for _, path in seed_pool.start_structures(context.jdata)]
    fmt = seed_pool.start_format(context.jdata)
    temporary = workdir.fresh(TRIAL / ".frames.tmp")
    for number, group in enumerate(read_frames(starts, context.type_map, fmt)):
        if context.jdata.get("model_devi_nopbc"):
            group.system.data["nopbc"] = True
        systems.write(group.system, temporary / f"{number:03d}")
    shutil.rmtree(TRIAL / "frames", ignore_errors=True)
    temporary.rename(TRIAL / "frames")
    anything = Gate(min_distance=0, max_force=math.inf)
    labelling.label(context, "reference", workdir.INIT, [TRIAL.name], gate=anything, min_success=1 / len(starts))


def _teacher_md(context: Context, name: str) -> list[Path]:
    settings = context.params.init
    work_path = workdir.INIT / f"md.{name}"
    tasks = seed_pool.prepare_md(context, work_path, settings.temperatures, settings.nsteps, settings.interval)
    if not workdir.is_done(work_path):
        seed_pool.run_md(context, work_path, tasks)
    labels = seed_pool.collect_md(work_path, tasks)
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
            trajectory = joined(list(labelled.read(path, context.type_map)))
            by_structure[structure].append(take(trajectory, slice(len(trajectory) // 3, None)))
    temporary = workdir.fresh(target.with_name(".frames.tmp"))
    for number, (structure, trajectories) in enumerate(sorted(by_structure.items())):
        share = total // len(by_structure) + (number < total % len(by_structure))
        frames = joined(trajectories)
        if name == "train":
            chosen = diversity.farthest_points(
                diversity.radial_features(frames.data), share, context.random_seed("init", structure)
            )
        else:
            generator = np.random.default_rng(context.random_seed("init", name, structure))
            chosen = generator.choice(len(frames), min(share, len(frames)), replace=False)
        part = frames.sub_system(np.sort(chosen))  # without provenance: they are labelled anew
        names = ("atom_names", "atom_numbs", "atom_types", "orig", "coords", "cells", "nopbc")
        unlabeled = dpdata.System(data={name: part.data[name] for name in names if name in part.data})
        systems.write(unlabeled, temporary / structure)
    temporary.rename(target)


def _label(context: Context, names: Sequence[str]) -> None:
    for name in names:
        labelling.prepare(context, "reference", workdir.INIT / name, "labels")
        workdir.write_task(workdir.INIT / name / "gate.json", context.params.gate.gate().limits(), "labels")
    waiting = [name for name in names if not (workdir.INIT / name / "labels" / labels_format.MARKER).is_file()]
    if waiting:
        labelling.label(context, "reference", workdir.INIT, waiting, gate=context.params.gate.gate(), min_success=0.5)
