# SPDX-License-Identifier: LGPL-3.0-or-later
"""The page of a finished run, of runs that lack something, and what a browser makes of it."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ipip_dp.report import page, run
from tests.conftest import ENVIRONMENT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ORDER = ["verdict", "curve", "parity", "deviation", "frames", "md", "errors", "time", "settings", "methods"]
PICTURES = ["learning_curve", "forces_by_element", "forces_by_system", "energies_by_system", "model_deviation", "trust"]
PICTURES += ["frames", "md", "errors", "time"]
# What an unfinished run lacks, and the sections that are left out for it.
LACKING = [
    ("iter.000000/00.ipip/evaluate/students/predictions.npz iter.000001/00.ipip/evaluate", {"parity", "errors"}),
    ("iter.*/00.ipip/evaluate/metrics.json", set(ORDER) - {"md", "time", "settings"}),
    ("iter.*/01.model_devi", {"deviation", "md"}),
    ("iter.*/00.ipip/relabel", {"md"}),
    ("iter.*/00.ipip/on_policy", set()),
    ("iter.*/00.ipip/timing.json", {"time"}),
    ("iter.000000/00.ipip/param.json", {"parity", "deviation", "md", "errors", "settings", "methods"}),
    ("data/held_out", {"parity", "errors"}),
    ("iter.*/00.train/graph.*", set()),
    ("iter.000001", set()),
]


class Page(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def written(finished, tmp_path_factory):
    """The page of the finished run."""
    output = tmp_path_factory.mktemp("page") / "report.html"
    done = finished("ipip", "report", "--output", str(output))
    assert done.returncode == 0, done.stdout
    assert "left out" not in done.stdout
    return output


def test_all_is_told_of_a_finished_run(written, finished):
    text = written.read_text()
    tags = Page(text).tags
    assert [attributes["id"] for tag, attributes in tags if tag == "section"] == ORDER
    rows = list(csv.DictReader((finished.folder / "learning_curve.csv").open()))
    for row in rows:
        assert f"<td>{float(row['ensemble_force_rmse']):.3f} ±" in text
    assert f"the teacher&#39;s {float(rows[-1]['teacher_force_rmse']):.3f}." in text
    assert "pair_style deepmd iter.00000" in text and "pair_coeff * * Mo S" in text
    assert "2507.20118" in text and "10.1016/j.cpc.2020.107206" in text and "10.1063/5.0155600" in text
    assert len(text) < 5e6


def test_every_picture_is_a_file_too(written):
    files = sorted(path.name for path in written.with_suffix("").iterdir())
    assert files == sorted(f"{name}.{suffix}" for name in PICTURES for suffix in ("png", "svg"))
    assert all((written.with_suffix("") / f"{name}.png").read_bytes()[:4] == b"\x89PNG" for name in PICTURES)


def test_the_page_needs_nothing_else_and_can_be_read_by_all(written):
    tags = Page(written.read_text()).tags
    links = [attributes.get(name, "") for _, attributes in tags for name in ("src", "href", "xlink:href")]
    assert all(link.startswith(("#", "data:")) for link in links if link)
    ids = Counter(attributes["id"] for _, attributes in tags if "id" in attributes)
    assert [name for name, number in ids.items() if number > 1] == []
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in tags}
    images = [attributes for _, attributes in tags if attributes.get("role") == "img"]
    assert len(images) == len(PICTURES)
    assert all(attributes["aria-labelledby"] in ids for attributes in images)
    assert ("html", {"lang": "en"}) in tags
    assert sum(tag == "table" for tag, _ in tags) == sum(tag == "caption" for tag, _ in tags) >= len(PICTURES)


@pytest.mark.parametrize(("paths", "left_out"), LACKING, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_missing_is_left_out_with_a_sentence(copy, paths, left_out):
    for pattern in paths.split():
        for path in list(Path().glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    sections = page._sections(run.load(), lambda name, figure: "")
    assert {section.key for section in sections if section.missing} == left_out
    assert all(section.missing.endswith(".") for section in sections if section.missing)


def test_a_damaged_file_leaves_out_its_section(copy):
    for path in Path().glob("iter.*/00.ipip/evaluate/students/predictions.npz"):
        path.write_bytes(path.read_bytes()[:1000])
    for path in Path().glob("iter.*/00.ipip/timing.json"):
        path.write_text("{")
    missing = {section.key for section in page._sections(run.load(), lambda name, figure: "") if section.missing}
    assert missing == {"parity", "errors", "time"}


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser(written, tmp_path, width, dark):
    """No error on the console, nothing wider than the window, and the colours that the reader prefers."""
    from PIL import Image

    script = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
    probed = tmp_path / "probed.html"
    probed.write_text(written.read_text().replace("</body>", script))
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--window-size={width},900",
    ]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--enable-logging=stderr"]
    command += [f"--user-data-dir={tmp_path}/profile"]
    shown = subprocess.run(
        [*command, "--dump-dom", probed.as_uri()], capture_output=True, text=True, timeout=300, env=ENVIRONMENT
    )
    assert "CONSOLE" not in shown.stderr, shown.stderr
    found, wanted = re.search(r"<title>(\d+) of (\d+)</title>", shown.stdout).groups()
    assert int(found) <= int(wanted)
    picture = tmp_path / "page.png"
    subprocess.run(
        [*command, f"--screenshot={picture}", written.as_uri()], capture_output=True, timeout=300, check=True
    )
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert pixels.shape == (900, width)
    assert (np.median(pixels) < 50) if dark else (np.median(pixels) > 240)
    assert pixels.std() > 5, "there is something on it"
