# SPDX-License-Identifier: LGPL-3.0-or-later
"""PyTorch checkpoints: ``<prefix>.pt``, a dict of ``model`` and ``optimizer``, of DeePMD-kit's two backends for it.

What the fitting net calls its tensors, which of them share memory and how they are drawn is asked of a new model,
which DeePMD-kit builds from the input that every checkpoint carries.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.backends.base import PREFIX, Backend, Checkpoint, Parameter, file_of
from ipip_dp.errors import IpipError
from ipip_dp.text import reason, shown

if TYPE_CHECKING:
    from pathlib import Path

_ATOMIC_MODEL = "model.Default.atomic_model."
_OUT_BIAS = _ATOMIC_MODEL + "out_bias"
_BIAS = _ATOMIC_MODEL + "fitting_net.bias_atom_e"
# Below fitting_net: the collection of nets, one for all elements or one for each, and a layer of a net.
_PARAMETER = re.compile(r".+?networks\.\d+\.(?P<layer>.+)\.(?P<kind>\w+)")
_KINDS = {"w": "matrix", "b": "bias"}


class BranchError(IpipError):
    """A checkpoint has no such branch."""


class PyTorchCheckpoint(Checkpoint):
    """A checkpoint of ``dp --pt train`` or ``dp --pt-expt train``, which differ in the models they build."""

    suffix = ".pt"

    def __init__(self, file: Path, content: dict[str, Any]) -> None:
        self._file = file
        self._state = content["model"]
        self._param_groups = content["optimizer"]["param_groups"]
        self.model = self._state["_extra_state"]["model_params"]
        net = f"{_ATOMIC_MODEL}fitting_net."
        self.require_energy_model(file, has_net=any(name.startswith(net) and name != _BIAS for name in self._state))
        # All names of each tensor by the first of them: a net may be registered twice.
        self._names: dict[str, list[str]] = {}

    @classmethod
    def read(cls, prefix: Path) -> PyTorchCheckpoint:
        """Read the file onto the CPU, without running any pickled code."""
        import pickle

        import torch

        file = file_of(prefix, cls.suffix)
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
            raise IpipError(
                f"{file}: not a readable PyTorch checkpoint "
                f"({type(error).__name__}). "
                "Was the training or the copy interrupted?"
            ) from error
        try:
            return cls(file, content)
        except (KeyError, TypeError) as error:
            raise IpipError(f"{file}: not a DeePMD-kit training checkpoint (no {error}).") from error

    def _new_model(self, model: dict[str, Any]) -> Any:
        """Build a model of the backend that wrote the checkpoint."""
        from deepmd.utils.pt_checkpoint import detect_pt_checkpoint_backend

        if detect_pt_checkpoint_backend(self._state) == "pt-expt":
            from deepmd.pt_expt.model.get_model import get_model
        else:
            from deepmd.pt.model.model import get_model
        return get_model(model)

    @property
    def fitting(self) -> dict[str, Parameter]:
        """Every tensor of the fitting net, by its name in the checkpoint."""
        if not self._names:
            self.fresh(seed=0)
        return _parameters(self._names)

    def fresh(self, seed: int) -> dict[str, np.ndarray]:
        """Take the fitting net of a new model.

        Raises
        ------
        IpipError
            If DeePMD-kit cannot build one that has the tensors of the checkpoint.
        """
        import torch

        model = copy.deepcopy(self.model)
        own = int(np.random.default_rng(seed).integers(2**31))  # the input's own seed would bring back its first draws
        model.setdefault("fitting_net", {})["seed"] = own
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(own)  # for what DeePMD-kit does not draw from the seed of its input
            try:
                net = self._new_model(model).atomic_model.fitting_net
            except Exception as error:  # whatever DeePMD-kit raises for an input it does not take
                raise IpipError(f"{self._file}: DeePMD-kit cannot build its model: {reason(error)}") from error
        tensors: dict[str, torch.Tensor] = {}
        names: dict[str, list[str]] = {}
        first: dict[int, str] = {}
        for part, tensor in net.named_parameters(remove_duplicate=False):
            name = f"{_ATOMIC_MODEL}fitting_net.{part}"
            if name not in self._state or self._state[name].shape != tensor.shape:
                raise IpipError(
                    f"{self._file}: no tensor {name} of shape {tuple(tensor.shape)}, which this version of DeePMD-kit "
                    "has in a model of its input; train with the version that is installed here."
                )
            names.setdefault(first.setdefault(id(tensor), name), []).append(name)
            tensors.setdefault(first[id(tensor)], tensor)
        self._names = names
        return {name: tensor.detach().cpu().double().numpy() for name, tensor in tensors.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        """Return a fitting tensor as float64."""
        array: np.ndarray = self._state[name].double().numpy()
        return array

    def __setitem__(self, name: str, value: np.ndarray) -> None:
        """Replace a fitting tensor, keeping its precision."""
        import torch

        for alias in self._names[name]:
            self._state[alias].copy_(torch.from_numpy(value))

    @property
    def energy_bias(self) -> np.ndarray:
        """Sum of the bias of the model and that of the fitting net, eV."""
        total: np.ndarray = (self._state[_OUT_BIAS][0, :, 0] + self._state[_BIAS][:, 0]).numpy()
        return total

    def shift_energy_bias(self, offsets: np.ndarray) -> None:
        """Add to ``out_bias``: it and ``bias_atom_e`` both enter the energy."""
        import torch

        self._state[_OUT_BIAS][0, :, 0] += torch.from_numpy(offsets)

    def write(self, prefix: Path) -> list[Path]:
        """Write the checkpoint and the ``checkpoint`` file of ``dp freeze``."""
        import torch

        self._state["_extra_state"]["train_infos"] = {"lr": 0, "step": 0}
        # `--init-model` wants the key and ignores what is in it.
        optimizer = {"state": {}, "param_groups": self._param_groups}
        file = file_of(prefix, self.suffix)
        try:
            torch.save({"model": self._state, "optimizer": optimizer}, file)
        except RuntimeError as error:
            raise IpipError(f"{file}: cannot be written; is the disk full? ({str(error).splitlines()[0]})") from error
        latest = prefix.with_name("checkpoint")
        latest.write_text(file.name)
        return [file, latest]

    @staticmethod
    def load_potential(prefix: Path) -> Any:
        """Build the model uncompiled: compiling takes longer than predicting."""
        from deepmd.infer import DeepPot

        return DeepPot(str(file_of(prefix, PyTorchCheckpoint.suffix)), no_jit=True)


def read_model(file: Path, branch: str | None) -> tuple[dict[str, Any], str | None]:
    """The section ``model`` of the input that a checkpoint was trained with.

    Parameters
    ----------
    file : pathlib.Path
        A ``.pt``, whose tensors are not read.
    branch : str, optional
        The branch (head) of a multi-task model, or one of its aliases; ``RANDOM`` for any.

    Returns
    -------
    dict, str or None
        The section of that branch, and which of DeePMD-kit's backends wrote the file: ``pt``, ``pt-expt``; None if
        it cannot tell.

    Raises
    ------
    BranchError
        If there is no such branch.
    IpipError
        If the file is not a checkpoint of DeePMD-kit.
    """
    import torch
    from deepmd.utils.pt_checkpoint import detect_pt_checkpoint_backend

    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        model = content.get("model", content)["_extra_state"]["model_params"]
    except Exception as error:  # whatever torch raises for another file
        raise IpipError(f"{file} is no checkpoint of DeePMD-kit's PyTorch backends: {reason(error)}") from error
    branches = model.get("model_dict", {"Default": model})
    names = {
        alias.lower(): name for name in branches for alias in (name, *branches[name].get("model_branch_alias", []))
    }
    name = next(iter(branches)) if branch == "RANDOM" else names.get((branch or "Default").lower())
    if name is None:
        found = "missing" if branch is None else f"found {shown(branch)}"
        raise BranchError(f"expected a branch of {file}, {', '.join(branches)}; {found}")
    return dict(branches[name]), detect_pt_checkpoint_backend(content)


def _parameters(names: dict[str, list[str]]) -> dict[str, Parameter]:
    """Where tensors sit, from the first of their names; layers in the order in which a net has them."""
    found = {name: match for name in names if (match := _PARAMETER.fullmatch(name.removeprefix(_ATOMIC_MODEL)))}
    layers = list(dict.fromkeys(match["layer"] for match in found.values()))
    if not layers:
        return {}
    called = {layer: f"layer_{number}" for number, layer in enumerate(layers[:-1])} | {layers[-1]: "final_layer"}
    return {
        name: Parameter(called[match["layer"]], _KINDS.get(match["kind"], match["kind"]))
        for name, match in found.items()
    }


PYTORCH = Backend(
    name="pytorch",
    flag="--pt",
    checkpoint_files=(f"{PREFIX}.pt",),
    model_formats=("pth", "pt2"),
    checkpoint=PyTorchCheckpoint,
)
