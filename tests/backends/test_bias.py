# SPDX-License-Identifier: LGPL-3.0-or-later
"""The energy bias of a student that goes on to reference data."""

from __future__ import annotations

import numpy as np
import pytest

from ipip_dp.backends import forget
from ipip_dp.backends.bias import read_systems
from ipip_dp.backends.registry import read_checkpoint
from ipip_dp.errors import IpipError
from tests.backends.conftest import (
    DESCRIPTORS,
    FAST,
    REFERENCE,
    changed,
    every_backend,
    every_variant,
    is_bias,
    is_fitting,
    learning_curve,
    predict,
    read_tensors,
    start_trainings,
    write_data,
    write_system,
)

IN_FLOAT64 = ("se_e2_a", "se_e2_r", "se_e3", "hybrid")  # or nearly so


@every_variant
@pytest.mark.parametrize("method", ["reinit", "shrink_perturb", "none"])
def test_the_new_bias_leaves_no_composition_error(variant, method, train, data, tmp_path):
    report = forget(train(variant), tmp_path / "model.ckpt", method=method, seed=1, data=[data])
    before, after = read_tensors(train(variant)), read_tensors(report.output)
    assert changed(before, after) == {
        name for name in before.tensors if is_bias(name) or (method != "none" and is_fitting(name))
    }
    errors, counts = [], []
    for system in sorted(data.iterdir()):
        energies = np.load(system / "set.000" / "energy.npy")
        types = (system / "type.raw").read_text().split()
        errors.append(energies - predict(report.output, system))
        counts += [[types.count("0"), types.count("1")]] * len(energies)
    error, composition = np.concatenate(errors), np.array(counts)
    np.testing.assert_allclose(composition.T @ error, 0.0, atol=1e-3 if variant.endswith(IN_FLOAT64) else 2e-2)
    assert report.n_frames == len(error) == 18
    assert report.rmse == pytest.approx(np.sqrt(np.mean((error / composition.sum(1)) ** 2)), abs=1e-4)
    assert report.offsets["O"] == 0.0, "an element without data keeps its bias"


@pytest.mark.long
@pytest.mark.parametrize("backend", DESCRIPTORS)
def test_the_next_training_starts_from_the_refitted_bias_and_goes_on(backend, train, data, tmp_path):
    variants = [f"{backend}-{name}" for name in DESCRIPTORS[backend]]
    reports = {
        name: forget(train(name), tmp_path / name / "old" / "model.ckpt", method="reinit", seed=1, data=[data])
        for name in variants
    }
    starts = {name: f"{report.output}{'' if backend == 'tf' else '.pt'}" for name, report in reports.items()}
    folders = {name: tmp_path / name / "finetune" for name in variants}
    one = data / "sys.0"  # whose frames are all in every batch: rows of the learning curve compare
    assert start_trainings(folders, one, pref_e=1.0, numb_steps=40, init_models=starts).wait() == 0
    for name, report in reports.items():
        curve = learning_curve(folders[name])
        # Step 0 (PyTorch: after the first step of 1e-2). The energies are -44 to -82
        # eV/atom, and their scatter around composition is 0.1 eV/atom.
        assert curve["step"][0] <= 1
        assert curve["rmse_e_trn"][0] < 3 * report.rmse, name
        assert report.rmse < 1.0
        assert curve["rmse_trn"][-5:].mean() < curve["rmse_trn"][:3].min(), name


@every_backend
def test_one_formula_alone_gets_the_smallest_offsets(variant, train, tmp_path):
    """Mo and S are then indistinguishable: the offset is shared as 2 to 3 atoms."""
    symbols = ["Mo", "S", "S", "Mo", "S"]
    system = write_system(tmp_path / "data", symbols)
    report = forget(train(variant), tmp_path / "out" / "model.ckpt", method="none", seed=1, data=[system])
    assert report.offsets["Mo"] / report.offsets["S"] == pytest.approx(2 / 3)
    energies = np.load(system / "set.000" / "energy.npy")
    assert predict(report.output, system).mean() == pytest.approx(energies.mean(), abs=1e-6)


