# SPDX-License-Identifier: LGPL-3.0-or-later
"""LAMMPS dumps: every frame with its own atoms and boundaries, as LAMMPS itself wrote them."""

from __future__ import annotations

import subprocess

import dpdata
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipip_dp.data import dumps
from tests.lammps_frames import TYPE_MAP, frames


@given(frames())
@settings(max_examples=200, deadline=None)
def test_a_frame_is_what_lammps_dumped(frame):
    system = dumps.parse(frame.text(0), TYPE_MAP)
    assert system["atom_names"] == TYPE_MAP
    assert system["atom_types"].tolist() == frame.types.tolist()
    np.testing.assert_allclose(system["coords"][0], frame.coords, atol=1e-12)
    np.testing.assert_allclose(system["cells"][0], frame.cell, atol=1e-12)
    assert system.nopbc == frame.is_open


@given(st.lists(frames(), min_size=1, max_size=4), st.data())
@settings(max_examples=50, deadline=None)
def test_whole_frames_are_told_from_cut_ones(tmp_path_factory, found, data):
    texts = [frame.text(10 * step) for step, frame in enumerate(found)]
    path = tmp_path_factory.mktemp("dump") / "all.lammpstrj"
    cut = data.draw(st.integers(1, len(texts[-1]) - 1))
    path.write_text("".join(texts)[:-cut])
    read = [text for _, text in dumps.read_texts(path)]
    assert read[: len(texts) - 1] == texts[:-1]
    assert all(map(dumps.is_whole, texts))
    assert not any(map(dumps.is_whole, read[len(texts) - 1 :]))


def test_the_same_as_dpdata_reads_of_a_periodic_frame(tmp_path):
    """LAMMPS' own dump of a tilted cell, whose origin is not zero."""
    script = """
    units metal
    atom_style atomic
    box tilt large
    region cell prism -1 5 -2 6 -3 4 1.5 -0.5 0.75
    create_box 2 cell
    create_atoms 1 random 5 4711 cell
    create_atoms 2 random 4 4712 cell
    mass * 32.0
    pair_style zero 3.0 nocoeff
    pair_coeff * *
    dump d all custom 1 frame.lammpstrj id type x y z
    dump_modify d sort id format float %.16g
    run 0
    """
    (tmp_path / "in.lmp").write_text("\n".join(line.strip() for line in script.splitlines()))
    subprocess.run(["lmp", "-i", "in.lmp"], cwd=tmp_path, check=True, capture_output=True)
    ((step, text),) = dumps.read_texts(tmp_path / "frame.lammpstrj")
    system = dumps.parse(text, TYPE_MAP)
    expected = dpdata.System(str(tmp_path / "frame.lammpstrj"), fmt="lammps/dump", type_map=TYPE_MAP)
    assert step == 0
    assert system["atom_types"].tolist() == expected["atom_types"].tolist()
    np.testing.assert_allclose(system["cells"], expected["cells"], atol=1e-12)
    np.testing.assert_allclose(system["coords"], expected["coords"], atol=1e-9)


FRAME = (
    "ITEM: TIMESTEP\n5\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS {}\n0 9\n0 9\n0 9\nITEM: ATOMS id {}\n1 {} 1 2 3\n"
)


@pytest.mark.parametrize(
    ("boundaries", "columns", "kind", "message"),
    [
        ("pp pp ff", "type x y z", "1", "some directions only"),
        ("pp pp pp", "type x y z", "4", "type 4, but there are 3"),
        ("pp pp pp", "element x y z", "W", "W, which type_map"),
        ("pp pp pp", "type x y z vx", "1", "not whole"),
    ],
)
def test_what_is_refused(boundaries, columns, kind, message):
    with pytest.raises(ValueError, match=message):
        dumps.parse(FRAME.format(boundaries, columns, kind), TYPE_MAP)


def test_elements_in_place_of_types():
    assert dumps.parse(FRAME.format("ff ff ff", "element x y z", "S"), TYPE_MAP)["atom_types"].tolist() == [1]
