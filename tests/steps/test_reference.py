# SPDX-License-Identifier: LGPL-3.0-or-later
"""Candidates without reference labels are listed with the reasons, and too many are an error."""

from __future__ import annotations

import json

import dpdata
import pytest

from ipip_dp.data.gate import Gate
from ipip_dp.errors import IpipError
from ipip_dp.labelers import batch
from ipip_dp.new.codes import CODES
from ipip_dp.steps import reference

LJ = {"type": "ase", "calculator": "ase.calculators.lj:LennardJones", "kwargs": {"sigma": 2.0}}


def label(context, *max_forces: float | None) -> None:
    """Tasks of 02.fp, labelled as `ipip label` does within these limits; None: the job died."""
    frames = dpdata.System("data/held_out/Mo9S18", fmt="deepmd/npy")
    for number, max_force in enumerate(max_forces):
        task = context.iteration.fp / f"task.000.{number:06d}"
        task.mkdir(parents=True)
        frames[number].to("vasp/poscar", str(task / "POSCAR"))
        if max_force is not None:
            gate = Gate(max_force=max_force)
            options = {"type_map": context.type_map, "gate": gate, "fmt": "vasp/poscar", "min_success": 0.0}
            batch.label([task / "POSCAR"], task / "labels", LJ, **options)


def failures(context) -> dict[str, str]:
    return json.loads(context.iteration.reference_failures.read_text())


def test_when_all_have_labels_there_is_nothing_to_tell(context):
    label(context, 1e6, 1e6)
    reference.collect(context)
    assert failures(context) == {}


def test_a_few_failures_are_listed_and_the_run_goes_on(make_context):
    context = make_context(ratio_failed=0.5)
    label(context, 1e6, 1e-9)
    reference.collect(context)
    (reason,) = failures(context).values()
    assert list(failures(context)) == ["task.000.000001"]
    assert reason.startswith("0 of 1 frames labelled, 1 failed; 1 x max-force")


def test_too_many_failures_are_an_error_and_are_tried_again(make_context):
    context = make_context(ratio_failed=0.5)
    label(context, 1e6, 1e-9, None)
    with pytest.raises(IpipError) as error:
        reference.collect(context)
    (line,) = str(error.value).splitlines()
    assert "2 of 3 frames got no reference labels, for example task.000.000001: 0 of 1 frames labelled" in line
    assert "Mend the reference, or raise ratio_failed (0.5), and start again" in line
    assert set(failures(context)) == {"task.000.000001", "task.000.000002"}
    left = [path.parent.name for path in sorted(context.iteration.fp.glob("task.*/labels"))]
    assert left == ["task.000.000000"], "labels that are there stay, the others are made again"


def test_tasks_of_another_code_are_left_alone(make_context):
    params = {"input_fmt": "vasp/poscar", "input_fn": "POSCAR", "output_fmt": "vasp/outcar", "output_fn": "OUTCAR"}
    context = make_context(fp_params=params)
    label(context, None)
    reference.collect(context)
    assert not context.iteration.reference_failures.exists()


@pytest.mark.parametrize("code", ["vasp", "cp2k", "abacus", "pwscf"])
def test_tasks_of_a_dft_code_are_left_alone(quick, make_context, code):
    param = quick.param
    del param["fp_params"]  # which most codes do not have
    quick.param = param
    context = make_context(fp_style=code, **CODES[code].keys(param["type_map"], 1))
    label(context, None)
    reference.collect(context)
    assert not context.iteration.reference_failures.exists()
