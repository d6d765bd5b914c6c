# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip label`: many frames, some of which fail, in a job that may be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import dpdata
import numpy as np
import pytest

from ipip_dp.data import provenance
from ipip_dp.data import systems as on_disk
from ipip_dp.data.gate import Gate
from ipip_dp.errors import IpipError
from ipip_dp.labelers import make_labeler

from .conftest import SW, TYPE_MAP, XTB, calls, counting, interleaved, label, mos2, write

pytestmark = pytest.mark.usefixtures("counting_calculator")


def test_mixed_input_keeps_atoms_frames_and_reasons(tmp_path):
    """Interleaved and grouped atoms, several formulas, one bad frame."""
    grouped = mos2(n_frames=3, seed=1).to("ase/structure")
    grouped[1].positions[1] = grouped[1].positions[0] + 0.01
    atoms = [grouped[0], interleaved(), grouped[1], grouped[2]]
    ase.io.write("frames.extxyz", atoms)
    summary = label("frames.extxyz", XTB)
    assert (summary.total, summary.labelled) == (4, 3)
    assert [(f.source, f.frame) for f in summary.failures] == [("frames.extxyz", 2)]
    assert summary.failures[0].reason.startswith("min-distance: two atoms are 0.017 A apart")
    assert json.loads(Path("labels/failed.json").read_text())[0]["frame"] == 2

    systems = dpdata.MultiSystems.from_file("labels", fmt="ipip/labels")
    assert systems.get_nframes() == 3
    driver = make_labeler(XTB, TYPE_MAP)
    sulphide = dpdata.LabeledSystem("labels/Mo1S2O0", fmt="deepmd/npy")
    oxide = dpdata.LabeledSystem("labels/Mo1S3O2", fmt="deepmd/npy")
    assert sulphide["atom_names"] == oxide["atom_names"] == TYPE_MAP
    for frame, reference in ((oxide[0], atoms[1]), (sulphide[0], atoms[0]), (sulphide[1], atoms[3])):
        assert [TYPE_MAP[t] for t in frame["atom_types"]] == reference.get_chemical_symbols()
        reference.calc = driver.calculator
        np.testing.assert_allclose(frame["coords"][0], reference.positions, atol=1e-7)
        np.testing.assert_allclose(frame["forces"][0], reference.get_forces(), atol=1e-4)
        np.testing.assert_allclose(frame["energies"][0], reference.get_potential_energy(), atol=1e-5)
    assert not Path("labels/.partial").exists()


def test_unknown_element_and_large_force_are_reasons(tmp_path):
    frames = mos2(n_frames=2).to("ase/structure")
    frames[1].positions[1] += [0, 0, -1.2]
    ase.io.write("frames.extxyz", [*frames, interleaved()])
    summary = label("frames.extxyz", gate=Gate(max_force=5.0), min_success=0.3)
    assert [f.reason.split(":")[0] for f in summary.failures] == ["max-force", "the labeler does not know O"]


def test_too_few_successes_is_an_error_and_the_next_start_retries_the_failures():
    system = mos2(n_frames=4)
    limit = float(np.sort(system["coords"][:, 0, 0])[0])
    write(system)
    config = counting(fail_above=limit)
    with pytest.raises(IpipError, match="1 of 4 frames labelled, 3 failed; 3 x RuntimeError: SCF not converged"):
        label("data", config)
    assert len(calls()) == 4
    assert len(json.loads(Path("labels/failed.json").read_text())) == 3
    summary = label("data", config, min_success=0.0)
    assert summary.labelled == 1
    assert len(calls()) == 7  # the one success was not computed again


def test_all_failed_gives_zero_frames_when_allowed():
    write(mos2(n_frames=2))
    summary = label("data", counting(fail_above=-1e9), min_success=0.0)
    assert (summary.total, summary.labelled) == (2, 0)
    assert len(dpdata.LabeledSystem("labels", fmt="ipip/labels")) == 0


def test_a_labeler_that_cannot_be_made_leaves_the_folder_to_the_next():
    write(mos2(n_frames=2))
    with pytest.raises(IpipError, match="no package nowhere"):
        label("data", {"type": "ase", "calculator": "nowhere:X"})
    assert label("data", counting()).labelled == 2


