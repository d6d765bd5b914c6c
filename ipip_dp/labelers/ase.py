# SPDX-License-Identifier: LGPL-3.0-or-later
"""Labels from any ASE calculator, given by its import path."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dpdata.driver import Driver

from ipip_dp.labelers.base import Labeler, LabelerError, files_among
from ipip_dp.labelers.frames import periodic_cells, symbols
from ipip_dp.text import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from dargs import Argument

IMPORT_PATH = r"\w+(\.\w+)*:\w+(\.\w+)?"
METHODS = ("get_potential_energy", "get_forces")
# Calculators of periodic structures that warn of atoms without a neighbour within their cutoff, in Angstrom: CHGNet's
# graph converter (chgnet/graph/converter.py; atom_graph_cutoff of its pretrained models).
CRYSTALS_ONLY = {"chgnet": 6.0}
# Our extra that brings a calculator's package.
EXTRAS = {"chgnet": "chgnet", "sevenn": "sevennet", "tblite": "xtb"}


@Driver.register("ipip/ase")
class AseLabeler(Labeler):
    """An ASE calculator.

    It labels frames one by one.

    Parameters
    ----------
    calculator : str
        Import path "package.module:Class", or "package.module:Class.method" of a class method that makes one.
    kwargs : dict, optional
        Keyword arguments of the class or its method.

    Raises
    ------
    LabelerError
        If the calculator cannot be imported or made.

    Examples
    --------
    >>> system.predict(driver="ipip/ase", calculator="tblite.ase:TBLite",
    ...                kwargs={"method": "GFN1-xTB"})  # doctest: +SKIP
    """

    @classmethod
    def arguments(cls) -> list[Argument]:
        """The keys of its section."""
        from dargs import Argument

        return [
            Argument(
                "calculator",
                str,
                extra_check=lambda path: bool(re.fullmatch(IMPORT_PATH, path)),
                extra_check_errmsg='expected "module:Class", for example "tblite.ase:TBLite"',
                doc='Import path "module:Class" of an ASE calculator, for example "tblite.ase:TBLite" or '
                '"chgnet.model.dynamics:CHGNetCalculator". "module:Class.method" names a class method that makes one: '
                'a CHGNet of yours with "chgnet.model.dynamics:CHGNetCalculator.from_file" and {"path": "tuned.pth"}.',
            ),
            Argument(
                "kwargs",
                dict,
                optional=True,
                default={},
                doc='Keyword arguments of the calculator, for example {"method": "GFN1-xTB"}.',
            ),
        ]

    @classmethod
    def files(cls, config: dict[str, Any]) -> list[str]:
        """The files that kwargs name: any value, or word of one, may."""
        return files_among(config.get("kwargs", {}))

    @classmethod
    def neighbor_cutoff(cls, config: dict[str, Any]) -> float | None:
        """That of CHGNet."""
        return CRYSTALS_ONLY.get(config["calculator"].partition(".")[0])

    @classmethod
    def needs_cell(cls, config: dict[str, Any]) -> bool:
        """So does CHGNet."""
        return config["calculator"].partition(".")[0] in CRYSTALS_ONLY

    @classmethod
    def check(cls, config: dict[str, Any], here: bool) -> Iterator[tuple[str, str]]:
        """Check, without importing it, that the calculator is installed where it runs."""
        if here:
            try:
                require_class(config["calculator"])
            except LabelerError as error:
                yield "calculator", str(error)

    def __init__(self, calculator: str, kwargs: dict[str, Any] | None = None) -> None:
        make = _import_calculator(calculator)
        try:
            self.calculator = make(**(kwargs or {}))
        except Exception as error:
            raise LabelerError(
                f"calculator {calculator!r} cannot be made from kwargs {kwargs}: {reason(error)}"
            ) from error

    @property
    def ase_calculator(self) -> Calculator:
        """The calculator itself, in place of dpdata's wrapper around a driver."""
        return self.calculator

    def label(self, data: dict[str, Any]) -> dict[str, Any]:
        """Label every frame, see :meth:`Labeler.label`; virials for periodic frames and a calculator with stress.

        An exception of the calculator passes through.
        """
        labels = [self._label_frame(atoms) for atoms in to_atoms(data)]
        names = [name for name in labels[0] if all(name in frame for frame in labels)]
        return {**data, **{name: np.array([frame[name] for frame in labels]) for name in names}}

    def _label_frame(self, atoms: Atoms) -> dict[str, Any]:
        # A calculator that starts from its previous result makes the labels
        # depend on the order of the frames.
        if hasattr(self.calculator, "reset"):
            self.calculator.reset()
        atoms.calc = self.calculator
        return labels_of(atoms)


