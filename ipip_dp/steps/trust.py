# SPDX-License-Identifier: LGPL-3.0-or-later
"""Trust levels from errors on explored frames of earlier iterations, in place of those of param.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir
from ipip_dp.data import labelled, systems
from ipip_dp.evaluation import calibration
from ipip_dp.steps import on_policy

if TYPE_CHECKING:
    from ipip_dp.steps.context import Context

ACCURATE = 1.5  # times the held-out error: where MD goes it is about twice as large (the Mo-S-O study)


def levels(context: Context) -> dict[str, Any]:
    """Keys of param.json for DP-GEN's sorting of this iteration's frames; none if param.json's own levels count.

    A frame is accurate up to 1.5 times the held-out force RMSE, and failed from an error as large as the forces of the
    reference data (their root mean square) on.
    """
    from dpgen import dlog

    if context.params.trust == "given":
        return {}
    earlier = [workdir.Iteration(index) for index in range(context.iteration.index)]
    rows = calibration.latest([on_policy.read_rows(iteration) for iteration in earlier])
    held_out = json.loads(context.iteration.metrics.read_text())["ensemble"]["force_rmse"]
    found = calibration.trust_levels(rows, ACCURATE * held_out, _root_mean_square_force(context))
    if found is None:
        dlog.info(f"ipip: {len(rows)} labelled frames of earlier MD tell no trust levels; those of param.json count")
        return {}
    lower, upper = found
    dlog.info(f"ipip: trust levels {lower:.3f} and {upper:.3f} eV/Angstrom, from {len(rows)} labelled frames")
    jobs = list(context.jdata["model_devi_jobs"])
    jobs[context.iteration.index] = {
        **jobs[context.iteration.index],
        "model_devi_f_trust_lo": lower,
        "model_devi_f_trust_hi": upper,
    }
    return {"model_devi_jobs": jobs}


def _root_mean_square_force(context: Context) -> float:
    """Over force components of the reference data, in eV/Angstrom."""
    squares = [
        np.mean(block["forces"] ** 2, axis=(1, 2))
        for path in systems.find(context.reference_data())
        for block in labelled.read(path, context.type_map)
    ]
    return float(np.sqrt(np.mean(np.concatenate(squares))))