@every_backend
def test_the_order_of_elements_in_the_data_does_not_matter(variant, train, data, tmp_path):
    reordered = write_data(tmp_path / "data", type_map=("S", "Mo"))
    biases = [
        forget(train(variant), tmp_path / name / "model.ckpt", method="none", seed=1, data=[folder]).bias_after
        for name, folder in (("a", data), ("b", reordered))
    ]
    assert biases[0] == pytest.approx(biases[1])
    assert biases[0]["Mo"] == pytest.approx(REFERENCE["Mo"], abs=3.0)
    assert biases[0]["S"] == pytest.approx(REFERENCE["S"], abs=3.0)


def test_data_behind_symbolic_links_is_found(train, data, tmp_path):
    """DP-GEN links its data folders into 00.train."""
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "data.init").symlink_to(data)
    report = forget(train(FAST[0]), tmp_path / "model.ckpt", method="none", seed=1, data=[tmp_path / "train"])
    assert report.n_frames == 18


def test_data_without_a_type_map_are_in_the_order_of_the_model(train, tmp_path):
    system = write_system(tmp_path / "data", ["Mo", "S"])
    offsets = []
    for name in ("named", "unnamed"):
        offsets.append(
            forget(train("tf-se_e2_a"), tmp_path / name / "model.ckpt", method="none", seed=1, data=[system]).offsets
        )
        (system / "type_map.raw").unlink(missing_ok=True)
    assert offsets[0] == offsets[1]


def break_system(folder, how):
    if how == "unknown element":
        (folder / "type_map.raw").write_text("Mo\nTe")
    elif how == "no energies":
        (folder / "set.000" / "energy.npy").unlink()
    elif how == "nan":
        np.save(folder / "set.000" / "energy.npy", np.full(6, np.nan))
    elif how == "mixed":
        np.save(folder / "set.000" / "real_atom_types.npy", np.zeros((6, 2), int))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("unknown element", r"type_map.raw: Te not in the model's type_map \['Mo', 'S', 'O'\]"),
        ("no energies", "energy.npy is missing"),
        ("nan", "energy.npy holds NaN"),
        ("mixed", "deepmd/npy/mixed"),
    ],
)
def test_bad_data_is_explained(how, message, train, tmp_path):
    system = write_system(tmp_path / "data", ["Mo", "S"])
    break_system(system, how)
    with pytest.raises(IpipError, match=message):
        forget(train(FAST[0]), tmp_path / "out" / "model.ckpt", method="none", seed=1, data=[system])
    assert not (tmp_path / "out").exists()


@every_backend
def test_a_diverged_student_is_named(variant, train, tmp_path):
    """shrink_perturb of NaN is NaN; reinit of the whole net heals it."""
    prefix = train(variant)
    broken = tmp_path / "diverged" / prefix.name
    broken.parent.mkdir()
    write_diverged(prefix, broken)
    system = write_system(tmp_path / "data", ["Mo", "S"])
    with pytest.raises(IpipError, match="predicts NaN energies"):
        forget(broken, tmp_path / "out" / "model.ckpt", method="none", seed=1, data=[system])
    assert not list((tmp_path / "out").iterdir())
    assert np.isfinite(forget(broken, tmp_path / "out", method="reinit", seed=1, data=[system]).rmse)


def write_diverged(prefix, output):
    """Copy a checkpoint with NaN all over its fitting net."""
    checkpoint = read_checkpoint(prefix)
    for name in checkpoint.fitting:
        checkpoint[name] = np.full_like(checkpoint[name], np.nan)
    checkpoint.write(output)


def test_a_few_frames_evenly_spaced_over_all_sets_are_read(tmp_path):
    folder = write_system(tmp_path / "data", ["S", "Mo"], n_frames=30)
    write_system(tmp_path / "more", ["S", "Mo"], n_frames=61, seed=1)
    (tmp_path / "more/set.000").rename(folder / "set.001")
    (system,) = read_systems([tmp_path / "data"], ["O", "Mo", "S"])
    energies = np.concatenate([np.load(folder / name / "energy.npy") for name in ("set.000", "set.001")])
    assert system.energies.tolist() == energies[::10].tolist()
    assert system.atom_types.tolist() == [2, 1]
    assert system.coords.shape == (10, 2, 3) and system.cells.shape == (10, 3, 3)
    (few,) = read_systems([write_system(tmp_path / "few", ["S", "Mo"], n_frames=3)], ["Mo", "S"])
    assert len(few.energies) == 3
