# SPDX-License-Identifier: LGPL-3.0-or-later
"""dpdata format ``ipip/labels``: the output folder of ``ipip label`` and ``ipip md``.

The folder holds one deepmd/npy system per composition, ``failed.json`` and, written
last, the marker ``labels.json``. With ``fp_style: custom`` DP-GEN reads it through
``"output_fn": "labels", "output_fmt": "ipip/labels"``.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpdata.format import Format

from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKER = "labels.json"
FAILED = "failed.json"


@dataclass(frozen=True)
class Failure:
    """A frame without labels: its file, its number in there, and why."""

    source: str
    frame: int
    reason: str


@dataclass(frozen=True)
class LabelSummary:
    """What became of the frames of a labelling job."""

    total: int
    labelled: int
    failures: tuple[Failure, ...]

    def __str__(self) -> str:
        """Counts and the commonest reasons of failure."""
        reasons = Counter(failure.reason for failure in self.failures).most_common(3)
        text = f"{self.labelled} of {self.total} frames labelled, {len(self.failures)} failed"
        return text + "".join(f"; {count} x {reason}" for reason, count in reasons)


def read_marker(folder: Path) -> dict[str, Any] | None:
    """Return the contents of a label folder's marker; None when it is not finished."""
    marker = folder / MARKER
    return json.loads(marker.read_text()) if marker.is_file() else None


def system_folders(folder: Path) -> list[Path]:
    """Return the deepmd/npy systems of a finished label folder.

    Raises
    ------
    IpipError
        If the folder is not a finished label folder.
    """
    marker = read_marker(folder)
    if marker is None:
        raise IpipError(
            f"{folder} has no {MARKER}: it is no label folder or the labelling did not finish; "
            "run the same command again to finish it"
        )
    return [folder / name for name in marker["systems"]]


@Format.register("ipip/labels")
class LabelsFormat(Format):
    """Finished output folder of ``ipip label``: zero frames when every frame failed."""

    def from_labeled_system(
        self, file_name: str | Path, type_map: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any] | None:
        """Load the folder's only system, or one system of the folder.

        Parameters
        ----------
        file_name : str or Path
            The label folder, or a system folder in it.
        type_map : list of str, optional
            Requested order of the elements.
        **kwargs : dict
            Ignored; dpdata passes its common options to every format.

        Returns
        -------
        dict or None
            dpdata data dictionary; None (zero frames to dpdata) when every frame failed.

        Raises
        ------
        IpipError
            If the labelling is not finished or the folder holds several systems.
        """
        from dpdata.formats.deepmd.comp import to_system_data

        folder = Path(file_name)
        systems = [folder] if (folder / "type.raw").is_file() else system_folders(folder)
        if not systems:
            return None
        if len(systems) > 1:
            raise IpipError(
                f"{folder} holds {len(systems)} systems; read it with "
                'dpdata.MultiSystems.from_file(folder, fmt="ipip/labels")'
            )
        return to_system_data(str(systems[0]), type_map=type_map, labels=True)

    def from_multi_systems(self, directory: str | Path, **kwargs: Any) -> Iterator[str]:
        """Yield the system folders, for dpdata.MultiSystems.

        Parameters
        ----------
        directory : str or Path
            The label folder.
        **kwargs : dict
            Ignored; dpdata passes its common options to every format.

        Yields
        ------
        str
            The path of a system in it.
        """
        yield from map(str, system_folders(Path(directory)))
