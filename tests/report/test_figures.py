# SPDX-License-Identifier: LGPL-3.0-or-later
"""Colours that can be told from the page in light and dark, and figures of the sizes that runs have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipip_dp.report import figures, page
from ipip_dp.report.costs import Cost
from ipip_dp.report.exploration import Explored
from ipip_dp.report.held_out import Cloud
from ipip_dp.report.pictures import save, style

if TYPE_CHECKING:
    from pathlib import Path

BACKGROUNDS = re.findall(r"--page: (#[0-9a-f]{6})", page.TEMPLATE.read_text())


def luminance(color: str) -> float:
    """As the Web Content Accessibility Guidelines have it."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("name", ["STUDENTS", "TEACHER", "EXPLORED", "REFERENCE", "OTHER"])
def test_contrast(name, background):
    one, other = sorted([luminance(getattr(figures, name)), luminance(background)])
    assert len(BACKGROUNDS) == 2
    assert (other + 0.05) / (one + 0.05) >= 3


def drawn(tmp_path: Path, figure) -> str:
    return save(figure, tmp_path / "figure")


@pytest.mark.parametrize("number", [1, 2, 3, 20])
def test_parity_of_few_and_many(tmp_path, number):
    points = np.random.default_rng(0).normal(size=(200, 3))
    points[:50, 2] = np.nan
    clouds = {f"Mo{n}": Cloud(points, (0.1234, 0.5), 200) for n in range(number)}
    with style():
        svg = drawn(tmp_path, figures.parity(clouds, "eV/Å", 3))
    assert svg.count("RMSE 0.123, teacher 0.500") == min(number, figures.PANELS)


@pytest.mark.parametrize("number", [1, 30])
def test_deviations_of_few_and_many_iterations(tmp_path, number):
    values = np.random.default_rng(0).lognormal(-1, 0.5, 500)
    with style():
        svg = drawn(tmp_path, figures.deviations([Explored(n, values, (0.2, 0.6), {}, []) for n in range(number)]))
    assert svg.count("upper trust level") == 1


def test_all_deviations_alike(tmp_path):
    with style():
        drawn(tmp_path, figures.deviations([Explored(0, np.array([0.3]), (0.2, 0.6), {}, [])]))


@pytest.mark.parametrize(("hours", "unit"), [(0.1, "minutes"), (5.0, "hours")])
def test_time_in_a_fitting_unit(tmp_path, hours, unit):
    with style():
        assert unit in drawn(tmp_path, figures.costs([Cost("pretraining", hours, None, None)]))
