# SPDX-License-Identifier: LGPL-3.0-or-later
"""The JSON and YAML files of the user's."""

from __future__ import annotations

import re

import pytest
from dargs import Argument

from ipip_dp.config import inputs
from ipip_dp.errors import IpipError


def test_load_input_names_every_file_it_cannot_read(tmp_path):
    (tmp_path / "machine.json").write_text('{"train": [1, 2,]\n}')
    with pytest.raises(IpipError) as caught:
        inputs.load_input(tmp_path / "param.json", tmp_path / "machine.json")
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path}/param.json: does not exist")
    assert second.startswith(f"{tmp_path}/machine.json: not valid JSON at line 1, column 1")


def test_swapped_files_are_told(tmp_path):
    (tmp_path / "param.json").write_text('{"type_map": ["Mo"]}')
    (tmp_path / "machine.json").write_text('{"train": {}}')
    with pytest.raises(IpipError, match="machine.json: expected param.json here, and machine.json after it"):
        inputs.load_input(tmp_path / "machine.json", tmp_path / "param.json")


@pytest.mark.parametrize("text", ["[1, 2]", "null", '"param"'])
def test_load_wants_an_object(tmp_path, text):
    (tmp_path / "param.json").write_text(text)
    with pytest.raises(IpipError, match=re.escape(f"param.json: expected an object {{...}}, found {text}")):
        inputs.load(tmp_path / "param.json")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("param.json", '{"a": {"b": 1, "b": 2}}', 'cannot be read: key "b" stands twice in one object; remove one'),
        ("param.json", b"\xff\xfe", "cannot be read: "),
        ("param.json", '{"a": 1', "not valid JSON at line 1, column "),
        ("param.yaml", "a: [1, 2", "cannot be read: not valid YAML: "),
        ("param.yaml", "a: !!python/object/apply:os.getcwd []", "cannot be read: not valid YAML: "),
        ("param.yml", "- 1", "expected an object {...}, found [1]"),
        ("param.yaml", "a: [{0: 0.1}]", 'cannot be read: expected text as keys, found 0; write "0"'),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, name, text, said):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(IpipError) as error:
        inputs.load(tmp_path / name)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{tmp_path / name}: {said}")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IpipError, match=re.escape(f"{tmp_path}: is not a file")):
        inputs.load(tmp_path)


def test_comments_may_stand_twice(tmp_path):
    (tmp_path / "param.json").write_text('{"_": "one", "_": "two", "a": 1}')
    assert inputs.load(tmp_path / "param.json")["a"] == 1


def test_yaml_says_what_json_says(tmp_path):
    (tmp_path / "param.json").write_text('{"a": [1, 2.5], "b": {"c": true}}')
    (tmp_path / "param.yaml").write_text("a: [1, 2.5]\nb:\n  c: true\n")
    assert inputs.load_input(tmp_path / "param.json", tmp_path / "param.yaml") == (
        {"a": [1, 2.5], "b": {"c": True}},
        {"a": [1, 2.5], "b": {"c": True}},
    )


def test_the_file_stands_before_every_problem_of_its_schema():
    argument = Argument("md.json", dict, [Argument("nsteps", int), Argument("seed", int)])
    inputs.require_schema(argument, {"nsteps": 1, "seed": 1}, "md.json")
    with pytest.raises(IpipError) as error:
        inputs.require_schema(argument, {"nsteps": "1"}, "md.json")
    assert str(error.value).splitlines() == [
        'md.json: nsteps: expected an integer, found "1"',
        "md.json: seed: missing; expected an integer",
    ]
