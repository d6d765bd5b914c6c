"""Forgetting itself: pure functions on the tensors of a fitting net."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipip_dp.checkpoints.base import Checkpoint, Parameter

METHODS = ("reinit", "shrink_perturb", "none")


def forget_weights(
    checkpoint: Checkpoint,
    *,
    method: str,
    scope: str,
    seed: int,
    shrink: float,
    noise: float,
) -> tuple[str, ...]:
    """Change the fitting net of a checkpoint in memory.

    All methods are one formula, w -> m + shrink (w - m) + noise (d - m), where d is
    a fresh draw from DeePMD's initialiser and m its mean (0 except for the time
    steps): ``reinit`` has shrink = 0 and noise = 1, ``none`` the opposite.

    Parameters
    ----------
    checkpoint : Checkpoint
        Changed in place.
    method : {"reinit", "shrink_perturb", "none"}
        ``shrink_perturb`` is the method of Ash & Adams, On Warm-Starting Neural
        Network Training, NeurIPS 2020, with noise as wide as the initialiser.
    scope : str
        ``fitting_net`` or layer names joined by commas, see `select`.
    seed : int
        The same seed gives the same draws.
    shrink, noise : float
        Only used by ``shrink_perturb``.

    Returns
    -------
    tuple of str
        Names of the tensors that changed, sorted.

    Raises
    ------
    IpipError
        For an unknown method or layer, or factors out of range.
    """
    if method not in METHODS:
        raise IpipError(f"forget method {method!r} is unknown: choose one of {', '.join(METHODS)}.")
    names = select(checkpoint.fitting, scope)
    if method == "none":
        return ()
    if method == "reinit":
        shrink, noise = 0.0, 1.0
    elif not (0.0 <= shrink <= 1.0 and noise >= 0.0):
        raise IpipError(
            f"shrink_perturb: shrink = {shrink}, noise = {noise}; expected 0 <= shrink <= 1 and noise >= 0."
        )
    rng = np.random.default_rng(seed)
    for name in names:
        old = checkpoint[name]
        mean, spread = initialiser(checkpoint.fitting[name].kind, old.shape)
        perturbation = spread * rng.standard_normal(old.shape)
        # Not `old - mean` when shrink is 0: a diverged student may hold NaN.
        kept = shrink * (old - mean) if shrink else 0.0
        checkpoint[name] = mean + kept + noise * perturbation
    return names


def initialiser(kind: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return mean and standard deviation of DeePMD's initial values.

    The normal distributions of ``one_layer`` (deepmd/tf/utils/network.py) and of
    ``MLPLayer._default_normal_init`` (deepmd/pt/model/network/mlp.py), 3.2.0. They
    hold for the final layer too: the energy bias is kept outside the net.
    """
    if kind == "matrix":
        return 0.0, 1.0 / np.sqrt(sum(shape))
    return {"bias": (0.0, 1.0), "idt": (0.1, 0.001)}[kind]


def select(fitting: Mapping[str, Parameter], scope: str) -> tuple[str, ...]:
    """Return the sorted names of the fitting tensors in ``scope``.

    Parameters
    ----------
    fitting : mapping of str to Parameter
        All tensors of the fitting net.
    scope : str
        ``fitting_net`` for all of them, or layer names joined by commas, for
        instance ``layer_2,final_layer``. A layer means that of every element.

    Raises
    ------
    IpipError
        When a layer does not exist.
    """
    if scope == "fitting_net":
        return tuple(sorted(fitting))
    present = {parameter.layer for parameter in fitting.values()}
    wanted = {layer.strip() for layer in scope.split(",")}
    if unknown := wanted - present:
        raise IpipError(
            f"forget scope {scope!r}: no layer {', '.join(map(repr, sorted(unknown)))} "
            f"in the fitting net. Use 'fitting_net' or layers joined by commas: "
            f"{', '.join(sorted(present, key=_layer_order))}."
        )
    return tuple(sorted(n for n, param in fitting.items() if param.layer in wanted))


def _layer_order(layer: str) -> tuple[bool, int, str]:
    return layer == "final_layer", len(layer), layer
