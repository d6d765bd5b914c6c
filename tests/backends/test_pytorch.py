# SPDX-License-Identifier: LGPL-3.0-or-later
"""Checkpoints of PyTorch."""

from __future__ import annotations

import pytest

from ipip_dp.backends import forget
from tests.backends.conftest import changed, check_damaged, read_tensors, some_variants


@some_variants("pt", "pt-expt")
def test_optimiser_and_schedule_start_anew(variant, train, tmp_path):
    before = read_tensors(train(variant))
    report = forget(train(variant), tmp_path / "model.ckpt", method="none", seed=1)
    after = read_tensors(report.output)
    assert before.step > 0 and after.step == 0
    assert changed(before, after) == set()
    assert before.moments and not after.moments


@pytest.mark.parametrize(("variant", "file"), [("pt-se_e2_a", "model.ckpt.pt")])
@pytest.mark.parametrize("damage", ["missing", "half", "empty", "garbage"])
def test_a_damaged_checkpoint_is_named(variant, file, damage, train, tmp_path):
    check_damaged(variant, file, damage, train, tmp_path)
