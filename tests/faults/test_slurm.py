# SPDX-License-Identifier: LGPL-3.0-or-later
"""`dpgen run` on a real Slurm whose jobs are cancelled, run out of time, lose their node or their controller."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import DPGEN, ENVIRONMENT, ROOT, Run, calls, filled_in, short
from tests.faults.test_kills import content, frames, markers
from tests.slurm import Slurm, slurm, wait_until
from tests.sshd import sshd

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

PARTITIONS = {"train": "train", "ipip_pretrain": "train", "model_devi": "label", "ipip_label": "label", "fp": "label"}
# Where a run works until the first students have been evaluated.
FIRST_STUDENTS = (
    "iter.000000/00.train/",
    *(f"iter.000000/00.ipip/{step}/" for step in ("seed", "pool", "pretrain", "forgotten", "evaluate")),
)
OUTPUT = re.compile("[0-9a-f]{40}[.]out$")  # of a job that runs in place
# Stands in for dp, ipip and lmp: writes down when a call starts and when it has succeeded, and the task's name.
WRAPPER = """#!/bin/sh
echo "started ${{PWD##*/}}: {name} $*" >> "$RUN_FOLDER"/calls
{program} "$@" || exit $?
echo "finished ${{PWD##*/}}: {name} $*" >> "$RUN_FOLDER"/calls
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with slurm(tmp_path_factory.mktemp("slurm") / "slurm", ["train", "label"]) as cluster:
        yield cluster


def on_slurm(folder: Path, template: str = "slurm") -> Run:
    """The short run on a machine of machines/, in the partitions of the test's Slurm, with programs that count."""
    run = short(folder / "run")
    (folder / "programs").mkdir()
    for name in ("dp", "ipip", "lmp"):
        program = folder / "programs" / name
        program.write_text(WRAPPER.format(program=shutil.which(name, path=ENVIRONMENT["PATH"]), name=name))
        program.chmod(0o755)
    machine = filled_in(ROOT / f"machines/{template}.json")
    for name, partition in PARTITIONS.items():
        resources = machine[name]["resources"]
        resources.update(queue_name=partition, cpu_per_node=1, gpu_per_node=0, para_deg=1)
        resources["envs"].update(
            PATH=f"{folder / 'programs'}{os.pathsep}{ENVIRONMENT['PATH']}",
            RUN_FOLDER=str(run.folder),
            OMP_NUM_THREADS=1,
            DP_INTRA_OP_PARALLELISM_THREADS=1,
        )
    run.machine = machine
    return run


def first_iteration_on_slurm(folder: Path, steps: int = 40) -> Run:
    """A run on Slurm that ends before exploration, with trainings of so many steps."""
    run = on_slurm(folder)
    param = run.param
    param["model_devi_jobs"] = []
    param["ipip"]["pretrain"]["numb_steps"] = steps
    param["default_training_param"]["training"]["numb_steps"] = steps
    run.param = param
    return run


