"""A Slurm of one node on this machine, for tests: Debian's packages, no systemd, no database.

Its GPUs are files that stand in for devices: Slurm counts them, gives each to one job and tells the
job which one by CUDA_VISIBLE_DEVICES. Memory and processors are what the configuration says.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from projects import missing

GPUS, PROCESSORS, MEMORY_MB = 2, 8, 64_000
DEVICES = ["/dev/null", "/dev/zero"]

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
ReturnToService=2
MinJobAge=3600
KillWait=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={processors} RealMemory={memory} Gres=gpu:{gpus}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Job:
    """What the scheduler's own records say of a job."""

    number: int
    about: str
    state: str
    start: datetime
    end: datetime
    memory_mb: int
    minutes: int
    gpus: frozenset[int]

    @property
    def rule(self) -> str:
        return self.about.partition("_wildcards")[0]

    def with_gpus_of(self, before: "Job | None") -> "Job":
        """The same, with the GPUs of a record of it when it ran."""
        return replace(self, gpus=before.gpus) if before and not self.gpus else self

    def overlaps(self, other: "Job") -> bool:
        """Whether both ran at one time; the records have whole seconds."""
        return min(self.end, other.end) > max(self.start, other.start)


class Slurm:
    """A running scheduler."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{folder}/bin:/usr/local/bin:/usr/bin:/bin",
        }

    def __call__(self, *command: str) -> str:
        """Run one of its commands; return what it prints."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def jobs(self) -> list[Job]:
        """Every job so far, the oldest first."""
        found = []
        for line in self("scontrol", "show", "job", "--details", "--oneliner").splitlines():
            fields = dict(re.findall(r"(\S+?)=(\S*)", line))
            if "JobId" not in fields:
                continue
            about = re.search(r"Comment=rule_(\S+)", line)
            hours, minutes, _ = re.fullmatch(  # type: ignore[union-attr]
                r"(?:\d+-)?(\d+):(\d+):(\d+)", fields["TimeLimit"]
            ).groups()
            indices = re.search(r"GRES=gpu\S*\(IDX:([\d,-]+)\)", line)
            found.append(
                Job(
                    int(fields["JobId"]),
                    about[1] if about else "",
                    fields["JobState"],
                    _time(fields["StartTime"]),
                    _time(fields["EndTime"]),
                    _megabytes(fields["MinMemoryNode"]),
                    60 * int(hours) + int(minutes),
                    frozenset(_numbers(indices[1])) if indices else frozenset(),
                )
            )
        return sorted(found, key=lambda job: job.number)


def _megabytes(text: str) -> int:
    units = {"M": 1, "G": 1024}
    return round(float(text[:-1]) * units[text[-1]])


def _time(text: str) -> datetime:
    return datetime.max if text == "Unknown" else datetime.fromisoformat(text)


def _numbers(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """Start Slurm with its files in ``folder``, where that can be."""
    if os.geteuid() != 0:
        missing("starting a Slurm needs root")
    if lacking := [name for name in ("slurmctld", "slurmd", "sbatch") if not _found(name)]:
        missing(f"Slurm is not installed: there is no {', '.join(lacking)}")
    slurm = _configured(folder)
    environment = {**os.environ, **slurm.environment}
    try:
        for daemon in (["slurmctld", "-c"], ["slurmd"]):
            path = _found(daemon[0])
            assert path
            subprocess.run([path, *daemon[1:]], env=environment, check=True, timeout=60)
        deadline = time.monotonic() + 60
        while "idle" not in slurm("sinfo", "--noheader", "--format=%T"):
            assert time.monotonic() < deadline, (folder / "slurmctld.log").read_text()[-4000:]
            time.sleep(0.2)
        yield slurm
    finally:
        with contextlib.suppress(AssertionError):
            slurm("scancel", "--user", str(os.getuid()))
            time.sleep(1)
        for name in ("slurmd", "slurmctld"):
            file = folder / f"{name}.pid"
            if file.exists():
                os.kill(int(file.read_text()), signal.SIGTERM)


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")


def _configured(folder: Path) -> Slurm:
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            host=host,
            user=subprocess.check_output(["id", "-un"], text=True).strip(),
            ports=_free_ports(),
            processors=PROCESSORS,
            memory=MEMORY_MB,
            gpus=GPUS,
        )
    )
    gres = f"Name=gpu Count={GPUS} File={','.join(DEVICES)}\n"
    (folder / "gres.conf").write_text(gres)
    # Snakemake's job step takes SLURM_CONF from the environment of its srun: put it back
    srun = folder / "bin/srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {_found("srun")} "$@"\n')
    srun.chmod(0o755)
    python = folder / "bin/python"
    python.symlink_to(sys.executable)
    return Slurm(folder)


def _free_ports() -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
