# SPDX-License-Identifier: LGPL-3.0-or-later
"""Labelled systems of the user's are checked as a whole before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipip_dp.data import labelled, systems
from ipip_dp.data.frames import joined
from ipip_dp.errors import IpipError
from tests.data.conftest import TYPE_MAP, make_system

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Ten frames in sets of four."""
    systems.write(make_system("O Mo S O"), tmp_path / "data", set_size=4)
    return tmp_path / "data"


def test_frames_are_read_in_the_order_of_the_files(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "BLOCK_NUMBERS", 3 * 12)
    blocks = list(labelled.read(system, TYPE_MAP))
    assert [len(block) for block in blocks] == [3, 1, 3, 1, 2]
    whole = joined(blocks)
    assert whole["energies"].tolist() == list(range(10))
    assert [TYPE_MAP[number] for number in whole["atom_types"]] == ["O", "Mo", "S", "O"]
    assert labelled.check_frames(system) == 10


def test_elements_get_the_numbers_of_the_run(system: Path) -> None:
    assert labelled.types_in(system, ["Mo", "W", "S", "Se", "O"])["atom_types"].tolist() == [4, 0, 2, 4]
    (system / "type_map.raw").write_text("O Mo S")
    with pytest.raises(IpipError, match=r"type_map.raw: the order \['O', 'Mo', 'S'\] differs from type_map"):
        labelled.types_in(system, TYPE_MAP)
    with pytest.raises(IpipError, match="type_map.raw: element S is not in type_map"):
        labelled.types_in(system, ["O", "Mo"])


def last_set(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def apply(system: Path) -> None:
        path = system / "set.002" / f"{name}.npy"
        np.save(path, change(np.load(path)))

    return apply


def with_infinity(array: np.ndarray) -> np.ndarray:
    array[1] = np.inf
    return array


DAMAGE = {
    "a frame less": (last_set("energy", lambda a: a[1:]), r"set.002: files disagree on the number of frames"),
    "infinity": (last_set("coord", with_infinity), r"set.002/coord.npy: NaN or infinity in 1 of 2 frames, .* frame 1"),
    "flat cell": (
        last_set("box", lambda a: a * [1, 1, 1, 1, 1, 1, 0, 0, 0]),
        r"box.npy: the cell of frame 0 .* no vol",
    ),
    "virials": (last_set("virial", lambda a: a[:1]), r"set.002/virial.npy: has 1 frames, but coord.npy 2"),
    "objects": (last_set("energy", lambda a: a.astype("U9")), r"set.002/energy.npy has shape \(2,.* and type <U9"),
    "no cell": (lambda system: (system / "set.002" / "box.npy").unlink(), r"set.002/box.npy is missing"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_nothing_is_read_of_data_with_one_bad_set(system: Path, what: str) -> None:
    damage, message = DAMAGE[what]
    damage(system)
    with pytest.raises(IpipError, match=message):
        labelled.read(system, TYPE_MAP)


def test_an_open_system_needs_no_cells(system: Path) -> None:
    for path in systems.sets(system):
        (path / "box.npy").unlink()
    (system / "nopbc").touch()
    assert labelled.check_frames(system) == 10
    assert all(block.nopbc for block in labelled.read(system, TYPE_MAP))


def test_digests_tell_frames_apart_and_find_the_same_one_elsewhere(system: Path, tmp_path: Path) -> None:
    digests = labelled.frame_digests(system)
    assert len(digests) == len(set(digests)) == 10
    copy = tmp_path / "copy"
    systems.write(make_system("O Mo S O"), copy, precision=np.float32)
    assert labelled.frame_digests(copy) == digests
