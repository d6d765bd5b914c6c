# SPDX-License-Identifier: LGPL-3.0-or-later
"""Checks of the trainings: DeePMD-kit's input, and what forgetting and the hand-over between trainings rely on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from ipip_dp.backends import BACKENDS, Backend
from ipip_dp.checks import pretrained as init_from
from ipip_dp.checks import training_input
from ipip_dp.config import schema, trainings
from ipip_dp.running import dispatch, machine
from ipip_dp.steps import pretrain
from ipip_dp.text import is_positive, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipip_dp.config.params import Params

FIRST_WITH_PT2 = "3.2"  # of DeePMD-kit, by DP-GEN's run_train_dp
# Keys of param.json that start or steer a training in a way that IPIP replaces.
REPLACED_KEYS = ("training_init_frozen_model", "training_finetune_model", "training_iter0_model_path")
# Keys of param.json that DP-GEN heeds in fine-tuning alone, and what to give instead.
FINE_TUNING_KEYS = {
    "model_devi_activation_func": "give activation_function in default_training_param, a list of one for each student",
    "srtab_file_path": "give the table in user_forward_files of sections train and ipip_pretrain in machine.json",
}


def check(jdata: dict[str, Any], params: Params, mdata: dict[str, Any] | None = None) -> Iterator[str]:
    """Check the backend, the keys of DP-GEN about training, and the training inputs."""
    fewest = 2 if jdata["model_devi_jobs"] else 1  # a deviation takes two
    if jdata["numb_models"] < fewest:
        yield f"numb_models: expected an integer of at least {fewest}, found {jdata['numb_models']}"
    if "init_data_prefix" not in jdata:
        yield 'init_data_prefix: missing; DP-GEN needs it: "." is the run folder'
    yield from _check_backend(jdata, mdata)
    for key in REPLACED_KEYS:
        if jdata.get(key):
            yield f"{key}: an IPIP run starts every training from its own checkpoints; remove the key"
    for key, instead in FINE_TUNING_KEYS.items():
        if jdata.get(key):
            yield f"{key}: it does not reach pretraining, whose students fine-tuning starts from; {instead}"
    yield from _check_reuse(jdata)
    yield from _check_batch_sizes(jdata)
    yield from _check_inputs(jdata, params, mdata)


def _check_backend(jdata: dict[str, Any], mdata: dict[str, Any] | None) -> Iterator[str]:
    from dpgen.generator.run import _get_model_backend_config, _validate_dpa_training_config

    try:
        name = _backend_name(jdata)
    except ValueError as error:
        yield f"train_backend: {error}"
        return
    backend = BACKENDS.get(name)
    if backend is None:
        yield f"train_backend: expected {' or '.join(BACKENDS)}, which can forget; found {shown(name)}"
        return
    try:
        _, _, model_format = _get_model_backend_config(jdata)
        if not _are_inputs(jdata):
            return  # which is said elsewhere
        _validate_dpa_training_config(jdata)
    except (ValueError, TypeError, AttributeError) as error:  # what does not go together, or has another shape
        yield f"train_backend, model_format: {error}"
        return
    if model_format == "pt2":
        yield from _check_compiled(jdata, backend, mdata)
    skipped = jdata.get("dp_compress") and jdata.get("dp_train_skip_neighbor_stat")
    if skipped and backend.needs_neighbour_statistics:
        yield "dp_train_skip_neighbor_stat: dp_compress needs the neighbour statistics; set one of the two to false"


def _are_inputs(jdata: dict[str, Any]) -> bool:
    """Whether there are as many training inputs as DP-GEN wants, each with a model of sections."""
    models = [value.get("model") for value in trainings.inputs(jdata)]
    return not _lacks_inputs(jdata) and all(
        isinstance(model, dict) and all(isinstance(model.get(name, {}), dict) for name in ("descriptor", "fitting_net"))
        for model in models
    )


def _lacks_inputs(jdata: dict[str, Any]) -> bool:
    default = jdata["default_training_param"]
    return isinstance(default, list) and len(default) != jdata["numb_models"]


def _backend_name(jdata: dict[str, Any]) -> str:
    from dpgen.generator.run import _get_train_backend_config

    return _get_train_backend_config(jdata)[0]


def _check_compiled(jdata: dict[str, Any], backend: Backend, mdata: dict[str, Any] | None) -> Iterator[str]:
    """Check what DP-GEN and DeePMD-kit need to compile students, before hours of training."""
    if backend.name == "pytorch" and jdata.get("dp_compress"):
        yield "dp_compress: DeePMD-kit's pytorch backend cannot compress a pt2 model; set it to false"
    for value in trainings.inputs(jdata):
        parts = [value.get("model", {}).get(name, {}) for name in ("descriptor", "fitting_net")]
        given = (part.get("precision", "default") for part in parts)
        own, other = ("float64" if precision == "default" else precision for precision in given)
        if jdata.get("dp_compress") and parts[0].get("type") == "dpa4c" and own != other:
            yield (
                "dp_compress: DeePMD-kit compresses DPA4C only if model.descriptor.precision and "
                f"model.fitting_net.precision are the same; found {own} and {other}"
            )
            break
    if mdata is None:
        return
    version = str(mdata.get("deepmd_version", FIRST_WITH_PT2))
    if Version(version) < Version(FIRST_WITH_PT2):
        yield f"model_format: pt2 needs DeePMD-kit {FIRST_WITH_PT2} or later; machine.json has deepmd_version {version}"
    compiler = os.environ.get("CXX", "g++")
    if machine.runs_here(dispatch.section(mdata, "model_devi")) and shutil.which(compiler) is None:
        yield (
            f"model_format: pt2 models are compiled in section model_devi, but there is no C++ compiler {compiler} on "
            "this machine; install one, or name another in the environment variable CXX"
        )


def _check_reuse(jdata: dict[str, Any]) -> Iterator[str]:
    ratio = jdata["training_reuse_old_ratio"]
    if isinstance(ratio, str):
        name, _, number = ratio.partition(":")
        if name != "auto" or not is_positive(number or "1"):
            yield f"training_reuse_old_ratio: expected a number, auto or auto:NUMBER, found {shown(ratio)}"
    elif not 0 <= ratio <= 1:
        yield f"training_reuse_old_ratio: expected a number between 0 and 1, found {shown(ratio)}"


def _check_batch_sizes(jdata: dict[str, Any]) -> Iterator[str]:
    for key in ("init_batch_size", "sys_batch_size"):
        sizes = jdata.get(key)
        if sizes is None:
            continue
        if not isinstance(sizes, list) or not all(size == "auto" or _is_count(size) for size in sizes):
            yield f'{key}: expected a list of integers greater than 0 or "auto", found {shown(sizes)}'
        elif key == "init_batch_size" and len(sizes) < len(jdata["init_data_sys"]):
            n_systems = len(jdata["init_data_sys"])
            yield f"{key}: expected a size for each of the {n_systems} entries of init_data_sys, found {len(sizes)}"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _check_inputs(jdata: dict[str, Any], params: Params, mdata: dict[str, Any] | None) -> Iterator[str]:
    """Check what forgetting and the hand-over between trainings rely on."""
    if params.pretrain.numb_models == 1 and params.forget.method_at("finetune") == "none" and jdata["numb_models"] > 1:
        yield (
            "ipip.pretrain.numb_models: one pretrained student makes an ensemble only if fine-tuning starts with "
            "forgetting; set ipip.forget.at to finetune or both, with a method other than none"
        )
    default, own = jdata["default_training_param"], params.pretrain.training_param
    if _lacks_inputs(jdata):
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
    found = [problem for key in inputs for problem in training_input.check(key, inputs[key], jdata["type_map"])]
    yield from found
    for name in ("learning_rate", "loss"):
        given, key = getattr(params.pretrain, name), f"ipip.pretrain.{name}"
        if given is not None and own is None:
            template = next(iter(inputs.values()))
            whole = given if name == "learning_rate" else pretrain.loss(template.get("loss", {}), given)
            problems = training_input.check("ipip.pretrain", {**template, name: whole}, jdata["type_map"])
            yield from (problem for problem in problems if problem.startswith(key))
        if own is not None and given is not None:
            yield f"{key}: {own_key} has one of its own; remove one of the two"
    if found:
        return
    inputs = {key: training_input.normalized(value, jdata["type_map"]) for key, value in inputs.items()}
    for key, value in inputs.items():
        if key != own_key:
            yield from training_input.check_fine_tuning(key, value, _init_data(jdata), *_where(mdata))
    key_of_pretraining = own_key if own is not None else next(iter(inputs))
    if params.relabel.max_in_domain > 0 and params.relabel.rule != "teacher":
        if own is not None:
            yield from _check_energies(own_key, inputs[own_key])
        yield from _check_energies("ipip.pretrain", {"loss": params.pretrain.loss or {}})
    if params.pretrain.init_from is not None:
        yield from init_from.check(
            jdata, _backend_name(jdata), params.pretrain.init_from, inputs[key_of_pretraining]["model"]
        )
    if own is None and params.pretrain.numb_models is None:
        return  # every student fine-tunes the model it has pretrained
    pretrained = inputs[key_of_pretraining]
    for key, value in inputs.items():
        for name in ("descriptor", "fitting_net"):
            yield from _same_model(key_of_pretraining, pretrained["model"], key, value["model"], name)


def _check_energies(key: str, value: dict[str, Any]) -> Iterator[str]:
    """Refuse to pretrain on energies that count from two zeros: the teacher's, and the reference's of the students."""
    loss = value.get("loss", {})
    for name in ("start_pref_e", "limit_pref_e"):
        if loss.get(name):
            yield (
                f"{key}.loss.{name}: expected 0, found {loss[name]}; energies in the pool, which teacher and students "
                "have labelled, count from different zeros. Train on forces, or let the teacher label every frame: "
                "ipip.relabel.rule: teacher"
            )


def _init_data(jdata: dict[str, Any]) -> list[Path]:
    return [Path(name) for name in jdata["init_data_sys"]]


def _where(mdata: dict[str, Any] | None) -> tuple[bool, bool]:
    """Whether trainings run in the run folder itself, and on this machine."""
    if mdata is None:
        return True, False
    section = dispatch.section(mdata, "train")
    return "LazyLocal" in section["machine"]["context_type"], machine.runs_here(section)


def _same_model(own_key: str, own: dict[str, Any], key: str, default: dict[str, Any], name: str) -> Iterator[str]:
    ours, theirs = (schema.without_seeds(model.get(name, {})) for model in (own, default))
    for part in sorted({*ours, *theirs}):
        if ours.get(part) != theirs.get(part):
            yield (
                f"{own_key}.model.{name}.{part}: {shown(ours.get(part))} differs from {key}.model.{name}.{part}: "
                f"{shown(theirs.get(part))}; fine-tuning starts from the pretrained weights, so the two models must "
                "be the same"
            )
