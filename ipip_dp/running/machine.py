# SPDX-License-Identifier: LGPL-3.0-or-later
"""What can be told from machine.json before a job is submitted."""

from __future__ import annotations

import dataclasses
import operator
import re
import shlex
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipip_dp.config import schema
from ipip_dp.running import dispatch
from ipip_dp.text import is_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dargs import Argument

# Sections of machine.json, and whether DP-GEN needs their ``command``.
SECTIONS = {"train": False, "model_devi": True, "fp": True, **dict.fromkeys(dispatch.FALLBACK, False)}


# Below these keys lie passwords; what stands there is never shown.
SECRET = re.compile(
    "remote_profile|envs|handlers|pass|secret|token|email|phone|user(?!_forward_files)|program_id|key", re.IGNORECASE
)
# Counts of dpdispatcher's that its own schema does not bound, and their smallest values.
SMALLEST = {"number_node": 0, "cpu_per_node": 0, "gpu_per_node": 0, "group_size": 0, "para_deg": 1, "wait_time": 0}
# Lists of text that dpdispatcher writes into the scripts of jobs.
TEXTS = ("custom_flags", "source_list", "module_unload_list", "module_list", "prepend_script", "append_script")
ENVIRONMENT = re.compile("[A-Za-z_][A-Za-z0-9_]*")  # names that a shell can export
REMOTE = ("LocalContext", "Local", "SSHContext", "SSH", "HDFSContext", "HDFS")  # contexts that copy files
# What DP-GEN takes for an old interface, and what it and IPIP write the inputs of.
API_VERSION, DEEPMD_VERSIONS = "1.0", ("2", "4")


def problems(mdata: dict[str, Any], with_fp: bool) -> Iterator[schema.Problem]:
    """Compare machine.json with dpdispatcher's schema, which DP-GEN does not.

    Keys that neither of the two knows are ignored there, so only those are reported here
    that look misspelt. No problem shows a value that may be a credential.

    Parameters
    ----------
    mdata : dict
        machine.json as it was read.
    with_fp : bool
        Whether section ``fp`` is needed.
    """
    for problem in _problems(mdata, with_fp):
        yield _without_secrets(problem)


def _problems(mdata: dict[str, Any], with_fp: bool) -> Iterator[schema.Problem]:
    from dargs import Argument

    needed = {"train", "model_devi", *(("fp",) if with_fp else ())}
    sections = [Argument(name, [dict, list[dict]], optional=name not in needed) for name in SECTIONS]
    first, end = DEEPMD_VERSIONS
    versions = [
        _version("api_version", API_VERSION, None, f"expected a version from {API_VERSION} on"),
        _version("deepmd_version", first, end, f'expected a version from {first} on and below {end}, as in "3.2.0"'),
    ]
    others = [Argument(name, dict, optional=True) for name in ("handlers",)]
    found = list(schema.problems(Argument("machine", dict, [*sections, *versions, *others]), mdata, strict=False))
    yield from found
    if not isinstance(mdata, dict):
        return
    yield from schema.unusable(mdata)
    broken = {problem.path for problem in found}
    for name in SECTIONS:
        if name not in mdata or (name,) in broken or (name == "fp" and not with_fp):  # which nothing reads
            continue
        if mdata[name] == []:
            yield schema.Problem((name,), "expected a section {...}, found an empty list")
        elif isinstance(mdata[name], list):  # of which DP-GEN takes the first
            yield from _section_problems(name, mdata[name][0], (name, 0))
        else:
            yield from _section_problems(name, mdata[name], (name,))


def _section_problems(name: str, section: dict[str, Any], path: schema.KeyPath) -> Iterator[schema.Problem]:
    argument = _section(name, section)
    found = list(schema.problems(argument, section, path, strict=False))
    resources, place = argument.sub_fields["resources"], (*path, "resources")
    if isinstance(section.get("resources"), dict):  # keys that nobody reads, and who wrote them would not know
        strictly = schema.problems(resources, section["resources"], place)
        found += [problem for problem in strictly if problem not in found]
    yield from found
    yield from schema.unfilled(section, path)
    if found:
        return
    yield from _unwritable(section["resources"], place)
    for number, file in enumerate(section.get("user_forward_files", [])):
        if not Path(file).is_file():
            yield schema.Problem((*path, "user_forward_files", number), "expected a file that exists", file)
    if section["machine"]["context_type"] in REMOTE and not section["machine"].get("remote_root"):
        yield schema.Problem((*path, "machine", "remote_root"), "missing; expected the folder where the jobs run")
    command = section.get("command")
    if command is not None and runs_here(section) and (missing := _missing_command(command)):
        yield schema.Problem((*path, "command"), f"expected a command of this machine, which has no {missing}", command)


