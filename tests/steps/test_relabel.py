# SPDX-License-Identifier: LGPL-3.0-or-later
"""Explored frames: which are chosen, and how they are written."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import dpdata
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipip_dp.data import pool, systems
from ipip_dp.data.provenance import LabelSource
from ipip_dp.data.systems import read_unlabelled
from ipip_dp.steps import explored, relabel
from ipip_dp.workdir import Iteration
from tests import lammps_frames

STEPS = [0, 10, 20, 30]


def dump(step: int, types: list[int]) -> str:
    """A LAMMPS dump of one frame; x of the first atom is step / 100."""
    atoms = [f"{i + 1} {t} {step / 100 if i == 0 else i} 0 0 0 0 0" for i, t in enumerate(types)]
    return (
        f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(types)}\nITEM: BOX BOUNDS pp pp pp\n0 10\n0 10\n0 10\n"
        + "ITEM: ATOMS id type x y z fx fy fz\n"
        + "\n".join(atoms)
        + "\n"
    )


def explore(number: int, types: list[int], merge: bool = False) -> str:
    """A finished trajectory of DP-GEN's; the deviation is step / 100 + number, each step written twice."""
    task = Iteration(0).exploration / f"task.000.{number:06d}"
    (task / "traj").mkdir(parents=True)
    rows = [[step, 0, 0, 0, deviation, 0, 0] for step in STEPS for deviation in (99, step / 100 + number)]
    np.savetxt(task / "model_devi.out", rows, header="step max_devi_v ...")
    if merge:
        (task / "all.lammpstrj").write_text("".join(dump(step, types) for step in STEPS))
    else:
        for step in STEPS:
            (task / "traj" / f"{step}.lammpstrj").write_text(dump(step, types))
    return str(task)


def sort_frames(**lists: list[tuple[str, int]]) -> None:
    """DP-GEN's lists of sorted frames."""
    Iteration(0).fp.mkdir(parents=True)
    for kind, frames in lists.items():
        path = Iteration(0).fp / f"{kind}.shuffled.000.out"
        path.write_text("".join(f"{task} {step}\n" for task, step in frames))


def test_another_gate_labels_anew(make_context):
    sort_frames(candidate=[(explore(0, [1, 2]), 20)], rest_accurate=[])
    context = make_context()
    write_pool(context.iteration.pool)
    relabel.choose_frames(context)
    assert relabel.prepare(context) == ["teacher"]
    labels = context.iteration.relabel / "teacher/labels"
    labels.mkdir()
    relabel.prepare(context)
    assert labels.is_dir()
    relabel.prepare(make_context(ipip={"gate": {"max_force": 200}}))
    assert not labels.exists()


def test_explored_frames_of_all_systems_are_read_in_order(tmp_path):
    (tmp_path / "candidate.shuffled.000.out").write_text("b 20\na 100\na 20\n")
    (tmp_path / "candidate.shuffled.001.out").write_text("c 0\n")
    (tmp_path / "rest_accurate.shuffled.000.out").write_text("")
    assert explored.listed(tmp_path, "candidate") == [("a", 20), ("a", 100), ("b", 20), ("c", 0)]
    assert explored.listed(tmp_path, "accurate") == []
    assert explored.listed(tmp_path, "failed") == []


def test_a_choice_is_random_repeatable_and_in_order():
    frames = [("task", step) for step in range(100)]
    chosen = explored.draw(frames, 10, seed=1)
    assert len(set(chosen)) == 10
    assert chosen == sorted(chosen) == explored.draw(frames, 10, seed=1) != explored.draw(frames, 10, seed=2)
    assert chosen != frames[:10]
    assert explored.draw(frames, 100, seed=1) == frames
    assert explored.draw(frames, 0, seed=1) == []


