# SPDX-License-Identifier: LGPL-3.0-or-later
"""Forget: read a checkpoint, change it, write it for the next training."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipip_dp.backends.bias import fit_energy_bias, read_systems
from ipip_dp.backends.registry import prefix_of, read_checkpoint
from ipip_dp.backends.weights import forget_weights
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ForgetReport:
    """What `forget` did."""

    output: Path
    """The file to give to ``dp train --init-model`` (TensorFlow: the prefix)."""
    method: str
    forgotten: tuple[str, ...]
    """Names of the changed tensors; empty for method ``none``."""
    bias_before: dict[str, float]
    """Energy bias per element, eV."""
    bias_after: dict[str, float]
    n_frames: int
    """Reference frames behind the new bias; 0 without reference data."""
    rmse: float | None
    """Energy error with the new bias on those frames, eV/atom."""

    @property
    def offsets(self) -> dict[str, float]:
        """Change of the energy bias per element, eV."""
        return {element: after - self.bias_before[element] for element, after in self.bias_after.items()}


def forget(
    checkpoint: Path,
    output: Path,
    *,
    method: str,
    seed: int,
    scope: str = "fitting_net",
    shrink: float = 0.5,
    noise: float = 0.1,
    data: Sequence[Path] = (),
) -> ForgetReport:
    """Write a copy of a checkpoint that has forgotten part of its training.

    The descriptor stays bit-identical. Optimiser and learning-rate schedule start
    anew whatever the method. With ``data`` the energy bias is refitted so that the
    student *as written* has the smallest energy error on those frames, see
    `ipip_dp.backends.bias.fit_energy_bias`; without, it is left as it is.

    Parameters
    ----------
    checkpoint : pathlib.Path
        ``.../model.ckpt``, one of its files, or their folder. TensorFlow or PyTorch.
    output : pathlib.Path
        ``.../model.ckpt`` (``.pt`` is added for PyTorch), in another folder. Files
        of an earlier call are replaced, each of them atomically.
    method : {"reinit", "shrink_perturb", "none"}
        Fresh draws from DeePMD's initialisers; old weights shrunk plus noise (Ash &
        Adams, NeurIPS 2020); or weights kept.
    seed : int
        Seed of all draws: same seed, same file.
    scope : str
        ``fitting_net``, or layers of it joined by commas: ``layer_2,final_layer``.
    shrink, noise : float
        ``shrink_perturb`` only: the factor on the old weights, and the noise in
        units of the initialiser's standard deviation.
    data : sequence of pathlib.Path
        Folders with reference-labelled deepmd/npy systems at any depth.

    Raises
    ------
    IpipError
        When an argument, the checkpoint or the data are not usable. Nothing is
        written then.
    """
    target = prefix_of(output)
    if target.parent.resolve() == prefix_of(checkpoint).parent.resolve():
        raise IpipError(
            f"forget: output {output} is in the folder of the checkpoint it is made "
            "from, whose files would be replaced; choose another folder."
        )
    state = read_checkpoint(checkpoint)
    systems = read_systems(data, state.type_map)
    before = state.energy_bias
    forgotten = forget_weights(state, method=method, scope=scope, seed=seed, shrink=shrink, noise=noise)
    fit = None
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        draft = temporary / target.name
        files = state.write(draft)
        if systems:
            fit = fit_energy_bias(state.load_potential(draft), systems, len(state.type_map))
            state.shift_energy_bias(fit.offsets)
            files = state.write(draft)
        for file in files:
            os.replace(file, target.with_name(file.name))
    finally:
        shutil.rmtree(temporary)
    report = ForgetReport(
        output=target,
        method=method,
        forgotten=forgotten,
        bias_before=_by_element(state.type_map, before),
        bias_after=_by_element(state.type_map, state.energy_bias),
        n_frames=fit.n_frames if fit else 0,
        rmse=fit.rmse if fit else None,
    )
    log.info("forgot %d tensors of %s: %s", len(forgotten), checkpoint, report)
    return report


def _by_element(type_map: list[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(type_map, values.tolist(), strict=True))