def _missing_command(command: str) -> str | None:
    """The word that a shell would look for and not find in this environment."""
    try:
        words = shlex.split(command)
    except ValueError:  # shell code that only a shell can split
        return None
    word = next((word for word in words if not re.match(r"\w+=", word)), "")
    if not re.fullmatch(r"[\w.+-]+|/[\w./+-]+", word):  # expansions, and files that jobs bring along
        return None
    look = ["/bin/bash", "-c", 'command -v -- "$1"', "bash", word]  # knows what the shell has built in
    return None if subprocess.run(look, stdout=subprocess.DEVNULL, check=False).returncode == 0 else word


def _without_secrets(problem: schema.Problem) -> schema.Problem:
    secret = any(SECRET.search(str(part)) for part in problem.path)
    if problem.found is schema.MISSING or not (secret or isinstance(problem.found, (dict, list)) and problem.found):
        return problem
    kind = schema.NAMES[type(problem.found)][0]
    return dataclasses.replace(problem, text=f"{problem.text}, found {kind}", found=schema.MISSING, hint="")


def _version(name: str, first: str, end: str | None, expected: str) -> Argument:
    from dargs import Argument
    from packaging.version import InvalidVersion, Version

    def known(value: str) -> bool:
        try:
            return Version(first) <= Version(value) and (end is None or Version(value) < Version(end))
        except InvalidVersion:
            return False

    return Argument(name, str, optional=True, extra_check=known, extra_check_errmsg=expected)


def _section(name: str, value: dict[str, Any]) -> Argument:
    """The schema of one section."""
    from dargs import Argument
    from dpdispatcher import Machine

    machine = Machine.arginfo()
    _require(machine.sub_fields["local_root"], lambda root: root == "./", 'expected "./"')  # DP-GEN's Dispatcher.py
    known = f"expected one of {', '.join(sorted(Machine.options))}"
    _require(machine.sub_fields["batch_type"], lambda batch_type: batch_type in Machine.subclasses_dict, known)
    command = Argument("command", str, optional=not SECTIONS[name])
    # That of ipip_label is split into words; others are shell code.
    holds = is_command if name == "ipip_label" else lambda text: bool(text.strip())
    _require(command, holds, "expected a command")
    forward = Argument("user_forward_files", list[str], optional=True)
    fields = [
        command,
        Argument("machine", dict, machine.sub_fields.values(), machine.sub_variants.values()),
        _resources(value.get("resources")),
        forward,
        Argument("user_backward_files", list[str], optional=True),
    ]
    return Argument(name, dict, fields)


def _resources(value: Any) -> Argument:
    """The schema of a section's resources."""
    from dpdispatcher import Resources

    detailed = isinstance(value, dict) and "batch_type" in value  # as Resources.load_from_dict
    resources = Resources.arginfo(detail_kwargs=detailed)
    for name, smallest in SMALLEST.items():
        kind = "a number" if name == "wait_time" else "an integer"
        _require(resources.sub_fields[name], partial(operator.le, smallest), f"expected {kind} of at least {smallest}")
    for name in TEXTS:
        _require(resources.sub_fields[name], _are_texts, "expected a list of strings")
    _require(
        resources.sub_fields["envs"],
        lambda envs: all(ENVIRONMENT.fullmatch(name) and not isinstance(text, dict) for name, text in envs.items()),
        "expected names of environment variables with their values",
    )
    ratio = resources.sub_fields["strategy"].sub_fields["ratio_unfinished"]
    _require(ratio, lambda number: 0 <= number < 1, "expected a number from 0 on and below 1")
    return resources


def _are_texts(texts: list[Any]) -> bool:
    return all(isinstance(text, str) for text in texts)


def _unwritable(resources: dict[str, Any], path: schema.KeyPath) -> Iterator[schema.Problem]:
    """Words that dpdispatcher does not write into its scripts."""
    from dpdispatcher import machine

    module = partial(machine._format_module_command, "load")
    writers = {"source_list": machine._format_source_command, "module_list": module, "module_unload_list": module}
    for name, write in writers.items():
        for number, text in enumerate(resources.get(name, [])):
            try:
                write(text)
            except ValueError as error:
                yield schema.Problem((*path, name, number), str(error), text)


def _require(argument: Argument, check: Callable[[Any], bool], expected: str) -> None:
    argument.extra_check, argument.extra_check_errmsg = check, expected


def labels_here(mdata: dict[str, Any]) -> bool:
    """Whether labelling jobs run in this environment, as far as a valid machine.json tells."""
    return dispatch.ipip_command(mdata) == ["ipip"] and runs_here(dispatch.section(mdata, "ipip_label"))


def runs_here(section: dict[str, Any]) -> bool:
    """Whether the jobs of a valid section run in this environment."""
    machine, resources = section["machine"], section["resources"]
    elsewhere = ("source_list", "module_list", "prepend_script")  # these may bring another PATH
    return (
        machine["batch_type"] == "Shell"
        and "Local" in machine["context_type"]
        and "PATH" not in resources.get("envs", {})
        and not any(resources.get(key) for key in elsewhere)
    )
