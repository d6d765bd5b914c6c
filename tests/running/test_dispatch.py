# SPDX-License-Identifier: LGPL-3.0-or-later
"""Commands go through the real dpdispatcher: batch system Shell, in place and in a copy."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from dpdispatcher.utils.record import record

from ipip_dp.errors import IpipError
from ipip_dp.running import dispatch

RESOURCES = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 0, "para_deg": 2}
LAZY = {"batch_type": "Shell", "context_type": "LazyLocalContext", "local_root": "./", "retry_count": 1}


@pytest.fixture(autouse=True)
def run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(record, "record_directory", tmp_path)  # not the user's ~/.dpdispatcher
    for task in ("one", "two"):
        (tmp_path / "work" / task).mkdir(parents=True)
    return tmp_path


@pytest.fixture(params=["in place", "linked", "copied"])
def machine(request, run_folder):
    """A machine.json whose jobs run in place, or in another folder with links or copies."""
    if request.param == "in place":
        machine = LAZY
    else:
        profile = {"symlink": request.param == "linked"}
        (run_folder / "remote").mkdir()
        machine = {**LAZY, "context_type": "LocalContext", "remote_root": str(run_folder / "remote")}
        machine["remote_profile"] = profile
    return {"ipip_label": {"machine": machine, "resources": RESOURCES}}


@pytest.fixture
def in_place():
    return {"ipip_label": {"machine": LAZY, "resources": RESOURCES}}


def submit(machine, work_path, command, tasks=("one",), **files):
    with dispatch.submissions(machine, 0.1) as dispatched:
        dispatch.submit(machine, "ipip_label", work_path.relative_to(work_path.parent), tasks, command, **files)
    return dispatched


def test_files_go_there_and_results_come_back(machine, run_folder):
    work = run_folder / "work"
    (run_folder / "data" / "set.000").mkdir(parents=True)
    (run_folder / "data" / "set.000" / "x.npy").write_text("common ")
    (work / "data").symlink_to("../data")
    for task in ("one", "two"):
        (run_folder / f"{task}.json").write_text(task)
        (work / task / "input").symlink_to(f"../../{task}.json")
    command = ["sh", "-c", "mkdir labels && cat ../data/set.000/x.npy input > labels/result"]
    (dispatched,) = submit(
        machine, work, command, ("one", "two"), forward=["input"], common=["data/set.000"], backward=["labels"]
    )
    for task in ("one", "two"):
        assert (work / task / "labels" / "result").read_text() == f"common {task}"
        assert (work / task / dispatch.LOG).exists()
    assert dispatched.folder == "work" and dispatched.seconds > 0
    assert (dispatched.cores, dispatched.gpus) == (RESOURCES["number_node"] * RESOURCES["cpu_per_node"], 0)


def test_command_and_files_of_the_section_are_used(machine, run_folder):
    (run_folder / "tables").mkdir()
    (run_folder / "tables/zbl").write_text("repulsion")
    machine["ipip_label"].update(command="env GREETING=hello sh", user_forward_files=["tables/zbl"])
    submit(machine, run_folder / "work", ["ipip", "-c", "echo $GREETING $(cat zbl) > said"], backward=["said"])
    assert (run_folder / "work/one/said").read_text() == "hello repulsion\n"


def test_arguments_reach_the_command_as_they_are(machine, run_folder):
    words = ["Mo S,O", "a'b", 'c"d', "; touch harm", "$(touch harm)", "`touch harm`", "*", "{x}", "-n", ""]
    code = "import json, sys; json.dump(sys.argv[1:], open('words', 'w'))"
    submit(machine, run_folder / "work", [sys.executable, "-c", code, *words], backward=["words"])
    assert json.loads((run_folder / "work/one/words").read_text()) == words
    assert not list(run_folder.rglob("harm"))


def test_a_failure_says_what_our_command_said(machine, run_folder):
    script = "echo loading; echo 'ipip: labeler.json: no such key' >&2; exit 1"
    with pytest.raises(IpipError, match="failed in work:\nlabeler.json: no such key$"):
        submit(machine, run_folder / "work", ["sh", "-c", script])


def test_a_failure_of_another_command_says_how_its_log_ends(in_place, run_folder):
    with pytest.raises(IpipError, match=r"work/one/ipip.log ends with: out of memory$"):
        submit(in_place, run_folder / "work", ["sh", "-c", "echo step 1; echo out of memory; exit 1"])


def test_a_second_start_gets_all_its_tries_and_forgets_old_messages(machine, run_folder):
    work = run_folder / "work"
    count = run_folder / "count"
    reason = run_folder / "reason"
    script = f"echo x >> {count}; echo ipip: $(cat {reason}) >&2; exit 1"
    for attempt, text in enumerate(("first problem", "second problem"), start=1):
        reason.write_text(text)
        with pytest.raises(IpipError, match=f"{text}$"):
            submit(machine, work, ["sh", "-c", script])
        assert len(count.read_text().split()) == 2 * attempt  # retry_count 1: two tries


def test_only_what_failed_runs_again(machine, run_folder):
    work = run_folder / "work"
    script = f"pwd >> {run_folder}/started; [ -f {run_folder}/mended ] || [ $(basename $PWD) = one ]"
    with pytest.raises(IpipError):
        submit(machine, work, ["sh", "-c", script], ("one", "two"))
    (run_folder / "mended").touch()
    submit(machine, work, ["sh", "-c", script], ("one", "two"))
    started = [line.rsplit("/", 1)[1] for line in (run_folder / "started").read_text().splitlines()]
    assert started.count("one") == 1
    assert started.count("two") == 3


def test_a_finished_submission_does_not_run_again(in_place, run_folder):
    for _ in range(2):
        submit(in_place, run_folder / "work", ["sh", "-c", f"echo x >> {run_folder}/count"])
    assert (run_folder / "count").read_text() == "x\n"


def test_submissions_leave_dpdispatcher_as_it_was(in_place, run_folder):
    from dpdispatcher import Submission

    before = Submission.run_submission
    with pytest.raises(IpipError):
        submit(in_place, run_folder / "work", ["false"])
    assert Submission.run_submission is before


def test_a_section_may_be_a_list_or_fall_back():
    section = {"machine": {}, "resources": {}}
    assert dispatch.section({"model_devi": [section]}, "ipip_label") is section
    assert dispatch.dp_command({"train": {**section, "command": "dp4"}}) == "dp4"
    with pytest.raises(IpipError, match="model_devi lacks resources"):
        dispatch.section({"model_devi": {"machine": {}}}, "ipip_label")
    with pytest.raises(IpipError, match="ipip_pretrain is missing, and so is train"):
        dispatch.section({}, "ipip_pretrain")


@pytest.mark.parametrize(("cores", "parallel", "expected"), [(8, 2, 4), (1, 1, 1), (2, 4, 1)])
def test_workers_share_the_cores_of_a_node(cores, parallel, expected):
    resources = {"cpu_per_node": cores, "para_deg": parallel}
    assert dispatch.workers({"ipip_label": {"machine": {}, "resources": resources}}) == expected


def test_a_program_that_is_missing_is_named(in_place, run_folder):
    assert shutil.which("no-such-program") is None
    with pytest.raises(IpipError, match="no-such-program"):
        submit(in_place, run_folder / "work", ["no-such-program"])
