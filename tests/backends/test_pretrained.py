# SPDX-License-Identifier: LGPL-3.0-or-later
"""Pre-trained models by their names in DeePMD-kit's registry."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from deepmd.pretrained import download

from ipip_dp.backends.pretrained import find_model
from ipip_dp.errors import IpipError
from ipip_dp.labelers import make_labeler
from ipip_dp.labelers.base import LabelerError

NAME = "DPA-3.1-3M"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "DEFAULT_CACHE_DIR", tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def test_a_name_is_a_file_of_the_cache_and_nothing_is_fetched(cache):
    with pytest.raises(IpipError, match=f"{NAME} is not on this machine .* dp pretrained download {NAME}"):
        find_model(NAME)
    with pytest.raises(LabelerError, match=f"dp pretrained download {NAME}"):
        make_labeler({"type": "dp", "models": [NAME]}, ["Mo"])
    assert not list(cache.iterdir())
    (cache / f"{NAME}.pt").touch()
    assert find_model(NAME) == cache / f"{NAME}.pt"


def test_a_path_is_a_path(cache):
    assert find_model("nowhere/model.pt") == Path("nowhere/model.pt")
    Path(NAME).touch()  # a file of that name, in the run folder
    assert find_model(NAME) == Path(NAME)


@pytest.mark.slow
def test_it_labels_by_its_name(cache, train):
    shutil.copy(f"{train('pt-se_e2_a')}.pt", cache / f"{NAME}.pt")
    assert make_labeler({"type": "dp", "models": [NAME]}, ["Mo"]).elements == ["Mo", "S", "O"]
