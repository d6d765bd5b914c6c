# SPDX-License-Identifier: LGPL-3.0-or-later
"""Jobs on another machine over SSH: this one, through a server, a key and a port of the test's own."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from dpdispatcher.utils.record import record

from ipip_dp.errors import IpipError
from ipip_dp.running import dispatch, outage
from tests.slurm import wait_until
from tests.sshd import Server, sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with sshd(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder with two tasks, on this side of the connection."""
    (tmp_path / "record").mkdir()
    monkeypatch.setattr(record, "record_directory", tmp_path / "record")  # not the user's ~/.dpdispatcher
    folder = tmp_path / "run"
    for task in ("one", "two"):
        (folder / "work" / task).mkdir(parents=True)
        (folder / "work" / task / "frames").write_text(f"frames of {task}\n")
    (folder / "work/pool").mkdir()
    (folder / "work/pool/type.raw").write_text("0 1\n")
    (tmp_path / "remote").mkdir()
    monkeypatch.chdir(folder)
    return folder


def machine(server: Server, run_folder: Path, **profile: Any) -> dict[str, Any]:
    """machine.json for labelling over SSH."""
    return {
        "ipip_label": {
            "machine": {
                "batch_type": "Shell",
                "context_type": "SSHContext",
                "local_root": "./",
                "remote_root": str(run_folder.parent / "remote"),
                "remote_profile": {**server.profile, **profile},
                "retry_count": 1,
            },
            "resources": {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "group_size": 0, "para_deg": 2},
        }
    }


def submit(machine: dict[str, Any], run_folder: Path, script: str, check_interval: float = 0.5) -> None:
    with dispatch.submissions(machine, check_interval):
        dispatch.submit(
            machine,
            "ipip_label",
            (run_folder / "work").relative_to(run_folder),
            ["one", "two"],
            ["sh", "-c", script],
            forward=["frames"],
            common=["pool"],
            backward=["labels"],
        )


LABEL = "pwd; mkdir labels; cat ../pool/type.raw frames > labels/result"


def test_files_go_there_and_results_come_back(server, run_folder):
    submit(machine(server, run_folder), run_folder, LABEL)
    for task in ("one", "two"):
        assert (run_folder / "work" / task / "labels/result").read_text() == f"0 1\nframes of {task}\n"
        where = (run_folder / "work" / task / dispatch.LOG).read_text()
        assert where.startswith(str(run_folder.parent / "remote"))
    assert not list((run_folder.parent / "remote").iterdir())


@pytest.mark.fault("a job on another machine fails", "it runs again, with the folders it was sent")
def test_a_job_that_fails_runs_again(server, run_folder):
    submit(machine(server, run_folder), run_folder, f"if [ -f once ]; then {LABEL}; else touch once; exit 1; fi")
    assert (run_folder / "work/two/labels/result").read_text() == "0 1\nframes of two\n"


def wait_for_jobs(run_folder: Path, count: Path) -> None:
    """Wait until both tasks run and their job has been submitted: dpdispatcher has written that down."""
    wait_until(lambda: count.is_file() and count.read_text() == "x\nx\n", "start of both tasks")
    wait_until(lambda: any((run_folder.parent / "remote").glob("*/*_job_id")), "dpdispatcher's note")
    time.sleep(1)


def break_it(server: Server) -> None:
    for _ in range(20):  # some of these in the middle of a question
        server.disconnect()
        time.sleep(0.2)


def take_it_away(server: Server) -> None:
    server.stop()
    time.sleep(5)
    server.start()


@pytest.mark.long
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(break_it, marks=pytest.mark.fault("SSH connections break under jobs", "they are made again")),
        pytest.param(
            take_it_away,
            marks=[pytest.mark.full, pytest.mark.fault("an SSH server is away under jobs", "it is waited for")],
        ),
    ],
)
def test_jobs_outlive_the_connection(server, run_folder, monkeypatch, record_property, fault):
    monkeypatch.setattr(outage, "PAUSE", 1.0)
    count = run_folder.parent / "count"

    def fault_when_jobs_run() -> None:
        wait_for_jobs(run_folder, count)
        fault(server)

    thread = threading.Thread(target=fault_when_jobs_run)
    thread.start()
    submit(machine(server, run_folder), run_folder, f"echo x >> {count}; sleep 12; {LABEL}")
    assert not thread.is_alive()
    record_property("jobs repeated", len(count.read_text().split()) - 2)
    assert count.read_text() == "x\nx\n"
    assert (run_folder / "work/two/labels/result").read_text() == "0 1\nframes of two\n"


@pytest.mark.long
@pytest.mark.fault("an SSH server lets nobody in when it is first asked", "it is asked again")
def test_the_first_question_after_the_submission_is_refused(server, run_folder, monkeypatch, caplog):
    monkeypatch.setattr(outage, "PAUSE", 1.0)
    count = run_folder.parent / "count"

    def lock_out() -> None:
        wait_for_jobs(run_folder, count)
        key = server.folder / "user_key.pub"
        key.rename(server.folder / "away")
        server.disconnect()
        time.sleep(6)
        (server.folder / "away").rename(key)

    thread = threading.Thread(target=lock_out)
    thread.start()
    submit(machine(server, run_folder), run_folder, f"echo x >> {count}; sleep 10; {LABEL}", check_interval=3)
    thread.join()
    assert "asking again: Authentication failed" in caplog.text
    assert count.read_text() == "x\nx\n"


@pytest.mark.full
@pytest.mark.fault("an SSH server is away for long", "the run ends with one line; started again, it goes on")
def test_a_server_that_is_away_for_long(server, run_folder, monkeypatch, record_property):
    monkeypatch.setattr(outage, "PAUSE", 0.5)
    count = run_folder.parent / "count"
    script = f"echo x >> {count}; sleep 8; {LABEL}"

    def stop() -> None:
        wait_for_jobs(run_folder, count)
        monkeypatch.setattr(outage, "PATIENCE", 0)
        server.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(IpipError, match="work: no answer from the queue for 0 minutes: .*refused; jobs go on"):
        submit(machine(server, run_folder), run_folder, script)
    thread.join()
    server.start()
    submit(machine(server, run_folder), run_folder, script)
    record_property("jobs repeated", len(count.read_text().split()) - 2)
    assert count.read_text() == "x\nx\n"
    assert (run_folder / "work/one/labels/result").is_file()


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({"hostname": "no-such-host.invalid"}, "no-such-host.invalid"),
        ({"port": 1}, "refused"),
        ({"username": "nobody-of-that-name"}, "Authentication failed"),
        ({"key_filename": "no/such/key"}, "no/such/key"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_wrong_with_the_connection_is_said_in_one_line(server, run_folder, profile, said):
    with pytest.raises(IpipError) as error:
        submit(machine(server, run_folder, **profile), run_folder, LABEL)
    print(error.value)
    assert re.fullmatch(f"no SSH connection to .*{said}.*; see remote_profile in machine.json", str(error.value))
