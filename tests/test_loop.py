# SPDX-License-Identifier: LGPL-3.0-or-later
"""`dpgen run` of the quick example with short trainings: to the end, and as PyTorch."""

from __future__ import annotations

import csv
import json

import dpdata
import numpy as np
import pytest

from ipip_dp.data import dumps, systems
from tests.conftest import DPGEN, Run, short

pytestmark = pytest.mark.slow

ERRORS = {"force_rmse", "force_mae", "force_norm", "virial_rmse_per_atom", "n_frames"} | {
    f"energy_rmse_per_atom_{kind}" for kind in ("raw", "aligned")
}


def metrics(run: Run, iteration: int) -> dict:
    return json.loads((run.folder / f"iter.{iteration:06d}/00.ipip/evaluate/metrics.json").read_text())


def provenance(run: Run, name: str) -> np.ndarray:
    pool = run.folder / "iter.000001/00.ipip/pool"
    return np.concatenate([np.load(path).ravel() for path in sorted(pool.glob(f"*/set.*/{name}.npy"))])


def test_the_run_ends_where_the_jobs_end(finished):
    record = (finished.folder / "record.dpgen").read_text().split("\n")[:-1]
    assert record == [f"0 {task}" for task in range(9)] + ["1 0", "1 1", "1 2"]
    stop = json.loads((finished.folder / "iter.000001/00.ipip/stop.json").read_text())
    assert "model_devi_jobs" in stop["reason"]
    first, last = (metrics(finished, iteration)["ensemble"]["force_rmse"] for iteration in (0, 1))
    best = stop["best_iteration"]
    assert best == 1 or first < last, "of equals the latest is best"
    assert stop["models"] == [f"iter.{best:06d}/00.train/graph.{member:03d}.pb" for member in (0, 1)]
    assert "model_devi_jobs" in finished("ipip", "status").stdout


def test_every_iteration_has_metrics(finished):
    held_out = dpdata.LabeledSystem(str(finished.folder / "data/held_out/Mo9S18"), fmt="deepmd/npy")
    for iteration in (0, 1):
        errors = metrics(finished, iteration)
        assert len(errors["students"]) == 2
        systems = errors["systems"]["Mo9S18"]
        for group in (errors["teacher"], errors["ensemble"], *errors["students"], *systems.values()):
            assert set(group) == ERRORS
            assert group["n_frames"] == len(held_out)
            assert all(np.isfinite(value) for value in group.values())
    assert metrics(finished, 0)["teacher"] == metrics(finished, 1)["teacher"]


