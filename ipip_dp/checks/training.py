# SPDX-License-Identifier: LGPL-3.0-or-later
"""Checks of the trainings: DeePMD-kit's input, and what forgetting and the hand-over between trainings rely on."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ipip_dp.backends import BACKENDS
from ipip_dp.config import schema
from ipip_dp.text import is_positive, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dargs import Argument

    from ipip_dp.config.params import Params

# Keys of param.json that start or steer a training in a way that IPIP replaces.
REPLACED_KEYS = ("training_init_frozen_model", "training_finetune_model", "training_iter0_model_path")
# Keys of param.json that DP-GEN heeds in fine-tuning alone, and what to give instead.
FINE_TUNING_KEYS = {
    "model_devi_activation_func": "give activation_function in default_training_param, a list of one for each student",
    "srtab_file_path": "give the table in user_forward_files of sections train and ipip_pretrain in machine.json",
}
NATURAL = ("expected an integer greater than 0", is_positive)
RATE = ("expected a number greater than 0", is_positive)
LAYERS = ("expected integers greater than 0", lambda sizes: bool(sizes) and all(map(is_positive, sizes)))
NEIGHBOURS = (LAYERS[0], lambda sel: isinstance(sel, str) or LAYERS[1](sel if isinstance(sel, list) else [sel]))
# Numbers of a training input that DeePMD-kit's schema does not bound.
INPUT_BOUNDS = {
    "training.numb_steps": NATURAL,
    "training.disp_freq": NATURAL,
    "training.save_freq": NATURAL,
    "learning_rate.start_lr": RATE,
    "learning_rate.stop_lr": RATE,
    "learning_rate.decay_steps": NATURAL,
    "model.descriptor.rcut": RATE,
    "model.descriptor.sel": NEIGHBOURS,
    "model.descriptor.neuron": LAYERS,
    "model.descriptor.axis_neuron": NATURAL,
    "model.fitting_net.neuron": LAYERS,
}


def check(jdata: dict[str, Any], params: Params) -> Iterator[str]:
    """Check the backend, the keys of DP-GEN about training, and the training inputs."""
    fewest = 2 if jdata["model_devi_jobs"] else 1  # a deviation takes two
    if jdata["numb_models"] < fewest:
        yield f"numb_models: expected an integer of at least {fewest}, found {jdata['numb_models']}"
    if "init_data_prefix" not in jdata:
        yield 'init_data_prefix: missing; DP-GEN needs it: "." is the run folder'
    yield from _check_backend(jdata)
    for key in REPLACED_KEYS:
        if jdata.get(key):
            yield f"{key}: an IPIP run starts every training from its own checkpoints; remove the key"
    for key, instead in FINE_TUNING_KEYS.items():
        if jdata.get(key):
            yield f"{key}: it does not reach pretraining, whose students fine-tuning starts from; {instead}"
    yield from _check_reuse(jdata)
    yield from _check_batch_sizes(jdata)
    yield from _check_inputs(jdata, params)


def _check_backend(jdata: dict[str, Any]) -> Iterator[str]:
    backend = BACKENDS.get(jdata["train_backend"])
    if backend is None:
        yield (
            f"train_backend: expected {' or '.join(BACKENDS)}, which can forget; found {shown(jdata['train_backend'])}"
        )
        return
    found = jdata.get("model_format", backend.model_format)
    if found != backend.model_format:
        yield f"model_format: expected {backend.model_format} for {backend.name}, found {shown(found)}"
    skipped = jdata.get("dp_compress") and jdata.get("dp_train_skip_neighbor_stat")
    if skipped and backend.needs_neighbour_statistics:
        yield "dp_train_skip_neighbor_stat: dp_compress needs the neighbour statistics; set one of the two to false"


def _check_reuse(jdata: dict[str, Any]) -> Iterator[str]:
    ratio = jdata["training_reuse_old_ratio"]
    if isinstance(ratio, str):
        name, _, number = ratio.partition(":")
        if name != "auto" or not is_positive(number or "1"):
            yield f"training_reuse_old_ratio: expected a number, auto or auto:NUMBER, found {shown(ratio)}"
    elif not 0 <= ratio <= 1:
        yield f"training_reuse_old_ratio: expected a number between 0 and 1, found {shown(ratio)}"


def _check_batch_sizes(jdata: dict[str, Any]) -> Iterator[str]:
    for key, of in (("init_batch_size", "init_data_sys"), ("sys_batch_size", "sys_configs")):
        sizes = jdata.get(key)
        if sizes is None:
            continue
        if not isinstance(sizes, list) or not all(size == "auto" or _is_count(size) for size in sizes):
            yield f'{key}: expected a list of integers greater than 0 or "auto", found {shown(sizes)}'
        elif len(sizes) < len(jdata[of]):
            yield f"{key}: expected a size for each of the {len(jdata[of])} entries of {of}, found {len(sizes)}"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _check_inputs(jdata: dict[str, Any], params: Params) -> Iterator[str]:
    """Check what forgetting and the hand-over between trainings rely on."""
    if params.pretrain.numb_models == 1 and params.forget.method_at("finetune") == "none" and jdata["numb_models"] > 1:
        yield (
            "ipip.pretrain.numb_models: one pretrained student makes an ensemble only if fine-tuning starts with "
            "forgetting; set ipip.forget.at to finetune or both, with a method other than none"
        )
    default, own = jdata["default_training_param"], params.pretrain.training_param
    if isinstance(default, list) and len(default) != jdata["numb_models"]:
        yield f"default_training_param: expected numb_models = {jdata['numb_models']} entries, found {len(default)}"
    inputs = {"default_training_param": default} if isinstance(default, dict) else {}
    if isinstance(default, list):
        inputs = {f"default_training_param[{number}]": value for number, value in enumerate(default)}
    own_key = "ipip.pretrain.training_param"
    if own is not None:
        inputs[own_key] = own
    found = [
        f"{key}.model.descriptor: missing; expected a DeePMD-kit training input with its model"
        for key, value in inputs.items()
        if not isinstance(value.get("model"), dict) or not isinstance(value["model"].get("descriptor"), dict)
    ]
    yield from found
    if found:
        return
    for key, value in inputs.items():
        yield from _check_input(key, value, jdata["type_map"])
    rate, rate_key = params.pretrain.learning_rate, "ipip.pretrain.learning_rate"
    if rate is not None and own is None:
        merged = {**next(iter(inputs.values())), "learning_rate": rate}
        problems = _check_input("ipip.pretrain", merged, jdata["type_map"])
        yield from (problem for problem in problems if problem.startswith(rate_key))
    if own is not None and rate is not None:
        yield f"{rate_key}: {own_key} has one of its own; remove one of the two"
    if own is None and params.pretrain.numb_models is None:
        return  # every student fine-tunes the model it has pretrained
    pretrained_key, pretrained = (own_key, own) if own is not None else next(iter(inputs.items()))
    for key, value in inputs.items():
        for name in ("descriptor", "fitting_net"):
            yield from _same_model(pretrained_key, pretrained["model"], key, value["model"], name)


def _check_input(key: str, value: dict[str, Any], type_map: list[str]) -> Iterator[str]:
    """Compare a training input with DeePMD-kit's schema, with what DP-GEN and IPIP fill in."""
    own = value["model"].get("type_map", type_map)
    if own != type_map:
        yield f"{key}.model.type_map: expected type_map of param.json, {shown(type_map)}, found {shown(own)}"
    argument = _deepmd_schema()
    if argument is not None:
        from deepmd.utils.compat import update_deepmd_input

        value = copy.deepcopy(value)
        value["model"]["type_map"] = type_map
        training = value.setdefault("training", {})
        if isinstance(training, dict) and isinstance(training.setdefault("training_data", {}), dict):
            training["training_data"]["systems"] = ["."]
        problems: list[str] = []
        try:
            value = update_deepmd_input(value, warning=False)
            problems += map(str, schema.problems(argument, value, (key,)))
        except Exception as error:  # whatever DeePMD-kit's own checks raise
            problems.append(f"{key}: {error}")
        yield from problems
        if problems:
            return
    for path, (expected, holds) in INPUT_BOUNDS.items():
        found: Any = value
        for part in path.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found is not None and not holds(found):
            yield f"{key}.{path}: {expected}, found {shown(found)}"
    descriptor = value["model"]["descriptor"]
    sel, by_element = descriptor.get("sel"), descriptor.get("type") in ("se_e2_a", "se_e2_r", "se_e3")
    if by_element and isinstance(sel, list) and len(sel) != len(type_map):
        yield f"{key}.model.descriptor.sel: expected a number for each of {shown(type_map)}, found {shown(sel)}"


def _same_model(own_key: str, own: dict[str, Any], key: str, default: dict[str, Any], name: str) -> Iterator[str]:
    ours, theirs = (schema.without_seeds(model.get(name, {})) for model in (own, default))
    for part in sorted({*ours, *theirs}):
        if ours.get(part) != theirs.get(part):
            yield (
                f"{own_key}.model.{name}.{part}: {shown(ours.get(part))} differs from {key}.model.{name}.{part}: "
                f"{shown(theirs.get(part))}; fine-tuning starts from the pretrained weights, so the two models must "
                "be the same"
            )


@lru_cache(maxsize=1)
def _deepmd_schema() -> Argument | None:
    """DeePMD-kit's own schema of a training input; None if it is not installed here."""
    from dargs import Argument

    try:
        from deepmd.utils.argcheck import gen_args
    except ImportError:
        return None
    return Argument("input.json", dict, gen_args())