def test_finished_output_is_returned_and_another_job_refused():
    write(mos2(n_frames=2))
    first = label("data", counting())
    assert label("data", counting()) == first
    assert len(calls()) == 2
    with pytest.raises(IpipError, match="belongs to another job"):
        label("data", SW)


def test_provenance_passes_through():
    system = mos2(n_frames=3)
    provenance.mark(system, provenance.LabelSource.STUDENTS, 4, np.array([0.1, 0.2, 0.3]))
    system.data["coords"][1, 1] = system.data["coords"][1, 0]
    write(system)
    label("data")
    (folder,) = on_disk.below(Path("labels"))
    labeled = on_disk.read_unlabelled(folder, TYPE_MAP).data
    np.testing.assert_array_equal(labeled[provenance.LABEL_ITERATION], [4, 4])
    np.testing.assert_allclose(labeled[provenance.MODEL_DEVIATION], [0.1, 0.3])


def test_same_formula_with_other_atom_order_or_without_cell_is_kept_apart():
    periodic = mos2().to("ase/structure")[0]
    isolated = periodic.copy()
    isolated.pbc = False
    ase.io.write("frames.extxyz", [periodic, isolated, periodic[[1, 0, 2]]])
    summary = label("frames.extxyz")
    assert summary.labelled == 3
    systems = [dpdata.LabeledSystem(str(p), fmt="deepmd/npy") for p in sorted(Path("labels").glob("Mo1S2O0*"))]
    assert [s.nopbc for s in systems] == [False, True, False]
    assert [s["atom_types"].tolist() for s in systems] == [[0, 1, 1], [0, 1, 1], [1, 0, 1]]
    np.testing.assert_allclose(systems[2]["forces"][0], systems[0]["forces"][0][[1, 0, 2]], atol=1e-6)


def start_job(workers):
    Path("job.py").write_text(f"""
from pathlib import Path
from ipip_dp.labelers import batch
from ipip_dp.data.gate import Gate
batch.SAVE_INTERVAL = 0.0
if __name__ == "__main__":
    batch.label([Path("data")], Path("labels"), {counting(seconds=0.2)!r},
                type_map={TYPE_MAP!r}, gate=Gate(), workers={workers})
""")
    return subprocess.Popen([sys.executable, "job.py"])


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_job_continues_where_it_was(workers):
    n_frames = 30
    system = mos2(n_frames=n_frames)
    write(system)
    process = start_job(workers)
    deadline = time.monotonic() + 60
    while len(list(Path("labels/.partial").glob("*.npz"))) < 5:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    worker_pids = {int(line.split()[0]) for line in calls()} - {process.pid}
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in worker_pids):
        assert time.monotonic() < deadline, "labelling processes outlive their parent"
        time.sleep(0.1)

    saved = len(list(Path("labels/.partial").glob("*.npz")))
    assert 5 <= saved < n_frames
    with pytest.raises(IpipError, match="did not finish"):
        dpdata.LabeledSystem("labels", fmt="ipip/labels")
    os.unlink("calls.txt")
    assert start_job(workers).wait() == 0
    assert len(calls()) == n_frames - saved
    labeled = dpdata.LabeledSystem("labels", fmt="ipip/labels")
    np.testing.assert_allclose(labeled["coords"], system["coords"])
    at_once = system.predict(driver=make_labeler(XTB, TYPE_MAP))
    np.testing.assert_allclose(labeled["forces"], at_once["forces"], atol=1e-9)


def test_a_labeler_of_crystals_gets_no_isolated_atoms_and_no_molecules():
    """CHGNet would label the former with zero force, and fail on the latter."""
    atoms = ase.Atoms("MoS2", positions=[[5, 5, 5], [6.5, 6.5, 6.5], [15, 15, 15]], cell=[20, 20, 20], pbc=True)
    molecule = ase.Atoms("MoS2", positions=[[5, 5, 5], [6.5, 6.5, 6.5], [3.5, 3.5, 6.5]])
    ase.io.write("frames.extxyz", [atoms, molecule])
    config = {"type": "ase", "calculator": "chgnet.model.dynamics:CHGNetCalculator", "kwargs": {}}
    summary = label("frames.extxyz", config, min_success=0.0)
    assert [failure.reason for failure in summary.failures] == [
        "isolated: atom 2 has no other within 6 A",
        "cell: none, but the labeler labels periodic structures only",
    ]
