# SPDX-License-Identifier: LGPL-3.0-or-later
"""What labelers have in common."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dpdata
import numpy as np

from ipip_dp.labelers import Ensemble
from ipip_dp.labelers.base import files_among

from .conftest import mos2


def test_import_dpdata_registers_drivers_and_stays_light():
    code = """
import sys
import ipip_dp.dpgen_plugin.hook
from dpdata.driver import Driver
from dpdata.format import Format
assert {"ipip/lammps", "ipip/ase", "ipip/dp"} <= set(Driver.get_drivers())
assert "ipip/labels" in Format.get_formats()
heavy = {"tensorflow", "torch"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    # the other way round: the hook runs while dpdata is only half imported
    subprocess.run([sys.executable, "-c", "import dpdata; dpdata.LabeledSystem.from_ipip_labels"], check=True)


def test_format_methods_exist_on_dpdata_classes():
    assert hasattr(dpdata.LabeledSystem, "from_ipip_labels")


class Twice(Ensemble):
    """Two models, the second of which is off by one in everything."""

    @classmethod
    def arguments(cls):
        return []

    def predict_members(self, data):
        frames, atoms = data["coords"].shape[:2]
        shapes = {"energies": (frames,), "forces": (frames, atoms, 3)}
        return {name: np.array([np.full(shape, 2.0), np.full(shape, 3.0)]) for name, shape in shapes.items()}


def test_an_ensemble_labels_with_the_mean_of_its_models():
    labeled = mos2(n_frames=2).predict(driver=Twice())
    assert labeled["energies"].tolist() == [2.5, 2.5]
    assert (labeled["forces"] == 2.5).all()
    assert labeled.data.get("virials") is None


def test_files_are_found_at_any_depth_and_absolute_ones_stay_where_they_are():
    Path("own.sw").touch()
    Path("my model.pb").touch()
    words = {"a": ["* * own.sw Mo S", 3, None], "b": {"c": "my model.pb"}, "d": str(Path("own.sw").absolute())}
    assert sorted(files_among(words)) == ["my model.pb", "own.sw"]
    assert files_among({"a": "other.sw", "b": "."}) == []
