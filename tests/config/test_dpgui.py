# SPDX-License-Identifier: LGPL-3.0-or-later
"""The form of param.json in DP-GUI, in a browser. Skipped where dpgui, playwright or chromium is not installed."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from ipip_dp.config.params import ipip_argument
from tests.conftest import ENVIRONMENT, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("dpgui")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where dpgui serves its pages."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(["dpgui", "--port", str(port)], cwd=tmp_path, env=environment)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except urllib.error.URLError:
                time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait()


def test_the_form_has_every_key_of_the_ipip_section(address):
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        entry = page.get_by_text("DP-GEN Run with IPIP", exact=True).first
        entry.wait_for(state="attached", timeout=120_000)  # of all packages' forms
        entry.evaluate("link => link.click()")  # in a menu that is folded on narrow screens
        page.get_by_text("Iterative pretraining (arXiv 2507.20118)").wait_for(timeout=60_000)
        text = page.inner_text("body")
        browser.close()
    names = {re.sub(r"^Type of\s+|\s*\(optional.*", "", line) for line in text.splitlines()}
    section = ipip_argument().sub_fields
    keys = {*section, *section["pretrain"].sub_fields, *section["forget"].sub_fields, *section["stop"].sub_fields}
    assert keys <= names, keys - names
    assert errors == []
