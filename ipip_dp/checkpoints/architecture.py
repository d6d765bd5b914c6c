"""Compare a checkpoint with the training input that is to start from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipip_dp.checkpoints.locate import read_checkpoint
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SECTIONS = ("type_map", "descriptor", "type_embedding", "fitting_net")
# How a model is trained or its statistics are taken, not what it computes.
_IGNORED = {"seed", "trainable", "rcond", "set_davg_zero"}
_ABSENT = object()


def check_architecture(checkpoint: Path, model: Mapping[str, Any]) -> None:
    """Raise unless a training input describes the model of a checkpoint.

    Compares ``type_map``, ``descriptor``, ``type_embedding`` and ``fitting_net``
    after DeePMD-kit has filled in its defaults. Seeds and other keys that do not
    change what the model computes may differ, and ``sel: auto`` fits any ``sel``.

    Parameters
    ----------
    checkpoint : pathlib.Path
        As for `ipip_dp.checkpoints.forget`.
    model : mapping
        The ``model`` section of the training input.

    Raises
    ------
    IpipError
        With the path of every key that differs and both values; or when the
        checkpoint cannot be read or DeePMD-kit does not know the input.
    """
    state = read_checkpoint(checkpoint)
    trained = _normalised(state.model, str(checkpoint))
    wanted = _normalised(model, "the training input")
    differences = [
        f"  {path}: {_shown(old)} in the checkpoint, {_shown(new)} in the input"
        for section in _SECTIONS
        for path, old, new in _differences(
            f"model.{section}",
            trained.get(section, _ABSENT),
            wanted.get(section, _ABSENT),
        )
    ]
    if differences:
        raise IpipError(
            f"{checkpoint} was trained with another model than the input describes:\n"
            + "\n".join(differences)
            + "\nUse the same model section in both, or another checkpoint."
        )


def _normalised(model: Mapping[str, Any], where: str) -> dict[str, Any]:
    from dargs.dargs import ArgumentError
    from deepmd.utils.argcheck import model_args

    try:
        full: dict[str, Any] = model_args().normalize_value(dict(model), trim_pattern="_*")
    except ArgumentError as error:
        raise IpipError(f"model section of {where} is not accepted by DeePMD-kit: {error}") from error
    return full


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted((old.keys() | new.keys()) - _IGNORED):
            yield from _differences(f"{path}.{key}", old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif path.endswith(".list") and len(old) == len(new):  # a hybrid descriptor
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}.{index}", *pair)
    elif path.endswith(".sel") and str(new).startswith("auto"):
        return
    elif old != new:
        yield path, old, new


def _shown(value: Any) -> str:
    return "absent" if value is _ABSENT else repr(value)