def test_the_learning_curve_has_one_row_per_iteration(finished):
    with (finished.folder / "learning_curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["0", "1"]
    assert [float(row["ensemble_force_rmse"]) for row in rows] == [
        metrics(finished, iteration)["ensemble"]["force_rmse"] for iteration in (0, 1)
    ]
    assert sum(int(rows[0][name]) for name in ("in_domain", "candidate", "failed")) == 11
    assert int(rows[1]["reference_frames"]) == int(rows[0]["reference_frames"]) + 2


def test_the_pool_says_where_every_label_comes_from(finished):
    source, born = provenance(finished, "ipip_label_source"), provenance(finished, "ipip_label_iteration")
    deviation = provenance(finished, "ipip_model_deviation")
    summary = json.loads((finished.folder / "iter.000000/00.ipip/relabel/summary.json").read_text())
    seeded = np.isnan(deviation)
    assert seeded.sum() == summary["kept"] == 20
    assert set(source[seeded]) == {0} and set(born) == {0}
    assert (source[~seeded] == 1).sum() == summary["labelled"]["students"] > 0
    assert (source[~seeded] == 0).sum() == summary["labelled"]["teacher"] > 0
    assert summary["added"] + summary["rejected"] == 11
    assert deviation[source == 1].max() < 0.1 <= deviation[~seeded & (source == 0)].min()


def test_errors_where_md_went_are_those_of_the_models_that_went_there(finished):
    """Of the two candidates that DP-GEN had labelled, and of two accurate frames of the audit."""
    folder = finished.folder / "iter.000000/00.ipip/on_policy"
    with (folder / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    errors = json.loads((folder / "metrics.json").read_text())
    assert [row["trust_class"] for row in rows] == ["candidate", "candidate", "accurate", "accurate"]
    assert all((float(row["deviation"]) < 0.1) == (row["trust_class"] == "accurate") for row in rows)
    (system,) = systems.find([finished.folder / "iter.000000/02.fp/data.000"])
    reference = dpdata.LabeledSystem(str(system), fmt="deepmd/npy")
    graphs = [str(finished.folder / f"iter.000000/00.train/graph.{member:03d}.pb") for member in (0, 1)]
    for member, graph in enumerate(graphs):
        predicted = reference.predict(graph, driver="dp")
        rmse = np.sqrt(np.mean((predicted["forces"] - reference["forces"]) ** 2, axis=(1, 2)))
        assert [float(row[f"student_{member}"]) for row in rows[:2]] == pytest.approx(rmse, rel=1e-4)
    assert errors["n_frames"] == 4 and errors["covered"] == 1
    with (finished.folder / "learning_curve.csv").open() as file:
        first, second = csv.DictReader(file)
    assert float(first["on_policy_force_median"]) == errors["ensemble"]["force_median"]
    assert (first["md"], second["md"], second["on_policy_frames"]) == ("1", "", "")


def test_audited_frames_are_never_trained_on(finished):
    audited = [*(finished.folder / "iter.000000/00.ipip/on_policy/audit").glob("*/labels/*")]
    systems = [path for path in audited if path.is_dir()]
    assert sum(len(dpdata.LabeledSystem(str(path), fmt="deepmd/npy")) for path in systems) == 2
    given = json.loads((finished.folder / "iter.000001/00.train/000/input.json").read_text())["training"]
    assert "on_policy" not in json.dumps(given)


def test_trainings_start_from_forgotten_checkpoints(finished):
    for iteration in (0, 1):
        folder = finished.folder / f"iter.{iteration:06d}"
        for member in ("000", "001"):
            start = folder / "00.train" / member / "old/model.ckpt.index"
            assert start.resolve() == folder / "00.ipip/forgotten/finetune" / member / "model.ckpt.index"
    forgotten = finished.folder / "iter.000001/00.ipip/forgotten/pretrain/000"
    assert (forgotten / "old/model.ckpt.index").resolve() == (
        finished.folder / "iter.000000/00.train/000/model.ckpt.index"
    ).resolve()
    assert json.loads((forgotten / "forget.json").read_text())["method"] == "shrink_perturb"


def test_trainings_are_logged_for_tensorboard(finished):
    for training in ("00.train/000", "00.ipip/pretrain/000"):
        assert list((finished.folder / "iter.000001" / training).glob("log/train/events.out.tfevents.*"))


def test_lammps_loads_the_models(finished):
    models = [f"iter.000001/00.train/graph.{member:03d}.pb" for member in (0, 1)]
    (finished.folder / "in.lammps").write_text(
        "units metal\natom_modify map yes\nread_data iter.000000/01.model_devi/confs/000.0000.lmp\n"
        f"mass * 1\npair_style deepmd {' '.join(models)} out_file md.out\npair_coeff * *\n"
        "thermo_style custom pe\nrun 0\n"
    )
    done = finished("lmp", "-in", "in.lammps")
    assert done.returncode == 0, done.stdout[-2000:]


TEMPLATE = """
units metal
boundary p p p
box tilt large
atom_style atomic
read_data conf.lmp
mass 1 95.95
mass 2 32.06
pair_style deepmd
pair_coeff * *
dump dpgen_dump all custom 10 traj/*.lammpstrj id type x y z
minimize 1e-3 1e-3 7 20
velocity all create V_TEMP 4711
fix 1 all nvt temp V_TEMP V_TEMP 0.1
fix 2 all atom/swap 15 1 4711 1e6 ke no types 1 2
timestep 0.0002
run 60
"""


@pytest.mark.long
def test_exportable_students_start_from_a_pretrained_model_and_learn_virials(tmp_path):
    """The model is that of a training on the reference data."""
    run = short(tmp_path / "run")
    param = run.param
    training = param["default_training_param"]
    model = {**training["model"], "type_map": param["type_map"]}
    systems = {"training_data": {"systems": "../data/train"}}
    start = {**training, "model": model, "training": {**training["training"], **systems, "numb_steps": 20}}
    (run.folder / "start").mkdir()
    (run.folder / "start/input.json").write_text(json.dumps(start))
    trained = run("/bin/sh", "-c", "cd start && dp --pt-expt train input.json")
    assert trained.returncode == 0, trained.stdout[-3000:]
    param.update(train_backend="pt-expt", fp_task_max=0)
    param["ipip"]["pretrain"].update(init_from={"model": "start/model.ckpt.pt"}, loss={"limit_pref_v": 0.1})
    run.param = param
    done = run(*DPGEN)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (run.folder / "record.dpgen").read_text().splitlines()[-1] == "1 2"
    assert {path.name for path in run.folder.glob("iter.*/00.train/graph.*")} == {"graph.000.pt2", "graph.001.pt2"}
    pretraining = run.folder / "iter.000000/00.ipip/pretrain/000"
    assert "rmse_v_trn" in (pretraining / "lcurve.out").read_text()
    assert "Resuming from init/pretrained.pt" in (pretraining / "ipip.log").read_text()
    errors = [metrics(run, iteration)["ensemble"] for iteration in (0, 1)]
    assert errors[0]["force_rmse"] != errors[1]["force_rmse"]
    assert all(error["virial_rmse_per_atom"] > 0 for error in errors)


@pytest.mark.long
def test_pytorch_students_without_reference_calculations_on_a_machine_that_copies(tmp_path):
    """Their MD minimises first and swaps elements; frames are merged into one file."""
    run = short(tmp_path / "run")
    param, machine = run.param, run.machine
    param.update(train_backend="pytorch", fp_task_max=0, model_devi_merge_traj=True, model_devi_f_trust_hi=1e3)
    (run.folder / "in.lmp").write_text(TEMPLATE)
    job = {"template": {"lmp": "in.lmp"}, "rev_mat": {"lmp": {"V_TEMP": [300]}}, "sys_idx": [0], "trj_freq": 10}
    param["model_devi_jobs"] = [job]
    run.param = param
    for section in machine.values():
        if isinstance(section, dict):
            section["machine"] = {
                "batch_type": "Shell",
                "context_type": "LocalContext",
                "local_root": "./",
                "remote_root": str(tmp_path / "remote"),
                "remote_profile": {"symlink": False},
            }
    del machine["fp"]  # nothing is labelled by the reference
    run.machine = machine
    (tmp_path / "remote").mkdir()
    done = run(*DPGEN)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (run.folder / "record.dpgen").read_text().splitlines()[-1] == "1 2"
    errors = [metrics(run, iteration) for iteration in (0, 1)]
    assert errors[0]["reference_frames"] == errors[1]["reference_frames"]
    assert errors[0]["pool_frames"] < errors[1]["pool_frames"]
    assert errors[0]["ensemble"]["force_rmse"] != errors[1]["ensemble"]["force_rmse"]
    assert not (run.folder / "iter.000001/00.train/000").is_symlink()
    assert {path.name for path in run.folder.glob("iter.*/00.train/graph.*")} == {"graph.000.pth", "graph.001.pth"}
    (task,) = (run.folder / "iter.000000/01.model_devi").glob("task.*")
    assert not list((task / "traj").iterdir())  # where they were split for DP-GEN's sorting
    texts = [text for _, text in dumps.read_texts(task / "all.lammpstrj")]
    dumped = [dumps.parse(text, param["type_map"]) for text in texts]
    explored = [np.load(name) for name in (run.folder / "iter.000001/00.ipip/pool").glob("*/set.*/coord.npy")]
    whole = {str(np.sort(frame["coords"][0], axis=None).round(2)) for frame in dumped}
    pooled = {str(np.sort(coords).round(2)) for array in explored for coords in array}
    assert pooled & whole
    assert len({tuple(frame["atom_types"]) for frame in dumped}) > 1
