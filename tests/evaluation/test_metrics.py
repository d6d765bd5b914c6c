# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from ipip_dp.evaluation import metrics

OFFSETS = {"Mo": -3.0, "S": 1.25, "O": 40.0}


def make_data(symbols: str, n_frames: int, seed: int = 0, names: tuple[str, ...] = ("Mo", "S", "O")) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    types = np.array([names.index(symbol) for symbol in symbols.split()])
    return {
        "atom_names": list(names),
        "atom_types": types,
        "energies": rng.normal(-100, 5, n_frames),
        "forces": rng.normal(size=(n_frames, len(types), 3)),
        "virials": rng.normal(size=(n_frames, 3, 3)),
    }


def shift(data: dict[str, Any]) -> float:
    return sum(OFFSETS[data["atom_names"][t]] for t in data["atom_types"])


def differences(reference: list[dict[str, Any]], predicted: list[dict[str, Any]]) -> list[metrics.Difference]:
    return [metrics.difference(*pair) for pair in zip(reference, predicted, strict=True)]


def pooled(reference: list[dict[str, Any]], predicted: list[dict[str, Any]]) -> metrics.Errors:
    return metrics.errors([differences(reference, predicted)])[0]


def per_system(reference: list[dict[str, Any]], predicted: list[dict[str, Any]]) -> list[metrics.Errors]:
    return metrics.errors([[part] for part in differences(reference, predicted)])[1]


def test_errors_of_known_differences_are_pooled_over_sizes() -> None:
    reference = [make_data("Mo S", 1), make_data("Mo S S O", 2)]
    predicted = [dict(data) for data in reference]
    predicted[0]["forces"] = reference[0]["forces"] + [3.0, 4.0, 0.0]
    predicted[1]["virials"] = reference[1]["virials"] - 2.0
    errors = pooled(reference, predicted)
    # 2 of 10 atoms are wrong, by 5 eV/Angstrom: 25 / 3 per component
    assert errors.force_norm == pytest.approx(1.0)
    assert errors.force_mae == pytest.approx(7 * 2 / 30)
    assert errors.force_rmse == pytest.approx(np.sqrt(25 * 2 / 30))
    # 2 of 3 frames, by 2 eV in 4 atoms
    assert errors.virial_rmse_per_atom == pytest.approx(0.5 * np.sqrt(2 / 3))
    assert errors.energy_rmse_per_atom_aligned == pytest.approx(0, abs=1e-12)
    assert errors.n_frames == 3
    first, second = per_system(reference, predicted)
    assert (first.force_norm, second.force_norm) == (pytest.approx(5), 0)
    assert (first.virial_rmse_per_atom, second.virial_rmse_per_atom) == (0, pytest.approx(0.5))


def fitted_offsets(parts: list[metrics.Difference]) -> dict[str, float]:
    """What the fit adds to predictions for every atom of an element."""
    elements = sorted({element for part in parts for element in part.counts})
    composition = [[part.counts.get(element, 0) for element in elements] for part in parts for _ in part.energies]
    offsets = metrics.element_offsets(-np.concatenate([part.energies for part in parts]), np.array(composition))
    return dict(zip(elements, offsets, strict=True))


def test_energies_are_compared_up_to_element_offsets() -> None:
    reference = [make_data(s, 4, seed) for seed, s in enumerate(["Mo S", "Mo S S O", "O O", "S S O"])]
    predicted = [{**data, "energies": data["energies"] - shift(data)} for data in reference]
    parts = differences(reference, predicted)
    assert fitted_offsets(parts) == pytest.approx(OFFSETS)
    np.testing.assert_allclose(np.concatenate(metrics.align(parts)), 0, atol=1e-10)


def test_alignment_is_shared_by_all_systems() -> None:
    # one composition twice: no offset can absorb opposite errors, a fit per system would
    reference = [make_data("S S", 5, 1), make_data("S S", 5, 2)]
    predicted = [{**data, "energies": data["energies"] + e} for data, e in zip(reference, (0.2, -0.2), strict=True)]
    for errors in [pooled(reference, predicted), *per_system(reference, predicted)]:
        assert errors.energy_rmse_per_atom_aligned == pytest.approx(0.1)


