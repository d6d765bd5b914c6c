"""dpdata format ``ipip/labels``: the output folder of ``ipip label`` and ``ipip md``.

The folder holds one deepmd/npy system per composition, ``failed.json`` and, written
last, the marker ``labels.json``. With ``fp_style: custom`` DP-GEN reads it through
``"output_fn": "labels", "output_fmt": "ipip/labels"``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpdata.format import Format

from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKER = "labels.json"
FAILED = "failed.json"


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
        """Yield the system folders, for dpdata.MultiSystems."""
        yield from map(str, system_folders(Path(directory)))
