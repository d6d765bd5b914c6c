"""Teachers and references: dpdata drivers that put energies, forces and virials on frames.

Importing this package registers the drivers ``ipip/lammps``, ``ipip/ase`` and ``ipip/dp``
and the format ``ipip/labels`` with dpdata. It happens while dpdata itself is being
imported (entry point group ``dpdata.plugins``), hence no ``dpdata.System`` at module level.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ipip_dp.errors import IpipError
from ipip_dp.labelers import labels_format as labels_format  # registers ipip/labels
from ipip_dp.labelers.ase import IMPORT_PATH, AseDriver
from ipip_dp.labelers.dp import DPDriver
from ipip_dp.labelers.lammps import ONE_COMMAND, LammpsDriver, is_one_command

if TYPE_CHECKING:
    from dargs import Argument

    Labeler = LammpsDriver | AseDriver | DPDriver

DRIVERS: dict[str, type[Labeler]] = {"lammps": LammpsDriver, "ase": AseDriver, "dp": DPDriver}


def labeler_arguments(name: str, doc: str, optional: bool = False) -> Argument:
    """Return the schema of one labeler section.

    Parameters
    ----------
    name : str
        Key of the section, for example "teacher".
    doc : str
        What the labeler is used for.
    optional : bool
        Whether the section may be left out.

    Returns
    -------
    dargs.Argument
        A dict whose ``type`` selects the other keys.
    """
    from dargs import Argument, Variant

    from ipip_dp.schema import is_command

    def not_empty(value: Any) -> bool:
        return len(value) > 0

    lammps = [
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
            extra_check=lambda entries: not_empty(entries) and all(map(is_one_command, entries)),
            extra_check_errmsg=f"expected at least one entry, each {ONE_COMMAND.removeprefix('expected ')}",
            doc='Arguments of the pair_coeff commands, for example ["* * tmd.sw.mod Mo S"]. A potential file is '
            "looked up in the working directory and then among the files shipped with LAMMPS.",
        ),
        Argument(
            "elements",
            list[str],
            extra_check=not_empty,
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
    ]
    ase = [
        Argument(
            "calculator",
            str,
            extra_check=lambda path: bool(re.fullmatch(IMPORT_PATH, path)),
            extra_check_errmsg='expected "module:Class", for example "tblite.ase:TBLite"',
            doc='Import path "module:Class" of an ASE calculator, for example "tblite.ase:TBLite" or '
            '"chgnet.model.dynamics:CHGNetCalculator".',
        ),
        Argument(
            "kwargs",
            dict,
            optional=True,
            default={},
            doc='Keyword arguments of the calculator, for example {"method": "GFN1-xTB"}.',
        ),
    ]
    dp = [
        Argument(
            "models",
            list[str],
            extra_check=not_empty,
            extra_check_errmsg="expected at least one model",
            doc='Frozen DeePMD-kit models, for example ["graph.000.pb", "graph.001.pb"]. Several models label with '
            "their mean.",
        ),
    ]
    return Argument(
        name,
        dict,
        [],
        [
            Variant(
                "type",
                [
                    Argument("lammps", dict, lammps, doc="A LAMMPS pair style, in units metal and atom_style atomic."),
                    Argument("ase", dict, ase, doc="An ASE calculator."),
                    Argument("dp", dict, dp, doc="One DeePMD-kit model or the mean of several."),
                ],
                doc="What computes energies, forces and virials.",
            )
        ],
        optional=optional,
        doc=doc,
    )


def make_driver(config: dict[str, Any], type_map: list[str]) -> Labeler:
    """Make the dpdata driver of a labeler config.

    Parameters
    ----------
    config : dict
        Labeler section as described by :func:`labeler_arguments`.
    type_map : list of str
        Elements of the run; the labeler must know at least one of them.

    Returns
    -------
    dpdata.driver.Driver
        The driver. Its ``elements`` are those it knows (None: it cannot tell).

    Raises
    ------
    IpipError
        If the type is unknown, the labeler cannot be set up, or it knows no
        element of the type map.
    """
    arguments = dict(config)
    kind = arguments.pop("type", None)
    if kind not in DRIVERS:
        raise IpipError(f"labeler type {kind!r}: expected one of {', '.join(DRIVERS)}")
    driver = DRIVERS[kind](**arguments)
    if driver.elements is not None and not set(driver.elements) & set(type_map):
        raise IpipError(
            f"the {kind} labeler knows {' '.join(driver.elements)}, but type_map is {' '.join(type_map)}: "
            "no element in common"
        )
    return driver


def known_elements(config: dict[str, Any]) -> list[str] | None:
    """Return the elements a labeler knows, as far as its config tells.

    Parameters
    ----------
    config : dict
        Labeler section.

    Returns
    -------
    list of str or None
        None when the labeler would have to be loaded to know; then see the
        ``elements`` of :func:`make_driver`'s result.
    """
    return list(config["elements"]) if config["type"] == "lammps" else None
