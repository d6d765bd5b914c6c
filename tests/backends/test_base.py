# SPDX-License-Identifier: LGPL-3.0-or-later
"""What backends have in common."""

from __future__ import annotations

import pytest

from ipip_dp.backends import BACKENDS
from ipip_dp.backends.registry import read_checkpoint
from ipip_dp.errors import IpipError

LAYER = "model.Default.atomic_model.fitting_net.filter_layers.networks.0.layers.0.matrix"
ENERGY = {"type_map": ["Mo", "S"], "fitting_net": {"type": "ener"}}


def write(folder, model, *tensors):
    """A PyTorch checkpoint of a model, with tensors of the given names."""
    torch = pytest.importorskip("torch")
    state = {"_extra_state": {"model_params": model, "train_infos": {"step": 1}}}
    state.update({name: torch.ones(2, 2) for name in tensors})
    torch.save({"model": state, "optimizer": {"state": {}, "param_groups": []}}, folder / "model.ckpt.pt")


def test_an_energy_model_is_read(tmp_path):
    write(tmp_path, ENERGY, LAYER)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.type_map == ["Mo", "S"]
    assert checkpoint.fitting == {LAYER: ("final_layer", "matrix")}


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
