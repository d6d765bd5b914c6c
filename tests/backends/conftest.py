# SPDX-License-Identifier: LGPL-3.0-or-later
"""Real checkpoints: tiny students of every backend and descriptor, trained by `dp train` once per session."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ipip_dp.backends import forget
from ipip_dp.errors import IpipError
from tests.conftest import made_once

TYPE_MAP = ["Mo", "S", "O"]  # no data set below holds oxygen
REFERENCE = {"Mo": -100.0, "S": -30.0}  # eV per atom
CUTOFF = {"rcut": 4.0, "rcut_smth": 2.0, "seed": 1}
SE_E2_A = {"type": "se_e2_a", "sel": [8, 8, 8], "neuron": [4, 8], "axis_neuron": 2, **CUTOFF}
SE_E2_R = {"type": "se_e2_r", "sel": [8, 8, 8], "neuron": [4, 8], "type_one_side": True, **CUTOFF}
SE_E3 = {"type": "se_e3", "sel": [8, 8, 8], "neuron": [2, 4], **CUTOFF}
DPA1 = {"type": "se_atten", "sel": 16, "neuron": [4, 8], "axis_neuron": 2, "attn": 4, "attn_layer": 1, **CUTOFF}
SE_ATTEN_V2 = {**DPA1, "type": "se_atten_v2", "attn_layer": 0}
REPINIT = {"tebd_dim": 4, "rcut": 4.0, "rcut_smth": 2.0, "nsel": 16, "neuron": [4, 8], "axis_neuron": 2}
REPFORMER = {"rcut": 3.0, "rcut_smth": 2.0, "nsel": 12, "nlayers": 1, "g1_dim": 8, "g2_dim": 4, "axis_neuron": 2}
DPA2 = {"type": "dpa2", "repinit": REPINIT, "repformer": {**REPFORMER, "attn2_nhead": 1}, "seed": 1}
EDGES = {"e_rcut": 4.0, "e_rcut_smth": 2.0, "e_sel": 16, "a_rcut": 3.0, "a_rcut_smth": 2.0, "a_sel": 8}
REPFLOW = {"n_dim": 8, "e_dim": 6, "a_dim": 4, "nlayers": 1, "axis_neuron": 2, **EDGES}
DPA3 = {"type": "dpa3", "repflow": REPFLOW, "precision": "float32", "seed": 1}
DPA4 = {"type": "dpa4", "rcut": 4.0, "channels": 8, "n_radial": 4, "lmax": 1, "mmax": 1, "n_blocks": 1, "seed": 1}
DPA4C = {"type": "dpa4c", "rcut": 4.0, "channels": 8, "n_radial": 4, "precision": "float32", "seed": 1}
HYBRID = {"type": "hybrid", "list": [{**SE_E2_A, "type_one_side": True}, SE_E2_R]}
WIDE = {"neuron": [32, 32], "resnet_dt": True, "seed": 1}  # wide enough to measure a spread
FLOAT32 = {"neuron": [6, 6], "resnet_dt": False, "precision": "float32", "seed": 1}
OF_ALL = {
    "se_e2_a": (SE_E2_A, WIDE),
    "se_e2_r": (SE_E2_R, FLOAT32),
    "se_e3": (SE_E3, FLOAT32),
    "dpa1": (DPA1, FLOAT32),
    "se_atten_v2": (SE_ATTEN_V2, FLOAT32),
    "hybrid": (HYBRID, {"neuron": [6, 6], "seed": 1}),
}
OF_PYTORCH = {"dpa2": (DPA2, FLOAT32), "dpa3": (DPA3, WIDE)}
DESCRIPTORS = {
    "tf": OF_ALL,
    "pt": {**OF_ALL, **OF_PYTORCH, "dpa4": (DPA4, {"neuron": [32], "precision": "float32", "seed": 1})},
    "pt-expt": {**OF_ALL, **OF_PYTORCH, "dpa4c": (DPA4C, WIDE)},
}
VARIANTS = {f"{backend}-{name}": models for backend, found in DESCRIPTORS.items() for name, models in found.items()}
FAST = ("tf-se_e2_a", "pt-se_e2_a")
IN_TEST = (*FAST, "pt-expt-se_e2_a")  # the others are in make test-long
# `dp train` in several folders: imports take longer than such trainings.
TRAIN = """
import os, sys
from deepmd.main import main
for folder, *start in map(str.split, sys.argv[2:]):
    os.chdir(folder)
    if sys.argv[1] == "--tf":
        import tensorflow.compat.v1 as tf
        tf.reset_default_graph()
    main([sys.argv[1], "train", "input.json", *start])
