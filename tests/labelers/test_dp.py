# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
from pathlib import Path

import dpdata
import numpy as np
import pytest

from ipip_dp.checks import files
from ipip_dp.data.gate import Gate
from ipip_dp.errors import IpipError
from ipip_dp.labelers import kind_of, make_labeler
from ipip_dp.labelers.md import md

from .conftest import SW, TYPE_MAP, interleaved, mos2

MODEL_MAP = ["O", "S", "Mo"]  # not the order of the run


def test_missing_model_file():
    with pytest.raises(IpipError, match="'graph.000.pb' does not exist"):
        make_labeler({"type": "dp", "models": ["graph.000.pb"]}, TYPE_MAP)


def test_file_that_is_no_model():
    Path("graph.pb").write_text("nonsense")
    with pytest.raises(IpipError, match="'graph.pb' cannot be loaded by DeePMD-kit"):
        make_labeler({"type": "dp", "models": ["graph.pb"]}, TYPE_MAP)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two small models, trained for 20 steps."""
    folder = tmp_path_factory.mktemp("models")
    system = mos2(n_frames=8, sigma=0.1)
    labeled = system.predict(driver=make_labeler(SW, TYPE_MAP))
    labeled.apply_type_map(MODEL_MAP)
    labeled.to("deepmd/npy", str(folder / "data"))
    names = []
    for seed in (1, 2):
        work = folder / str(seed)
        work.mkdir()
        net = {"neuron": [4, 4], "seed": seed}
        (work / "input.json").write_text(
            json.dumps(
                {
                    "model": {
                        "type_map": MODEL_MAP,
                        "descriptor": {"type": "se_e2_a", "sel": [10, 30, 20], "rcut": 4.0, "rcut_smth": 1.0, **net},
                        "fitting_net": net,
                    },
                    "learning_rate": {"type": "exp", "decay_steps": 10, "start_lr": 0.001, "stop_lr": 1e-5},
                    "loss": {},
                    "training": {"training_data": {"systems": [str(folder / "data")]}, "numb_steps": 20, "seed": seed},
                }
            )
        )
        for command in (["dp", "train", "input.json"], ["dp", "freeze", "-o", "graph.pb"]):
            subprocess.run(command, cwd=work, check=True, capture_output=True)
        names.append(str(work / "graph.pb"))
    return names


@pytest.mark.slow
def test_ensemble_matches_by_element_name_and_labels_with_the_mean(models):
    from deepmd.infer import DeepPot

    atoms = interleaved()
    system = dpdata.System(atoms, fmt="ase/structure", type_map=TYPE_MAP)
    driver = make_labeler({"type": "dp", "models": models}, TYPE_MAP)
    assert driver.elements == MODEL_MAP
    frames = system[[0, 0]]
    frames.data["coords"][1] += np.random.default_rng(0).normal(0, 0.1, (len(atoms), 3))
    members = driver.predict_members(frames.data)
    assert members["energies"].shape == (2, 2)
    assert members["forces"].shape == (2, 2, len(atoms), 3)
    assert members["virials"].shape == (2, 2, 3, 3)
    atom_types = [MODEL_MAP.index(symbol) for symbol in atoms.get_chemical_symbols()]
    for m, name in enumerate(models):
        energy, forces, virial = DeepPot(name).eval(frames["coords"][1:], frames["cells"][1:], atom_types)[:3]
        np.testing.assert_allclose(members["energies"][m, 1], energy[0, 0])
        np.testing.assert_allclose(members["forces"][m, 1], forces[0])
        np.testing.assert_allclose(members["virials"][m, 1].ravel(), virial[0])
    assert np.abs(members["forces"][0] - members["forces"][1]).max() > 1e-6
    labeled = frames.predict(driver="ipip/dp", models=models)
    for name, values in members.items():
        np.testing.assert_allclose(labeled[name], values.mean(axis=0))

    strain, delta = frames[[0, 0]], 1e-4
    for i, sign in ((0, 1), (1, -1)):
        stretch = np.diag([1.0, 1.0, 1.0 + sign * delta])
        strain.data["cells"][i], strain.data["coords"][i] = (
            frames["cells"][0] @ stretch,
            frames["coords"][0] @ stretch,
        )
    energies = strain.predict(driver=driver)["energies"]
    assert labeled["virials"][0, 2, 2] == pytest.approx(-(energies[0] - energies[1]) / (2 * delta), abs=1e-5)


@pytest.mark.slow
def test_unknown_element(models):
    driver = make_labeler({"type": "dp", "models": models[:1]}, TYPE_MAP)
    system = mos2()
    system.data["atom_names"] = ["Mo", "Se"]
    with pytest.raises(IpipError, match="does not know Se: it knows O S Mo"):
        system.predict(driver=driver)


@pytest.mark.slow
def test_the_check_knows_the_elements_of_frozen_models(models):
    system = mos2()
    system.data["atom_names"] = ["Mo", "Se"]
    structures = {Path("mose2.vasp"): system, Path("mos2.vasp"): mos2()}
    found = files.check_labeler("ipip.teacher", {"type": "dp", "models": models}, True, structures, None)
    assert list(found) == ["ipip.teacher: it knows O, S, Mo, but mose2.vasp has Se"]
    Path("graph.pb").write_text("nonsense")  # which the labelers of another DeePMD-kit may read
    assert kind_of({"type": "dp"}).known_elements({"models": ["graph.pb"]}) is None


@pytest.mark.slow
def test_md_with_a_model(models):
    mos2().to("vasp/poscar", "POSCAR")
    summary = md(
        Path("POSCAR"),
        Path("labels"),
        {"type": "dp", "models": models},
        type_map=TYPE_MAP,
        temperature=300,
        timestep=1.0,
        nsteps=4,
        interval=2,
        friction=0.01,
        seed=1,
        gate=Gate(),
    )
    assert summary.labelled == 2


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory):
    """A checkpoint of PyTorch with two heads, trained for 5 steps."""
    pytest.importorskip("e3nn")  # deepmd.pt imports it
    folder = tmp_path_factory.mktemp("heads")
    mos2(n_frames=4, sigma=0.1).predict(driver=make_labeler(SW, TYPE_MAP)).to("deepmd/npy", str(folder / "data"))
    descriptor = {"type": "se_atten_v2", "sel": 40, "rcut": 4.0, "rcut_smth": 1.0, "neuron": [4, 4], "attn_layer": 0}
    branch = {"type_map": "elements", "descriptor": "shared", "fitting_net": {"neuron": [4, 4], "seed": 1}}
    data = {"training_data": {"systems": [str(folder / "data")]}}
    loss = {"type": "ener"}
    settings = {
        "model": {
            "shared_dict": {"elements": MODEL_MAP, "shared": {**descriptor, "seed": 1}},
            "model_dict": {"cold": branch, "hot": {**branch, "fitting_net": {"neuron": [4, 4], "seed": 2}}},
        },
        "learning_rate": {"type": "exp", "start_lr": 0.001, "stop_lr": 1e-5, "decay_steps": 2},
        "loss_dict": {"cold": loss, "hot": loss},
        "training": {
            "data_dict": {"cold": data, "hot": data},
            "model_prob": {"cold": 1.0, "hot": 1.0},
            "numb_steps": 5,
            "save_freq": 5,
            "disp_freq": 5,
        },
    }
    (folder / "input.json").write_text(json.dumps(settings))
    done = subprocess.run(["dp", "--pt", "train", "input.json"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return str(folder / "model.ckpt.pt")


@pytest.mark.slow
def test_every_head_of_a_checkpoint_is_a_teacher_of_its_own(two_heads):
    from deepmd.infer import DeepPot

    system = mos2(n_frames=2, sigma=0.1)
    order = [MODEL_MAP.index(system["atom_names"][number]) for number in system["atom_types"]]
    labels = {}
    for head in ("cold", "hot"):
        labeler = make_labeler({"type": "dp", "models": [two_heads], "head": head}, TYPE_MAP)
        labels[head] = system.predict(driver=labeler)
        energy = DeepPot(two_heads, head=head).eval(system["coords"], system["cells"], order)[0]
        np.testing.assert_allclose(labels[head]["energies"], energy.ravel(), rtol=1e-10)
    assert abs(labels["cold"]["energies"] - labels["hot"]["energies"]).max() > 1e-3
    with pytest.raises(IpipError, match="cannot be loaded by DeePMD-kit"):
        make_labeler({"type": "dp", "models": [two_heads], "head": "tepid"}, TYPE_MAP)
