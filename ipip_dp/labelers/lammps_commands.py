# SPDX-License-Identifier: LGPL-3.0-or-later
"""LAMMPS commands of a user's: which may be given for a labeler, their words, and the keys they stand under.

LAMMPS inputs are programs: a variable or another line could start any other one.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from ipip_dp.text import is_command

if TYPE_CHECKING:
    from dargs import Argument

PROGRAM_CHARACTERS = re.compile("[^ -~\\w]|[$&#`;]")
ONE_COMMAND = "expected the arguments of one LAMMPS command, without any of $ & # ; `, and with every quote closed"
UNITS = ("metal", "real")
READ = "read_dump {} 0 x y z box yes purge yes replace no add yes"  # the first frame of a dump
# What may stand before and after the pair style: what it needs, and nothing that writes, reads or starts anything.
SETTINGS = (
    *("comm_modify", "dielectric", "kspace_modify", "kspace_style", "neigh_modify", "neighbor", "newton"),
    *("pair_modify", "set", "special_bonds"),
)
CHARGES = ("qeq/", "acks2/", "qtpie/")  # fixes that equilibrate charges
SETTING = f"expected commands that begin with {', '.join(SETTINGS)}, or fixes {', '.join(CHARGES)}..."


def is_one_command(text: str) -> bool:
    """Whether a text can stand behind pair_style or pair_coeff without being more than its arguments."""
    return PROGRAM_CHARACTERS.search(text) is None and bool(words_of(text))


def is_setting(text: str) -> bool:
    """Whether a text is one command that a pair style may need, and none that could do harm."""
    words = words_of(text)
    if not is_one_command(text) or not words:
        return False
    return words[0] in SETTINGS or (words[0] == "fix" and len(words) > 3 and words[3].startswith(CHARGES))


def words_of(text: str) -> list[str]:
    """The words of a LAMMPS command, of which a quoted one may hold blanks; none if a quote is not closed."""
    try:
        return shlex.split(text)
    except ValueError:
        return []


def quoted(word: str) -> str:
    """A word as LAMMPS takes it."""
    return word if word and not re.search("[ \"']", word) else f"'{word}'" if '"' in word else f'"{word}"'


def arguments() -> list[Argument]:
    """The keys of a LAMMPS labeler's section."""
    from dargs import Argument

    return [
        Argument(
            "pair_style",
            str,
            extra_check=is_one_command,
            extra_check_errmsg=ONE_COMMAND,
            doc='Arguments of LAMMPS\' pair_style command, for example "sw/mod".',
        ),
        Argument(
            "pair_coeff",
            list[str],
            extra_check=lambda entries: bool(entries) and all(map(is_one_command, entries)),
            extra_check_errmsg=f"expected at least one entry, each {ONE_COMMAND.removeprefix('expected ')}",
            doc='Arguments of the pair_coeff commands, for example ["* * tmd.sw.mod Mo S"]. A potential file is '
            "looked up in the working directory and then among the files shipped with LAMMPS.",
        ),
        Argument(
            "elements",
            list[str],
            extra_check=bool,
            extra_check_errmsg="expected at least one element",
            doc='Elements of the LAMMPS atom types 1, 2, ..., for example ["Mo", "S"].',
        ),
        Argument(
            "command",
            str,
            optional=True,
            default="lmp",
            extra_check=is_command,
            extra_check_errmsg="expected a command",
            doc='How LAMMPS is started, for example "mpirun -np 4 lmp". Split like a shell does, run without one.',
        ),
        _choice("units", UNITS, "LAMMPS units of the pair style; labels are eV and Angstrom in any case."),
        _choice("atom_style", ("atomic", "charge"), "LAMMPS atom_style; charge for pair styles with charges."),
        _settings("before_pair", 'LAMMPS commands before the box is made, for example ["newton on"].'),
        _settings(
            "after_pair",
            'LAMMPS commands after pair_coeff, for example ["fix charges all qeq/reaxff 1 0.0 10.0 1.0e-6 reaxff"].',
        ),
    ]


def _choice(name: str, values: tuple[str, str], doc: str) -> Argument:
    """A key with two values, the first of which it has if it is left out."""
    from dargs import Argument

    return Argument(
        name,
        str,
        optional=True,
        extra_check=values.__contains__,
        extra_check_errmsg=f"expected {' or '.join(values)}",
        doc=f"{doc} {values[0]} if left out.",
    )


def _settings(name: str, doc: str) -> Argument:
    from dargs import Argument

    return Argument(
        name,
        list[str],
        optional=True,
        extra_check=lambda commands: all(map(is_setting, commands)),
        extra_check_errmsg=SETTING,
        doc=doc,
    )
