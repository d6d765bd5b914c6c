import copy

import pytest
from conftest import TYPE_MAP, every_backend, every_variant, training_input

from ipip_dp.checkpoints import check_architecture
from ipip_dp.errors import IpipError


@every_variant
def test_the_input_of_the_training_itself_is_accepted(variant, train, data):
    check_architecture(train(variant), training_input(variant, data, 0.0)["model"])


@every_backend
def test_what_does_not_change_the_model_may_differ(variant, train, data):
    model = copy.deepcopy(training_input(variant, data, 0.0)["model"])
    model["descriptor"] |= {"seed": 99, "sel": "auto", "activation_function": "tanh", "_comment": "x"}
    model["fitting_net"] |= {"seed": 98, "type": "ener", "trainable": False}
    check_architecture(train(variant), model)


@every_backend
@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("fitting_net", {"neuron": [8, 8]}, r"fitting_net.neuron: \[32, 32\] in the checkpoint, \[8, 8\] in the input"),
        ("descriptor", {"rcut": 5.0}, "model.descriptor.rcut: 4.0 in the checkpoint, 5.0 in the input"),
        ("descriptor", {"type_one_side": True}, "type_one_side: False in the checkpoint, True in the input"),
    ],
)
def test_another_architecture_is_refused(variant, section, change, message, train, data):
    model = copy.deepcopy(training_input(variant, data, 0.0)["model"])
    model[section] |= change
    with pytest.raises(IpipError, match=message):
        check_architecture(train(variant), model)


@every_backend
def test_all_differences_are_listed_at_once(variant, train, data):
    model = training_input(variant, data, 0.0)["model"] | {"type_map": TYPE_MAP[::-1]}
    model["descriptor"] = {**model["descriptor"], "axis_neuron": 4}
    with pytest.raises(IpipError, match=r"(?s)model.type_map: .*model.descriptor.axis_neuron: 2 .*, 4 "):
        check_architecture(train(variant), model)


@every_backend
def test_an_input_deepmd_does_not_know_is_refused(variant, train, data):
    model = training_input(variant, data, 0.0)["model"] | {"descriptor": {"type": "se_e9_z"}}
    with pytest.raises(IpipError, match="not accepted by DeePMD-kit"):
        check_architecture(train(variant), model)


@pytest.mark.slow
def test_a_difference_inside_a_hybrid_descriptor_is_named(train, data):
    model = copy.deepcopy(training_input("tf-hybrid", data, 0.0)["model"])
    model["descriptor"]["list"][1]["neuron"] = [5, 10]
    with pytest.raises(IpipError, match=r"descriptor.list.1.neuron: \[4, 8\] in the checkpoint, \[5, 10\]"):
        check_architecture(train("tf-hybrid"), model)
