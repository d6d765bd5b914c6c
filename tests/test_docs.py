# SPDX-License-Identifier: LGPL-3.0-or-later
"""What docs/ and the README show works: commands are accepted and run, JSON is valid input, examples hold."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import re
import shlex
import shutil
import subprocess

import pytest
import typer

import ipip_dp
from ipip_dp import cli
from ipip_dp.config import schema
from ipip_dp.config.params import param_json_argument
from ipip_dp.labelers import labeler_arguments
from tests.cli.conftest import TEACHER
from tests.conftest import ENVIRONMENT, EXAMPLES, ROOT, Run

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/how_to").glob("*.md"))]
COMMANDS = typer.main.get_command(cli.app).commands


def blocks(language: str) -> list[tuple[str, str]]:
    """Name of its page, and text, of every fenced block in a language."""
    fence = re.compile(rf"^( *)```{language}\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
    return [(page.name, text) for page in PAGES for _, text in fence.findall(page.read_text())]


def typed() -> list[str]:
    """Every command of ours that a page has typed, once."""
    lines = [line.strip() for _, text in blocks("sh") for line in text.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith("ipip ")))


def accept(words: list[str]) -> None:
    """Parse a command as it would be when typed."""
    try:
        COMMANDS[words[1]].make_context(words[1], words[2:])
    except typer.Exit as end:  # that of --help
        assert end.exit_code == 0


@pytest.mark.parametrize("line", typed())
def test_a_command_is_accepted(line):
    if line != "ipip --help":
        accept(shlex.split(line))


def test_what_is_not_accepted():
    with pytest.raises(Exception, match="No such option"):
        accept(["ipip", "label", "POSCAR", "labels", "--labeller", "teacher"])


def test_every_command_that_is_named_exists():
    text = "".join(page.read_text() for page in PAGES)
    assert set(re.findall(r"`ipip ([a-z]+)", text)) <= set(COMMANDS)
    for target in set(re.findall(r"`make ([a-z-]+)", text)):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_files_that_are_copied_exist():
    sources = re.findall(r"^ *cp (?:-r )?(\S+)", "".join(text for _, text in blocks("sh")), re.MULTILINE)
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_page_of_commands_has_all():
    page = (ROOT / "docs/commands.md").read_text()
    assert [name for name in COMMANDS if f"`ipip {name}`" not in page] == []


@pytest.mark.slow
def test_every_command_runs(finished, tmp_path):
    """In a copy of a finished run, with the few files that pages name beside it."""
    run = Run(tmp_path / "run")
    shutil.copytree(finished.folder, run.folder, symlinks=True)
    (run.folder / "labeler.json").write_text(json.dumps(TEACHER))
    (run.folder / "POSCAR").symlink_to("structures/mos2_mono27.vasp")
    (run.folder / "data/test").symlink_to("held_out")
    for line in typed():
        shutil.rmtree(run.folder / "labels", ignore_errors=True)
        done = run(*shlex.split(line))
        assert done.returncode == 0, f"{line}\n{done.stdout}"


@pytest.mark.parametrize(("page", "text"), blocks("json"))
def test_json_is_valid_input(page, text):
    if text.lstrip().startswith('{"type"'):  # labelers, one a line
        argument = labeler_arguments("teacher", "")
        for line in text.strip().splitlines():
            assert not list(schema.problems(argument, json.loads(line)))
        return
    part = json.loads("{" + text + "}")
    param = json.loads((EXAMPLES / "mo_s_quick/param.json").read_text())
    if "fp_style" in part:
        param = {key: value for key, value in param.items() if key != "fp_params"}
    section = {**param["ipip"], **part.pop("ipip", {})}
    assert not list(schema.problems(param_json_argument(), {**param, **part, "ipip": section}))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_a_page_hold(page):
    text = "\n".join(text for name, text in blocks("python") if name == page.name)
    examples = doctest.DocTestParser().get_doctest(text, {}, page.name, page.name, 0)
    if examples.examples:
        assert doctest.DocTestRunner().run(examples).failed == 0
    else:
        compile(text, page.name, "exec")


def test_examples_of_docstrings_hold():
    found = 0
    for module in pkgutil.walk_packages(ipip_dp.__path__, "ipip_dp."):
        result = doctest.testmod(importlib.import_module(module.name))
        assert result.failed == 0, module.name
        found += result.attempted
    assert found
