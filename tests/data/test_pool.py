# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipip_dp.data import pool, systems
from ipip_dp.data.provenance import LabelSource
from ipip_dp.errors import IpipError
from tests.data.conftest import TYPE_MAP, check_frames, energies, frames, make_pool, make_system

if TYPE_CHECKING:
    from collections.abc import Callable

DP = Path(sys.executable).with_name("dp")


def test_append_sorts_interleaved_atoms_and_numbers_sets(tmp_path: Path) -> None:
    target = make_pool(tmp_path / "pool", make_system(n_frames=10), make_system("O S O Mo O", n_frames=3, start=200))
    assert [path.name for path in systems.below(target)] == ["Mo1S1O3"]
    assert [p.name for p in sorted((target / "Mo1S1O3").glob("set.*"))] == [f"set.{i:06d}" for i in range(4)]
    assert energies(target) == [*range(10), 200, 201, 202]
    check_frames(target)
    assert pool.summary(target) == pool.PoolSummary(0, 0, 13, {"Mo1S1O3": 13}, {"teacher": {0: 10, 2: 3}})
    assert [path.name for path in tmp_path.iterdir()] == ["pool"]


@pytest.mark.parametrize("type_map", [["S", "Mo", "O"], ["Mo", "S", "O", "H"]])
def test_append_rejects_other_type_map(tmp_path: Path, type_map: list[str]) -> None:
    target = make_pool(tmp_path / "pool", make_system())
    with pytest.raises(IpipError, match=r"Mo1S1O3/type_map.raw.*'Mo', 'S', 'O'"):
        pool.append(target, make_system("S S", type_map=type_map))
    assert energies(target) == list(range(10))


def test_open_and_periodic_frames_of_a_formula_stay_apart(tmp_path: Path) -> None:
    system, cluster = make_system(), make_system()
    cluster.nopbc = True
    target = make_pool(tmp_path / "pool", system)
    pool.append(target, cluster)
    make_pool(tmp_path / "clusters", cluster)
    for number, new in enumerate([[], [tmp_path / "clusters"]]):
        target = (pool.grow(target, new, tmp_path / f"next{number}", retention=1, seed=0), tmp_path / f"next{number}")[
            1
        ]
    formula = system.short_name
    assert pool.summary(target).formulas == {formula: len(system), f"{formula}.open": 2 * len(cluster)}
    assert {path.name: systems.is_open(path) for path in systems.below(target)} == {
        formula: False,
        f"{formula}.open": True,
    }


def test_append_rejects_missing_labels(tmp_path: Path) -> None:
    system = make_system()
    target = make_pool(tmp_path / "pool", system)
    del system.data["energies"], system.data["forces"]
    with pytest.raises(IpipError, match="energies, forces"):
        pool.append(target, system)


def test_grow_keeps_a_seeded_fraction_per_formula_and_all_new_frames(tmp_path: Path) -> None:
    old = make_pool(tmp_path / "old", make_system(n_frames=50), make_system("Mo S", n_frames=20, start=100))
    new = [
        make_pool(tmp_path / "a", make_system(n_frames=9, start=300, source=LabelSource.STUDENTS)),
        make_pool(tmp_path / "b", make_system("O O", n_frames=3, start=400, source=LabelSource.STUDENTS)),
    ]
    result = pool.grow(old, new, tmp_path / "next", retention=0.3, seed=1, set_size=4)
    assert (result.kept, result.dropped, result.added, result.n_frames) == (21, 49, 12, 33)
    assert (
        result.formulas
        == {"Mo1S1O3": 24, "Mo1S1O0": 6, "Mo0S0O2": 3}
        == {
            formula: sum(len(np.load(p)) for p in (tmp_path / "next" / formula).rglob("coord.npy"))
            for formula in result.formulas
        }
    )
    assert {source: sum(by_iteration.values()) for source, by_iteration in result.labels.items()} == {
        "teacher": 21,
        "students": 12,
    }
    assert result.labels["students"] == {3: 9, 4: 3}
    assert result == pool.summary(tmp_path / "next")
    check_frames(tmp_path / "next")
    got = energies(tmp_path / "next")
    assert len(set(got)) == 33
    assert set(got) >= {*range(300, 309), *range(400, 403)}
    # what is drawn depends on the seed, and not on the other formulas
    alone = make_pool(tmp_path / "alone", make_system(n_frames=50))
    pool.grow(alone, [], tmp_path / "alone1", retention=0.3, seed=1)
    pool.grow(alone, [], tmp_path / "alone2", retention=0.3, seed=2)
    assert energies(tmp_path / "alone1") == [energy for energy in got if energy < 50]
    assert energies(tmp_path / "alone2") != energies(tmp_path / "alone1")


