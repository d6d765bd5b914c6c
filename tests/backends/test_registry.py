# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which checkpoint a path means."""

from __future__ import annotations

import pytest

from ipip_dp.backends import forget
from ipip_dp.backends.registry import prefix_of, read_checkpoint
from ipip_dp.errors import IpipError
from tests.backends.conftest import every_backend, files


@every_backend
def test_a_checkpoint_is_found_by_prefix_file_or_folder(variant, train, tmp_path):
    prefix = train(variant)
    main_file = next(f for f in prefix.parent.iterdir() if f.name in ("model.ckpt.index", "model.ckpt.pt"))
    numbered = prefix.with_name("model.ckpt-10")
    outputs = [
        files(forget(path, tmp_path / str(i) / "model.ckpt", method="reinit", seed=1).output)
        for i, path in enumerate((prefix, main_file, prefix.parent, numbered))
    ]
    assert outputs[0] == outputs[1] == outputs[2] == outputs[3]


def test_no_checkpoint_says_what_was_looked_for(tmp_path):
    with pytest.raises(IpipError, match=r"expected .*model.ckpt.index or .*model.ckpt.pt"):
        forget(tmp_path, tmp_path / "out" / "model.ckpt", method="reinit", seed=1)


@pytest.mark.parametrize("name", ["model.ckpt", "model.ckpt.index", "model.ckpt.pt", ""])
def test_a_prefix_has_many_names(tmp_path, name):
    assert prefix_of(tmp_path / name) == tmp_path / "model.ckpt"


def test_the_name_of_a_file_says_which_backend_is_meant(tmp_path):
    (tmp_path / "model.ckpt.pt").write_text("not a checkpoint")
    with pytest.raises(IpipError, match=r"expected \S+model.ckpt.index\. Has its training"):
        read_checkpoint(tmp_path / "model.ckpt.index")
    with pytest.raises(IpipError, match="model.ckpt.pt: not a readable PyTorch checkpoint"):
        read_checkpoint(tmp_path / "model.ckpt")
