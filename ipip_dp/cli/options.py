# SPDX-License-Identifier: LGPL-3.0-or-later
"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ipip_dp.errors import IpipError
from ipip_dp.text import is_positive

if TYPE_CHECKING:
    from collections.abc import Collection

    from ipip_dp.data.gate import Gate
    from ipip_dp.steps.context import Context

ParamFile = Annotated[Path, typer.Argument(help="param.json", show_default=False)]
MachineFile = Annotated[Path, typer.Argument(help="machine.json", show_default=False)]
LabelerOption = Annotated[str, typer.Option(help="JSON file of a labeler; with --param, 'teacher' or 'reference'.")]
ParamOption = Annotated[Path | None, typer.Option(help="param.json to take the labeler, type_map and gate from.")]
TypeMapOption = Annotated[str | None, typer.Option(help="Elements in order, as in Mo,S,O.")]


def run_context(param: Path, machine: Path, with_data: bool | None) -> Context:
    """Read and check the input of a run."""
    from ipip_dp import workdir
    from ipip_dp.checks import run_input
    from ipip_dp.config import inputs
    from ipip_dp.steps.context import Context

    jdata, mdata = inputs.load_input(param, machine)
    params = run_input.require_valid(jdata, mdata, str(param), str(machine), with_data)
    return Context(workdir.Iteration(0), params, run_input.normalized(jdata, str(param)), mdata)


def labeler_and_elements(labeler: str, param: Path | None, type_map: str | None) -> tuple[dict[str, Any], list[str]]:
    """The labeler config and the type_map that the options name."""
    from ipip_dp import labelers
    from ipip_dp.config import inputs
    from ipip_dp.config.params import LABELERS

    if param is None:
        if labeler in LABELERS and not Path(labeler).is_file():
            raise IpipError(f"--labeler {labeler}: expected --param, too: a param.json with section ipip.{labeler}")
        section = inputs.load(Path(labeler))
        inputs.require_schema(labelers.labeler_arguments("labeler", ""), section, labeler)
        return section, elements_of(type_map)
    jdata = inputs.load(param)
    section = jdata.get("ipip", {}) if labeler in LABELERS else {}
    if labeler not in section:
        raise IpipError(f"--labeler {labeler}: expected teacher or reference, one that {param} has in its ipip section")
    inputs.require_schema(labelers.labeler_arguments(labeler, ""), section[labeler], f"{param}: ipip.{labeler}")
    return section[labeler], elements_of(type_map or ",".join(jdata.get("type_map", [])))


def gate_of(param: Path | None, limits: dict[str, float | None]) -> Gate:
    """The limits given as options; for the others those of param.json, or ours."""
    from ipip_dp.config import inputs
    from ipip_dp.config.params import gate_argument
    from ipip_dp.config.sections import Bounds

    section = inputs.load(param).get("ipip", {}).get("gate", {}) if param is not None else {}
    inputs.require_schema(gate_argument(), section, f"{param}: ipip.gate")
    given = {name: value for name, value in limits.items() if value is not None}
    return Bounds(**gate_argument().normalize_value({**section, **given}, trim_pattern="_*")).gate()


def enter(folder: Path) -> None:
    """Make the folder of a run the working directory, which all paths of a run are relative to."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise IpipError(f"{folder}: {error.strerror}; expected the folder of a `dpgen run`") from None


def elements_of(type_map: str | None) -> list[str]:
    """The elements of option --type-map."""
    from dpdata.periodic_table import ELEMENTS

    text = (type_map or "").strip()
    elements = [element.strip() for element in text.split("," if "," in text else None)]
    if not elements or not all(elements) or len(set(elements)) < len(elements):
        raise IpipError(f"--type-map: expected every element once, in order, as in Mo,S,O; found {text or 'none'}")
    for element in elements:
        parts = re.findall("[A-Z][a-z]?", element)
        if element not in ELEMENTS and "".join(parts) == element and set(parts) <= set(ELEMENTS):
            raise IpipError(f"--type-map: {element} is no element; did you mean {','.join(parts)}?")
    return elements


def numbers_of(option: str, text: str) -> list[float]:
    """The numbers of an option, joined by commas."""
    words = text.replace(",", " ").split()
    if not words or not all(map(is_positive, words)):
        raise IpipError(f"{option}: expected numbers greater than 0, as in 300,600; found {text or 'none'}")
    return [int(word) if word.isdecimal() else float(word) for word in words]


def one_of(option: str, text: str, known: Collection[str]) -> str:
    """A word that an option knows."""
    if text not in known:
        near = difflib.get_close_matches(text, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise IpipError(f"{option}: expected one of {', '.join(known)}; found {text}{hint}")
    return text


def require_file(output: Path | None) -> None:
    """Refuse an output that is a folder, before any work is done for it."""
    if output is not None and output.is_dir():
        raise IpipError(f"{output}: is a folder; expected the name of a file to write")