@pytest.mark.parametrize("merge", [False, True])
def test_frames_are_written_with_their_deviations(make_context, merge):
    context = make_context(model_devi_merge_traj=merge)
    tasks = [explore(0, [1, 2], merge), explore(1, [1, 2], merge), explore(2, [2, 2, 1], merge)]
    frames = {tasks[0]: [(10, 0.1), (30, 0.3)], tasks[1]: [(20, 1.2)], tasks[2]: [(0, 2.0)]}
    target = Path("frames")
    explored.write_frames(context, frames, target)
    systems = [read_unlabelled(path, context.type_map) for path in sorted(target.iterdir())]
    assert [len(system) for system in systems] == [3, 1]
    assert systems[0]["coords"][:, 0, 0] == pytest.approx([0.1, 0.3, 0.2])
    assert systems[0].data["ipip_model_deviation"] == pytest.approx([0.1, 0.3, 1.2])
    assert systems[1].data["ipip_model_deviation"] == pytest.approx([2.0])
    assert [systems[1]["atom_names"][i] for i in systems[1]["atom_types"]] == ["S", "S", "Mo"]
    for system in systems:
        assert system["cells"][0] == pytest.approx(10 * np.eye(3))


def test_many_frames_are_written_in_several_systems(make_context, monkeypatch):
    monkeypatch.setattr(explored, "FRAMES_PER_SYSTEM", 3)
    tasks = [explore(number, [1, 2]) for number in range(3)] + [explore(3, [2, 1])]
    frames = {task: [(step, step / 100 + number) for step in STEPS[1:3]] for number, task in enumerate(tasks)}
    explored.write_frames(make_context(), frames, Path("frames"))
    systems = [read_unlabelled(path, ["Mo", "S"]) for path in sorted(Path("frames").iterdir())]
    assert [len(system) for system in systems] == [3, 3, 2]
    deviations = np.concatenate([system.data["ipip_model_deviation"] for system in systems])
    assert deviations == pytest.approx([0.1, 0.2, 1.1, 1.2, 2.1, 2.2, 3.1, 3.2])
    assert np.concatenate([system["coords"][:, 0, 0] for system in systems]) == pytest.approx([0.1, 0.2] * 4)


def test_what_a_crash_left_is_not_taken_for_frames(context):
    task = explore(0, [1, 2])
    half = Path(".frames.tmp/0007")
    half.mkdir(parents=True)
    explored.write_frames(context, {task: [(10, 0.1)]}, Path("frames"))
    assert [path.name for path in Path("frames").iterdir()] == ["0000"]


def prepared(context):
    for member in (0, 1):
        context.iteration.train.mkdir(parents=True, exist_ok=True)
        (context.iteration.train / f"graph.{member:03d}.pb").touch()
    if not context.iteration.pool.is_dir():
        write_pool(context.iteration.pool)
    relabel.choose_frames(context)
    return relabel.prepare(context)


def test_a_killed_md_that_went_on_has_its_later_frames_taken(make_context):
    task = explore(0, [1, 2], merge=True)
    dumps = [dump(step, [1, 2]) for step in STEPS]
    earlier = dump(20, [1, 2]).replace("1 1 0.2 ", "1 1 0.7 ")
    Path(task, "all.lammpstrj").write_text("".join([*dumps[:2], earlier, *dumps[1:]]))
    context = make_context(model_devi_merge_traj=True)
    explored.write_frames(context, {task: [(20, 0.2), (30, 0.3)]}, Path("frames"))
    frames = dpdata.System("frames/0000", fmt="deepmd/npy")
    assert frames["coords"][:, 0, 0] == pytest.approx([0.2, 0.3])


def test_students_label_accurate_frames_and_the_teacher_candidates(context):
    task = explore(0, [1, 2])
    sort_frames(rest_accurate=[(task, 0)], candidate=[(task, 20), (task, 10)], rest_failed=[(task, 30)])
    assert prepared(context) == ["students", "teacher"]
    folder = context.iteration.relabel
    counts = {
        name: len(dpdata.System(str(folder / name / "frames/0000"), fmt="deepmd/npy"))
        for name in ("students", "teacher")
    }
    assert counts == {"students": 1, "teacher": 2}
    source = {name: np.load(folder / name / "frames/0000/set.000/ipip_label_source.npy")[0] for name in counts}
    assert source == {"students": LabelSource.STUDENTS, "teacher": LabelSource.TEACHER}
    assert np.load(folder / "teacher/frames/0000/set.000/ipip_model_deviation.npy") == pytest.approx([0.1, 0.2])
    labelers = {name: json.loads((folder / name / "labeler.json").read_text()) for name in counts}
    assert labelers["students"] == {"type": "dp", "models": ["graph.000.pb", "graph.001.pb"]}
    assert labelers["teacher"] == context.params.teacher
    assert os.path.realpath(folder / "students/graph.001.pb") == str(
        (context.iteration.train / "graph.001.pb").resolve()
    )