def test_grow_restarts_after_a_crash_and_leaves_a_complete_pool_alone(tmp_path: Path) -> None:
    new = make_pool(tmp_path / "new", make_system())
    make_pool(tmp_path / "next.tmp", make_system(start=900))
    result = pool.grow(None, [new], tmp_path / "next", retention=1, seed=0)
    assert energies(tmp_path / "next") == list(range(10))
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "next").rglob("*")}
    pool.append(new, make_system(start=50))
    assert pool.grow(None, [new], tmp_path / "next", retention=0, seed=9) == result
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "next").rglob("*")}
    assert not (tmp_path / "next.tmp").exists()


def test_grow_drops_virials_that_not_all_frames_have(tmp_path: Path) -> None:
    old = make_pool(tmp_path / "old", make_system(), make_system("S S"))
    new = make_pool(tmp_path / "new", make_system(start=20, virials=False))
    pool.grow(old, [new], tmp_path / "next", retention=1, seed=0)
    has_virials = {system.formula: "virials" in system.data for system in frames(tmp_path / "next")}
    assert has_virials == {"Mo1S1O3": False, "Mo0S2O0": True}


def test_grow_forgets_everything_at_retention_zero(tmp_path: Path) -> None:
    old = make_pool(tmp_path / "old", make_system(), make_system("S S"))
    new = make_pool(tmp_path / "new", make_system(start=20))
    result = pool.grow(old, [new], tmp_path / "next", retention=0, seed=0)
    assert (result.kept, result.dropped, result.added) == (0, 20, 10)
    assert result.formulas == {"Mo1S1O3": 10}
    with pytest.raises(IpipError, match="would be empty.*raise pool.retention"):
        pool.grow(old, [], tmp_path / "empty", retention=0, seed=0)
    assert not (tmp_path / "empty").exists()


def test_grow_reads_plain_dpdata_folders_at_any_depth(tmp_path: Path) -> None:
    system = make_system("S O Mo O", n_frames=6)
    system.to("deepmd/npy", str(tmp_path / "labels" / "task.000000" / "x"), set_size=5)
    pool.grow(None, [tmp_path / "labels"], tmp_path / "next", retention=1, seed=0)
    check_frames(tmp_path / "next", marked=False)
    assert energies(tmp_path / "next") == list(range(6))


def test_grow_rejects_another_type_map_and_missing_folders(tmp_path: Path) -> None:
    old = make_pool(tmp_path / "old", make_system())
    new = make_pool(tmp_path / "new", make_system("S S", type_map=["S", "Mo", "O"]))
    with pytest.raises(IpipError, match=r"new/S2Mo0O0/type_map.raw.*\['S', 'Mo', 'O'\]"):
        pool.grow(old, [new], tmp_path / "next", retention=1, seed=0)
    with pytest.raises(IpipError, match="data folder .*nothing does not exist"):
        pool.grow(old, [tmp_path / "nothing"], tmp_path / "next", retention=1, seed=0)


@pytest.mark.parametrize("name", ["coord", "force", "ipip_label_source"])
@pytest.mark.parametrize("damage", ["truncate", "header", "garbage", "empty", "missing", "fewer", "pickle"])
def test_damaged_file_is_named(tmp_path: Path, name: str, damage: str) -> None:
    target = make_pool(tmp_path / "pool", make_system(n_frames=6))
    path = target / "Mo1S1O3" / "set.000001" / f"{name}.npy"
    content = path.read_bytes()
    if (name, damage) == ("ipip_label_source", "missing"):  # it is optional
        path.unlink()
        assert pool.grow(None, [target], tmp_path / "next", retention=1, seed=0).labels == {}
        return
    if damage == "missing":
        path.unlink()
    elif damage == "fewer":
        np.save(path, np.load(path)[:1, ...])
    elif damage == "pickle":
        np.save(path, np.array([{}, {}], dtype=object), allow_pickle=True)
    else:
        damaged = {"truncate": content[:-3], "header": content[:20], "garbage": b"x" * 500, "empty": b""}
        path.write_bytes(damaged[damage])
    # with one frame less in coord.npy, every other file is the odd one
    where = "set.000001" if (name, damage) == ("coord", "fewer") else f"set.000001/{name}.npy"
    with pytest.raises(IpipError, match=where):
        list(frames(target))
    with pytest.raises(IpipError, match=where):
        pool.grow(None, [target], tmp_path / "next", retention=1, seed=0)


