# SPDX-License-Identifier: LGPL-3.0-or-later
"""How long everything in a run is, by a word."""

from __future__ import annotations

import functools
from typing import Any

# Values of param.json by key path, times as many training steps, and steps of MD of the jobs; ``usual`` is what the
# templates have.
EFFORTS: dict[str, tuple[dict[str, Any], int, tuple[int, ...]]] = {
    "try": (
        {
            "numb_models": 2,
            "fp_task_max": 10,
            "ipip.teacher_md.nsteps": 500,
            "ipip.teacher_md.interval": 10,
            "ipip.pretrain.numb_steps": 1500,
            "default_training_param.training.numb_steps": 1500,
            "ipip.init.train_frames": 40,
            "ipip.init.held_out_frames": 40,
            "ipip.init.nsteps": 500,
            "ipip.init.interval": 10,
        },
        1,
        (1000,),
    ),
    "usual": ({}, 1, ()),
    "thorough": (
        {
            "fp_task_max": 100,
            "ipip.teacher_md.nsteps": 20000,
            "ipip.init.train_frames": 1000,
            "ipip.init.held_out_frames": 500,
            "ipip.init.nsteps": 10000,
        },
        4,
        (2000, 5000, 10000, 20000, 50000, 100_000),
    ),
}


def apply(param: dict[str, Any], effort: str) -> None:
    """Set the lengths in a param.json; keys of sections it does not have are left out."""
    values, times, lengths = EFFORTS[effort]
    for path, value in values.items():
        *sections, key = path.split(".")
        section = functools.reduce(lambda found, name: found.get(name, {}), sections, param)
        if key in section:
            section[key] = value
    (job, *_) = jobs = param["model_devi_jobs"]
    if lengths:
        trj_freq = min(job["trj_freq"], lengths[0] // 50)
        jobs[:] = [{**job, "nsteps": nsteps, "trj_freq": trj_freq} for nsteps in lengths]
    training = param["default_training_param"]["training"]
    for section in (param["ipip"]["pretrain"], training):
        section["numb_steps"] *= times
    training.update(disp_freq=training["numb_steps"] // 100, save_freq=training["numb_steps"] // 10)
