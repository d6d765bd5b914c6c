# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from ipip_dp.config import inputs
from ipip_dp.errors import IpipError
from ipip_dp.labelers import labeler_arguments, make_labeler
from ipip_dp.new import labelers


@pytest.mark.parametrize("name", labelers.NAMES)
def test_sections_fit_the_schema(name):
    inputs.require_schema(labeler_arguments("teacher", ""), labelers.section(name, ["Cu", "Al"]), name)


def test_emt_is_only_for_its_metals():
    assert make_labeler(labelers.section("emt", ["Cu", "Pt"]), ["Cu", "Pt"])
    with pytest.raises(IpipError, match="emt does not know Mo, S; it is for Al, Ni"):
        labelers.section("emt", ["Cu", "Mo", "S"])
    with pytest.raises(IpipError, match="chgnet does not know Rn"):
        labelers.section("chgnet", ["Rn"])


def test_a_labeler_of_ones_own(tmp_path):
    own = {"type": "ase", "calculator": "ase.calculators.lj:LennardJones"}
    (tmp_path / "lj.json").write_text(json.dumps(own))
    assert labelers.section(str(tmp_path / "lj.json"), ["Ar"]) == own
    (tmp_path / "lj.json").write_text(json.dumps({"type": "ase", "calculater": "x"}))
    with pytest.raises(IpipError, match="did you mean calculator"):
        labelers.section(str(tmp_path / "lj.json"), ["Ar"])
    with pytest.raises(IpipError, match="chgent: expected one of chgnet"):
        labelers.section("chgent", ["Ar"])


def test_the_default_is_installed_and_labels_the_structures():
    assert labelers.default(["Cu"], periodic=True) == "chgnet"
    assert labelers.default(["O", "H"], periodic=False) != "chgnet"  # which labels periodic structures only
    assert labelers.default(["Rn"], periodic=True) == "xtb"
