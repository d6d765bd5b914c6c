# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

import pytest

from ipip_dp.config import documentation
from ipip_dp.errors import IpipError


@pytest.mark.parametrize("key", ["ipip.forget.method", "ipip/forget/method", "forget.method"])
def test_a_key_by_its_path_or_the_end_of_it(key):
    text = documentation.of_key(key)
    assert text.startswith("method:") and "``ipip/forget/method``" in text and "shrink_perturb" in text


def test_keys_of_dpgen_and_of_choices():
    assert "Frequecy of trajectory" in documentation.of_key("model_devi_jobs.trj_freq")  # DP-GEN's words
    assert "Import path" in documentation.of_key("ipip.teacher.calculator")
    assert "fp_incar" in documentation.of_key("fp_incar")


def test_a_section_with_its_keys():
    text = documentation.of_key("ipip.gate")
    assert "min_distance" in text and "max_force" in text


def test_every_key_of_that_name():
    text = documentation.of_key("nsteps")
    assert all(f"``{path}``" in text for path in ("ipip/teacher_md/nsteps", "ipip/init/nsteps"))


@pytest.mark.parametrize(
    ("key", "meant"), [("ipip.forgt", "ipip.forget"), ("retension", "ipip.pool.retention"), ("xyzzy", "`ipip doc`")]
)
def test_what_may_be_meant(key, meant):
    with pytest.raises(IpipError, match=f"no key {key} in param.json; .*{meant}"):
        documentation.of_key(key)
