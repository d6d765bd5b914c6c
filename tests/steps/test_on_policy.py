# SPDX-License-Identifier: LGPL-3.0-or-later
"""Frames of an audit: which, how many, and that a measurement is made anew when labels are."""

from __future__ import annotations

import json
import shutil

import dpdata
import numpy as np
import pytest

from ipip_dp import workdir
from ipip_dp.data import systems
from ipip_dp.running import dispatch
from ipip_dp.steps import explored, on_policy

SPRINGS = {"type": "lammps", "pair_style": "lj/cut 5.0", "elements": ["Mo", "S"]}
REFERENCE = {**SPRINGS, "pair_coeff": ["* * 0.01 2.5"]}


def frames(n_frames: int) -> dpdata.System:
    system = dpdata.LabeledSystem("data/train/Mo9S18", fmt="deepmd/npy")[:n_frames]
    return dpdata.System(
        data={name: system.data[name] for name in dpdata.System("data/train/Mo9S18", "deepmd/npy").data}
    )


def write_explored(context, first=0, **numbers):
    for trust_class, number in numbers.items():
        system = frames(first + number)[first:]
        shutil.rmtree(explored.folder(context, trust_class), ignore_errors=True)
        system.data["ipip_model_deviation"] = np.linspace(0.1, 0.2, number)
        systems.write(system, explored.folder(context, trust_class) / "frames/0000")
    for trust_class in explored.LISTS:
        choice = {"task": numbers.get(trust_class, 0), "from": first}
        workdir.write_json(explored.folder(context, trust_class) / explored.CHOICE, choice)
    counts = {"accurate": 90, "candidate": 9, "failed": 1, "md": 3, "blown_up": 0, "held": 2}
    workdir.write_json(context.iteration.explored_counts, counts)


@pytest.mark.parametrize(
    ("sizes", "total", "shares"),
    [
        ({"accurate": 9, "candidate": 9, "failed": 9}, 6, {"accurate": 2, "candidate": 2, "failed": 2}),
        ({"accurate": 9, "candidate": 1, "failed": 0}, 6, {"accurate": 5, "candidate": 1}),
        ({"accurate": 2, "candidate": 1, "failed": 0}, 99, {"accurate": 2, "candidate": 1}),
        ({"accurate": 2, "failed": 0}, 0, {}),
    ],
)
def test_classes_share_an_audit_as_evenly_as_they_can(sizes, total, shares):
    assert on_policy._shares(sizes, total) == shares


@pytest.mark.slow
def test_an_audit_labels_frames_of_every_class_once(make_context):
    context = make_context(ipip={"reference": REFERENCE, "evaluate": {"audit_frames": 5}})
    write_explored(context, accurate=4, candidate=4, failed=4)
    with dispatch.submissions(context.mdata, 0.1):
        folders = on_policy.audit(context)
        assert on_policy.audit(context) == folders
    known = on_policy.labelled_systems(context, folders)
    found = {name: dpdata.LabeledSystem(str(path), fmt="deepmd/npy") for name, path in known}
    assert {name: len(system) for name, system in found.items()} == {"accurate": 2, "candidate": 2, "failed": 1}
    chosen = found["accurate"]["coords"]
    assert all(np.isclose(frames(4)["coords"], xyz, atol=1e-5).all(axis=(1, 2)).any() for xyz in chosen)
    expected = found["accurate"].predict(driver="ipip/lammps", **{k: v for k, v in REFERENCE.items() if k != "type"})
    assert found["accurate"]["forces"] == pytest.approx(expected["forces"], abs=1e-4)


@pytest.mark.slow
def test_an_audit_of_other_frames_is_made_anew(make_context):
    """As after the folder of an exploration has been removed to have it done again."""
    context = make_context(ipip={"reference": REFERENCE, "evaluate": {"audit_frames": 2}})
    with dispatch.submissions(context.mdata, 0.1):
        for first in (0, 4):
            write_explored(context, first, accurate=4)
            ((_, path),) = on_policy.labelled_systems(context, on_policy.audit(context))
            labelled = dpdata.LabeledSystem(str(path), fmt="deepmd/npy")
            explored_frames = frames(first + 4)["coords"][first:]
            assert all(np.isclose(explored_frames, xyz, atol=1e-5).all(axis=(1, 2)).any() for xyz in labelled["coords"])


@pytest.mark.slow
def test_candidates_are_left_to_dpgen_where_it_labels_them(make_context):
    context = make_context(ipip={"reference": REFERENCE, "evaluate": {"audit_frames": 4}})
    write_explored(context, accurate=4, candidate=4)
    (context.iteration.fp / "task.000.000000").mkdir(parents=True)
    with dispatch.submissions(context.mdata, 0.1):
        assert on_policy.audit(context).keys() == {"accurate"}


def test_nothing_is_measured_without_labels(make_context):
    context = make_context()
    write_explored(context, accurate=4)
    on_policy.step(context)
    assert workdir.is_done(context.iteration.on_policy)
    assert on_policy.read_rows(context.iteration) == []
    assert json.loads((context.iteration.explored_counts).read_text())["md"] == 3
