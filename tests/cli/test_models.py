# SPDX-License-Identifier: LGPL-3.0-or-later
"""`ipip evaluate` and `ipip forget`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.conftest import check_mistake

# What is typed, and the line that answers.
WRONG = [
    (["evaluate", "graph.pb", "--data", "nowhere", "--type-map", "Mo,S"], "data folder nowhere does not exist"),
    (["evaluate", "m.pb", "m.pb", "--data", "data/held_out", "--type-map", "Mo,S"], "m.pb m.pb: expected every model"),
    (["evaluate", "m.pb", "--data", "data/held_out", "--type-map", "Mo,S", "--output", "data"], "data: is a folder;"),
    (["forget", "model.ckpt", "out/model.ckpt"], "No checkpoint at model.ckpt: expected model.ckpt.index or"),
    (["forget", "model.ckpt", "out/model.ckpt", "--seed-file", "param.json"], "param.json: expected a file with one"),
    (["forget", "model.ckpt", "out/model.ckpt", "--seed-file", "no.json"], "no.json: expected a file with one integer"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_is_one_line(ipip, words, line):
    check_mistake(ipip, words, line)


@pytest.mark.slow
def test_evaluate_gives_the_errors_of_the_run(finished, tmp_path):
    models = [f"iter.000001/00.train/graph.{member:03d}.pb" for member in (0, 1)]
    options = ["--data", "data/held_out", "--type-map", "Mo,S", "--output", str(tmp_path / "errors.json")]
    done = finished("ipip", "evaluate", *models, *options)
    assert done.returncode == 0, done.stdout
    errors = json.loads((tmp_path / "errors.json").read_text())
    known = json.loads((finished.folder / "iter.000001/00.ipip/evaluate/metrics.json").read_text())
    for one, other in zip(
        [errors["ensemble"], *errors["students"]], [known["ensemble"], *known["students"]], strict=True
    ):
        assert one == pytest.approx(other, rel=1e-5)
    assert "mean of all" in done.stdout and f"{known['ensemble']['force_rmse']:.4f}" in done.stdout
    narrow = finished("ipip", "evaluate", *models, *options, COLUMNS="50").stdout.splitlines()
    (row,) = (line for line in narrow if line.startswith("mean of"))
    assert row.split()[2:6] == [
        f"{known['ensemble'][name]:.4f}"
        for name in ("force_rmse", "force_mae", "energy_rmse_per_atom_raw", "energy_rmse_per_atom_aligned")
    ]


@pytest.mark.slow
def test_forget_writes_a_checkpoint_and_what_it_did(finished, tmp_path):
    (tmp_path / "seed.json").write_text("7")
    output = str(tmp_path / "out/model.ckpt")
    options = ["--method", "reinit", "--scope", "final_layer", "--seed-file", str(tmp_path / "seed.json")]
    done = finished("ipip", "forget", "iter.000001/00.train/000", output, *options, "--data", "data/train")
    assert done.returncode == 0, done.stdout
    report = json.loads((tmp_path / "out/forget.json").read_text())
    assert (report["method"], report["output"]) == ("reinit", output)
    assert report["forgotten"] and all(name.startswith("final_layer") for name in report["forgotten"])
    assert report["n_frames"] > 0 and np.isfinite(report["rmse"])
    assert (tmp_path / "out/model.ckpt.index").is_file()
