from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dpdispatcher import Machine, Resources
from dpgen.arginfo import general_mdata_arginfo
from dpgen.dispatcher.Dispatcher import make_submission
from dpgen.remote.decide_machine import convert_mdata

MACHINES = sorted((Path(__file__).parents[1] / "machines").glob("*.json"))
SECTIONS = ("train", "model_devi", "fp", "ipip_pretrain", "ipip_label")


def read(name: str) -> dict[str, Any]:
    return json.loads((MACHINES[0].parent / f"{name}.json").read_text())


def test_all_machines_are_here() -> None:
    assert [path.stem for path in MACHINES] == ["local_cpu", "local_gpu", "slurm"]


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_machine_files_pass_dpgens_strict_check(path: Path) -> None:
    schema = general_mdata_arginfo("run_mdata", SECTIONS)
    schema.check_value(schema.normalize_value(json.loads(path.read_text())), strict=True)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_sections_make_a_submission(path: Path, section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mdata = convert_mdata(json.loads(path.read_text()), list(SECTIONS))
    for schema, name in ((Machine.arginfo(), "machine"), (Resources.arginfo(), "resources")):
        schema.check_value(schema.normalize_value(mdata[section][name]), strict=True)
    submission = submit(mdata, section, tasks=4)
    submission.generate_jobs()
    script = submission.machine.gen_script(submission.belonging_jobs[0])
    assert "export OMP_NUM_THREADS=" in script
    # the labels of a whole iteration or a training take the GPU, where there is one
    if path.stem == "slurm":
        assert ("--gres=gpu:1" in script) == (section != "fp")


def submit(mdata: dict[str, Any], section: str, tasks: int, command: str = "true") -> Any:
    names = [f"task.{number:06d}" for number in range(tasks)]
    for name in names:
        Path("work", name).mkdir(parents=True)
    return make_submission(
        mdata[f"{section}_machine"],
        mdata[f"{section}_resources"],
        commands=[command],
        work_path="work",
        run_tasks=names,
        group_size=mdata[f"{section}_group_size"],
        forward_common_files=[],
        forward_files=[],
        backward_files=[],
        outlog="log",
        errlog="err",
    )


@pytest.mark.parametrize("tasks", [2, 4])
def test_local_cpu_runs_two_tasks_at_a_time(tasks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mdata = convert_mdata(read("local_cpu"), ["train"])
    command = "/bin/sh -c 'date +%s.%N; sleep 1; date +%s.%N'"
    submit(mdata, "train", tasks, command).run_submission(check_interval=1)
    spans = [tuple(map(float, path.read_text().split())) for path in Path("work").glob("task.*/log")]
    assert len(spans) == tasks
    assert max(sum(start <= moment < end for start, end in spans) for moment, _ in spans) == 2


def test_fp_command_is_ours() -> None:
    for path in MACHINES:
        fp = json.loads(path.read_text())["fp"]
        assert fp["command"] == "ipip label POSCAR labels --param param.json --labeler reference --min-success 0"
        assert fp["user_forward_files"] == ["param.json"]
