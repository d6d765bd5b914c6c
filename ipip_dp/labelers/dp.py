# SPDX-License-Identifier: LGPL-3.0-or-later
"""Labels from DeePMD-kit models: one, or the mean of an ensemble."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dpdata.driver import Driver

from ipip_dp.errors import IpipError
from ipip_dp.labelers.base import Ensemble, LabelerError, files_among
from ipip_dp.labelers.frames import element_indices, periodic_cells
from ipip_dp.quiet import quiet
from ipip_dp.text import reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dargs import Argument
    from deepmd.infer import DeepPot


CHECKPOINT = ".pt"
_type_maps: dict[str, list[str]] = {}  # of frozen models, by the digest of the file
SHOW_TYPE_MAPS = """
import json, sys
from deepmd.infer import DeepPot
print(json.dumps([DeepPot(model).get_type_map() for model in sys.argv[1:]]))
"""


@Driver.register("ipip/dp")
class DPLabeler(Ensemble):
    """One DeePMD-kit model or the mean of several.

    Parameters
    ----------
    models : sequence of str
        Frozen models, or PyTorch checkpoints.
    head : str, optional
        The head of multi-task checkpoints.

    Raises
    ------
    LabelerError
        If DeePMD-kit is missing or a model cannot be loaded.

    Examples
    --------
    >>> system.predict(driver="ipip/dp", models=["graph.000.pb"])  # doctest: +SKIP
    """

    frames_per_call = 256

    @classmethod
    def arguments(cls) -> list[Argument]:
        """The keys of its section."""
        from dargs import Argument

        return [
            Argument(
                "models",
                list[str],
                extra_check=bool,
                extra_check_errmsg="expected at least one model",
                doc='DeePMD-kit models, frozen or PyTorch checkpoints (.pt), for example ["graph.000.pb", '
                '"graph.001.pb"], or names of pre-trained ones, such as DPA-3.1-3M, that `dp pretrained download` has '
                "brought to the machine that labels. Several models label with their mean.",
            ),
            Argument(
                "head", str, optional=True, doc="The head (branch) of multi-task checkpoints, for example Omat24."
            ),
        ]

    @classmethod
    def files(cls, config: dict[str, Any]) -> list[str]:
        """The models."""
        return files_among(config["models"])

    @classmethod
    def check(cls, config: dict[str, Any], here: bool) -> Iterator[tuple[str, str]]:
        """Check that the models exist, and that those with heads have the one that is asked for."""
        from ipip_dp.backends.pytorch import BranchError

        try:
            require_models(config["models"])
            _of_checkpoints(config)
        except BranchError as error:
            yield "head", str(error)
        except IpipError as error:
            yield "models", str(error)

    @classmethod
    def known_elements(cls, config: dict[str, Any]) -> list[str] | None:
        """The elements that all models know; None if one cannot be read in this environment."""
        try:
            type_maps = [*_of_checkpoints(config), *_of_frozen(_files(config, frozen=True))]
        except (IpipError, OSError):  # which the check reports
            return None
        return _common(type_maps) if len(type_maps) == len(config["models"]) else None

    def __init__(self, models: Sequence[str], head: str | None = None) -> None:
        self.models = {model: _load(model, head) for model in models}
        self.elements = _common([model.get_type_map() for model in self.models.values()])

    def predict_members(self, data: dict[str, Any]) -> dict[str, np.ndarray]:
        """Predict with every model, see :meth:`Ensemble.predict_members`.

        Raises
        ------
        LabelerError
            If a model does not know an element of the frames.
        """
        coords, cells = data["coords"], periodic_cells(data)
        n_frames, n_atoms = coords.shape[:2]
        members: dict[str, list[np.ndarray]] = {"energies": [], "forces": [], "virials": []}
        for name, model in self.models.items():
            atom_types = element_indices(data, model.get_type_map(), f"model {name}")
            energies, forces, virials = model.eval(
                coords.reshape(n_frames, 3 * n_atoms),
                None if cells is None else cells.reshape(n_frames, 9),
                atom_types,
            )[:3]
            members["energies"].append(energies.reshape(n_frames))
            members["forces"].append(forces.reshape(n_frames, n_atoms, 3))
            members["virials"].append(virials.reshape(n_frames, 3, 3))
        if cells is None:
            del members["virials"]
        return {name: np.array(values, dtype=np.float64) for name, values in members.items()}


def require_models(models: Sequence[str]) -> None:
    """Check that model files exist and have names by which DeePMD-kit knows its models.

    Raises
    ------
    LabelerError
        If one does not, or is not.
    """
    from ipip_dp.backends import MODEL_SUFFIXES  # not above: backends read data, and dpdata loads this module

    suffixes = (*MODEL_SUFFIXES, CHECKPOINT)
    for model in map(_file, models):
        if not model.endswith(suffixes):
            raise LabelerError(f"model {model!r}: expected a model of DeePMD-kit, {', '.join(suffixes)}")
        if not os.path.isfile(model):
            raise LabelerError(f"model {model!r} does not exist (labeler type dp, working directory {Path.cwd()})")


def _file(model: str) -> str:
    from ipip_dp.backends.pretrained import find_model

    try:
        return str(find_model(model))
    except IpipError as error:
        raise LabelerError(str(error)) from None


def _common(type_maps: Sequence[Sequence[str]]) -> list[str]:
    return [element for element in type_maps[0] if all(element in other for other in type_maps)]


def _files(config: dict[str, Any], frozen: bool) -> list[str]:
    return [file for file in map(_file, config["models"]) if file.endswith(CHECKPOINT) != frozen]


def _of_checkpoints(config: dict[str, Any]) -> list[list[str]]:
    """The type_map of every checkpoint, or of its head; none without PyTorch, which reads them.

    Raises
    ------
    BranchError
        If one has heads, and ``head`` is none of them.
    IpipError
        If one cannot be read.
    """
    if importlib.util.find_spec("torch") is None:
        return []
    from ipip_dp.backends.pytorch import read_model

    sections = [read_model(Path(file), config.get("head"))[0] for file in _files(config, frozen=False)]
    return [list(section["type_map"]) for section in sections]


def _of_frozen(files: Sequence[str]) -> list[list[str]]:
    """The type_map of every frozen model; none if one cannot be read in this environment.

    DeePMD-kit is asked in a process of its own: what loads a model keeps hold of a GPU's memory. That takes seconds, so
    it is asked once for equal models.
    """
    digests = {file: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files}
    unknown = {digest: file for file, digest in digests.items() if digest not in _type_maps}
    if unknown:
        shown = subprocess.run(
            [sys.executable, "-c", SHOW_TYPE_MAPS, *unknown.values()],
            capture_output=True,
            text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        if shown.returncode:
            return []
        _type_maps.update(zip(unknown, json.loads(shown.stdout.splitlines()[-1]), strict=True))
    return [_type_maps[digests[file]] for file in files]


def _load(model: str, head: str | None) -> DeepPot:
    try:
        with quiet():
            from deepmd.infer import DeepPot
    except ImportError as error:
        raise LabelerError(
            f'labeler type dp needs DeePMD-kit: {error}; install it with: pip install "ipip-dp[cpu]"'
        ) from error
    require_models([model])
    model = _file(model)
    options = {"head": head, "no_jit": True} if model.endswith(CHECKPOINT) else {}
    try:
        with quiet():
            return DeepPot(model, **options)
    except Exception as error:
        raise LabelerError(f"model {model!r} cannot be loaded by DeePMD-kit: {reason(error)}") from error
