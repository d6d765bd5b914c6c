# SPDX-License-Identifier: LGPL-3.0-or-later
"""Pick frames that differ: farthest point sampling on a radial descriptor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.data.distances import image_distances

if TYPE_CHECKING:
    from collections.abc import Mapping

CUTOFF = 6.0
"""Angstrom, the usual cutoff of DeePMD-kit descriptors."""
WIDTH = 0.25
"""Angstrom, both the width of the Gaussians and the distance between their centres."""


def radial_features(data: Mapping[str, Any]) -> np.ndarray:
    r"""Describe every frame of a system by its radial distribution per pair of elements.

    For elements A, B and the centres :math:`r_m = w, 2w, ..., r_c`, with N atoms,

    .. math::

        G_{AB}(r_m) = \frac{1}{N} \sum_{i \in A} \sum_{j \in B} f_c(r_{ij})
        \exp\left(-\frac{(r_{ij} - r_m)^2}{2 w^2}\right), \quad
        f_c(r) = \frac{1}{2} \left(1 + \cos\frac{\pi r}{r_c}\right),

    over all ordered pairs, periodic images included, with :math:`0 < r_{ij} < r_c`: the
    radial symmetry functions of Behler and Parrinello (Phys. Rev. Lett. 98, 146401,
    2007), averaged over atoms. Per atom, hence equal for a cell and its supercells, and
    comparable between frames of different size.

    Parameters
    ----------
    data : Mapping
        The ``data`` of a dpdata.System: atom_names, atom_types, coords, cells in Angstrom,
        and nopbc. Systems to be compared need the same atom_names.

    Returns
    -------
    np.ndarray, shape (n_frames, n_pairs * n_centres)
        Features, with n_pairs = n_types (n_types + 1) / 2 unordered pairs of elements.
    """
    types, n_types = np.asarray(data["atom_types"]), len(data["atom_names"])
    upper = np.zeros((n_types, n_types), dtype=int)
    upper[np.triu_indices(n_types)] = np.arange(n_types * (n_types + 1) // 2)
    pair_of = np.maximum(upper, upper.T)[np.ix_(types, types)]
    centres = np.arange(WIDTH, CUTOFF + WIDTH / 2, WIDTH)
    features = np.zeros((len(data["coords"]), n_types * (n_types + 1) // 2, len(centres)))
    cells = [None] * len(features) if data.get("nopbc") else np.asarray(data["cells"], float)
    for row, coords, cell in zip(features, np.asarray(data["coords"], float), cells, strict=True):
        for distances in image_distances(coords, cell, CUTOFF):
            near = (distances > 0) & (distances < CUTOFF)
            r = distances[near]
            gaussians = np.exp(-0.5 * ((r[:, None] - centres) / WIDTH) ** 2)
            gaussians *= 0.5 * (1 + np.cos(np.pi * r[:, None] / CUTOFF))
            np.add.at(row, pair_of[near], gaussians)
    return features.reshape(len(features), -1) / len(types)


def farthest_points(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Choose points each of which is farthest from those chosen before it.

    Greedy: 2-approximates the smallest covering radius (Gonzalez, Theor. Comput. Sci. 38,
    293, 1985). Takes O(n_points * count) time and O(n_points) memory beside the features.

    Parameters
    ----------
    features : np.ndarray, shape (n_points, n_features)
        Coordinates of the points, compared by Euclidean distance.
    count : int
        How many to choose; all when there are not so many.
    seed : int
        Draws the first point.

    Returns
    -------
    np.ndarray, shape (min(count, n_points),)
        Indices in the order chosen, none twice.
    """
    features = np.asarray(features, dtype=float)
    count = min(count, len(features))
    if count < 1:
        return np.zeros(0, dtype=int)
    features = features - features.mean(axis=0)  # less cancellation in the next line but one
    norms = np.einsum("ij,ij->i", features, features)
    chosen = [int(np.random.default_rng(seed).integers(len(features)))]
    nearest = np.full(len(features), np.inf)
    while len(chosen) < count:
        last = chosen[-1]
        squares = norms + norms[last] - 2 * (features @ features[last])
        nearest = np.minimum(nearest, np.maximum(squares, 0))
        nearest[last] = -1
        chosen.append(int(np.argmax(nearest)))
    return np.array(chosen)
