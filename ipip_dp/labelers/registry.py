# SPDX-License-Identifier: LGPL-3.0-or-later
"""The kinds of labelers there are, and what stands in param.json about them.

Ours are ``lammps``, ``ase`` and ``dp``. A package of somebody else adds a subclass of
:class:`ipip_dp.labelers.Labeler` by an entry point, whose name is the ``type`` in param.json:

.. code-block:: toml

    [project.entry-points."ipip_dp.labelers"]
    morse = "my_package:MorseLabeler"
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp.errors import IpipError
from ipip_dp.labelers.ase import AseLabeler
from ipip_dp.labelers.base import Labeler
from ipip_dp.labelers.dp import DPLabeler
from ipip_dp.labelers.lammps import LammpsLabeler
from ipip_dp.text import reason

if TYPE_CHECKING:
    from dargs import Argument

GROUP = "ipip_dp.labelers"
BUILT_IN: dict[str, type[Labeler]] = {"lammps": LammpsLabeler, "ase": AseLabeler, "dp": DPLabeler}
logger = logging.getLogger(__name__)


@functools.cache
def kinds() -> dict[str, type[Labeler]]:
    """Every kind of labeler by its ``type``: ours, and those of other packages.

    One of another package that cannot be loaded is left out, with a warning.
    """
    found = dict(BUILT_IN)
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            kind = entry.load()
            if not (isinstance(kind, type) and issubclass(kind, Labeler)):
                raise TypeError("expected a subclass of ipip_dp.labelers.Labeler")
            if entry.name in found:
                raise ValueError("there is a labeler of this type already")
        except Exception as error:  # whatever somebody's module raises; other labelers still work
            logger.warning("labeler type %s (%s) cannot be used: %s", entry.name, entry.value, reason(error))
        else:
            found[entry.name] = kind
    return found


def kind_of(config: dict[str, Any]) -> type[Labeler]:
    """The kind of labeler that a section of param.json asks for.

    Raises
    ------
    IpipError
        If there is none of its ``type``.
    """
    if config.get("type") not in kinds():
        raise IpipError(f"labeler type {config.get('type')!r}: expected one of {', '.join(kinds())}")
    return kinds()[config["type"]]


def make_labeler(config: dict[str, Any], type_map: list[str]) -> Labeler:
    """Make the labeler of a section of param.json.

    Parameters
    ----------
    config : dict
        The section, as :func:`labeler_arguments` describes it.
    type_map : list of str
        Elements of the run; the labeler must know at least one of them.

    Raises
    ------
    IpipError
        If there is no such type, the labeler cannot be set up, or it knows no element of the type map.
    """
    labeler = kind_of(config)(**{key: value for key, value in config.items() if key != "type"})
    if labeler.elements is not None and not set(labeler.elements) & set(type_map):
        raise IpipError(
            f"the {config['type']} labeler knows {' '.join(labeler.elements)}, but type_map is {' '.join(type_map)}: "
            "no element in common"
        )
    return labeler


def labeler_arguments(name: str, doc: str, optional: bool = False) -> Argument:
    """The schema of one labeler section.

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

    choices = [
        Argument(kind, dict, cls.arguments(), doc=(cls.__doc__ or "").split("\n\n")[0]) for kind, cls in kinds().items()
    ]
    variant = Variant("type", choices, doc="What computes energies, forces and virials.")
    return Argument(name, dict, [], [variant], optional=optional, doc=doc)


def labeler_files(config: dict[str, Any]) -> list[str]:
    """The files a labeler section names, to be sent with a task under the same names.

    Raises
    ------
    IpipError
        If a file lies outside the run folder, from where dpdispatcher forwards nothing.
    """
    names = sorted(set(kind_of(config).files(config)))
    for name in names:
        if ".." in Path(name).parts:
            raise IpipError(
                f"labeler file {name} lies outside the run folder; put it, or a link to it, into the run folder, "
                "or give its absolute path if the machine that labels sees it"
            )
    return names
