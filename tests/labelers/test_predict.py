# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predictions of a labeler on labelled frames."""

from __future__ import annotations

import dpdata
import numpy as np
import pytest

from ipip_dp.data import systems as on_disk
from ipip_dp.errors import IpipError
from ipip_dp.labelers import predict
from ipip_dp.labelers.execute import LABELS
from ipip_dp.steps.evaluate import errors as compare
from tests.conftest import EXAMPLES

TYPE_MAP = ["Mo", "S"]
EXAMPLE = EXAMPLES / "mo_s_quick/data/held_out/Mo9S18"
TEACHER = {
    "type": "lammps",
    "pair_style": "sw/mod",
    "pair_coeff": ["* * tmd.sw.mod Mo S"],
    "elements": ["Mo", "S"],
    "command": "lmp",
}
MORSE = {"type": "ase", "calculator": "ase.calculators.morse:MorsePotential", "kwargs": {"r0": 2.4, "epsilon": 1.0}}


@pytest.fixture
def systems(tmp_path):
    """Three frames of the example, and two of them in another system."""
    whole = dpdata.LabeledSystem(str(EXAMPLE), fmt="deepmd/npy")
    whole[:3].to("deepmd/npy", str(tmp_path / "data" / "a"), prec=np.float64)
    whole[1:3].to("deepmd/npy", str(tmp_path / "data" / "b"), prec=np.float64)
    return tmp_path / "data"


def test_the_arrays_have_one_row_per_model_and_frame(systems, tmp_path):
    predict.predict([systems], tmp_path / "predictions.npz", MORSE, TYPE_MAP)
    found = list(predict.load(tmp_path / "predictions.npz"))
    assert len(found) == 2
    assert found[0]["energies"].shape == (1, 3)
    assert found[0]["forces"].shape == (1, 3, 27, 3)
    assert found[0]["virials"].shape == (1, 3, 3, 3)
    for name in LABELS:
        assert np.isfinite(found[0][name]).all()
        assert found[1][name] == pytest.approx(found[0][name][:, 1:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "predictions.npz"]


def test_predictions_in_blocks_give_the_same_errors(systems, tmp_path, monkeypatch):
    def errors(name: str) -> dict:
        predict.predict([systems], tmp_path / name, MORSE, TYPE_MAP)
        return compare([systems], TYPE_MAP, tmp_path / name)

    whole = errors("whole.npz")
    monkeypatch.setattr(on_disk, "BLOCK_NUMBERS", 2 * 3 * 27)
    parts = errors("parts.npz")
    assert [len(block["energies"][0]) for block in predict.load(tmp_path / "parts.npz")] == [2, 1, 2]
    assert list(parts) == list(whole)
    for name in ("ensemble", *whole["systems"]):
        found, expected = ((e["systems"].get(name, {}).get("ensemble") or e[name]) for e in (parts, whole))
        assert found == pytest.approx(expected)
    with pytest.raises(IpipError, match="other data than the held-out set"):
        compare([systems / "a"], TYPE_MAP, tmp_path / "parts.npz")
    with pytest.raises(IpipError, match="other data than the held-out set"):
        compare([systems, systems / "a"], TYPE_MAP, tmp_path / "parts.npz")


def test_a_labeler_that_fails_on_every_frame_is_an_error(systems, tmp_path):
    other = {**MORSE, "kwargs": {"no_such_parameter": 1, "r0": "far"}}
    with pytest.raises(IpipError):
        predict.predict([systems], tmp_path / "predictions.npz", other, TYPE_MAP)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.slow
def test_a_frame_the_labeler_fails_on_is_nan(systems, tmp_path):
    coordinates = systems / "a/set.000/coord.npy"
    array = np.load(coordinates)
    array[1, 3:6] = array[1, :3]  # two atoms on one spot
    np.save(coordinates, array)
    predict.predict([systems], tmp_path / "predictions.npz", TEACHER, TYPE_MAP)
    found = list(predict.load(tmp_path / "predictions.npz"))
    assert np.isnan(found[0]["energies"][0, 1])
    for frame in (0, 2):
        assert np.isfinite(found[0]["forces"][0, frame]).all()
    assert np.isfinite(found[1]["energies"]).all()


def test_predictions_keep_the_order_of_more_than_ten_systems(systems, tmp_path):
    many = tmp_path / "many"
    whole = dpdata.LabeledSystem(str(EXAMPLE), fmt="deepmd/npy")
    for number in range(12):
        whole[number].to("deepmd/npy", str(many / f"{number:04d}"), prec=np.float64)
    predict.predict([many], tmp_path / "predictions.npz", MORSE, TYPE_MAP)
    found = list(predict.load(tmp_path / "predictions.npz"))
    predict.predict([EXAMPLE], tmp_path / "whole.npz", MORSE, TYPE_MAP)
    expected = next(predict.load(tmp_path / "whole.npz"))["energies"][0, :12]
    assert [system["energies"][0, 0] for system in found] == pytest.approx(expected)
