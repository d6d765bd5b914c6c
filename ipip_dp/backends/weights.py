# SPDX-License-Identifier: LGPL-3.0-or-later
"""Forgetting itself: pure functions on the tensors of a fitting net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ipip_dp.backends.base import Checkpoint, Parameter


@dataclass(frozen=True)
class Method:
    """A way of forgetting: w -> m + kept (w - m) + fresh (d - m).

    Here w is an old weight, d a fresh draw from DeePMD's initialiser and m that initialiser's mean (0 except for
    the time steps).

    Attributes
    ----------
    doc : str
        What it does, for the documentation of ``ipip.forget.method``.
    factors : callable
        ``kept`` and ``fresh`` from ``shrink`` and ``noise``.
    """

    doc: str
    factors: Callable[[float, float], tuple[float, float]]


def _given(shrink: float, noise: float) -> tuple[float, float]:
    if not (0.0 <= shrink <= 1.0 and noise >= 0.0):
        raise IpipError(
            f"shrink_perturb: shrink = {shrink}, noise = {noise}; expected 0 <= shrink <= 1 and noise >= 0."
        )
    return shrink, noise


TIME_STEP = 0.1
"""Mean of DeePMD-kit's initial values of a layer's time steps (deepmd/pt/model/network/mlp.py, 3.2.0)."""
METHODS: dict[str, Method] = {
    "reinit": Method(
        "fresh draws from DeePMD-kit's own initialisers, as in the IPIP paper.", lambda shrink, noise: (0.0, 1.0)
    ),
    # Ash & Adams, On Warm-Starting Neural Network Training, NeurIPS 2020, with noise as wide as the initialiser
    "shrink_perturb": Method("shrink * w + noise * fresh draw.", _given),
    "none": Method("keep the weights.", lambda shrink, noise: (1.0, 0.0)),
}


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

    Parameters
    ----------
    checkpoint : Checkpoint
        Changed in place.
    method : str
        One of `METHODS`.
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
    kept, fresh = METHODS[method].factors(shrink, noise)
    if (kept, fresh) == (1.0, 0.0):
        return ()
    draws = checkpoint.fresh(seed)
    fitting = checkpoint.fitting
    names = select(fitting, scope)
    for name in names:
        mean = TIME_STEP if fitting[name].kind == "idt" else 0.0
        # Not `old - mean` when nothing is kept: a diverged student may hold NaN.
        old = kept * (checkpoint[name] - mean) if kept else 0.0
        checkpoint[name] = mean + old + fresh * (draws[name] - mean)
    return names


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