@contextmanager
def dpgen(run: Run, cluster: Slurm) -> Iterator[subprocess.Popen]:
    """`dpgen run` in the background; killed at the end, without its jobs, if it still runs."""
    with (run.folder / "run.log").open("w") as log:
        process = run.start(*DPGEN, stdout=log, **cluster.environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def end(run: Run, process: subprocess.Popen) -> str:
    """Wait for the end of a run that must succeed; returns what it said."""
    process.wait(900)
    said = (run.folder / "run.log").read_text()
    assert process.returncode == 0, said[-3000:]
    return said


def counted(run: Run, event: str) -> Counter[str]:
    """Calls that have ``started`` or ``finished``, but for those of LAMMPS by a labeler, in folders of random names."""
    path = run.folder / "calls"
    lines = path.read_text().splitlines() if path.is_file() else []
    words = [line.split(" ", 1) for line in lines if "ipip-lammps-" not in line]
    return Counter(call for what, call in words if what == event)


def stopped(run: Run) -> Counter[str]:
    """Calls that have started and not finished."""
    return counted(run, "started") - counted(run, "finished")


def in_shell(reference: Run, folders: tuple[str, ...]) -> Counter[str]:
    """The calls of a run on a machine without queue, in some folders, written as ``counted`` does."""
    found = [line.split(": ", 1) for line in calls(reference) if line.startswith(folders)]
    return Counter(f"{Path(folder).name}: {call}" for folder, call in found)


def jobs(cluster: Slurm, run: Run, states: str = "all") -> list[dict[str, str]]:
    """The jobs of one run, in order."""
    return [job for job in cluster.jobs(states) if job["folder"].startswith(f"{run.folder}/")]


def started(cluster: Slurm, run: Run, call: str, times: int = 1) -> list[str]:
    """Wait until a call has started, that many times in all; the ids of the jobs that run now."""
    wait_until(lambda: sum(call in line for line in counted(run, "started").elements()) >= times, call, 600)
    return [job["id"] for job in jobs(cluster, run, "running")]


def require_same(run: Run, reference: Run, record_property: Callable, folders: tuple[str, ...] = ("",)) -> None:
    """Compare calls and results, in all or some folders, with those of a run on a machine without queue."""
    finished, expected = counted(run, "finished"), in_shell(reference, folders)
    record_property("jobs repeated", (finished - expected).total())
    assert finished == expected
    mine, others = (
        {
            name: text
            for name, text in content(each.folder).items()
            if name.startswith(folders) and not OUTPUT.search(name)
        }
        for each in (run, reference)
    )
    assert sorted(mine) == sorted(others)
    assert [name for name in others if mine[name] != others[name]] == []


def require_whole_run_same(run: Run, reference: Run, record_property: Callable) -> None:
    record_property("frames lost", frames(reference) - frames(run))
    assert markers(run) == markers(reference)
    require_same(run, reference, record_property)


@pytest.mark.long
@pytest.mark.fault("Slurm jobs, one of each partition, are cancelled", "both run again; the result is the same")
def test_a_run_with_cancelled_jobs_ends_like_one_without_slurm(finished, cluster, tmp_path, record_property):
    run = on_slurm(tmp_path)
    with dpgen(run, cluster) as process:
        cluster("scancel", started(cluster, run, ": dp train", times=2)[0])
        cluster("scancel", *started(cluster, run, "teacher: ipip label frames labels"))
        said = end(run, process)
    assert said.count("resubmitting job") == 2
    assert stopped(run).total() == 2
    assert Counter(job["partition"] for job in jobs(cluster, run)) == {"train": 19, "label": 8}
    require_whole_run_same(run, finished, record_property)


@pytest.mark.full
@pytest.mark.fault(
    "a Slurm job is cancelled, and dpgen run killed when it has submitted it again", "no job runs beside another"
)
def test_a_job_submitted_again_is_known_to_the_next_run(finished, cluster, tmp_path, record_property):
    run = first_iteration_on_slurm(tmp_path)
    with dpgen(run, cluster):
        cluster("scancel", started(cluster, run, ": dp train", times=2)[0])
        started(cluster, run, ": dp train", times=3)
    with dpgen(run, cluster) as process:
        end(run, process)
    pretraining = [job["folder"] for job in jobs(cluster, run) if job["partition"] == "train"][0]
    assert len([job for job in jobs(cluster, run) if job["folder"] == pretraining]) == 3
    assert stopped(run).total() == 1
    require_same(run, finished, record_property, FIRST_STUDENTS)


@pytest.mark.full
@pytest.mark.fault(
    "dpgen run is killed; of its Slurm jobs one finishes, one is cancelled", "only the cancelled job runs again"
)
def test_jobs_that_end_while_nobody_waits(finished, cluster, tmp_path, record_property):
    run = first_iteration_on_slurm(tmp_path)
    with dpgen(run, cluster):
        two = started(cluster, run, ": dp train", times=2)
        time.sleep(2)  # dpdispatcher notes its jobs when it has submitted all
    cluster("scancel", two[0])
    wait_until(lambda: not jobs(cluster, run, "running,pending,completing"), "end of all jobs")
    with dpgen(run, cluster) as process:
        end(run, process)
    assert stopped(run).total() == 1
    require_same(run, finished, record_property, FIRST_STUDENTS)


@pytest.mark.full
@pytest.mark.fault("Slurm's controller is away for half a minute", "the run waits for it; nothing runs twice")
def test_a_controller_that_is_away(finished, cluster, tmp_path, record_property):
    run = first_iteration_on_slurm(tmp_path)
    with dpgen(run, cluster) as process:
        started(cluster, run, ": dp train")
        cluster.stop("slurmctld")
        time.sleep(30)
        cluster.start("slurmctld")
        end(run, process)
    assert stopped(run).total() == 0
    require_same(run, finished, record_property, FIRST_STUDENTS)


def run_out_of_time(cluster: Slurm, job: str) -> None:
    """Let a job take forever, and Slurm, which looks every 30 s, find that it has exceeded its time limit."""
    for line in cluster("scontrol", "listpids", job).splitlines()[1:]:
        os.kill(int(line.split()[0]), signal.SIGSTOP)
    cluster("scontrol", "update", f"jobid={job}", "EndTime=now")
    wait_until(lambda: cluster.state(job) == "TIMEOUT", "end of the job", 120)


def lose_the_node(cluster: Slurm, job: str) -> None:
    """Set the node down, which puts the job back into the queue, and resume it."""
    cluster("scontrol", "update", f"nodename={cluster.node}", "state=down", "reason=test")
    wait_until(lambda: cluster.state(job) == "PENDING", "job back in the queue")
    cluster("scontrol", "update", f"nodename={cluster.node}", "state=resume")
    cluster("scontrol", "update", f"jobid={job}", "StartTime=now")  # else Slurm lets it wait for two minutes


@pytest.mark.full
@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(
            run_out_of_time,
            marks=pytest.mark.fault("Slurm jobs that train exceed their time limit", "they go on from a checkpoint"),
        ),
        pytest.param(
            lose_the_node,
            marks=pytest.mark.fault("the node goes down on which Slurm jobs train", "they go on from a checkpoint"),
        ),
    ],
)
def test_trainings_go_on_from_their_checkpoints(finished, cluster, tmp_path, record_property, stop):
    steps, every = 4000, 200
    run = first_iteration_on_slurm(tmp_path, steps)
    param, machine = run.param, run.machine
    param["default_training_param"]["training"].update(disp_freq=every, save_freq=every)
    for name in ("train", "ipip_pretrain"):  # both students in one job
        machine[name]["resources"].update(group_size=0, para_deg=2, cpu_per_node=2)
    run.param, run.machine = param, machine

    files = [f"{member}/{name}" for member in ("000", "001") for name in ("lcurve.out", "model.ckpt.index")]

    def training(*earlier: str) -> dict[str, str]:
        """A job, in another folder than earlier ones, that trains both students and has saved both."""
        running = [job for job in jobs(cluster, run, "running") if job["folder"] not in earlier]
        saved = [job for job in running if all(Path(job["folder"], name).is_file() for name in files)]
        return saved[0] if saved else {}

    with dpgen(run, cluster) as process:
        pretraining = wait_until(training, "checkpoints of the pretraining", 600)
        stop(cluster, pretraining["id"])
        fine_tuning = wait_until(lambda: training(pretraining["folder"]), "checkpoints of the fine-tuning", 600)
        stop(cluster, fine_tuning["id"])
        end(run, process)
    assert stopped(run).total() == 4 and all(": dp train " in call for call in stopped(run))
    mine, others = (
        Counter(" ".join(call.split()[:3]) for call in found.elements())  # without --restart
        for found in (counted(run, "finished"), in_shell(finished, FIRST_STUDENTS))
    )
    record_property("jobs repeated", (mine - others).total())
    assert mine == others
    for folder in ("00.ipip/pretrain", "00.train"):
        for member in ("000", "001"):
            curve = (run.folder / "iter.000000" / folder / member / "lcurve.out").read_text().splitlines()
            rows = [int(line.split()[0]) for line in curve if not line.startswith("#")]
            assert sorted(set(rows)) == [*range(0, steps + 1, every)]
            assert rows.count(0) == 1  # never from the start again
            assert len(rows) - len(set(rows)) <= 2  # that of the checkpoint, and one that was not saved any more


@pytest.mark.full
@pytest.mark.fault("a cluster is reached over SSH, and its login node is away for a while", "the result is the same")
def test_a_run_over_ssh_ends_like_one_without(finished, cluster, tmp_path, record_property):
    run = on_slurm(tmp_path, "ssh_slurm")
    (tmp_path / "remote").mkdir()
    with sshd(tmp_path / "sshd", **cluster.environment) as server:
        machine = run.machine
        for name in PARTITIONS:
            machine[name]["machine"].update(remote_root=str(tmp_path / "remote"), remote_profile=server.profile)
        run.machine = machine
        with dpgen(run, cluster) as process:
            started(cluster, run, ": dp train", times=2)
            time.sleep(2)  # a connection that breaks while jobs are submitted ends the run
            server.stop()
            time.sleep(20)
            server.start()
            end(run, process)
    assert stopped(run).total() == 0
    require_whole_run_same(run, finished, record_property)
    assert not list((tmp_path / "remote").iterdir())
