# SPDX-License-Identifier: LGPL-3.0-or-later
"""One process per run folder, and a record that can be read; tests/faults has the kills and crashes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ipip_dp import workdir
from ipip_dp.dpgen_plugin import restart


@pytest.fixture(autouse=True)
def run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for stage in ("00.train", "01.model_devi"):
        (tmp_path / "iter.000000" / stage).mkdir(parents=True)


@pytest.mark.parametrize(
    ("record", "copy", "mended"),
    [
        ("0 0\n0 1\n", None, "0 0\n0 1\n"),
        ("0 0\n0 1\n0 ", None, "0 0\n0 1\n"),  # cut short
        ("0 0\n\n", None, "0 0\n"),  # a blank line is fatal to DP-GEN
        ("", "0 0\n0 1\n", "0 0\n0 1\n"),  # emptied
        ("0 0\n", "0 0\n0 1\n0 4\n", "0 0\n0 1\n0 4\n"),  # lines are missing
        ("0 0\n0 5\n0 8\n", None, "0 0\n0 5\n"),  # 02.fp has been removed, to have it done again
    ],
)
def test_the_record_is_mended(record, copy, mended):
    Path("record.dpgen").write_text(record)
    if copy is not None:
        workdir.write_text(workdir.RECORD_COPY, copy)
    restart.restore_record()
    assert Path("record.dpgen").read_text() == mended


def test_the_copy_follows_the_record():
    def record_iter(record, ii, jj):
        with open(record, "a") as file:
            file.write(f"{ii} {jj}\n")

    kept = restart.keep_record(record_iter)
    kept("record.dpgen", 0, 0)
    assert not workdir.RECORD_COPY.exists()  # a plain run
    workdir.RECORD_COPY.parent.mkdir(parents=True)
    kept(record="record.dpgen", ii=0, jj=1)
    assert workdir.RECORD_COPY.read_text() == "0 0\n0 1\n"


def test_a_second_process_is_refused(tmp_path):
    restart.claim(tmp_path)
    code = f"from pathlib import Path; from ipip_dp.dpgen_plugin import restart; restart.claim(Path({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "another dpgen run works here (process" in done.stderr
