# SPDX-License-Identifier: LGPL-3.0-or-later
"""What native libraries write to the error output while they are loaded."""

from __future__ import annotations

import os
import subprocess

import pytest

from ipip_dp.quiet import quiet

SAID = """WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1 1 port.cc:153] oneDNN custom operations are on. You may see slightly different numerical results
DeePMD-kit: Successfully load libcudart.so.12
"""


def test_noise_is_left_out_and_all_else_is_not(capfd):
    with pytest.raises(ImportError), quiet():
        os.write(2, SAID.encode())
        subprocess.run(["sh", "-c", "echo no such library >&2"], check=True)
        os.write(2, b"half a line")
        raise ImportError
    os.write(2, b" and what follows\n")
    assert capfd.readouterr().err == "no such library\nhalf a line and what follows\n"
