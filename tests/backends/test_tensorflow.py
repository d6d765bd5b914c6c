# SPDX-License-Identifier: LGPL-3.0-or-later
"""Checkpoints of TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest

from ipip_dp.backends import forget
from tests.backends.conftest import changed, check_damaged, read_tensors, some_variants


@some_variants("tf")
def test_optimiser_and_schedule_start_anew(variant, train, tmp_path):
    before = read_tensors(train(variant))
    report = forget(train(variant), tmp_path / "model.ckpt", method="none", seed=1)
    after = read_tensors(report.output)
    assert before.step > 0 and after.step == 0
    assert changed(before, after) == set()
    # Force-only training leaves TensorFlow without slots for the last bias.
    missing = {f"{name}/Adam" for name in before.tensors if "final_layer" in name and name.endswith("bias")}
    assert missing and not missing & before.moments.keys() and missing <= after.moments.keys()
    assert (after.moments.pop("beta1_power"), after.moments.pop("beta2_power")) == (
        np.float32(0.9),
        np.float32(0.999),
    )
    assert not any(np.any(value) for value in after.moments.values())


@pytest.mark.parametrize(
    ("variant", "file"),
    [
        ("tf-se_e2_a", "model.ckpt.index"),
        ("tf-se_e2_a", "model.ckpt.data-00000-of-00001"),
        ("tf-se_e2_a", "model.ckpt.meta"),
    ],
)
@pytest.mark.parametrize("damage", ["missing", "half", "empty", "garbage"])
def test_a_damaged_checkpoint_is_named(variant, file, damage, train, tmp_path):
    check_damaged(variant, file, damage, train, tmp_path)