def labelled_candidates(students, teacher, trust_class="candidate"):
    """Errors of labelled frames, as an earlier step has written them."""
    rows = [
        {"system": "MoS2", "trust_class": trust_class, "deviation": 0.1 + 0.01 * n, "ensemble": own, "teacher": other}
        for n, (own, other) in enumerate(zip(students, teacher, strict=True))
    ]
    relabel.workdir.write_csv(Iteration(0).on_policy / "frames.csv", rows)


def frames_of(context, who):
    folder = context.iteration.relabel / who / "frames"
    return sorted(x for path in folder.glob("*") for x in np.load(path / "set.000/coord.npy")[:, 0])


def test_whoever_is_less_wrong_labels_and_the_teacher_what_failed(make_context):
    task = explore(0, [1, 2])  # deviations of 0 to 0.3
    sort_frames(rest_accurate=[(task, 0)], candidate=[(task, 10), (task, 20)], rest_failed=[(task, 30)])
    labelled_candidates([0.5] * 15, [1.0] * 15)
    context = make_context()
    assert prepared(context) == ["students", "teacher"]
    assert frames_of(context, "students") == pytest.approx([0.0, 0.1, 0.2])
    assert frames_of(context, "teacher") == pytest.approx([0.3])
    labelled_candidates([1.0] * 15, [0.5] * 15)
    assert prepared(context) == ["students", "teacher"]
    assert frames_of(context, "students") == pytest.approx([0.0])
    assert frames_of(context, "teacher") == pytest.approx([0.1, 0.2, 0.3])
    by_levels = make_context(ipip={"relabel": {"rule": "trust_levels"}})
    assert prepared(by_levels) == ["students", "teacher"]
    assert frames_of(by_levels, "teacher") == pytest.approx([0.1, 0.2]), "what failed is nobody's"
    for rule in ("students", "teacher"):
        alone = make_context(ipip={"relabel": {"rule": rule}})
        assert prepared(alone) == [rule]
        assert frames_of(alone, rule) == pytest.approx([0.0, 0.1, 0.2])


def test_relative_deviations_leave_it_to_the_trust_levels(make_context):
    task = explore(0, [1, 2])
    sort_frames(rest_accurate=[(task, 0)], candidate=[(task, 10)])
    labelled_candidates([0.5] * 15, [1.0] * 15)
    context = make_context(use_relative=True)
    assert prepared(context) == ["students", "teacher"]
    assert frames_of(context, "teacher") == pytest.approx([0.1])


def test_a_failed_frame_that_has_lost_atoms_or_its_deviation_is_nobodys(make_context):
    task = Path(explore(0, [1, 2]))
    (task / "model_devi.log").write_text(f"{explored.explore.NOTE}: ERROR: Lost atoms: original 2 current 1\n")
    (task / "traj/20.lammpstrj").write_text(dump(20, [1]))
    table = (task / "model_devi.out").read_text()
    (task / "model_devi.out").write_text(re.sub(r"(?m)^(3\.0+e\+01( \S+){3}) \S+", r"\1 nan", table))
    assert explored.explore.usable(task) == {0, 10}
    sort_frames(rest_failed=[(str(task), step) for step in STEPS])
    labelled_candidates([1.0] * 15, [0.5] * 15)
    context = make_context()
    assert prepared(context) == ["teacher"]
    assert frames_of(context, "teacher") == pytest.approx([0.0, 0.1])


