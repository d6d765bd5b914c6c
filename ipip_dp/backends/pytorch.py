# SPDX-License-Identifier: LGPL-3.0-or-later
"""PyTorch checkpoints: ``<prefix>.pt``, a dict of ``model`` and ``optimizer``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ipip_dp.backends.base import PREFIX, Backend, Checkpoint, Parameter, file_of
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

_ATOMIC_MODEL = "model.Default.atomic_model."
# Each network is stored under `networks` and, sharing memory, under `_networks`.
_FITTING = re.compile(
    re.escape(_ATOMIC_MODEL) + r"fitting_net\.filter_layers\.networks\.\d+"
    r"\.layers\.(?P<layer>\d+)\.(?P<kind>matrix|bias|idt)"
)
_OUT_BIAS = _ATOMIC_MODEL + "out_bias"
_BIAS = _ATOMIC_MODEL + "fitting_net.bias_atom_e"


class PyTorchCheckpoint(Checkpoint):
    """A checkpoint of ``dp --pt train``."""

    suffix = ".pt"

    def __init__(self, content: dict[str, Any]) -> None:
        self._state = content["model"]
        self._param_groups = content["optimizer"]["param_groups"]
        self.model = self._state["_extra_state"]["model_params"]
        matches = [m for name in self._state if (m := _FITTING.fullmatch(name))]
        last = max((int(match["layer"]) for match in matches), default=0)
        self.fitting = {match[0]: Parameter(_layer_name(int(match["layer"]), last), match["kind"]) for match in matches}

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
            checkpoint = cls(content)
        except (KeyError, TypeError) as error:
            raise IpipError(f"{file}: not a DeePMD-kit training checkpoint (no {error}).") from error
        checkpoint.require_energy_model(file)
        return checkpoint

    def __getitem__(self, name: str) -> np.ndarray:
        """Return a fitting tensor as float64."""
        array: np.ndarray = self._state[name].double().numpy()
        return array

    def __setitem__(self, name: str, value: np.ndarray) -> None:
        """Replace a fitting tensor, keeping its precision."""
        import torch

        for alias in (name, name.replace(".networks.", "._networks.")):
            if alias in self._state:
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


def _layer_name(index: int, last: int) -> str:
    return "final_layer" if index == last else f"layer_{index}"


PYTORCH = Backend(
    name="pytorch",
    flag="--pt",
    checkpoint_files=(f"{PREFIX}.pt",),
    model_format="pth",
    checkpoint=PyTorchCheckpoint,
)
