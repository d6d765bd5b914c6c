# SPDX-License-Identifier: LGPL-3.0-or-later
"""Settings, versions, seeds and the paragraph for a paper."""

from __future__ import annotations

import re

import pytest

from ipip_dp import workdir
from ipip_dp.report import run, settings
from ipip_dp.workdir import Iteration
from tests.report.conftest import evaluated


def test_only_what_differs_from_defaults_is_listed(make_context):
    changes = {"forget": {"method": "none"}, "trust": "auto", "pool": {"retention": 1.0}}
    workdir.write_json(workdir.STARTED, make_context(ipip=changes).jdata)
    found = {path: (value, default) for path, value, default in settings.differences(run.load())}
    assert found["ipip.forget.method"] == ("none", "shrink_perturb")
    assert found["ipip.trust"] == ("auto", "given")
    assert found["ipip.held_out"] == (["data/held_out"], None)
    assert not any(path.startswith(("ipip.pool", "ipip.stop", "ipip.forget.at")) for path in found)


def test_versions_and_seeds(empty):
    log = Iteration(0).exploration / "task.000.000000" / "log.lammps"
    workdir.write_text(log, "LAMMPS (22 Jul 2025 - Update 2)\nmore\n")
    training = {"model": {"descriptor": {"seed": 5}, "fitting_net": {"seed": 7}}, "training": {"seed": 9, "x": 1}}
    workdir.write_json(Iteration(0).student(0) / "input.json", training)
    found = run.load()
    versions = settings.versions(found)
    assert versions["LAMMPS"] == "22 Jul 2025 - Update 2"
    assert re.match(r"0\.14", versions["dpgen"])
    assert {name.partition("_")[0] for name in versions} >= {"ipip-dp", "deepmd-kit", "tensorflow", "tblite"}
    assert not {"torch", "sevenn", "ase"} & set(versions)  # the teacher is one of LAMMPS
    assert settings.seeds(found, Iteration(0)) == {
        "ipip.seed": "1",
        "iter.000000/00.train/000": "descriptor 5, fitting_net 7, training 9",
    }


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (
            {"type": "lammps", "pair_style": "sw/mod", "pair_coeff": ["* * tmd.sw.mod Mo S"]},
            "the LAMMPS pair style sw/mod (* * tmd.sw.mod Mo S)",
        ),
        ({"type": "ase", "calculator": "tblite.ase:TBLite", "kwargs": {"method": "GFN1-xTB"}}, "TBLite (GFN1-xTB)"),
        ({"type": "ase", "calculator": "ase.calculators.emt:EMT"}, "EMT"),
        ({"type": "dp", "models": ["DPA-3.pt"]}, "the DeePMD model DPA-3.pt"),
        ({"type": "mine"}, "a labeler of type mine"),
    ],
)
def test_labelers_in_words(section, words):
    assert settings.labeler(section) == words


def test_the_paragraph_has_the_numbers_of_the_run(empty):
    evaluated(0, [0.31, 0.29], 0.3)
    evaluated(1, [0.21, 0.19], 0.2, reference_frames=28)
    text = settings.methods(run.load())
    for words in (
        "Mo-S",
        "sw/mod",
        "GFN1-xTB",
        "300, 800 K",
        "24 frames, which had grown to 28",
        "0.200 eV/Å",
        "2.0 meV/atom",
    ):
        assert words in text
    assert "[1]" in text and text.count("\n") == 0


def test_citations():
    text = settings.CITATIONS.read_text()
    assert text.count("@") == 4
    assert all(word in text for word in ("2507.20118", "10.1016/j.cpc.2020.107206", "10.1063/5.0155600"))
