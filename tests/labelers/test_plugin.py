# SPDX-License-Identifier: LGPL-3.0-or-later
"""A kind of labeler from another package: one file there, nothing here."""

from __future__ import annotations

import json
import sys

import pytest

MODULE = '''
import numpy as np
from dargs import Argument
from ipip_dp.labelers import Labeler


class Springs(Labeler):
    """Every atom on a spring."""

    def __init__(self, constant):
        self.constant = constant

    @classmethod
    def arguments(cls):
        return [Argument("constant", float, doc="In eV/Angstrom^2.")]

    @classmethod
    def known_elements(cls, config):
        return ["Mo", "S"]

    @classmethod
    def check(cls, config, here):
        if config["constant"] > 100:
            yield "constant", f"too stiff: {config['constant']}"

    def label(self, data):
        away = data["coords"] - data["coords"].mean(axis=1, keepdims=True)
        return {
            **data,
            "energies": 0.5 * self.constant * np.sum(away**2, axis=(1, 2)),
            "forces": -self.constant * away,
        }
'''


@pytest.fixture
def springs(tmp_path) -> str:
    """A folder for PYTHONPATH with an installed package that has a labeler, and one whose labeler is broken."""
    (tmp_path / "springs.py").write_text(MODULE)
    info = tmp_path / "springs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: springs\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[ipip_dp.labelers]\nsprings = springs:Springs\nbroken = nowhere:Labeler\nase = springs:Springs\n"
    )
    return str(tmp_path)


def test_it_is_checked_like_ours(quick, springs):
    param = quick.param
    for teacher, words in (
        ({"type": "springs", "constant": 0.5}, "no problem found"),
        ({"type": "springs", "constant": 200.0}, "ipip.teacher.constant: too stiff: 200.0"),
        ({"type": "springs", "konstant": 1.0}, "ipip.teacher.konstant: unknown key; did you mean constant?"),
        ({"type": "spring", "constant": 1.0}, 'found "spring"; did you mean springs?'),
    ):
        param["ipip"]["teacher"] = teacher
        quick.param = param
        assert words in quick("ipip", "check", PYTHONPATH=springs).stdout
    assert "Every atom on a spring." in quick("ipip", "doc", PYTHONPATH=springs).stdout


def test_one_that_cannot_be_loaded_takes_no_other_down(quick, springs):
    (quick.folder / "kinds.py").write_text("from ipip_dp.labelers.registry import kinds\nprint('KINDS', *kinds())\n")
    done = quick(sys.executable, "kinds.py", PYTHONPATH=springs)
    assert "KINDS lammps ase dp springs" in done.stdout
    assert "labeler type broken (nowhere:Labeler) cannot be used" in done.stdout
    assert (
        "labeler type ase (springs:Springs) cannot be used: ValueError: there is a labeler of this type already"
        in done.stdout
    )


def test_it_labels_and_drives_md(quick, springs):
    labeler = {"type": "springs", "constant": 0.1}
    (quick.folder / "labeler.json").write_text(json.dumps(labeler))
    words = ["--labeler", "labeler.json", "--type-map", "Mo,S"]
    done = quick("ipip", "label", "data/held_out", "labels", *words, PYTHONPATH=springs)
    assert "0 failed" in done.stdout
    settings = {
        **{"labeler": labeler, "type_map": ["Mo", "S"], "format": "vasp/poscar", "temperatures": [300, 600]},
        **{"nsteps": 20, "interval": 5, "timestep": 1.0, "friction": 0.01, "seed": 1},
        **{"min_distance": 0.5, "max_force": 100.0},
    }
    (quick.folder / "md.json").write_text(json.dumps(settings))
    start = "structures/mos2_mono27.vasp"
    done = quick("ipip", "md", start, "md", "--settings", "md.json", PYTHONPATH=springs)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("4 of 4 frames labelled") == 2


@pytest.mark.long
@pytest.mark.slow
def test_it_teaches_a_run(tmp_path, springs):
    from tests.conftest import DPGEN, short

    run = short(tmp_path / "run")
    param = run.param
    param["ipip"]["teacher"] = {"type": "springs", "constant": 0.5}
    param["ipip"]["teacher_md"].update(temperatures=[300])
    param.update(model_devi_jobs=[])
    run.param = param
    done = run(*DPGEN, PYTHONPATH=springs)
    assert done.returncode == 0, done.stdout[-3000:]
    metrics = json.loads((run.folder / "iter.000000/00.ipip/evaluate/metrics.json").read_text())
    assert metrics["pool_labels"] == {"teacher": {"0": 10}}
