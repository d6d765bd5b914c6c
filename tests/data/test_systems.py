# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipip_dp.data import systems
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from pathlib import Path


def test_sets_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("set.1000", "set.000", "set.999", "set.002"):
        (tmp_path / name).mkdir()
    assert [path.name for path in systems.sets(tmp_path)] == ["set.000", "set.002", "set.999", "set.1000"]


def test_systems_are_found_at_any_depth(tmp_path: Path) -> None:
    for name in ("b", "a/x/y"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "type.raw").write_text("0\n")
    assert systems.below(tmp_path) == [tmp_path / "a" / "x" / "y", tmp_path / "b"]
    assert systems.below(tmp_path / "a" / "x" / "y") == [tmp_path / "a" / "x" / "y"]
    with pytest.raises(IpipError, match="data folder .*nowhere does not exist"):
        systems.below(tmp_path / "nowhere")


def test_links_are_followed_but_no_folder_is_searched_twice(tmp_path: Path) -> None:
    for name in ("elsewhere/inner", "data/a", "data/.unfinished"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "type.raw").write_text("0\n")
    (tmp_path / "data/linked").symlink_to(tmp_path / "elsewhere/inner")
    (tmp_path / "data/more").symlink_to(tmp_path / "elsewhere")
    for name in ("data/up", "data/a/up", "elsewhere/up"):  # as many ways round as there are paths
        (tmp_path / name).symlink_to(tmp_path / "data")
    found = [str(path.relative_to(tmp_path)) for path in systems.below(tmp_path / "data")]
    assert found == ["data/a", "data/linked", "data/more/inner"]
