import json
from pathlib import Path

import dpdata
import numpy as np
import pytest

from ipip_dp.errors import IpipError
from ipip_dp.labelers import make_driver
from ipip_dp.labelers.dynamics import MDSettings, run_md
from ipip_dp.labelers.md import md
from ipip_dp.selection import Gate

from .conftest import SW, TYPE_MAP, XTB, mos2

SETTINGS = {"temperature": 300.0, "timestep": 1.0, "nsteps": 40, "interval": 10, "friction": 0.01, "seed": 7}


def run(config=SW, output="labels", gate=None, **changes):
    return md(Path("POSCAR"), Path(output), config, type_map=TYPE_MAP, gate=gate or Gate(), **{**SETTINGS, **changes})


@pytest.fixture(autouse=True)
def start():
    mos2(size=(2, 2, 1), sigma=0.0).to("vasp/poscar", "POSCAR")


@pytest.mark.parametrize("config", [SW, XTB], ids=["lammps", "ase"])
def test_frames_move_thermally_and_carry_the_labelers_labels(config):
    nsteps, interval = (40, 10) if config is SW else (10, 5)
    summary = run(config, nsteps=nsteps, interval=interval)
    assert summary.labelled == nsteps // interval and not summary.failures
    labeled = dpdata.LabeledSystem("labels", fmt="ipip/labels")
    assert labeled["atom_names"] == TYPE_MAP
    again = dpdata.System(data={k: v for k, v in labeled.data.items()}).predict(driver=make_driver(config, TYPE_MAP))
    np.testing.assert_allclose(again["forces"], labeled["forces"], atol=1e-6)
    report = json.loads(Path("labels/md.json").read_text())
    assert 0 < report["seconds_per_step"] < 5 and report["stopped"] is None


@pytest.mark.parametrize("config", [SW, XTB], ids=["lammps", "ase"])
def test_first_femtosecond_is_free_flight_at_the_temperature(config):
    """Catches a wrong unit of time, mass, temperature or friction."""
    system = mos2(size=(3, 3, 1) if config is SW else (2, 1, 1), sigma=0.0)
    start = system["coords"][0]
    masses = np.array([95.95, 32.06])[system["atom_types"]]
    temperatures = []
    for seed in range(3 if config is SW else 6):
        settings = MDSettings(1000.0, 0.1, 10, 10, 1e-4, seed)
        coords = run_md(config, system, settings, type_map=TYPE_MAP, gate=Gate()).coords[0]
        moved = coords - start
        fractional = moved @ np.linalg.inv(system["cells"][0])
        velocity = (fractional - np.round(fractional)) @ system["cells"][0]  # Angstrom/fs
        # 1 amu (Angstrom/fs)^2 = 103.6427 eV; 3 degrees of freedom belong to the centre of mass
        kinetic = 0.5 * 103.6427 * (masses[:, None] * velocity**2).sum()
        temperatures.append(2 * kinetic / ((3 * len(masses) - 3) * 8.617333e-5))
    assert np.mean(temperatures) == pytest.approx(1000.0, rel=0.2)


def test_strong_friction_keeps_the_temperature_up():
    """Langevin noise and damping of LAMMPS balance: cold atoms are heated within 1/friction."""
    run(SW, nsteps=4000, interval=20, friction=0.05, temperature=300.0)
    labeled = dpdata.LabeledSystem("labels", fmt="ipip/labels")
    energies = labeled["energies"][50:]
    minimum = dpdata.System("POSCAR", type_map=TYPE_MAP).predict(driver=make_driver(SW, TYPE_MAP))["energies"][0]
    per_mode = (energies.mean() - minimum) / (1.5 * 12 * 8.617333e-5)  # harmonic: kT/2 per coordinate
    assert 150 < per_mode < 450


@pytest.mark.parametrize("config", [SW, XTB], ids=["lammps", "ase"])
def test_seed_decides_the_trajectory(config):
    system = mos2()

    def last(seed):
        settings = MDSettings(300.0, 1.0, 4, 4, 0.01, seed)
        return run_md(config, system, settings, type_map=TYPE_MAP, gate=Gate()).coords[-1]

    np.testing.assert_allclose(last(1), last(1), atol=1e-9)
    assert np.abs(last(1) - last(2)).max() > 1e-3


@pytest.mark.parametrize("config", [SW, XTB], ids=["lammps", "ase"])
def test_explosion_keeps_the_good_frames_and_says_why(config):
    max_force = 20.0 if config is SW else 5.0
    summary = run(config, temperature=3000.0, nsteps=40, interval=2, gate=Gate(max_force=max_force))
    assert 0 < summary.labelled < 20
    (failure,) = summary.failures
    assert failure.reason.startswith("MD stopped: max-force") and failure.frame == 2 * (summary.labelled + 1)
    assert json.loads(Path("labels/failed.json").read_text())[0]["source"] == "POSCAR"
    assert json.loads(Path("labels/md.json").read_text())["stopped"] == failure.reason


def test_lammps_that_dies_keeps_the_frames_before():
    summary = run(SW, temperature=300.0, timestep=1000.0, nsteps=2000, interval=1, gate=Gate(1e-6, 1e30))
    assert summary.failures and "MD stopped" in summary.failures[-1].reason


def test_finished_run_is_not_repeated_and_a_trajectory_is_kept(monkeypatch):
    first = run()
    times = {path: path.stat().st_mtime_ns for path in Path("labels").rglob("*.npy")}
    assert run() == first
    assert times == {path: path.stat().st_mtime_ns for path in Path("labels").rglob("*.npy")}
    with pytest.raises(IpipError, match="belongs to another MD run"):
        run(temperature=301.0)


def test_a_killed_labelling_does_not_cost_the_trajectory(monkeypatch):
    from ipip_dp.labelers import md as module

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "label_groups", killed)
        run()
    monkeypatch.setattr(module, "run_md", killed)
    assert run().labelled == 4


def test_start_must_be_one_structure():
    mos2(n_frames=2).to("deepmd/npy", "two")
    with pytest.raises(IpipError, match="two holds 2 structures"):
        md(Path("two"), Path("labels"), SW, type_map=TYPE_MAP, gate=Gate(), **SETTINGS)
