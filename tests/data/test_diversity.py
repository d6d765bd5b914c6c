# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

from typing import Any

import ase.build
import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from scipy.spatial.distance import cdist

from ipip_dp.data import diversity


def make_data(atoms: Any, names: tuple[str, ...] = ("Mo", "S", "O")) -> dict[str, Any]:
    return {
        "atom_names": list(names),
        "atom_types": np.array([names.index(symbol) for symbol in atoms.symbols]),
        "coords": atoms.positions[None],
        "cells": atoms.cell.array[None],
        "nopbc": not atoms.pbc.any(),
    }


def triclinic_mos2(rattle: float = 0.0) -> Any:
    atoms = ase.build.mx2("MoS2", a=3.18, thickness=3.19, size=(2, 1, 1), vacuum=3)
    atoms.pbc = True
    atoms.cell[2] += [1.0, 2.0, 0.0]
    atoms.rattle(rattle, seed=0)
    return atoms


def test_features_match_an_explicit_sum_over_neighbours() -> None:
    atoms = triclinic_mos2(rattle=0.1)
    first, second, r = neighbor_list("ijd", atoms, diversity.CUTOFF)
    symbols = atoms.symbols
    features = diversity.radial_features(make_data(atoms)).reshape(6, -1)
    for number, (a, b) in enumerate([("Mo", "Mo"), ("Mo", "S"), ("Mo", "O"), ("S", "S"), ("S", "O"), ("O", "O")]):
        mask = [{symbols[i], symbols[j]} == {a, b} for i, j in zip(first, second, strict=True)]
        centres = 0.25 * np.arange(1, 25)
        terms = np.exp(-((r[mask][:, None] - centres) ** 2) / 2 / 0.25**2)
        expected = (terms * (0.5 + 0.5 * np.cos(np.pi * r[mask] / 6))[:, None]).sum(axis=0) / len(atoms)
        np.testing.assert_allclose(features[number], expected, atol=1e-12)


def test_features_do_not_depend_on_cell_choice_order_or_origin() -> None:
    atoms = triclinic_mos2(rattle=0.1)
    expected = diversity.radial_features(make_data(atoms))
    moved = atoms.copy()
    moved.positions += [30.0, -50.0, 7.0]
    moved.wrap()
    shuffled = atoms[np.random.default_rng(0).permutation(len(atoms))]
    rotated = atoms.copy()
    rotated.rotate(33, (1, 2, 3), rotate_cell=True)
    for other in (atoms.repeat((2, 3, 1)), moved, shuffled, rotated):
        np.testing.assert_allclose(diversity.radial_features(make_data(other)), expected, atol=1e-10)
    assert np.abs(diversity.radial_features(make_data(triclinic_mos2(0.2))) - expected).max() > 1e-3


def test_clusters_have_no_images() -> None:
    cluster = triclinic_mos2()
    periodic = diversity.radial_features(make_data(cluster))
    cluster.pbc = False
    cluster.cell[:] = 0
    alone = diversity.radial_features(make_data(cluster))
    boxed = cluster.copy()
    boxed.center(vacuum=20)
    boxed.pbc = True
    np.testing.assert_allclose(alone, diversity.radial_features(make_data(boxed)), atol=1e-12)
    assert alone.sum() < periodic.sum()


def test_features_change_smoothly_at_the_cutoff() -> None:
    atoms = ase.Atoms("S2", positions=[[0, 0, 0], [5.999, 0, 0]])
    just_in = diversity.radial_features(make_data(atoms))
    atoms.positions[1, 0] = 6.001
    assert np.abs(just_in - diversity.radial_features(make_data(atoms))).max() < 1e-6


def greedy(features: np.ndarray, first: int, count: int) -> list[int]:
    chosen = [first]
    while len(chosen) < count:
        chosen.append(int(cdist(features, features[chosen]).min(axis=1).argmax()))
    return chosen


@pytest.mark.parametrize("seed", range(3))
def test_farthest_points_are_the_greedy_ones(seed: int) -> None:
    features = np.random.default_rng(seed).normal(50, 1, size=(300, 7))
    chosen = diversity.farthest_points(features, 40, seed)
    assert chosen.tolist() == greedy(features, chosen[0], 40)
    np.testing.assert_array_equal(chosen, diversity.farthest_points(features, 40, seed))
    np.testing.assert_array_equal(chosen[:10], diversity.farthest_points(features, 10, seed))


def test_farthest_points_visit_every_cluster_before_repeating_one() -> None:
    labels = np.repeat(np.arange(5), [1000, 50, 5, 1, 1])
    rng = np.random.default_rng(0)
    features = 10 * rng.normal(size=(5, 4))[labels] + 0.01 * rng.normal(size=(len(labels), 4))
    assert sorted(labels[diversity.farthest_points(features, 5, seed=1)]) == [0, 1, 2, 3, 4]


def test_farthest_points_never_repeat_a_point() -> None:
    chosen = diversity.farthest_points(np.ones((6, 3)), 6, seed=0)
    assert sorted(chosen) == list(range(6))
    assert len(diversity.farthest_points(np.ones((3, 2)), 10, seed=0)) == 3
    assert diversity.farthest_points(np.ones((3, 2)), 0, seed=0).shape == (0,)
    assert diversity.farthest_points(np.zeros((0, 2)), 4, seed=0).shape == (0,)
