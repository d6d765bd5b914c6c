"""Labels from any ASE calculator, given by its import path."""

from __future__ import annotations

import importlib
import importlib.util
import re
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dpdata.driver import Driver

from ipip_dp.errors import IpipError
from ipip_dp.labelers.frames import periodic_cells, symbols

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

IMPORT_PATH = r"\w+(\.\w+)*:\w+"
METHODS = ("get_potential_energy", "get_forces")
# Our extra that brings a calculator's package.
EXTRAS = {"chgnet": "chgnet", "tblite": "xtb"}


@Driver.register("ipip/ase")
class AseDriver(Driver):
    """Label frames, one by one, with an ASE calculator.

    Parameters
    ----------
    calculator : str
        Import path "package.module:Class".
    kwargs : dict, optional
        Keyword arguments of the calculator.

    Raises
    ------
    IpipError
        If the calculator cannot be imported or made.

    Examples
    --------
    >>> system.predict(driver="ipip/ase", calculator="tblite.ase:TBLite",
    ...                kwargs={"method": "GFN1-xTB"})  # doctest: +SKIP
    """

    frames_per_call = 1
    elements = None

    def __init__(self, calculator: str, kwargs: dict[str, Any] | None = None) -> None:
        cls = _import_class(calculator)
        try:
            self.calculator = cls(**(kwargs or {}))
        except Exception as error:
            raise IpipError(f"calculator {calculator!r} cannot be made from kwargs {kwargs}: {error!r}") from error

    @property
    def ase_calculator(self) -> Calculator:
        """The calculator itself, in place of dpdata's wrapper around a driver."""
        return self.calculator

    def label(self, data: dict[str, Any]) -> dict[str, Any]:
        """Label every frame.

        Parameters
        ----------
        data : dict
            dpdata data dictionary.

        Returns
        -------
        dict
            The data with ``energies`` (eV), ``forces`` (eV/Angstrom) and, for periodic
            frames and a calculator with stress, ``virials`` (eV). An exception of the
            calculator passes through.
        """
        labels = [self._label_frame(atoms) for atoms in to_atoms(data)]
        energies, forces, virials = zip(*labels, strict=True)
        labeled = {**data, "energies": np.array(energies), "forces": np.array(forces)}
        if all(virial is not None for virial in virials):
            labeled["virials"] = np.array(virials)
        return labeled

    def _label_frame(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray | None]:
        from ase.calculators.calculator import PropertyNotImplementedError

        # A calculator that starts from its previous result makes the labels
        # depend on the order of the frames.
        if hasattr(self.calculator, "reset"):
            self.calculator.reset()
        atoms.calc = self.calculator
        try:
            # With electronic smearing the forces belong to the free energy.
            energy = atoms.get_potential_energy(force_consistent=True)
        except PropertyNotImplementedError:
            energy = atoms.get_potential_energy()
        forces = atoms.get_forces()
        virial = None
        if atoms.pbc.all():
            try:
                virial = -atoms.get_volume() * atoms.get_stress(voigt=False)
            except PropertyNotImplementedError:
                pass
        return energy, forces, virial


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
    IpipError
        If the path is malformed, the package is not installed, or the class is not in it.
    """
    if not re.fullmatch(IMPORT_PATH, path):
        raise IpipError(f'calculator {path!r}: expected "module:Class", for example "tblite.ase:TBLite"')
    module_name, _, class_name = path.partition(":")
    package, *submodules = module_name.split(".")
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # __main__ and other modules without a file
        spec = None
    if spec is None:
        raise IpipError(f"calculator {path!r} cannot be imported: no package {package}{_how_to_install(package)}")
    name = package
    for submodule in submodules:
        name = f"{name}.{submodule}"
        locations = spec.submodule_search_locations
        spec = PathFinder.find_spec(name, locations) if locations is not None else None
        if spec is None:
            raise IpipError(f"calculator {path!r} cannot be imported: No module named {name!r}")
    if spec.origin is not None and spec.origin.endswith(".py"):
        source = Path(spec.origin).read_text(encoding="utf-8", errors="replace")
        if not any(word in source for word in (class_name, "import *", "__getattr__")):
            raise IpipError(f"calculator {path!r} cannot be imported: module {module_name} has no {class_name}")


def _how_to_install(package: str) -> str:
    return f'; install it with: pip install "ipip-dp[{EXTRAS[package]}]"' if package in EXTRAS else ""


def _import_class(path: str) -> Any:
    require_class(path)
    module_name, _, class_name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # whatever a module raises when it is imported
        raise IpipError(f"calculator {path!r} cannot be imported: {error}") from error
    # Anything else, such as os:system, would be called with the kwargs all the same.
    if not (isinstance(found, type) and all(hasattr(found, name) for name in METHODS)):
        raise IpipError(f"calculator {path!r} is no ASE calculator: expected a class with {' and '.join(METHODS)}")
    return found
