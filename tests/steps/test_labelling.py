# SPDX-License-Identifier: LGPL-3.0-or-later
"""One place submits a labelling: files, section and command of whoever labels."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ipip_dp.errors import IpipError
from ipip_dp.running import dispatch
from ipip_dp.steps import labelling

SW = {"type": "lammps", "pair_style": "sw/mod", "elements": ["Mo", "S"], "command": "lmp"}


def test_a_labelers_files_are_linked_under_their_names(make_context):
    Path("potentials").mkdir()
    Path("potentials/own.sw").write_text("parameters")
    absolute = Path("potentials/own.sw").absolute()
    context = make_context(ipip={"teacher": {**SW, "pair_coeff": ["* * potentials/own.sw Mo S", f"* * {absolute}"]}})
    task = context.iteration.seed_pool / "task.000.0000"
    labelling.prepare(context, "teacher", task)
    assert (task / "potentials/own.sw").read_text() == "parameters"
    assert not os.path.isabs(os.readlink(task / "potentials/own.sw"))
    assert json.loads((task / "labeler.json").read_text()) == context.teacher


def test_students_label_where_they_are_trained(make_context):
    context = make_context()
    context.iteration.train.mkdir(parents=True)
    (context.iteration.train / "graph.000.pb").touch()
    source = labelling.source(context, "students")
    assert source.section == "ipip_pretrain"
    assert source.config == {"type": "dp", "models": ["graph.000.pb"]}
    assert source.files == {"graph.000.pb": context.iteration.train / "graph.000.pb"}
    assert labelling.source(context, "teacher").section == "ipip_label"


def test_odd_elements_stay_one_word_of_the_command(make_context, monkeypatch):
    context = make_context(type_map=["Mo", "S; touch harm"])
    given = []
    monkeypatch.setattr(dispatch, "submit", lambda *arguments, **options: given.append(arguments))
    labelling.label(context, "teacher", context.iteration.relabel, ["teacher"], gate=context.gate, min_success=0.5)
    ((_, section, _, tasks, command),) = given
    assert (section, tasks) == ("ipip_label", ["teacher"])
    assert command[command.index("--type-map") + 1] == "Mo,S; touch harm"


def test_without_a_reference_there_is_nothing_to_submit(make_context):
    context = make_context()
    context = replace(context, params=replace(context.params, reference=None))
    with pytest.raises(IpipError, match=r"ipip\.reference is missing"):
        labelling.source(context, "reference")
