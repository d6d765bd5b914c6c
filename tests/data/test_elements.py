# SPDX-License-Identifier: LGPL-3.0-or-later
"""What atoms a system has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipip_dp.data import elements
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from pathlib import Path


def test_bad_type_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "type.raw").write_text("0 one\n")
    with pytest.raises(IpipError, match="type_map.raw: missing"):
        elements.read_types(tmp_path)
    (tmp_path / "type_map.raw").write_text("Mo\nS\n")
    with pytest.raises(IpipError, match="type.raw: expected the type of every atom"):
        elements.read_types(tmp_path)


def system(folder: Path, types: str, names: str | None) -> Path:
    folder.mkdir()
    (folder / "type.raw").write_text(types)
    if names is not None:
        (folder / "type_map.raw").write_text(names)
    return folder


def test_atoms_keep_their_elements_under_another_list(tmp_path: Path) -> None:
    types = elements.read_types(system(tmp_path / "a", "1\n0\n1\n", "Mo S"))
    assert (types["atom_names"], types["atom_numbs"]) == (["Mo", "S"], [1, 2])
    other = elements.renamed(types, ["S", "O", "Mo"])
    assert [other["atom_names"][number] for number in other["atom_types"]] == ["S", "Mo", "S"]
    assert other["atom_numbs"] == [2, 0, 1]


def test_a_system_without_names_has_those_of_the_run(tmp_path: Path) -> None:
    folder = system(tmp_path / "a", "0 1", None)
    assert elements.read_types(folder, ["S", "Mo"])["atom_names"] == ["S", "Mo"]
    with pytest.raises(IpipError, match=r"type.raw: expected types from 0 to 0 for \['S'\], found 1"):
        elements.read_types(folder, ["S"])


@pytest.mark.parametrize("types", ["0 -1", "0 2"])
def test_types_without_an_element_are_refused(tmp_path: Path, types: str) -> None:
    with pytest.raises(IpipError, match=r"expected types from 0 to 1 for \['Mo', 'S'\], found (-1|2)"):
        elements.read_types(system(tmp_path / "a", types, "Mo S"))


def test_systems_of_one_run_have_one_order_of_elements(tmp_path: Path) -> None:
    folders = [system(tmp_path / name, "0", names) for name, names in (("a", "Mo S"), ("b", "Mo S"), ("c", "S Mo"))]
    elements.require_same_elements(folders[:2])
    elements.require_same_elements(folders[:2], ["Mo", "S"])
    with pytest.raises(IpipError, match=r"c/type_map.raw: type_map is \['S', 'Mo'\], but other data .* \['Mo', 'S'\]"):
        elements.require_same_elements(folders)
    with pytest.raises(IpipError, match="a/type_map.raw"):
        elements.require_same_elements(folders[:2], ["S", "Mo"])