def test_a_wrong_energy_bias_shows_as_measured() -> None:
    reference = [make_data("Mo S S", 3), make_data("S S", 2)]
    predicted = [{**data, "energies": data["energies"] - 2.5 * len(data["atom_types"])} for data in reference]
    errors = pooled(reference, predicted)
    assert errors.energy_rmse_per_atom_raw == pytest.approx(2.5)
    assert errors.energy_rmse_per_atom_aligned == pytest.approx(0, abs=1e-10)


def test_rank_deficient_compositions_give_the_smallest_offsets() -> None:
    reference = [make_data("Mo S S", 3), make_data("Mo Mo S S S S", 2)]
    predicted = [{**data, "energies": data["energies"] - len(data["atom_types"])} for data in reference]
    parts = differences(reference, predicted)
    np.testing.assert_allclose(np.concatenate(metrics.align(parts)), 0, atol=1e-10)
    assert fitted_offsets(parts) == pytest.approx({"Mo": 0.6, "S": 1.2})


def test_type_map_order_and_interleaving_do_not_matter() -> None:
    reference = [make_data("O Mo S O", 4), make_data("S Mo Mo", 4, names=("S", "Mo"))]
    predicted = [make_data("O Mo S O", 4, names=("O", "H", "S", "Mo")), make_data("S Mo Mo", 4)]
    for one, other in zip(reference, predicted, strict=True):
        other["energies"] = one["energies"] - shift(one)
    assert pooled(reference, predicted).energy_rmse_per_atom_aligned == pytest.approx(0, abs=1e-10)


def test_other_atoms_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        pooled([make_data("Mo S", 2)], [make_data("S Mo", 2)])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_predictions_that_are_not_finite_make_errors_nan(bad: float) -> None:
    reference = [make_data("Mo S", 3), make_data("Mo S S", 3)]
    predicted = [{key: np.copy(value) for key, value in data.items()} for data in reference]
    predicted[0]["forces"][1, 0, 2] = bad
    predicted[0]["energies"][1] = bad
    errors = pooled(reference, predicted)
    assert np.isnan([errors.force_rmse, errors.force_mae, errors.force_norm, errors.energy_rmse_per_atom_aligned]).all()
    assert errors.virial_rmse_per_atom == 0
    # the bad frame does not spoil the alignment of the others
    assert per_system(reference, predicted)[1].energy_rmse_per_atom_aligned == pytest.approx(0, abs=1e-10)
    assert errors.n_frames == 6
    predicted[0]["energies"][:] = predicted[1]["energies"][:] = bad
    assert np.isnan(pooled(reference, predicted).energy_rmse_per_atom_aligned)


def test_single_precision_labels_are_compared_in_double() -> None:
    reference = [make_data("Mo S", 1000)]
    predicted = [{**reference[0], "forces": (reference[0]["forces"] + 1e-3).astype(np.float32)}]
    assert pooled(reference, predicted).force_rmse == pytest.approx(1e-3, rel=1e-4)


def test_virials_are_optional_and_errors_survive_json() -> None:
    reference, predicted = make_data("Mo S", 3), make_data("Mo S", 3, seed=1)
    full = pooled([reference], [predicted])
    del predicted["virials"]
    errors = pooled([reference], [predicted])
    assert errors.virial_rmse_per_atom is None
    for each in (full, errors):
        assert metrics.Errors(**json.loads(json.dumps(each.to_dict()))) == each


def test_errors_do_not_depend_on_the_parts_frames_are_read_in() -> None:
    reference, predicted = make_data("Mo S S", 7), make_data("Mo S S", 7, seed=1)
    other, guess = make_data("O O", 3, seed=2), make_data("O O", 3, seed=3)
    frames = ("energies", "forces", "virials")
    parts = [
        [{**data, **{name: data[name][rows] for name in frames}} for data in (reference, predicted)]
        for rows in (slice(0, 4), slice(4, 7))
    ]
    last = metrics.difference(other, guess)
    whole, whole_systems = metrics.errors([[metrics.difference(reference, predicted)], [last]])
    split, split_systems = metrics.errors([[metrics.difference(*pair) for pair in parts], [last]])
    for one, two in zip([whole, *whole_systems], [split, *split_systems], strict=True):
        assert one.to_dict() == pytest.approx(two.to_dict())
