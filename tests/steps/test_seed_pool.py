# SPDX-License-Identifier: LGPL-3.0-or-later
"""Teacher MD from the start structures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipip_dp.errors import IpipError
from ipip_dp.steps import seed_pool


def test_start_structures_have_dpgens_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.vasp", "a.vasp", "c.poscar"):
        (tmp_path / name).touch()
    jdata = {"sys_configs": [["*.vasp"], ["c.poscar", "b.vasp"]]}
    assert seed_pool.start_structures(jdata) == [
        ("000.0000", Path("a.vasp")),
        ("000.0001", Path("b.vasp")),
        ("001.0000", Path("c.poscar")),
        ("001.0001", Path("b.vasp")),
    ]


def test_every_structure_gets_a_task_of_its_own(make_context):
    context = make_context(sys_configs=[["mos2_mono27.vasp"], ["mos2_*.vasp"]])
    md = context.params.teacher_md
    arguments = (context, context.iteration.seed_pool, md.temperatures, md.nsteps, md.interval)
    assert seed_pool.prepare_md(*arguments) == ["task.000.0000", "task.001.0000"]
    settings = [
        json.loads((context.iteration.seed_pool / task / "md.json").read_text())
        for task in ("task.000.0000", "task.001.0000")
    ]
    assert settings[0]["seed"] != settings[1]["seed"]
    assert settings[0]["temperatures"] == [300, 800]
    assert settings[0]["labeler"] == context.params.teacher
    start = context.iteration.seed_pool / "task.001.0000/start"
    assert start.read_text() == Path("structures/mos2_mono27.vasp").read_text()


def test_a_task_without_labels_is_an_error_and_not_a_smaller_pool(tmp_path):
    (tmp_path / "one/labels/300K/Mo9S18").mkdir(parents=True)
    (tmp_path / "one/labels/300K/Mo9S18/type.raw").touch()
    (tmp_path / "two").mkdir()
    with pytest.raises(IpipError, match=r"two/labels is missing"):
        seed_pool.collect_md(tmp_path, ["one", "two"])


def test_md_without_a_usable_frame_says_why(tmp_path):
    (tmp_path / "one/labels/300K").mkdir(parents=True)
    failed = [{"source": "start", "frame": 0, "reason": "largest force 900 eV/Angstrom"}]
    (tmp_path / "one/labels/300K/failed.json").write_text(json.dumps(failed))
    with pytest.raises(IpipError, match=r"gave no usable frame; first reason: largest force 900"):
        seed_pool.collect_md(tmp_path, ["one"])
