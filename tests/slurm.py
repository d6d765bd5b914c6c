# SPDX-License-Identifier: LGPL-3.0-or-later
"""A Slurm of one machine for tests: some partitions, in a folder and on ports of its own, without systemd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SYSTEM_PATH = os.pathsep.join((os.environ["PATH"], "/usr/local/sbin", "/usr/sbin", "/sbin"))
SLURM_PROGRAMS = {"slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client", "munged": "munge"}
CONFIGURATION = """\
ClusterName=ipip
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
# Hand out as many cores as NodeName says, whatever the machine has: no job of a test waits for another.
SlurmdParameters=config_overrides
KillWait=2
MinJobAge=100000
# A node that was set down stays so until it is resumed.
ReturnToService=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
"""


def install(programs: dict[str, str]) -> None:
    """Install what is missing with apt-get, or skip the test.

    Parameters
    ----------
    programs : dict
        Name of a program -> the Debian package it comes from.
    """
    packages = sorted({package for name, package in programs.items() if not shutil.which(name, path=SYSTEM_PATH)})
    if not packages:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip(f"needs the Debian packages {', '.join(packages)}; only root can install them, with apt-get")
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *command],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode:
            pytest.skip(f"apt-get cannot install {', '.join(packages)}: {done.stdout.strip()[-300:]}")


def free_ports(number: int) -> list[int]:
    """Ports nobody listens on."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports


def wait_until(condition: Any, what: str, seconds: float = 60) -> Any:
    """Call ``condition`` until it returns something true; return that."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.1)
    return value


class Slurm:
    """A running Slurm of one node, this machine."""

    def __init__(self, folder: Path, partitions: Sequence[str]) -> None:
        self.folder = folder
        self.node = socket.gethostname().split(".")[0]
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: dict[str, subprocess.Popen] = {}
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        folder.chmod(0o755)  # munged insists
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        lines = [f"PartitionName={name} Nodes={self.node} MaxTime=INFINITE State=UP" for name in partitions]
        configuration = CONFIGURATION.format(folder=folder, host=self.node, ports=free_ports(2))
        (folder / "slurm.conf").write_text(configuration + "\n".join(lines) + "\n")

    def start(self, name: str) -> None:
        """Start one daemon: munged, slurmctld or slurmd."""
        command = [name, "-D"]
        if name == "munged":
            command = [name, "--foreground", "--force", f"--key-file={self.folder}/munge.key"]
            command += [f"--{what}-file={self.folder}/munged.{what}" for what in ("pid", "seed")]
            command += [f"--socket={self.folder}/munge.socket"]
        with (self.folder / f"{name}.log").open("a") as log:
            environment = {**os.environ, **self.environment, "PATH": SYSTEM_PATH}
            program = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.daemons[name] = program

    def stop(self, name: str) -> None:
        """Stop one daemon; its jobs go on."""
        self.daemons[name].terminate()
        self.daemons.pop(name).wait(30)

    def __call__(self, *command: str) -> str:
        """Run a command of Slurm and return what it says."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, text=True, capture_output=True)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}\n{self.logs()}"
        return done.stdout.strip()

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        return "\n".join(path.read_text()[-1500:] for path in self.folder.glob("*.log"))

    def is_idle(self) -> bool:
        """Whether the node answers and waits for jobs."""
        command = ["sinfo", "-h", "-o", "%T"]
        done = subprocess.run(command, env={**os.environ, **self.environment}, text=True, capture_output=True)
        return set(done.stdout.split()) == {"idle"}

    def jobs(self, states: str = "all") -> list[dict[str, str]]:
        """Jobs with their ids, states, partitions, names and working directories."""
        rows = self("squeue", "-h", "-a", "-t", states, "-S", "i", "-o", "%i|%T|%P|%Z").splitlines()
        return [dict(zip(("id", "state", "partition", "folder"), row.split("|"), strict=True)) for row in rows]

    def state(self, job: str) -> str:
        """The state of one job."""
        return self("squeue", "-h", "-t", "all", "-o", "%T", "-j", job)


@contextmanager
def slurm(folder: Path, partitions: Sequence[str] = ("train", "label")) -> Iterator[Slurm]:
    """A Slurm of one machine; needs root, and installs what is missing."""
    install(SLURM_PROGRAMS)
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons need root")
    cluster = Slurm(folder, partitions)
    try:
        cluster.start("munged")
        wait_until((folder / "munge.socket").exists, "munge socket")
        cluster.start("slurmctld")
        cluster.start("slurmd")
        wait_until(cluster.is_idle, f"idle node in {folder}")
        yield cluster
        cluster("scancel", "--user=root")
        wait_until(lambda: not cluster.jobs("running,pending,completing"), "end of all jobs")
    finally:
        for name in list(cluster.daemons):
            cluster.stop(name)