"""
every_backend = pytest.mark.parametrize("variant", ["tf-se_e2_a", "pt-se_e2_a", "pt-expt-se_e2_a"])


def backend_of(variant):
    """The word of `dp`'s flag: tf, pt or pt-expt."""
    return variant.rpartition("-")[0]


def some_variants(*backends):
    """Parametrise a test by the variants of some backends, or of all; most of them are long."""
    marks = {"pt-expt-se_e2_a": pytest.mark.slow, **dict.fromkeys(FAST, ())}
    names = [name for name in VARIANTS if not backends or backend_of(name) in backends]
    variants = [pytest.param(name, marks=marks.get(name, pytest.mark.long)) for name in names]
    return pytest.mark.parametrize("variant", variants)


every_variant = some_variants()


def write_system(folder, symbols, type_map=("Mo", "S"), n_frames=6, seed=0, energy=None):
    """A deepmd/npy system with interleaved atoms that repel each other, and known energies."""
    rng = np.random.default_rng(seed)
    grid = 2.4 * np.array([[x, y, z] for x in range(2) for y in range(2) for z in range(2)])
    coords = grid[: len(symbols)] + 0.3 * rng.standard_normal((n_frames, len(symbols), 3))
    if energy is None:
        energy = sum(REFERENCE[s] for s in symbols)
    energies = energy + 0.1 * len(symbols) * rng.standard_normal(n_frames)
    between = coords[:, :, None] - coords[:, None, :]
    distances = np.linalg.norm(between, axis=-1, keepdims=True)
    forces = np.sum(between * np.exp(-distances), axis=2)
    arrays = {
        "coord": coords.reshape(n_frames, -1),
        "box": np.tile(8.0 * np.eye(3).ravel(), (n_frames, 1)),
        "energy": energies,
        "force": forces.reshape(n_frames, -1),
    }
    (folder / "set.000").mkdir(parents=True)
    for name, array in arrays.items():
        np.save(folder / "set.000" / f"{name}.npy", array)
    (folder / "type.raw").write_text("\n".join(str(type_map.index(s)) for s in symbols))
    (folder / "type_map.raw").write_text("\n".join(type_map))
    return folder


def write_data(folder, type_map=("Mo", "S")):
    compositions = (["Mo", "S", "S", "Mo", "S"], ["S", "Mo", "S", "S", "S"], ["Mo", "Mo", "S", "Mo"])
    for index, symbols in enumerate(compositions):
        write_system(folder / f"sys.{index}", symbols, type_map, seed=index)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("reference"))


def training_input(variant, data, pref_e, numb_steps):
    descriptor, fitting_net = VARIANTS[variant]
    model = {"type_map": TYPE_MAP, "descriptor": descriptor, "fitting_net": fitting_net}
    return {
        "model": {"type": "dpa4", **model} if variant.endswith("dpa4") else model,
        "learning_rate": {"type": "exp", "start_lr": 1e-2, "stop_lr": 1e-3, "decay_steps": numb_steps},
        "loss": {
            "type": "ener",
            **{f"{when}_pref_e": pref_e for when in ("start", "limit")},
            **{f"{when}_pref_f": 100 for when in ("start", "limit")},
        },
        "training": {
            "training_data": {"systems": [str(data)], "batch_size": 6},
            "numb_steps": numb_steps,
            "disp_freq": 1,
            "save_freq": numb_steps,
            "seed": 1,
        },
    }


