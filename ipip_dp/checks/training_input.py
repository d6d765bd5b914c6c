# SPDX-License-Identifier: LGPL-3.0-or-later
"""Checks of one training input of DeePMD-kit's, by its own schema and by what an IPIP run can use."""

from __future__ import annotations

import copy
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp import workdir
from ipip_dp.config import schema
from ipip_dp.config.trainings import NUMB_STEPS
from ipip_dp.text import is_positive, reason, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dargs import Argument

NATURAL = ("expected an integer greater than 0", is_positive)
RATE = ("expected a number greater than 0", is_positive)
LAYERS = ("expected integers greater than 0", lambda sizes: bool(sizes) and all(map(is_positive, sizes)))
OR_AUTO = ("expected integers of at least 0", lambda sizes: all(size == 0 or is_positive(size) for size in sizes))
NEIGHBOURS = (LAYERS[0], lambda sel: isinstance(sel, str) or LAYERS[1](sel if isinstance(sel, list) else [sel]))
BY_ELEMENT = ("se_e2_a", "se_e2_r", "se_e3")  # descriptors with nets and numbers of neighbours for every element
NO_PARAMETERS = ("pseudo-labels have no frame or atomic parameters; remove the key", lambda number: not number)
BOUNDS = {
    "training.numb_steps": NATURAL,
    "training.numb_epoch": ("trainings of an IPIP run are counted in steps: give numb_steps", lambda _: False),
    "training.disp_freq": NATURAL,
    "training.save_freq": NATURAL,
    "learning_rate.start_lr": RATE,
    "learning_rate.stop_lr": RATE,
    "learning_rate.decay_steps": NATURAL,
    "loss.type": ('expected "ener": pseudo-labels are energies, forces and virials', lambda kind: kind == "ener"),
    "model.spin": ("pseudo-labels have no spins; remove the key", lambda _: False),
    "model.descriptor.rcut": RATE,
    "model.descriptor.sel": NEIGHBOURS,
    "model.descriptor.neuron": LAYERS,
    "model.descriptor.axis_neuron": NATURAL,
    "model.fitting_net.neuron": LAYERS,
    "model.fitting_net.numb_fparam": NO_PARAMETERS,
    "model.fitting_net.numb_aparam": NO_PARAMETERS,
    "model.fitting_net.type": (
        'expected "ener": pseudo-labels are energies, forces and virials',
        lambda kind: kind in ("ener", "dpa4_ener"),
    ),
}
# Under these names DP-GEN and an IPIP run look for what fine-tuning writes.
WRITTEN = {"disp_file": "lcurve.out", "save_ckpt": "model.ckpt", "save_dir": None}
OTHER_NAMES = {
    "training.numb_steps": NUMB_STEPS[1:],
    "training.numb_epoch": ("num_epoch", "num_epochs", "numb_epochs"),
    "model.descriptor.axis_neuron": ("n_axis_neuron",),
    "model.fitting_net.neuron": ("n_neuron",),
}


def check(key: str, value: dict[str, Any], type_map: list[str]) -> Iterator[str]:
    """Compare a training input with DeePMD-kit's schema, with what DP-GEN and IPIP fill in.

    Parameters
    ----------
    key : str
        Where it stands in param.json.
    value : dict
        The input, which has a model with a descriptor.
    type_map : list of str
        That of param.json.
    """
    own = value["model"].get("type_map", type_map)
    if own != type_map:
        yield f"{key}.model.type_map: expected type_map of param.json, {shown(type_map)}, found {shown(own)}"
    argument = _deepmd_schema()
    problems = [] if argument is None else list(_against(argument, key, value, type_map))
    yield from problems
    if not problems:
        yield from _bounds(key, value, normalized(value, type_map), type_map)


def normalized(value: dict[str, Any], type_map: list[str]) -> dict[str, Any]:
    """A valid training input by DeePMD-kit's present names, with its defaults; as it is if DeePMD-kit is not here."""
    argument = _deepmd_schema()
    if argument is None:
        return value
    value = _updated(value, type_map)
    value.setdefault("loss", {})  # whose defaults count even if it is left out
    return argument.normalize_value(value, trim_pattern="_*")


