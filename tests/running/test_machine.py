# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dpdispatcher import Machine, Resources
from dpgen.arginfo import general_mdata_arginfo
from dpgen.dispatcher.Dispatcher import make_submission
from dpgen.remote.decide_machine import convert_mdata

from ipip_dp.running import machine
from tests.checks.conftest import REMOVED, changed, found
from tests.conftest import EXAMPLES, ROOT, filled_in

MACHINES = sorted((ROOT / "machines").glob("*.json"))
SECTIONS = ("train", "model_devi", "fp", "ipip_pretrain", "ipip_label")


def read(name: str) -> dict[str, Any]:
    return json.loads((MACHINES[0].parent / f"{name}.json").read_text())


def test_all_machines_are_here() -> None:
    assert [path.stem for path in MACHINES] == ["bohrium", "local_cpu", "local_gpu", "lsf", "pbs", "slurm", "ssh_slurm"]


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_machine_files_pass_dpgens_strict_check_and_ours(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES / "mo_s_quick")  # a run folder, with the param.json that jobs take with them
    schema = general_mdata_arginfo("run_mdata", SECTIONS)
    mdata = json.loads(path.read_text())
    schema.check_value(schema.normalize_value(mdata), strict=True)
    unfilled = "YOUR" in path.read_text()
    found = [str(problem) for problem in machine.problems(mdata, with_fp=True)]
    assert bool(found) == unfilled and all("expected your own value in place of " in line for line in found)
    assert not list(machine.problems(filled_in(path), with_fp=True))


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_machine_files_hold_no_secret(path: Path) -> None:
    assert not re.search("password|passphrase|secret|ticket|access_key|email|phone", path.read_text())


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_sections_make_a_submission(path: Path, section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mdata = convert_mdata(json.loads(path.read_text()), list(SECTIONS))
    for schema, name in ((Machine.arginfo(), "machine"), (Resources.arginfo(), "resources")):
        schema.check_value(schema.normalize_value(mdata[section][name]), strict=True)
    script = script_of(path.stem, section, monkeypatch)
    assert "export OMP_NUM_THREADS=" in script
    if path.stem in ("slurm", "ssh_slurm", "pbs", "lsf"):
        assert "source YOUR-ENVIRONMENT/bin/activate" in script


# What the header of a script asks for, with the machine.json of a section.
HEADERS = {
    "slurm": """\
#SBATCH --nodes {number_node}
#SBATCH --ntasks-per-node {cpu_per_node}
#SBATCH --gres=gpu:{gpu_per_node}
#SBATCH --partition {queue_name}
#SBATCH --time=24:00:00
""",
    "pbs": """\
#PBS -l select={number_node}:ncpus={cpu_per_node}:ngpus={gpu_per_node}
#PBS -j oe
#PBS -q {queue_name}
#PBS -l walltime=24:00:00
""",
    "lsf": """\
#BSUB -e %J.err
#BSUB -o %J.out
#BSUB -n {cpu_per_node}
#BSUB -R 'span[ptile={cpu_per_node}]'
#BSUB -q {queue_name}
#BSUB -gpu 'num={gpu_per_node}:mode=shared:j_exclusive=yes'
#BSUB -W 24:00
""",
}
HEADERS["ssh_slurm"] = HEADERS["slurm"]


@pytest.mark.parametrize("changed", [{}, {"cpu_per_node": 7, "gpu_per_node": 3, "queue_name": "long"}], ids=str)
@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("name", HEADERS)
def test_scripts_ask_for_what_machine_json_says(
    name: str, section: str, changed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if section == "fp":  # the reference runs without a GPU
        changed = {key: value for key, value in changed.items() if key != "gpu_per_node"}
    resources = {**read(name)[section]["resources"], **changed}
    wanted = HEADERS[name].format(**resources)
    if not resources["gpu_per_node"]:
        wanted = re.sub(":ngpus=0|.*gres=gpu:0\n|.*'num=0:.*\n", "", wanted)
    script = script_of(name, section, monkeypatch, **changed)
    asked = [line for line in script.splitlines() if line.startswith(("#SBATCH", "#PBS", "#BSUB"))]
    assert asked == wanted.splitlines()
    assert f"export DPDISPATCHER_GPU_PER_NODE={resources['gpu_per_node']}\n" in script
    # the labels of a whole iteration or a training take the GPU, where there is one
    assert (resources["gpu_per_node"] > 0) == (section != "fp")


def script_of(name: str, section: str, monkeypatch: pytest.MonkeyPatch, **resources: Any) -> str:
    """The script of the first of four jobs, or tasks of a job, of a section of a machine file."""
    monkeypatch.setenv("BOHR_TICKET", "a ticket")  # instead of logging in
    mdata = convert_mdata(read(name), list(SECTIONS))
    mdata[f"{section}_resources"].update(resources)
    if mdata[f"{section}_machine"]["context_type"] == "SSHContext":  # which would connect
        del mdata[f"{section}_machine"]["remote_profile"]
        mdata[f"{section}_machine"]["context_type"] = "LocalContext"
    submission = submit(mdata, section, tasks=4)
    submission.generate_jobs()
    return submission.machine.gen_script(submission.belonging_jobs[0])


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


# Key path of machine.json, value, what is said about it.
PROBLEMS = [
    ("train", REMOVED, "train: missing; expected a list of objects or an object {...}"),
    ("model_devi", REMOVED, "model_devi: missing; expected a list of objects or an object {...}"),
    ("fp", REMOVED, "fp: missing; expected a list of objects or an object {...}"),
    ("train", "local", 'train: expected a list of objects or an object {...}, found "local"'),
    ("train", [], "train: expected a section {...}, found an empty list"),
    ("ipip_pretran", {}, "ipip_pretran: unknown key; remove it"),
    ("ipip_pretrain.machine", REMOVED, "ipip_pretrain.machine: missing; expected an object {...}"),
    ("ipip_label.resources", REMOVED, "ipip_label.resources: missing; expected an object {...}"),
    ("fp.resources", 4, "fp.resources: expected an object {...}, found 4"),
    ("fp.command", REMOVED, "fp.command: missing; expected a string"),
    ("ipip_label.command", "ssh node 'ipip", 'ipip_label.command: expected a command, found "ssh node \'ipip"'),
    ("train.resources.group_size", "1", 'train.resources.group_size: expected an integer of at least 0, found "1"'),
    ("train.resources.group_size", REMOVED, "train.resources.group_size: missing; expected an integer"),
    ("train.resources.cpu_per_nod", 4, "train.resources.cpu_per_nod: unknown key; remove it"),
    ("train.resources.costum_flags", [], "train.resources.costum_flags: unknown key; did you mean custom_flags?"),
    ("train.resources.task_per_node", 4, "train.resources.task_per_node: unknown key; remove it"),
    ("train.resources.source_list", ["~/bin/activate"], "train.resources.source_list[0]: source_list entries must "),
    ("train.resources.module_list", ["cuda;rm"], "train.resources.module_list[0]: module list entries must "),
    ("train.resources.source_list", ["/path/to/env"], "train.resources.source_list[0]: expected your own value in "),
    ("train.command", "X=1 dpp train", "train.command: expected a command of this machine, which has no dpp, found "),
    ("model_devi.command", "/bin/lmp_mpi", "model_devi.command: expected a command of this machine, which has no /bin"),
    ("train.machine.local_root", "/scratch", 'train.machine.local_root: expected "./", found "/scratch"'),
    ("train.machine.context_type", REMOVED, "train.machine.context_type: missing; expected one of "),
    ("train.machine.context_type", "LazyLocal Context", "train.machine.context_type: expected one of "),
    ("train.machine.context_type", "SSHContext", "train.machine.remote_profile: missing; expected an object {...}"),
    ("ipip_label.machine.batch_type", "slrum", "ipip_label.machine.batch_type: expected one of "),
    ("ipip_label.resources.batch_type", "slrum", "ipip_label.resources.batch_type: expected one of "),
]


@pytest.mark.parametrize(("key", "value", "text"), PROBLEMS)
def test_machine(run, key, value, text):
    (line,) = found(run, machine={key: value})
    assert line.startswith(f"machine.json: {text}")


def test_a_machine_section_may_be_a_list_and_hold_keys_of_others(run):
    section = changed(run.machine["train"], {"python_path": "/usr/bin/python"})
    assert found(run, machine={"train": [section], "comment": "ours"}) == []
    (line,) = found(run, machine={"train": [{**section, "machine": 7}]})
    assert line == "machine.json: train[0].machine: expected an object {...}, found 7"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.resources.source_list", ["/etc/profile --force", ""]),
        ("train.resources.module_list", ["cuda/12.1 gcc"]),
        ("train.command", "OMP_NUM_THREADS=2 dp"),
        ("model_devi.command", "cd . && lmp"),
        ("model_devi.command", "$HOME/bin/lmp"),
        ("model_devi.command", "./lmp.sh"),
        ("model_devi.machine.batch_type", "Slurm"),
    ],
)
def test_what_dpdispatcher_and_shells_take_is_no_problem(run, key, value):
    changes = {"model_devi.command": "srun_of_the_cluster lmp"} if value == "Slurm" else {}
    assert found(run, machine={**changes, key: value}) == []


def test_ipip_sections_may_be_missing(run):
    assert found(run, machine={"ipip_label": REMOVED, "ipip_pretrain": REMOVED}) == []


def test_section_fp_is_needed_only_for_reference_calculations(run):
    assert found(run, {"fp_task_max": 0}, {"fp": REMOVED}) == []


def test_a_file_to_forward_is_named_if_it_is_missing(run) -> None:
    mdata = {**run.machine}
    mdata["fp"]["user_forward_files"] = ["param.json", "basis.txt"]
    (problem,) = machine.problems(mdata, with_fp=True)
    assert str(problem) == 'fp.user_forward_files[1]: expected a file that exists, found "basis.txt"'
