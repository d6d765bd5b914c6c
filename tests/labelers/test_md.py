# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip md`: labelled frames of a trajectory."""

from __future__ import annotations

import json
from pathlib import Path

import dpdata
import numpy as np
import pytest

from ipip_dp.data import systems
from ipip_dp.data.gate import Gate
from ipip_dp.errors import IpipError
from ipip_dp.labelers import make_labeler
from ipip_dp.labelers.md import md

from .conftest import MD_SETTINGS, SW, TYPE_MAP, XTB, drive, mos2

pytestmark = pytest.mark.usefixtures("poscar")


@pytest.mark.parametrize("config", [SW, XTB], ids=["lammps", "ase"])
def test_frames_move_thermally_and_carry_the_labelers_labels(config):
    nsteps, interval = (40, 10) if config is SW else (10, 5)
    summary = drive(config, nsteps=nsteps, interval=interval)
    assert summary.labelled == nsteps // interval and not summary.failures
    labeled = dpdata.LabeledSystem("labels", fmt="ipip/labels")
    assert labeled["atom_names"] == TYPE_MAP
    again = dpdata.System(data={k: v for k, v in labeled.data.items()}).predict(driver=make_labeler(config, TYPE_MAP))
    # GFN1 starts its cycle from the step before, which moves its forces by up to 2e-4 eV/Angstrom
    np.testing.assert_allclose(again["forces"], labeled["forces"], atol=1e-6 if config is SW else 2e-4)
    report = json.loads(Path("labels/md.json").read_text())
    assert 0 < report["seconds_per_step"] < 5 and report["stopped"] is None


@pytest.mark.parametrize("config", [SW, XTB], ids=["lammps", "ase"])
def test_boundaries_can_be_dropped(config):
    drive(config, nsteps=4, interval=2, nopbc=True)
    (system,) = systems.find([Path("labels")])
    assert systems.is_open(system) and not list(system.glob("set.*/virial.npy"))


@pytest.mark.parametrize("config", [SW, XTB], ids=["lammps", "ase"])
def test_explosion_keeps_the_good_frames_and_says_why(config):
    max_force = 4.0 if config is SW else 5.0
    summary = drive(config, temperature=3000.0, nsteps=40, interval=2, gate=Gate(max_force=max_force))
    assert 0 < summary.labelled < 20
    (failure,) = summary.failures
    assert failure.reason.startswith("MD stopped: max-force") and failure.frame == 2 * (summary.labelled + 1)
    assert json.loads(Path("labels/failed.json").read_text())[0]["source"] == "POSCAR"
    assert json.loads(Path("labels/md.json").read_text())["stopped"] == failure.reason


def test_finished_run_is_not_repeated_and_a_trajectory_is_kept(monkeypatch):
    first = drive()
    times = {path: path.stat().st_mtime_ns for path in Path("labels").rglob("*.npy")}
    assert drive() == first
    assert times == {path: path.stat().st_mtime_ns for path in Path("labels").rglob("*.npy")}
    with pytest.raises(IpipError, match="belongs to another MD run"):
        drive(temperature=301.0)


def test_a_killed_labelling_does_not_cost_the_trajectory(monkeypatch):
    from ipip_dp.labelers import md as module

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "label_groups", killed)
        drive()
    monkeypatch.setattr(module, "run_md", killed)
    assert drive().labelled == 4


def test_start_must_be_one_structure():
    mos2(n_frames=2).to("deepmd/npy", "two")
    with pytest.raises(IpipError, match="two holds 2 structures"):
        md(Path("two"), Path("labels"), SW, type_map=TYPE_MAP, gate=Gate(), **MD_SETTINGS)
