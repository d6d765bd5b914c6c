# SPDX-License-Identifier: LGPL-3.0-or-later
"""Checks of the pre-trained model that students start from (``ipip.pretrain.init_from``)."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from ipip_dp.backends import BACKENDS
from ipip_dp.backends.pretrained import find_model
from ipip_dp.backends.pytorch import BranchError, PyTorchCheckpoint, read_model
from ipip_dp.checks import training_input
from ipip_dp.config import schema
from ipip_dp.errors import IpipError
from ipip_dp.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(jdata: dict[str, Any], name: str, init_from: dict[str, Any], model: dict[str, Any]) -> Iterator[str]:
    """Compare a pre-trained model with the one that is to be trained, by DeePMD-kit's own comparison."""
    key, branch = "ipip.pretrain.init_from", init_from["branch"]
    try:
        file = find_model(init_from["model"])
    except IpipError as error:
        yield f"{key}.model: {error}"
        return
    if BACKENDS[name].checkpoint is not PyTorchCheckpoint:
        yield f"{key}: expected train_backend pytorch or pytorch-exportable, which start from a .pt; found {name}"
    elif file.suffix != PyTorchCheckpoint.suffix or not file.is_file():
        yield f"{key}.model: expected a checkpoint .pt that exists, found {shown(str(file))}"
    elif importlib.util.find_spec("torch") is not None:
        from deepmd.utils.finetune import _descriptor_config_differences

        try:
            pretrained, writer = read_model(file, branch)
        except BranchError as error:
            yield f"{key}.branch: {error}; or RANDOM for fitting nets of their own"
            return
        except IpipError as error:
            yield f"{key}.model: {error}"
            return
        if writer not in (None, BACKENDS[name].flag.lstrip("-")):
            yield f"{key}.model: {file} was trained with dp --{writer}, but train_backend is {name}"
            return
        kind = model["descriptor"].get("type")
        if pretrained["type_map"] != jdata["type_map"] and kind in training_input.BY_ELEMENT:
            yield (
                f"{key}.model: {file} has type_map {shown(pretrained['type_map'])}; DeePMD-kit maps only that of "
                f"descriptors with one net for all elements, not of {kind}"
            )
            return
        descriptors = (schema.without_seeds(section["descriptor"]) for section in (model, pretrained))
        for part, own, theirs in _descriptor_config_differences(*descriptors):
            yield (
                f"{key}.model: descriptor.{part} of {file} is {shown(theirs)}, that of default_training_param is "
                f"{shown(own)}; the two must be the same"
            )
        if branch != "RANDOM":
            theirs = {"type": "ener", **pretrained.get("fitting_net", {})}
            for part, own in schema.without_seeds({"type": "ener", **model.get("fitting_net", {})}).items():
                if theirs.get(part, own) != own:
                    yield (
                        f"{key}.model: fitting_net.{part} of {file} is {shown(theirs[part])}, that of "
                        f"default_training_param is {shown(own)}; give the same, or branch RANDOM"
                    )
