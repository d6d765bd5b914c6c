# SPDX-License-Identifier: LGPL-3.0-or-later
"""Run folders: names, atomic writes, links."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ipip_dp import workdir
from ipip_dp.workdir import Iteration


@pytest.fixture(autouse=True)
def run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_only_iterations_of_dpgen_count(run_folder):
    for name in ("iter.000002", "iter.000000", "iter.000001.bk000", "iter.notes"):
        (run_folder / name).mkdir()
    assert workdir.iterations() == [Iteration(0), Iteration(2)]


def test_iterations_know_their_neighbours():
    assert Iteration(1).previous == Iteration(0)
    assert Iteration(1).next.pool.parts == ("iter.000002", "00.ipip", "pool")


def test_a_crash_while_writing_leaves_the_old_file(run_folder, monkeypatch):
    path = run_folder / "folder" / "file.json"
    workdir.write_json(path, [1])

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            workdir.write_json(path, [2])
    assert json.loads(path.read_text()) == [1]
    workdir.write_json(path, [3])
    assert json.loads(path.read_text()) == [3]
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_a_task_with_the_same_input_keeps_its_results(run_folder):
    task = run_folder / "task" / "input.json"
    workdir.write_task(task, {"a": 1}, "labels")
    (task.parent / "labels").mkdir()
    tag = task.parent / "0123_task_tag_finished"
    tag.touch()
    before = task.stat().st_mtime_ns
    workdir.write_task(task, {"a": 1}, "labels")
    assert task.stat().st_mtime_ns == before
    assert (task.parent / "labels").is_dir()
    assert tag.exists()


def test_a_task_with_another_input_loses_its_results_and_runs_again(run_folder):
    task = run_folder / "task" / "input.json"
    workdir.write_task(task, {"a": 1}, "labels")
    (task.parent / "labels").mkdir()
    (task.parent / "kept").mkdir()
    tag = task.parent / "0123_task_tag_finished"
    tag.touch()
    workdir.write_task(task, {"a": 2}, "labels")
    assert json.loads(task.read_text()) == {"a": 2}
    assert not (task.parent / "labels").exists()
    assert (task.parent / "kept").is_dir()
    assert not tag.exists()


def test_links_are_relative_and_replaced(run_folder):
    for name in ("one", "two"):
        (run_folder / name).write_text(name)
    link = run_folder / "deep" / "er" / "link"
    workdir.link(run_folder / "one", link)
    workdir.link(run_folder / "two", link)
    assert os.readlink(link) == "../../two"
    assert link.read_text() == "two"
    moved = run_folder.rename(run_folder.with_name(f"{run_folder.name}.moved"))
    assert (moved / "deep/er/link").read_text() == "two"


def test_a_link_survives_what_a_crash_left(run_folder):
    (run_folder / "one").write_text("one")
    (run_folder / ".link.tmp").symlink_to("nowhere")
    workdir.link(run_folder / "one", run_folder / "link")
    assert (run_folder / "link").read_text() == "one"


def test_done_is_the_marker_of_one_folder(run_folder):
    assert not workdir.is_done(run_folder / "step")
    workdir.mark_done(run_folder / "step")
    assert workdir.is_done(run_folder / "step")
    assert not workdir.is_done(run_folder)


def test_fresh_empties_a_folder(run_folder):
    (run_folder / "folder" / "old").mkdir(parents=True)
    assert list(workdir.fresh(run_folder / "folder").iterdir()) == []


def test_a_step_whose_results_are_damaged_is_not_done(run_folder):
    step, result = Path("step"), Path("elsewhere/result")
    result.parent.mkdir()
    result.write_text("whole")
    workdir.mark_done(step, [result])
    assert workdir.is_done(step) and workdir.damaged(step) == []
    result.write_text("who")
    assert not workdir.is_done(step) and workdir.damaged(step) == [result]
    result.unlink()
    assert not workdir.is_done(step) and workdir.damaged(step) == [result]


def test_the_empty_marker_of_an_earlier_version_counts(run_folder):
    (run_folder / "step").mkdir()
    (run_folder / "step" / "done").touch()
    assert workdir.is_done(run_folder / "step")


def test_redo_removes_results_and_all_notes_of_dpdispatcher(run_folder):
    task = run_folder / "work" / "task"
    (task / "labels").mkdir(parents=True)
    (run_folder / "file").touch()
    (task / "link").symlink_to(run_folder / "file")
    notes = [task / "01_task_tag_finished", task.parent / "01_job_tag_finished", task.parent / f"{'0a' * 20}.json"]
    kept = [task / "input.json", task.parent / "summary.json"]
    for path in (*notes, *kept):
        path.touch()
    workdir.redo(task, "labels", "link", "missing")
    assert sorted(task.parent.rglob("*")) == sorted([task, *kept])
    assert (run_folder / "file").exists()