def check_fine_tuning(key: str, value: dict[str, Any], init_data: list[Path], lazy: bool, here: bool) -> Iterator[str]:
    """Check names and places in a normalised input that DP-GEN, unlike pretraining, leaves as they are.

    Parameters
    ----------
    key : str
        Where it stands in param.json.
    init_data : list of Path
        The folders of init_data_sys below init_data_prefix: as trainings see them, below ``../data.init``.
    lazy : bool
        Whether trainings run in the run folder itself.
    here : bool
        Whether they run on this machine.
    """
    training = value.get("training", {})
    for name, expected in WRITTEN.items():
        if training.get(name, expected) != expected:
            wanted = expected or "no folder"
            yield f"{key}.training.{name}: expected {wanted}, where DP-GEN looks for it, found {training[name]}"
    names = (training.get("validation_data") or {}).get("systems", [])
    folder = workdir.Iteration(0).student(0)
    for name in [names] if isinstance(names, str) else names:
        path = Path(name)
        if path.is_absolute():
            sent = not here or path.exists()
        elif name.startswith("../data.init/"):
            sent = path.relative_to("../data.init") in init_data
        else:
            sent = lazy and Path(os.path.normpath(folder / path)).exists()
        if not sent:
            yield (
                f"{key}.training.validation_data.systems: expected folders that the training finds: absolute paths, "
                f"or ../data.init/NAME for a NAME of init_data_sys, found {shown(name)}. ipip.held_out, which every "
                "iteration is measured on, needs none of it"
            )


def _filled_in(value: dict[str, Any], type_map: list[str]) -> dict[str, Any]:
    value = copy.deepcopy(value)
    value["model"]["type_map"] = type_map
    training = value.setdefault("training", {})
    if isinstance(training, dict) and isinstance(training.setdefault("training_data", {}), dict):
        training["training_data"]["systems"] = ["."]
    return value


def _updated(value: dict[str, Any], type_map: list[str]) -> dict[str, Any]:
    """The input as DeePMD-kit reads those of its earlier versions."""
    from deepmd.utils.compat import update_deepmd_input

    return update_deepmd_input(_filled_in(value, type_map), warning=False)


def _against(argument: Argument, key: str, value: dict[str, Any], type_map: list[str]) -> Iterator[str]:
    from deepmd.utils.argcheck import normalize

    try:
        value = _updated(value, type_map)
        found = list(schema.problems(argument, value, (key,)))
        yield from map(str, found)
        if not found:
            normalize(value)  # as a training does
    except Exception as error:  # whatever DeePMD-kit's own checks raise
        yield f"{key}: {reason(error)}"


def _bounds(key: str, written: dict[str, Any], value: dict[str, Any], type_map: list[str]) -> Iterator[str]:
    energy_net = _at(value, "model.fitting_net").get("type", "ener") == "ener"
    bounds = BOUNDS if energy_net else {**BOUNDS, "model.fitting_net.neuron": OR_AUTO}  # DPA4 chooses a width for 0
    for path, (expected, holds) in bounds.items():
        section, _, name = path.rpartition(".")
        found = _at(value, section).get(name)
        if found is not None and not holds(found):
            name = next((other for other in OTHER_NAMES.get(path, ()) if other in _at(written, section)), name)
            yield f"{key}.{section}.{name}: {expected}, found {shown(found)}"
    descriptor = value["model"]["descriptor"]
    smooth_from, cutoff = descriptor.get("rcut_smth"), descriptor.get("rcut")
    if smooth_from is not None and cutoff is not None and smooth_from > cutoff:
        yield f"{key}.model.descriptor.rcut_smth: expected at most rcut, {cutoff}, found {smooth_from}"
    sel, by_element = descriptor.get("sel"), descriptor.get("type") in BY_ELEMENT
    if by_element and isinstance(sel, list) and len(sel) != len(type_map):
        yield f"{key}.model.descriptor.sel: expected a number for each of {shown(type_map)}, found {shown(sel)}"


def _at(value: Any, path: str) -> dict[str, Any]:
    """The object at a key path; an empty one if there is none."""
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


@lru_cache(maxsize=1)
def _deepmd_schema() -> Argument | None:
    """DeePMD-kit's own schema of a training input; None if it is not installed here."""
    from dargs import Argument

    try:
        from deepmd.utils.argcheck import gen_args
    except ImportError:
        return None
    return Argument("input.json", dict, gen_args())
