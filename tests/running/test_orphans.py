# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a submission finds of an earlier one in its folder; whole stories of killed runs are in tests/faults."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from dpdispatcher import Machine, Resources, Submission, Task
from dpdispatcher.utils.job_status import JobStatus

from ipip_dp.errors import IpipError
from ipip_dp.running import orphans

MACHINE = {"batch_type": "Shell", "context_type": "LazyLocalContext"}
RESOURCES = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1}


@pytest.fixture(autouse=True)
def run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for task in ("one", "two"):
        Path("work", task).mkdir(parents=True)


def submission(cores: int = 1, task: str = "one") -> Submission:
    machine = Machine.load_from_dict({**MACHINE, "local_root": str(Path.cwd())})  # absolute, as in a run
    resources = Resources.load_from_dict({**RESOURCES, "cpu_per_node": cores})
    made = Submission("work", machine, resources, task_list=[Task(command="true", task_work_path=task)])
    made.generate_jobs()
    return made


@pytest.fixture
def start():
    """Run the script of a submission's job, as dpdispatcher does; its process."""
    started = []

    def start_(made: Submission) -> subprocess.Popen:
        script = Path("work", made.belonging_jobs[0].script_file_name)
        script.write_text("sleep 30\ntrue\n")
        process = subprocess.Popen(["bash", script.name], cwd="work")
        started.append(process)
        end = time.monotonic() + 10
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"bash\0"):
            assert time.monotonic() < end
        return process

    yield start_
    for process in started:
        subprocess.run(["pkill", "-P", str(process.pid)])
        process.kill()
        process.wait()


def test_a_new_submission_leaves_a_note(run_folder):
    made = submission()
    orphans.adopt(made)
    assert Path("work", f"{made.submission_hash}.json").is_file()
    assert made.belonging_jobs[0].job_id == ""


def test_a_job_whose_number_was_not_noted_is_found_by_its_process(start):
    made = submission()
    orphans.adopt(made)
    process = start(made)
    again = submission()
    orphans.adopt(again)
    (job,) = again.belonging_jobs
    assert job.job_id == str(process.pid)
    assert job.fail_count == -1, "its end is no failure of the job"


def test_a_number_without_a_process_is_no_job():
    made = submission()
    orphans.adopt(made)
    (job,) = made.belonging_jobs
    Path("work", f"{job.job_hash}_job_id").write_text("1\n")  # init, which is no job of ours
    again = submission()
    orphans.adopt(again)
    assert (again.belonging_jobs[0].job_id, again.belonging_jobs[0].fail_count) == ("", 0)


def test_a_failed_job_may_be_tried_again():
    made = submission()
    orphans.adopt(made)
    again = submission()
    again.belonging_jobs[0].job_state = JobStatus.failed
    orphans.adopt(again)
    assert again.belonging_jobs[0].job_state == JobStatus.terminated


@pytest.mark.parametrize("done", [True, False])
def test_a_finished_job_stays_so_unless_its_task_was_redone(done):
    made = submission()
    orphans.adopt(made)
    again = submission()
    (job,) = again.belonging_jobs
    (task,) = job.job_task_list
    job.job_state, job.job_id = JobStatus.finished, "7"
    if done:
        Path("work/one", f"{task.task_hash}_task_tag_finished").touch()
    orphans.adopt(again)
    assert (job.job_state, job.job_id) == ((JobStatus.finished, "7") if done else (JobStatus.unsubmitted, ""))


def test_a_job_with_other_settings_that_still_works_in_the_folder_is_respected(start):
    made = submission()
    orphans.adopt(made)
    process = start(made)
    with pytest.raises(IpipError, match=rf"^work: job {process.pid}, submitted with another machine\.json or command"):
        orphans.adopt(submission(cores=2))
    orphans.adopt(submission(cores=2, task="two"))  # elsewhere it disturbs nobody
    process.kill()
    process.wait()
    orphans.adopt(submission(cores=2))


def test_a_run_folder_may_be_moved(run_folder, tmp_path, start, monkeypatch):
    made = submission()
    orphans.adopt(made)
    process = start(made)
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}.moved"))
    monkeypatch.chdir(moved)
    with pytest.raises(IpipError, match=rf"^work: job {process.pid}, submitted with another machine\.json or command"):
        orphans.adopt(submission())
    process.kill()
    process.wait()
    orphans.adopt(submission())
