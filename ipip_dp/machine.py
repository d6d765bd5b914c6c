"""What can be told from machine.json before a job is submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipip_dp import dispatch, schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dargs import Argument

# Sections of machine.json, and whether DP-GEN needs their ``command``.
SECTIONS = {"train": False, "model_devi": True, "fp": True, **dict.fromkeys(dispatch.FALLBACK, False)}


def problems(mdata: dict[str, Any], with_fp: bool) -> Iterator[schema.Problem]:
    """Compare machine.json with dpdispatcher's schema, which DP-GEN does not.

    Keys that neither of the two knows are ignored there, so only those are reported here
    that look misspelt.

    Parameters
    ----------
    mdata : dict
        machine.json as it was read.
    with_fp : bool
        Whether section ``fp`` is needed.
    """
    from dargs import Argument

    needed = {"train", "model_devi", *(("fp",) if with_fp else ())}
    sections = [Argument(name, [dict, list[dict]], optional=name not in needed) for name in SECTIONS]
    versions = [Argument(name, str, optional=True) for name in ("api_version", "deepmd_version")]
    found = list(schema.problems(Argument("machine", dict, [*sections, *versions]), mdata, strict=False))
    yield from found
    broken = {problem.path for problem in found}
    for name in SECTIONS:
        if name not in mdata or (name,) in broken:
            continue
        if mdata[name] == []:
            yield schema.Problem((name,), "expected a section {...}, found an empty list")
        elif isinstance(mdata[name], list):  # of which DP-GEN takes the first
            yield from schema.problems(_section(name, mdata[name][0]), mdata[name][0], (name, 0), strict=False)
        else:
            yield from schema.problems(_section(name, mdata[name]), mdata[name], (name,), strict=False)


def _section(name: str, value: dict[str, Any]) -> Argument:
    """The schema of one section."""
    from dargs import Argument
    from dpdispatcher import Machine, Resources

    machine, resources = Machine.arginfo(), value.get("resources")
    local_root = machine.sub_fields["local_root"]
    local_root.extra_check = lambda root: root == "./"  # dpgen/dispatcher/Dispatcher.py
    local_root.extra_check_errmsg = 'expected "./"'
    batch_type = machine.sub_fields["batch_type"]
    batch_type.extra_check = lambda name: name in Machine.subclasses_dict
    batch_type.extra_check_errmsg = f"expected one of {', '.join(sorted(Machine.options))}"
    detailed = isinstance(resources, dict) and "batch_type" in resources  # as Resources.load_from_dict
    fields = [
        Argument("command", str, optional=not SECTIONS[name]),
        Argument("machine", dict, machine.sub_fields.values(), machine.sub_variants.values()),
        Resources.arginfo(detail_kwargs=detailed),
        Argument("user_forward_files", list[str], optional=True),
        Argument("user_backward_files", list[str], optional=True),
    ]
    return Argument(name, dict, fields)


def labels_here(mdata: dict[str, Any]) -> bool:
    """Whether labelling jobs run in this environment, as far as a valid machine.json tells."""
    section = dispatch.section(mdata, "ipip_label")
    machine, resources = section["machine"], section["resources"]
    elsewhere = ("source_list", "module_list", "prepend_script")  # these may bring another PATH
    return (
        machine["batch_type"] == "Shell"
        and "Local" in machine["context_type"]
        and not any(resources.get(key) for key in elsewhere)
    )
