# SPDX-License-Identifier: LGPL-3.0-or-later
"""Full disks and damaged files: what was there stays, what is ours is made again, the rest is named."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from tests.faults import stages

pytestmark = pytest.mark.slow

POOL = "iter.000001/00.ipip/pool"


@pytest.fixture
def small_disk():
    """Mount small disks; a second call with the same folder makes one larger."""
    mounted = []

    def mount(folder, size):
        folder.mkdir(parents=True, exist_ok=True)
        options = f"remount,size={size}" if folder in mounted else f"size={size}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"no right to mount a tmpfs: {done.stderr.strip()}")
        if folder not in mounted:
            mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def same_pool(run, finished):
    return stages.content(run.folder / POOL) == stages.content(finished.folder / POOL)


@pytest.mark.fault("the disk is full when the pool is written", "one line; after making room the same pool")
def test_a_full_disk_while_the_pool_is_written(finished, small_disk, tmp_path):
    run = stages.rewind(finished, tmp_path / "run", "0 8")
    (run.folder / stages.RELABELLED).unlink()
    shutil.rmtree(run.folder / POOL)
    folders = [run.folder / "iter.000000/00.ipip" / name for name in ("pool", "relabel/teacher", "relabel/students")]
    before = [stages.content(folder) for folder in folders]
    small_disk((run.folder / POOL).parent, "40k")
    message = stages.one_line(stages.start(run))
    assert "no space left on the disk" in message and "make room" in message
    assert not (run.folder / POOL).exists()
    assert [stages.content(folder) for folder in folders] == before
    small_disk((run.folder / POOL).parent, "50m")
    stages.start_until_exists(run, stages.RELABELLED)
    assert same_pool(run, finished)


@pytest.mark.fault("the disk is full when `ipip forget` writes a checkpoint", "one line; the old checkpoint is intact")
@pytest.mark.parametrize("room", ["4k", pytest.param("80k", marks=pytest.mark.full)])
def test_a_full_disk_while_a_checkpoint_is_rewritten(finished, small_disk, tmp_path, room):
    source = finished.folder / "iter.000000/00.train/000/model.ckpt"
    disk = tmp_path / "disk"
    small_disk(disk, room)
    forget = ["ipip", "forget", str(source), str(disk / "model.ckpt")]
    message = stages.one_line_of_ipip(finished(*forget))
    assert str(disk) in message and "disk" in message
    assert not any(path.is_file() for path in disk.rglob("*"))
    small_disk(disk, "20m")
    assert finished(*forget).returncode == 0
    before = stages.content(disk)
    used = sum(len(data) for data in before.values()) // 1024
    small_disk(disk, f"{used + 60}k")
    assert "disk" in stages.one_line_of_ipip(finished(*forget))
    assert stages.content(disk) == before


@pytest.mark.full
@pytest.mark.fault("the disk is full when a training saves its checkpoint", "one line; then the training goes on")
def test_a_full_disk_while_a_training_saves(finished, small_disk, tmp_path):
    run = stages.rewind(finished, tmp_path / "run", "")
    pretrain = run.folder / "iter.000000/00.ipip/pretrain"
    small_disk(pretrain, "150k")
    message = stages.one_line(stages.start(run))
    assert "no space left on the disk" in message or "iter.000000/00.ipip/pretrain" in message
    small_disk(pretrain, "100m")
    stages.start_until(run, "0 0")
    for member in ("000", "001"):
        curve = np.loadtxt(pretrain / member / "lcurve.out")
        assert curve[-1, 0] == 40


@pytest.mark.fault("a file of the pool is truncated", "the same pool is made again, and the run goes on")
def test_a_truncated_pool_is_made_again(finished, tmp_path):
    run = stages.rewind(finished, tmp_path / "run", "0 8")
    damaged = next((run.folder / POOL).glob("*/set.*/force.npy"))
    stages.truncate(damaged)
    said = stages.start_until_exists(run, "iter.000001/00.ipip/forgotten/pretrain/000/seed.json")
    assert f"{damaged.relative_to(run.folder)} is missing or truncated; it is made again" in said
    assert same_pool(run, finished)


@pytest.mark.parametrize("folder", ["data/train", "data/held_out"])
@pytest.mark.fault("a file of the reference data is truncated", "one line that names it, before anything runs")
def test_truncated_reference_data_are_named(finished, tmp_path, folder):
    run = stages.rewind(finished, tmp_path / "run", "0 8")
    damaged = f"{folder}/Mo9S18/set.000/force.npy"
    stages.truncate(run.folder / damaged)
    assert damaged in stages.one_line(stages.start(run))
    assert not (run.folder / "iter.000001/00.ipip/forgotten").exists()
    shutil.copy(finished.folder / damaged, run.folder / damaged)
    assert "no problem found" in run("ipip", "check").stdout


@pytest.mark.fault(
    "the checkpoint of a fine-tuned student is truncated", "one line that names it, before anything runs"
)
def test_a_truncated_checkpoint_of_a_fine_tuned_student_is_named(finished, tmp_path):
    run = stages.rewind(finished, tmp_path / "run", "0 8")
    damaged = run.folder / "iter.000000/00.train/001/model.ckpt.data-00000-of-00001"
    stages.truncate(damaged)
    message = stages.one_line(stages.start(run))
    assert "iter.000000/00.train/001/model.ckpt.data-00000-of-00001 is missing or truncated" in message
    assert not list(run.folder.glob("iter.000001/00.ipip/forgotten/**/ipip.log"))


@pytest.mark.full
@pytest.mark.fault("a rewritten checkpoint is truncated", "it is rewritten again, with the same weights")
def test_a_truncated_forgotten_checkpoint_is_made_again(finished, tmp_path):
    run = stages.rewind(finished, tmp_path / "run", "0 8")
    forgotten = "iter.000001/00.ipip/forgotten/pretrain"
    shutil.copytree(finished.folder / forgotten, run.folder / forgotten, symlinks=True)
    name = "model.ckpt.data-00000-of-00001"
    stages.truncate(run.folder / forgotten / "000" / name)
    said = stages.start_until_exists(run, "iter.000001/00.ipip/pretrain/001/input.json")
    assert f"{forgotten}/000/{name} is missing or truncated; it is made again" in said
    for member in ("000", "001"):
        assert (run.folder / forgotten / member / name).read_bytes() == (
            finished.folder / forgotten / member / name
        ).read_bytes()


@pytest.mark.full
@pytest.mark.fault("a pretrained checkpoint is truncated", "that student is trained again, to the same weights")
def test_a_truncated_pretrained_checkpoint_is_made_again(finished, tmp_path):
    run = stages.rewind(finished, tmp_path / "run", "")
    pretrain = "iter.000000/00.ipip/pretrain"
    shutil.copytree(finished.folder / pretrain, run.folder / pretrain, symlinks=True)
    stages.truncate(run.folder / pretrain / "001/model.ckpt.data-00000-of-00001")
    untouched = (run.folder / pretrain / "000/lcurve.out").stat().st_mtime
    stages.start_until_exists(run, "iter.000000/00.ipip/forgotten/finetune/000/seed.json")
    for member in ("000", "001"):
        path = f"{pretrain}/{member}/lcurve.out"
        assert (run.folder / path).read_bytes() == (finished.folder / path).read_bytes()
    assert (run.folder / pretrain / "000/lcurve.out").stat().st_mtime == untouched


@pytest.mark.full
@pytest.mark.parametrize("what", ["rows", "half a row", "nothing", "a frame"])
@pytest.mark.fault(
    "model_devi.out or a frame of an exploration is truncated", "that MD runs again, with the same result"
)
def test_a_truncated_exploration_is_made_again(finished, tmp_path, what):
    run = stages.rewind(finished, tmp_path / "run", "0 5")
    task = "iter.000000/01.model_devi/task.000.000000"
    table = (run.folder / task / "model_devi.out").read_text()
    if what == "a frame":
        stages.truncate(run.folder / task / "traj/50.lammpstrj")
    else:
        keep = {"rows": table.splitlines(keepends=True)[:5], "half a row": table[: len(table) // 2 + 7], "nothing": ""}
        (run.folder / task / "model_devi.out").write_text("".join(keep[what]))
    said = stages.start_until_exists(run, stages.RELABELLED)
    assert f"{task}: model_devi.out or frames are damaged; the MD runs again" in said
    assert (run.folder / task / "model_devi.out").read_text() == table
    assert same_pool(run, finished)
