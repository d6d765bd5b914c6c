# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip new`: what it says, and what it says of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import START, check_mistake

NEW = ["new", "run", START]
# What is typed, and the line that answers.
WRONG = [
    ([*NEW, "--reference", "vsap"], "vsap: expected one of vasp, cp2k, abacus, pwscf, gaussian, custom, none, chgnet"),
    ([*NEW, "--reference", "xtb", "--effort", "hard"], "--effort: expected one of try, usual, thorough; found hard"),
    ([*NEW, "--reference", "xtb", "--machine", "slrum"], "--machine: expected one of local, bohrium,"),
    ([*NEW, "--reference", "xtb", "--temperatures", "300,hot"], "--temperatures: expected numbers greater than 0, as"),
    (["new", "run", "nothing.cif", "--reference", "xtb"], "nothing.cif: does not exist"),
    (["new", "data", START, "--reference", "xtb"], "data: is there already, and `ipip new` changes no folder"),
    ([*NEW, "--reference", "xtb", "--teacher", "emt"], "emt does not know Mo, S; it is for Al, Ni, Cu,"),
    ([*NEW, "--reference", "none"], "--reference none: expected --data"),
    (["new", "x" * 300, START, "--reference", "xtb"], "expected the name of a file, found"),
    ([*NEW, "--reference", "vasp", "--data", "nowhere"], "--data nowhere: does not exist"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_is_one_line(ipip, words, line):
    check_mistake(ipip, words, line)


def test_what_was_made_and_what_to_type_next(ipip):
    typed = ipip("new", "run", START, "--reference", "xtb", "--teacher", "chgnet", "--effort", "try")
    assert typed.status == 0, typed.errors
    lines = typed.output.splitlines()
    assert lines[0].startswith("run: type_map Mo S, sel ")
    assert lines[1] == "  structures/mos2_mono27.vasp: 27 atoms"
    assert lines[lines.index("Next:") + 1 :] == [
        "  cd run",
        "  ipip check",
        "  ipip init",
        "  dpgen run param.json machine.json",
        "  ipip status",
    ]
    typed = ipip("check")  # in the new folder, where this process is now
    assert (typed.status, typed.errors) == (0, "")
    assert "data/train and data/held_out: not there yet; `ipip init param.json machine.json` makes them" in typed.output


def test_what_is_to_be_filled_in(ipip):
    typed = ipip("new", "run", START, "--reference", "vasp", "--data", "data/train", "--machine", "slurm")
    assert typed.status == 0, typed.errors
    assert "To fill in; `ipip check` tells what is left:" in typed.output
    assert '  param.json: fp_pp_path: expected a folder that exists, found "potcars"' in typed.output
    assert "YOUR-ENVIRONMENT/bin/activate" in typed.output
    assert "  data/train: 20 frames; data/held_out: 4 frames" in typed.output
    assert Path("INCAR.scf").is_file()
