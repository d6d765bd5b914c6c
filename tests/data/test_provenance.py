# SPDX-License-Identifier: LGPL-3.0-or-later
"""Pool frames say where their labels come from, and to dpdata and DP-GEN they are plain frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dpdata
import numpy as np
import pytest

from ipip_dp.data import pool, provenance, systems
from ipip_dp.data.frames import joined, take
from ipip_dp.data.provenance import LabelSource
from tests.data.conftest import TYPE_MAP, make_pool, make_system

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_pool(tmp_path / "pool", make_system(n_frames=7), set_size=3) / "Mo1S1O3"


def test_our_own_reader_and_writer_keep_it(folder: Path, tmp_path: Path) -> None:
    read = systems.read_unlabelled(folder, TYPE_MAP)
    np.testing.assert_allclose(read.data["ipip_model_deviation"], np.arange(7) / 7, rtol=1e-6)
    part = take(read, np.array([5, 2]))
    np.testing.assert_allclose(part.data["ipip_model_deviation"], [5 / 7, 2 / 7], rtol=1e-6)
    systems.write(joined([part, read]), tmp_path / "again", set_size=4)
    again = systems.read_unlabelled(tmp_path / "again", TYPE_MAP)
    np.testing.assert_allclose(again.data["ipip_model_deviation"] * 7, [5, 2, *range(7)], rtol=1e-6)
    assert set(again.data["ipip_label_source"]) == {LabelSource.TEACHER}


def test_pool_frames_join_plain_frames_in_dpdata(folder: Path) -> None:
    frames = dpdata.LabeledSystem(str(folder), fmt="deepmd/npy")
    plain = make_system(n_frames=2, start=50)
    for name in provenance.NAMES:
        del plain.data[name]
        assert name not in frames.data
    for first, second in ((frames, plain), (plain, frames)):
        whole = first.copy()
        whole.append(second)
        assert len(whole) == 9
        assert sum(map(len, dpdata.MultiSystems(first, second, type_map=TYPE_MAP))) == 9


def test_marked_frames_in_memory_join_plain_frames_too() -> None:
    marked, plain = make_system(n_frames=3), make_system(n_frames=2, start=50)
    for name in provenance.NAMES:
        del plain.data[name]
    assert sum(map(len, dpdata.MultiSystems(plain, marked, type_map=TYPE_MAP))) == 5
    plain.append(marked)
    assert len(plain) == 5


def test_dpgen_reads_a_pool_among_other_data(folder: Path, tmp_path: Path) -> None:
    from dpgen.util import expand_sys_str

    plain = make_system(n_frames=2, start=50)
    plain.to("deepmd/npy", str(tmp_path / "plain"))
    found = dpdata.MultiSystems(type_map=TYPE_MAP)
    for path in (*expand_sys_str(folder.parent), *expand_sys_str(tmp_path / "plain")):
        found.append(dpdata.LabeledSystem(path, fmt="deepmd/npy", type_map=TYPE_MAP))
    assert sum(map(len, found)) == 9


def test_a_perturbed_or_newly_labelled_frame_has_no_old_source(folder: Path) -> None:
    marked = make_system(n_frames=1)
    unlabelled = dpdata.System(str(folder), fmt="deepmd/npy")
    perturbed = unlabelled.perturb(2, 0.01, 0.1)
    for system in (perturbed, marked[0], marked.sub_system([0])):
        assert not set(provenance.NAMES) & set(system.data)


def test_foreign_arrays_of_a_similar_name_are_left_alone(tmp_path: Path) -> None:
    plain = make_system(n_frames=2)
    for name in provenance.NAMES:
        del plain.data[name]
    plain.to("deepmd/npy", str(tmp_path / "plain"))
    np.save(tmp_path / "plain/set.000/model_deviation.npy", np.zeros((5, 3)))
    np.save(tmp_path / "plain/set.000/label_source.npy", np.array(["VASP", "VASP"]))
    assert len(dpdata.LabeledSystem(str(tmp_path / "plain"), fmt="deepmd/npy")) == 2
    assert len(systems.read_unlabelled(tmp_path / "plain", TYPE_MAP)) == 2
    summary = pool.grow(None, [tmp_path / "plain"], tmp_path / "next", retention=1, seed=0)
    assert (summary.n_frames, summary.labels) == (2, {})


def test_a_pool_of_an_earlier_version_is_grown(tmp_path: Path) -> None:
    """Its arrays had other names; the origin of its frames is no longer known, their labels are."""
    old = make_pool(tmp_path / "old", make_system(n_frames=4))
    for path in old.rglob("ipip_*.npy"):
        path.rename(path.with_name(path.name.removeprefix("ipip_")))
    new = make_pool(tmp_path / "new", make_system(n_frames=3, start=100))
    summary = pool.grow(old, [new], tmp_path / "next", retention=1, seed=0)
    assert (summary.kept, summary.added, summary.labels) == (4, 3, {})


def test_one_deviation_for_every_frame() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) model deviations for 3 frames"):
        provenance.mark(make_system(n_frames=3), LabelSource.TEACHER, 0, np.zeros(2))
