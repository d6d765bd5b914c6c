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