@pytest.mark.parametrize(("self_labels", "kept", "renewed"), [("renew", 2, 2), ("keep", 4, 0), ("drop", 2, 0)])
def test_what_becomes_of_self_labels(make_context, self_labels, kept, renewed):
    from ipip_dp.data import provenance

    context = make_context(ipip={"pool": {"self_labels": self_labels}})
    sort_frames(candidate=[])
    write_pool(context.iteration.pool)
    system = dpdata.LabeledSystem("data/train/Mo9S18", fmt="deepmd/npy")[2:4]
    provenance.mark(system, LabelSource.STUDENTS, 0, np.array([0.1, 0.2]))
    pool.append(context.iteration.pool, system)
    tasks = prepared(context)
    assert tasks == (["students"] if renewed else [])
    if renewed:
        found = [
            read_unlabelled(path, context.type_map) for path in systems.below(context.iteration.relabel / "students")
        ]
        assert [len(frames) for frames in found] == [2]
        assert found[0]["coords"] == pytest.approx(system["coords"], abs=1e-5)
        assert found[0].data["ipip_model_deviation"] == pytest.approx([0.1, 0.2])
    without = None if self_labels == "keep" else LabelSource.STUDENTS
    grown = pool.grow(context.iteration.pool, [], context.iteration.next.pool, retention=1, seed=0, without=without)
    assert (grown.kept, grown.dropped) == (kept, 4 - kept)


def test_limits_are_kept(make_context):
    context = make_context(ipip={"relabel": {"max_in_domain": 0, "max_candidates": 1}})
    task = explore(0, [1, 2])
    sort_frames(rest_accurate=[(task, 0)], candidate=[(task, 20), (task, 10)])
    assert prepared(context) == ["teacher"]
    assert len(dpdata.System(str(context.iteration.relabel / "teacher/frames/0000"), fmt="deepmd/npy")) == 1


def test_frames_are_not_written_again(context):
    task = explore(0, [1, 2])
    sort_frames(candidate=[(task, 20)])
    prepared(context)
    coordinates = context.iteration.relabel / "teacher/frames/0000/set.000/coord.npy"
    before = coordinates.stat().st_mtime_ns
    prepared(context)
    assert coordinates.stat().st_mtime_ns == before


def test_frames_sorted_anew_are_written_anew(context):
    task = explore(0, [1, 2])
    sort_frames(candidate=[(task, 20)])
    prepared(context)
    folder = context.iteration.relabel / "teacher"
    chosen = explored.folder(context, "candidate") / explored.CHOICE
    assert json.loads(chosen.read_text()) == {task: [[20, 0.2]]}
    (folder / "labels").mkdir()
    write_pool(context.iteration.pool)
    write_pool(context.iteration.next.pool)
    relabel.workdir.mark_done(context.iteration.relabel, relabel.pool.files(context.iteration.next.pool))
    relabel.choose_frames(context)
    assert (folder / "labels").is_dir() and context.iteration.next.pool.is_dir()
    (context.iteration.fp / "candidate.shuffled.000.out").write_text(f"{task} 30\n")
    relabel.choose_frames(context)
    assert not (context.iteration.relabel / "done").exists() and not context.iteration.next.pool.exists()
    assert relabel.prepare(context) == ["teacher"]
    assert dpdata.System(str(folder / "frames/0000"), fmt="deepmd/npy")["coords"][0, 0, 0] == pytest.approx(0.3)
    assert not (folder / "labels").exists()


def test_without_explored_frames_the_pool_stays(make_context):
    context = make_context(ipip={"pool": {"keep_iterations": 1}})
    sort_frames(rest_failed=[(explore(0, [1, 2]), 0)])
    write_pool(context.iteration.pool)
    relabel.choose_frames(context)
    relabel.step(context)
    summary = json.loads((context.iteration.relabel_summary).read_text())
    assert summary == {
        "labelled": {}, "rejected": 0, "added": 0, "kept": 2, "dropped": 0,
    }  # fmt: skip
    assert explored.counts(context) == {
        "accurate": 0, "candidate": 0, "failed": 1, "md": 0, "blown_up": 0, "held": 0, "trust_levels": [0.15, 0.6],
    }  # fmt: skip
    assert (context.iteration.relabel / "done").is_file()
    assert context.iteration.next.pool.is_dir()
    assert not context.iteration.pool.exists()


@pytest.mark.parametrize(("keep", "left"), [(0, [0, 1, 2]), (1, [2]), (2, [1, 2])])
def test_old_pools_are_removed(make_context, keep, left):
    settings = {"pool": {"keep_iterations": keep}}
    for index in (0, 1):
        Iteration(index).fp.mkdir(parents=True)
    write_pool(Iteration(0).pool)
    for index in (0, 1):
        relabel.choose_frames(make_context(index, ipip=settings))
        relabel.step(make_context(index, ipip=settings))
    assert [index for index in range(3) if Iteration(index).pool.exists()] == left


