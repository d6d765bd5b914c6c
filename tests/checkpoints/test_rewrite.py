"""What a user of `forget` notices, on checkpoints that `dp train` wrote."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    FAST,
    REFERENCE,
    every_backend,
    every_variant,
    finish_training,
    is_bias,
    is_fitting,
    predict,
    read_tensors,
    start_training,
    write_data,
    write_system,
)

from ipip_dp.checkpoints import forget
from ipip_dp.checkpoints.locate import read_checkpoint
from ipip_dp.errors import IpipError


def changed(before, after):
    assert before.tensors.keys() == after.tensors.keys()
    return {
        name
        for name, value in before.tensors.items()
        if value.dtype != after.tensors[name].dtype or value.tobytes() != after.tensors[name].tobytes()
    }


def files(prefix):
    return {file.name: file.read_bytes() for file in prefix.parent.iterdir()}


@every_variant
def test_the_fitting_net_and_nothing_else_is_forgotten(variant, train, tmp_path):
    before = read_tensors(train(variant))
    report = forget(train(variant), tmp_path / "out" / "model.ckpt", method="reinit", seed=1)
    after = read_tensors(report.output)
    assert changed(before, after) == {name for name in before.tensors if is_fitting(name)}
    assert set(report.forgotten) <= changed(before, after)
    assert report.rmse is None and set(report.offsets.values()) == {0.0}


@every_variant
def test_optimiser_and_schedule_start_anew(variant, train, tmp_path):
    before = read_tensors(train(variant))
    report = forget(train(variant), tmp_path / "model.ckpt", method="none", seed=1)
    after = read_tensors(report.output)
    assert before.step > 0 and after.step == 0
    assert changed(before, after) == set()
    if variant.startswith("pt"):
        assert before.moments and not after.moments
        return
    # Force-only training leaves TensorFlow without slots for the last bias.
    missing = {f"{name}/Adam" for name in before.tensors if "final_layer" in name and name.endswith("bias")}
    assert missing and not missing & before.moments.keys() and missing <= after.moments.keys()
    assert (after.moments.pop("beta1_power"), after.moments.pop("beta2_power")) == (
        np.float32(0.9),
        np.float32(0.999),
    )
    assert not any(np.any(value) for value in after.moments.values())


@every_backend
def test_fresh_weights_have_the_spread_of_deepmds_initialisers(variant, train, tmp_path):
    report = forget(train(variant), tmp_path / "model.ckpt", method="reinit", seed=1)
    old, new = (read_tensors(prefix).tensors for prefix in (train(variant), report.output))

    def pooled(tensors, kind, shape):
        return np.concatenate(
            [v.ravel() for n, v in sorted(tensors.items()) if is_fitting(n) and n.endswith(kind) and v.shape == shape]
        )

    hidden = pooled(new, "matrix", (32, 32))
    assert hidden.std() == pytest.approx(1 / np.sqrt(64), rel=0.1)
    assert abs(np.corrcoef(hidden, pooled(old, "matrix", (32, 32)))[0, 1]) < 0.1
    assert pooled(new, "matrix", (32, 1)).std() == pytest.approx(1 / np.sqrt(33), rel=0.25)
    assert pooled(new, "bias", (32,)).std() == pytest.approx(1.0, rel=0.25)
    assert pooled(new, "idt", (32,)).mean() == pytest.approx(0.1, abs=0.001)
    assert pooled(new, "idt", (32,)).std() == pytest.approx(0.001, rel=0.3)


@every_backend
def test_the_seed_alone_decides(variant, train, data, tmp_path):
    prefixes = [
        forget(train(variant), tmp_path / name / "model.ckpt", method="reinit", seed=seed, data=[data]).output
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    first, again, other = map(files, prefixes)
    assert first == again
    assert first != other


@every_backend
def test_a_second_call_replaces_its_output_and_leaves_no_litter(variant, train, tmp_path):
    output = tmp_path / "model.ckpt"
    forget(train(variant), output, method="reinit", seed=1)
    first = files(output)
    (tmp_path / ".model.ckpt.tmp").mkdir()  # an earlier call was killed
    forget(train(variant), output, method="reinit", seed=2)
    assert files(output).keys() == first.keys()
    assert files(output) != first


@every_backend
@pytest.mark.parametrize("layers", ["final_layer", "layer_1,final_layer"])
def test_scope_limits_forgetting_to_layers(variant, layers, train, tmp_path):
    before = read_tensors(train(variant))
    report = forget(train(variant), tmp_path / "model.ckpt", method="reinit", scope=layers, seed=1)
    tags = {"layer_1": ("layer_1_", ".layers.1."), "final_layer": ("final_layer", ".layers.2.")}
    wanted = tuple(tag for layer in layers.split(",") for tag in tags[layer])
    assert changed(before, read_tensors(report.output)) == {
        name for name in before.tensors if is_fitting(name) and any(tag in name for tag in wanted)
    }


@every_backend
def test_shrinking_without_noise_scales_the_weights(variant, train, tmp_path):
    report = forget(train(variant), tmp_path / "model.ckpt", method="shrink_perturb", seed=1, shrink=0.5, noise=0.0)
    before, after = (read_tensors(prefix).tensors for prefix in (train(variant), report.output))
    for name in filter(is_fitting, before):
        centre = 0.1 if name.endswith("idt") else 0.0
        np.testing.assert_allclose(after[name] - centre, 0.5 * (before[name] - centre), atol=1e-12)


@every_backend
def test_perturbing_adds_noise_relative_to_the_initialiser(variant, train, tmp_path):
    report = forget(train(variant), tmp_path / "model.ckpt", method="shrink_perturb", seed=1, shrink=1.0, noise=0.1)
    before, after = (read_tensors(prefix).tensors for prefix in (train(variant), report.output))
    moved = [after[n] - before[n] for n in before if is_fitting(n) and before[n].shape == (32, 32)]
    assert np.std(moved) == pytest.approx(0.1 / np.sqrt(64), rel=0.1)


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
    np.testing.assert_allclose(composition.T @ error, 0.0, atol=2e-2 if "dpa1" in variant else 1e-3)
    assert report.n_frames == len(error) == 18
    assert report.rmse == pytest.approx(np.sqrt(np.mean((error / composition.sum(1)) ** 2)), abs=1e-4)
    assert report.offsets["O"] == 0.0, "an element without data keeps its bias"


@every_variant
def test_the_next_training_starts_from_the_refitted_bias(variant, train, data, tmp_path):
    report = forget(train(variant), tmp_path / "forgotten" / "model.ckpt", method="reinit", seed=1, data=[data])
    folder = tmp_path / "finetune"
    init = f"{report.output}.pt" if variant.startswith("pt") else report.output
    curve = finish_training(folder, start_training(folder, variant, data, pref_e=1.0, init_model=init))
    # Step 0 (PyTorch: after the first step of 1e-3). The energies are -44 to -82
    # eV/atom, and their scatter around composition is 0.1 eV/atom.
    assert curve["step"][0] <= 1
    assert curve["rmse_e_trn"][0] < 3 * report.rmse
    assert report.rmse < 1.0


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


@every_backend
def test_a_checkpoint_is_found_by_prefix_file_or_folder(variant, train, tmp_path):
    prefix = train(variant)
    main_file = next(f for f in prefix.parent.iterdir() if f.name in ("model.ckpt.index", "model.ckpt.pt"))
    numbered = prefix.with_name("model.ckpt-10")
    outputs = [
        files(forget(path, tmp_path / str(i) / "model.ckpt", method="reinit", seed=1).output)
        for i, path in enumerate((prefix, main_file, prefix.parent, numbered))
    ]
    assert outputs[0] == outputs[1] == outputs[2] == outputs[3]


@every_backend
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "reset"}, "choose one of reinit, shrink_perturb, none"),
        ({"scope": "layer_1,layer_7"}, "no layer 'layer_7'.*: layer_0, layer_1, final_layer"),
        ({"method": "shrink_perturb", "shrink": 2.0}, "shrink = 2.0"),
        ({"data": [Path("nowhere")]}, "nowhere does not exist"),
    ],
)
def test_bad_arguments_are_explained(variant, arguments, message, train, tmp_path):
    with pytest.raises(IpipError, match=message):
        forget(train(variant), tmp_path / "out" / "model.ckpt", **{"method": "reinit", "seed": 1, **arguments})
    assert not list(tmp_path.iterdir()) or not list((tmp_path / "out").iterdir())


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
        ("no energies", "not readable as labelled"),
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


@every_backend
def test_the_checkpoint_itself_is_never_overwritten(variant, train):
    before = files(train(variant))
    with pytest.raises(IpipError, match="choose another folder"):
        forget(train(variant), train(variant).with_name("new.ckpt"), method="reinit", seed=1)
    assert files(train(variant)) == before


@pytest.mark.parametrize(
    ("variant", "file"),
    [
        ("tf-se_e2_a", "model.ckpt.index"),
        ("tf-se_e2_a", "model.ckpt.data-00000-of-00001"),
        ("tf-se_e2_a", "model.ckpt.meta"),
        ("pt-se_e2_a", "model.ckpt.pt"),
    ],
)
@pytest.mark.parametrize("damage", ["missing", "half", "empty", "garbage"])
def test_a_damaged_checkpoint_is_named(variant, file, damage, train, tmp_path):
    source = train(variant)
    for path in source.parent.glob("model.ckpt.*"):
        shutil.copyfile(path, tmp_path / path.name)
    content = (tmp_path / file).read_bytes()
    if damage == "missing":
        (tmp_path / file).unlink()
    else:
        damaged = {"half": content[: len(content) // 2], "empty": b"", "garbage": b"not a checkpoint" * 999}
        (tmp_path / file).write_bytes(damaged[damage])
    with pytest.raises(IpipError, match="model.ckpt"):
        forget(tmp_path / "model.ckpt", tmp_path / "out" / "model.ckpt", method="reinit", seed=1)
    assert not (tmp_path / "out").exists()


def test_no_checkpoint_says_what_was_looked_for(tmp_path):
    with pytest.raises(IpipError, match=r"expected .*model.ckpt.index or .*model.ckpt.pt"):
        forget(tmp_path, tmp_path / "out" / "model.ckpt", method="reinit", seed=1)
