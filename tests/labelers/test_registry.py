# SPDX-License-Identifier: LGPL-3.0-or-later
"""The kinds of labelers, and what stands in param.json about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipip_dp.errors import IpipError
from ipip_dp.labelers import kind_of, labeler_arguments, labeler_files, make_labeler

from .conftest import SW, TYPE_MAP, XTB


@pytest.mark.parametrize("config", [SW, XTB, {"type": "dp", "models": ["graph.pb"]}])
def test_schema_accepts_valid_configs(config):
    argument = labeler_arguments("teacher", "the teacher")
    value = argument.normalize_value(config)
    argument.check_value(value, strict=True)


@pytest.mark.parametrize(
    "config",
    [
        {**SW, "pair_stile": "sw"},
        {**SW, "pair_coeff": "* * tmd.sw.mod Mo S"},
        {**SW, "elements": []},
        {"type": "ase"},
        {"type": "dp", "models": []},
        {"type": "vasp"},
    ],
)
def test_schema_rejects_invalid_configs(config):
    argument = labeler_arguments("teacher", "the teacher")
    with pytest.raises(Exception, match="pair_stile|pair_coeff|elements|calculator|models|vasp"):
        argument.check_value(config, strict=True)


def test_make_labeler_names_the_known_types():
    with pytest.raises(IpipError, match="'vasp'.*lammps, ase, dp"):
        make_labeler({"type": "vasp"}, TYPE_MAP)


def test_make_labeler_wants_an_element_of_the_type_map():
    with pytest.raises(IpipError, match="no element in common"):
        make_labeler(SW, ["H", "C"])


def test_known_elements():
    assert kind_of(SW).known_elements(SW) == ["Mo", "S"]
    assert kind_of(XTB).known_elements(XTB) is None


def test_files_of_a_calculator_are_among_its_arguments_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("weights.pt", "my_package.calculators:Weights", "ase"):
        Path(name).write_text("")
    kwargs = {"model": "weights.pt", "size": 3, "parts": ["missing.pt", None]}
    labeler = {"type": "ase", "calculator": "my_package.calculators:Weights", "kwargs": kwargs}
    assert labeler_files(labeler) == ["weights.pt"]


def test_files_with_blanks_in_their_name_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my model.pb").write_text("")
    assert labeler_files({"type": "dp", "models": ["my model.pb"]}) == ["my model.pb"]


def test_files_outside_the_run_folder_are_refused(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    Path("../own.sw").write_text("parameters")
    with pytest.raises(IpipError, match=r"\.\./own\.sw lies outside the run folder"):
        labeler_files({**SW, "pair_coeff": ["* * ../own.sw Mo S"]})