def start_trainings(folders, data, pref_e=0.0, numb_steps=10, init_models=None):
    """Start `dp train` in folders, by variants of one backend; pref_e = 0 is the force-only training of the pool."""
    starts = []
    for variant, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "input.json").write_text(json.dumps(training_input(variant, data, pref_e, numb_steps)))
        starts.append(f"{folder} --init-model {init_models[variant]}" if init_models else str(folder))
    first = next(iter(folders))
    threads = ("OMP_NUM_THREADS", "DP_INTRA_OP_PARALLELISM_THREADS", "DP_INTER_OP_PARALLELISM_THREADS")
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, f"--{backend_of(first)}", *starts],
        env=os.environ | dict.fromkeys(threads, "1"),
        stdout=(folders[first] / "log").open("w"),
        stderr=subprocess.STDOUT,
    )


def learning_curve(folder):
    """A record array with one row per step."""
    return np.genfromtxt(folder / "lcurve.out", names=True)


@pytest.fixture(scope="session")
def train(tmp_path_factory, data):
    """Trained student of a variant, its prefix; all that are slow of a backend at a time, for all test processes."""

    def trained(variant):
        if variant.startswith("pt"):
            pytest.importorskip("torch")
            pytest.importorskip("e3nn")  # deepmd.pt imports it
        alike = [name for name in VARIANTS if backend_of(name) == backend_of(variant) and name not in IN_TEST]
        batch = [variant] if variant in IN_TEST else alike
        with made_once(tmp_path_factory, f"students-{batch[0]}") as (shared, is_there):
            folders = {name: shared / name for name in batch}
            if not is_there:
                start_trainings(folders, data).wait()
        assert (folders[variant] / "checkpoint").is_file(), (folders[batch[0]] / "log").read_text()[-3000:]
        return folders[variant] / "model.ckpt"

    return trained


def read_tensors(prefix):
    """All tensors of a checkpoint by name, read without the code under test."""
    if Path(f"{prefix}.pt").is_file():
        import torch

        content = torch.load(f"{prefix}.pt", weights_only=True)
        state = dict(content["model"])
        step = state.pop("_extra_state")["train_infos"]["step"]
        tensors = {name: value.numpy() for name, value in state.items()}
        return SimpleNamespace(tensors=tensors, step=step, moments=content["optimizer"]["state"])
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    tensors = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    step = int(tensors.pop("global_step"))
    moments = {name: tensors.pop(name) for name in list(tensors) if "/Adam" in name or name.startswith("beta")}
    return SimpleNamespace(tensors=tensors, step=step, moments=moments)


def is_fitting(name):
    """Whether a tensor belongs to the fitting net, by DeePMD-kit's naming."""
    return name.startswith(("layer_", "final_layer")) or bool(re.search(r"fitting_net\.(filter_layers|nets)\.", name))


def is_bias(name):
    return name == "fitting_attr/t_bias_atom_e" or name.endswith("atomic_model.out_bias")


def predict(prefix, folder):
    """Energies of a system predicted by a checkpoint, in eV, by DeePMD-kit alone."""
    from deepmd.infer import DeepPot

    model = f"{prefix}.pt"
    if not Path(model).is_file():
        from deepmd.tf.entrypoints.freeze import freeze
        from deepmd.tf.env import tf

        model = f"{prefix}.frozen.pb"
        with tf.Graph().as_default():  # the folder, so that its `checkpoint` file is read
            freeze(checkpoint_folder=str(prefix.parent), output=model)
    names = (folder / "type_map.raw").read_text().split()
    types = [TYPE_MAP.index(names[int(t)]) for t in (folder / "type.raw").read_text().split()]
    frames = {name: np.load(folder / "set.000" / f"{name}.npy") for name in ("coord", "box")}
    return DeepPot(model).eval(frames["coord"], frames["box"], types)[0].ravel()


def changed(before, after):
    assert before.tensors.keys() == after.tensors.keys()
    return {
        name
        for name, value in before.tensors.items()
        if value.dtype != after.tensors[name].dtype or value.tobytes() != after.tensors[name].tobytes()
    }


def files(prefix):
    return {file.name: file.read_bytes() for file in prefix.parent.iterdir()}


def check_damaged(variant, file, damage, train, tmp_path):
    """A checkpoint with a damaged file is refused, by its name."""
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
