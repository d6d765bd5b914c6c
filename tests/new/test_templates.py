# SPDX-License-Identifier: LGPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

from ipip_dp.new import templates
from tests.conftest import ROOT


def test_every_template_is_found():
    assert templates.machines() == sorted(path.stem for path in (ROOT / "machines").glob("*.json"))
    for name in templates.machines():
        assert templates.machine(name)["train"]["command"] == "dp"


def test_those_in_an_installed_package_come_first(tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "PACKAGE", tmp_path / "site-packages/ipip_dp")
    (tmp_path / "site-packages/ipip_dp/machines").mkdir(parents=True)
    (tmp_path / "site-packages/ipip_dp/machines/mine.json").write_text("{}")
    assert templates.machines() == ["mine"]


def test_the_wheel_has_them():
    text = (ROOT / "pyproject.toml").read_text()
    for name in ("machines", "param_templates"):
        assert f'"{name}" = "ipip_dp/{name}"' in text and Path(ROOT, name).is_dir()
