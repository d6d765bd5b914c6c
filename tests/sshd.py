# SPDX-License-Identifier: LGPL-3.0-or-later
"""An SSH server on this machine for tests: its own key, port, configuration and folder."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.slurm import SYSTEM_PATH, free_ports, install, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGURATION = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
# What root and continuous integration have is not what a server would accept.
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
Subsystem sftp internal-sftp
"""


class Server:
    """A running SSH server that lets in whoever started it, with ``user_key``."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.port = free_ports(1)[0]
        folder.mkdir(parents=True)
        for name in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        lines = [f"SetEnv {name}={value}\n" for name, value in environment.items()]
        (folder / "sshd_config").write_text(CONFIGURATION.format(folder=folder, port=self.port) + "".join(lines))

    @property
    def profile(self) -> dict[str, Any]:
        """``remote_profile`` of machine.json."""
        key = str(self.folder / "user_key")
        return {"hostname": "127.0.0.1", "port": self.port, "username": getpass.getuser(), "key_filename": key}

    def start(self) -> None:
        """Let people in."""
        program = shutil.which("sshd", path=SYSTEM_PATH)  # it wants to be called by its full path
        command = [program, "-D", "-f", self.folder / "sshd_config", "-E", self.folder / "log"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until(self.listens, f"SSH server; see {self.folder}/log")

    def listens(self) -> bool:
        """Whether somebody would be let in."""
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def disconnect(self) -> None:
        """Break the connections there are; jobs go on."""
        server = str(self.process.pid)
        connections = subprocess.run(["pgrep", "-P", server], text=True, stdout=subprocess.PIPE).stdout.split()
        for parent in (*connections, server):
            subprocess.run(["pkill", "-P", parent])

    def stop(self) -> None:
        """Let nobody in any more, and break the connections there are."""
        self.disconnect()
        self.process.terminate()
        self.process.wait(10)


@contextmanager
def sshd(folder: Path, **environment: str) -> Iterator[Server]:
    """An SSH server whose sessions have some variables in their environment; installs what is missing."""
    install({"sshd": "openssh-server", "ssh-keygen": "openssh-client"})
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # made by the service elsewhere
    server = Server(folder, **environment)
    try:
        server.start()
        yield server
    finally:
        server.stop()
