# SPDX-License-Identifier: LGPL-3.0-or-later
"""What backends have in common."""

from __future__ import annotations

import pytest

from ipip_dp.backends import BACKENDS
from ipip_dp.backends.registry import read_checkpoint
from ipip_dp.errors import IpipError

SE_E2_A = {"type": "se_e2_a", "sel": [8, 8], "rcut": 4.0, "rcut_smth": 2.0, "neuron": [4, 8], "axis_neuron": 2}
LAYER = "model.Default.atomic_model.fitting_net.filter_layers.networks.0.layers.0.matrix"
ENERGY = {"type_map": ["Mo", "S"], "fitting_net": {"type": "ener"}}


def write(folder, model, *tensors):
    """A PyTorch checkpoint of a model, with tensors of the given names."""
    torch = pytest.importorskip("torch")
    state = {"_extra_state": {"model_params": model, "train_infos": {"step": 1}}}
    state.update({name: torch.ones(2, 2) for name in tensors})
    torch.save({"model": state, "optimizer": {"state": {}, "param_groups": []}}, folder / "model.ckpt.pt")


def test_what_deepmd_kit_cannot_build_is_said(tmp_path):
    write(tmp_path, ENERGY, LAYER)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.type_map == ["Mo", "S"]
    with pytest.raises(IpipError, match="model.ckpt.pt: DeePMD-kit cannot build its model: KeyError: 'descriptor'"):
        checkpoint.fresh(seed=1)


def test_tensors_of_another_version_are_named(tmp_path):
    pytest.importorskip("e3nn")  # deepmd.pt imports it
    write(tmp_path, {**ENERGY, "descriptor": SE_E2_A}, LAYER)
    with pytest.raises(IpipError, match=r"no tensor \S+layers.0.matrix of shape \(16, 128\), which this version"):
        read_checkpoint(tmp_path).fresh(seed=1)


@pytest.mark.parametrize(
    ("model", "tensors", "message"),
    [
        ({"model_dict": {"a": ENERGY, "b": ENERGY}}, [LAYER], "a multi-task checkpoint; train a single-task model"),
        ({**ENERGY, "fitting_net": {"type": "dipole"}}, [LAYER], "model.fitting_net.type is 'dipole', expected 'ener'"),
        (ENERGY, [], "no energy fitting net found"),
        ({**ENERGY, "type_map": []}, [LAYER], "trained without model.type_map; set it and train again"),
    ],
)
def test_what_is_no_energy_model_cannot_forget(tmp_path, model, tensors, message):
    write(tmp_path, model, *tensors)
    with pytest.raises(IpipError, match=f"model.ckpt.pt: .*{message}"):
        read_checkpoint(tmp_path)


def test_another_file_of_torch_is_no_checkpoint(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"model": {}}, tmp_path / "model.ckpt.pt")
    with pytest.raises(IpipError, match="model.ckpt.pt: not a DeePMD-kit training checkpoint"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_training_goes_on_from_a_file_of_its_checkpoint(name):
    assert BACKENDS[name].restart_file in BACKENDS[name].checkpoint_files