def test_no_pool_is_removed_before_the_step_is_done(make_context, monkeypatch):
    context = make_context(ipip={"pool": {"keep_iterations": 1}})
    sort_frames(rest_failed=[(explore(0, [1, 2]), 0)])
    write_pool(context.iteration.pool)
    relabel.choose_frames(context)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(relabel.workdir, "mark_done", interrupt)
        relabel.step(context)
    assert context.iteration.pool.is_dir() and context.iteration.next.pool.is_dir()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(relabel.pool, "remove", interrupt)
        relabel.step(context)
    assert (context.iteration.relabel / "done").is_file()
    relabel.step(context)
    assert not context.iteration.pool.exists() and context.iteration.next.pool.is_dir()


def interrupt(*_):
    raise KeyboardInterrupt


def write_pool(folder: Path) -> None:
    from ipip_dp.data import pool, provenance

    system = dpdata.LabeledSystem("data/train/Mo9S18", fmt="deepmd/npy")[:2]
    provenance.mark(system, LabelSource.TEACHER, 0)
    pool.append(folder, system)


def atoms_of(types, coords, cell, is_open, force):
    """A frame in a form that does not depend on the order of atoms or frames; all numbers fit single precision."""
    atoms = sorted((int(kind), *(np.round(xyz, 6) + 0.0).tolist()) for kind, xyz in zip(types, coords, strict=True))
    return str((atoms, None if is_open else (np.round(cell, 6) + 0.0).tolist(), is_open, round(float(force), 4)))


@given(trajectory=st.lists(lammps_frames.frames(), min_size=1, max_size=6), merge=st.booleans(), data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_reaches_the_pool_is_what_lammps_dumped(make_context, tmp_path_factory, trajectory, merge, data):
    """Types, numbers of atoms and boundaries change from frame to frame; a first frame has no row, as in minimising."""
    folder = tmp_path_factory.mktemp("run")
    context = make_context(type_map=["Mo", "S", "O"], model_devi_merge_traj=merge)
    task = folder / "task.000.000000"
    (task / "traj").mkdir(parents=True)
    for number, frame in enumerate(trajectory):
        with open(task / "all.lammpstrj" if merge else task / f"traj/{10 * number}.lammpstrj", "a") as file:
            file.write(frame.text(10 * number))
    first = data.draw(st.integers(0, len(trajectory) - 1))
    rows = {10 * number: number / 8 for number in range(first, len(trajectory))}
    (task / "model_devi.out").write_text("".join(f"{step} 0 0 0 {value} 0 0\n" for step, value in rows.items()))
    assert explored.explore.damage(task) is None
    explored.write_frames(context, {str(task): list(rows.items())}, folder / "frames")
    for system in systems.below(folder / "frames"):
        found = read_unlabelled(system, context.type_map)
        labels = {"energies": np.zeros(len(found)), "forces": np.zeros_like(found["coords"])}
        labels["forces"][:, 0, 0] = found["ipip_model_deviation"]
        pool.append(folder / "labels", dpdata.LabeledSystem(data={**found.data, **labels}))
    pool.grow(None, [folder / "labels"], folder / "pool", retention=1, seed=0)
    pooled = []
    for system in systems.below(folder / "pool"):
        is_open = systems.is_open(system)
        for part in systems.sets(system):
            found = systems.read_sorted(part, systems.LABELLED)
            deviation = np.load(part / "ipip_model_deviation.npy")
            assert np.array_equal(found["forces"].max(axis=(1, 2)), deviation)
            arrays = zip(found["coords"], found["cells"], deviation, strict=True)
            pooled += [atoms_of(found["atom_types"], *row[:2], is_open, row[2]) for row in arrays]
    dumped = zip(trajectory[first:], rows.values(), strict=True)
    assert sorted(pooled) == sorted(
        atoms_of(frame.types, frame.coords, frame.cell, frame.is_open, value) for frame, value in dumped
    )