def labels_of(atoms: Atoms) -> dict[str, Any]:
    """What the calculator of one structure says: energies (eV), forces (eV/Angstrom) and, if it can, virials (eV)."""
    from ase.calculators.calculator import PropertyNotImplementedError

    try:
        # With electronic smearing the forces belong to the free energy.
        energy = atoms.get_potential_energy(force_consistent=True)
    except PropertyNotImplementedError:
        energy = atoms.get_potential_energy()
    labels = {"energies": energy, "forces": atoms.get_forces(apply_constraint=False)}
    if atoms.pbc.all():
        try:
            labels["virials"] = -atoms.get_volume() * atoms.get_stress(voigt=False, apply_constraint=False)
        except (PropertyNotImplementedError, KeyError):  # the latter from dpdata's calculator around a driver
            pass
    return labels


def to_atoms(data: dict[str, Any]) -> list[Atoms]:
    """Return fresh ASE Atoms of every frame, atoms in the order of the frame."""
    from ase import Atoms

    elements = symbols(data)
    cells = periodic_cells(data)
    if cells is None:
        return [Atoms(elements, positions=coords) for coords in data["coords"]]
    return [
        Atoms(elements, positions=coords, cell=cell, pbc=True)
        for coords, cell in zip(data["coords"], cells, strict=True)
    ]


def require_class(path: str) -> None:
    """Check, without importing anything, that a calculator's import path leads to a class.

    Raises
    ------
    LabelerError
        If the path is malformed, the package is not installed, or the class is not in it.
    """
    if not re.fullmatch(IMPORT_PATH, path):
        raise LabelerError(f'calculator {path!r}: expected "module:Class", for example "tblite.ase:TBLite"')
    module_name, class_name, _ = _parts(path)
    package, *submodules = module_name.split(".")
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # __main__ and other modules without a file
        spec = None
    if spec is None:
        raise LabelerError(f"calculator {path!r} cannot be imported: no package {package}{_how_to_install(package)}")
    name = package
    for submodule in submodules:
        name = f"{name}.{submodule}"
        locations = spec.submodule_search_locations
        spec = PathFinder.find_spec(name, locations) if locations is not None else None
        if spec is None:
            raise LabelerError(f"calculator {path!r} cannot be imported: No module named {name!r}")
    if spec.origin is not None and spec.origin.endswith(".py"):
        names = _names(Path(spec.origin).read_text(encoding="utf-8", errors="replace"))
        if not names & {class_name, "*", "__getattr__"}:
            raise LabelerError(f"calculator {path!r} cannot be imported: module {module_name} has no {class_name}")


def _names(source: str) -> set[str]:
    """The names that a Python module defines or imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def _how_to_install(package: str) -> str:
    return f'; install it with: pip install "ipip-dp[{EXTRAS[package]}]"' if package in EXTRAS else ""


def _parts(path: str) -> tuple[str, str, str]:
    """The module, the class, and the class method or nothing."""
    module_name, _, names = path.partition(":")
    class_name, _, method_name = names.partition(".")
    return module_name, class_name, method_name


def _import_calculator(path: str) -> Callable[..., Calculator]:
    """What makes the calculator: its class, or a class method."""
    require_class(path)
    module_name, class_name, method_name = _parts(path)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # whatever a module raises when it is imported
        raise LabelerError(f"calculator {path!r} cannot be imported: {reason(error)}") from error
    # Anything else, such as os:system, would be called with the kwargs all the same.
    if not (isinstance(found, type) and all(hasattr(found, name) for name in METHODS)):
        raise LabelerError(f"calculator {path!r} is no ASE calculator: expected a class with {' and '.join(METHODS)}")
    if not method_name:
        return found
    method = getattr(found, method_name, None)
    if not inspect.ismethod(method):
        raise LabelerError(f"calculator {path!r} cannot be made: {class_name} has no class method {method_name}")
    return method
