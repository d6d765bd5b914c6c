# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the schema says of one key of param.json."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ipip_dp.config.params import param_json_argument
from ipip_dp.errors import IpipError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dargs import Argument


def of_key(key: str) -> str:
    """The documentation of a key (reStructuredText).

    Parameters
    ----------
    key : str
        Its path, as ``ipip.forget.method``, or the end of one.

    Raises
    ------
    IpipError
        If there is no such key, with those that may be meant.
    """
    wanted = key.replace("/", ".").strip(".")
    known = list(_keys(param_json_argument(), ()))
    paths = {".".join([*parents, argument.name]) for parents, argument in known}
    found = {path for path in paths if f".{path}".endswith(f".{wanted}")}
    if not found:
        raise IpipError(f"no key {key} in param.json{_meant(wanted, paths)}")
    texts = {
        argument.gen_doc(path=list(parents), make_anchor=False, make_link=False)
        for parents, argument in known
        if ".".join([*parents, argument.name]) in found
    }
    return "\n\n".join(sorted(texts))


def _keys(argument: Argument, parents: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Argument]]:
    """Every key below a section, and the sections it is in; those of all choices that a section offers."""
    sections = [
        argument,
        *(choice for variant in argument.sub_variants.values() for choice in variant.choice_dict.values()),
    ]
    for section in sections:
        for key in section.sub_fields.values():
            yield parents, key
            yield from _keys(key, (*parents, key.name))


def _meant(wanted: str, paths: set[str]) -> str:
    """The keys whose name looks most like that of one, those first whose paths do, too."""
    names = {path.rpartition(".")[2] for path in paths}
    meant = difflib.get_close_matches(wanted.rpartition(".")[2], names, 1, 0.75)
    near = difflib.get_close_matches(wanted, [path for path in sorted(paths) if path.rpartition(".")[2] in meant], 3, 0)
    return f"; did you mean {' or '.join(near)}?" if near else "; `ipip doc` prints those of the ipip section"