def test_summary_notices_removed_frames(tmp_path: Path) -> None:
    new = make_pool(tmp_path / "new", make_system())
    pool.grow(None, [new], tmp_path / "next", retention=1, seed=0, set_size=5)
    for path in (tmp_path / "next" / "Mo1S1O3" / "set.000001").iterdir():
        path.unlink()
    (tmp_path / "next" / "Mo1S1O3" / "set.000001").rmdir()
    with pytest.raises(IpipError, match="holds 5 frames, but was written with 10"):
        pool.summary(tmp_path / "next")


def killed_before_call(number: int, function: Callable[..., None], *arguments: object) -> bool:
    """Whether a process was killed right before it renamed or deleted for the given time."""
    calls = itertools.count()

    def counted(original: Callable) -> Callable:
        def call(*args: object, **options: object) -> object:
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **options)

        return call

    def child() -> None:
        for name in ("rename", "unlink", "rmdir"):
            setattr(os, name, counted(getattr(os, name)))
        function(*arguments)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def test_a_pool_is_removed_as_a_whole_whenever_the_process_is_killed(tmp_path: Path) -> None:
    target = tmp_path / "pool"
    for number in range(100):
        shutil.rmtree(tmp_path / "pool.removed", ignore_errors=True)
        if not target.exists():
            pool.grow(None, [make_pool(tmp_path / f"new{number}", make_system())], target, retention=1, seed=0)
        killed = killed_before_call(number, pool.remove, target)
        assert target.exists() == (number == 0)
        if target.exists():
            assert energies(target) == list(range(10))
        elif not killed:
            break
    assert number > 10
    assert not (tmp_path / "pool.removed").exists()


def test_the_rest_of_a_pool_is_removed_with_the_next_call(tmp_path: Path) -> None:
    target = make_pool(tmp_path / "pool", make_system())
    assert killed_before_call(3, pool.remove, target)
    assert [path.name for path in tmp_path.iterdir()] == ["pool.removed"]
    pool.remove(target)
    assert not list(tmp_path.iterdir())
    pool.remove(target)


def test_a_pool_that_cannot_be_removed_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = make_pool(tmp_path / "pool", make_system())
    (tmp_path / "pool.removed").write_text("")
    pool.remove(target)
    assert f"{target} is no longer needed, but cannot be removed" in caplog.text
    assert energies(target) == list(range(10))


def test_a_set_that_holds_everything_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = make_system(n_frames=100)
    system.to("deepmd/npy", str(tmp_path / "new" / "x"), set_size=100)
    pool.grow(None, [tmp_path / "new"], tmp_path / "whole", retention=1, seed=0)
    monkeypatch.setattr(systems, "BLOCK_NUMBERS", 150)
    assert [len(part) for part in frames(tmp_path / "new")] == [10] * 10
    pool.grow(None, [tmp_path / "new"], tmp_path / "parts", retention=1, seed=0)
    for one, other in zip(
        systems.sets(tmp_path / "whole/Mo1S1O3"), systems.sets(tmp_path / "parts/Mo1S1O3"), strict=True
    ):
        assert [path.read_bytes() for path in sorted(one.iterdir())] == [
            path.read_bytes() for path in sorted(other.iterdir())
        ]


@pytest.mark.slow
def test_dp_train_reads_the_pool(tmp_path: Path) -> None:
    new = make_pool(tmp_path / "new", make_system(n_frames=8), make_system("S Mo", n_frames=4, start=20))
    pool.grow(None, [new], tmp_path / "pool", retention=1, seed=0, set_size=3)
    train = {
        "model": {
            "type_map": TYPE_MAP,
            "descriptor": {"type": "se_e2_a", "sel": [8, 8, 8], "rcut": 4.0, "rcut_smth": 3.0, "neuron": [4, 8]},
            "fitting_net": {"neuron": [8]},
        },
        "learning_rate": {"type": "exp", "start_lr": 1e-3, "stop_lr": 1e-4},
        "loss": {"start_pref_e": 0, "limit_pref_e": 0, "start_pref_f": 1, "limit_pref_f": 1},
        "training": {
            "training_data": {"systems": [str(path) for path in systems.below(tmp_path / "pool")], "batch_size": 1},
            "numb_steps": 20,
            "disp_freq": 10,
        },
    }
    (tmp_path / "input.json").write_text(json.dumps(train))
    threads = ("OMP_NUM_THREADS", "DP_INTRA_OP_PARALLELISM_THREADS", "DP_INTER_OP_PARALLELISM_THREADS")
    one = dict.fromkeys(threads, "1")
    run = [str(DP), "train", "input.json"]
    result = subprocess.run(run, cwd=tmp_path, env={**os.environ, **one}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    assert np.isfinite(np.loadtxt(tmp_path / "lcurve.out")).all()
