# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which LAMMPS commands a labeler takes, and their words."""

from __future__ import annotations

import pytest

from ipip_dp.labelers import lammps_commands


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("* * tmd.sw.mod Mo S", True),
        ("hybrid/overlay zbl 1.0 2.0 sw/mod", True),
        ("* * Übergang.sw Mo S", True),
        ('* * gp.xml "Potential xml_label=GAP_2017" 42 16', True),
        ("", False),
        (" ", False),
        ("sw/mod\nshell rm x", False),
        ("sw/mod & 1", False),
        ("sw/mod # 1", False),
        ("$(1+1)", False),
        ('"$(1+1)"', False),
        ("'sw/mod", False),
        ("sw/mod\x00", False),
    ],
)
def test_one_command_is_no_program(text, fits):
    assert lammps_commands.is_one_command(text) == fits


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("fix charges all qeq/reaxff 1 0.0 10.0 1.0e-6 reaxff", True),
        ("kspace_style pppm 1.0e-5", True),
        ("newton on", True),
        ("fix 1 all print 1 text file /etc/passwd", False),
        ("fix 1 all qeq/shielded 1 10 1e-6 100 param.qeq; shell x", False),
        ("shell rm x", False),
        ("python f input 0", False),
        ("include other.in", False),
        ("fix", False),
    ],
)
def test_settings_do_no_harm(text, fits):
    assert lammps_commands.is_setting(text) == fits


@pytest.mark.parametrize("word", ["Mo", "a b", 'say "a"', "a'b"])
def test_a_quoted_word_is_one_word(word):
    assert lammps_commands.words_of(lammps_commands.quoted(word)) == [word]
