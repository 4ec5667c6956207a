"""A Slurm of two nodes on this machine, for tests: Debian's packages, no systemd.

Both nodes are this machine, by two daemons. Their GPUs are files that stand in for devices: Slurm
counts them, gives each to one job and tells the job which one by CUDA_VISIBLE_DEVICES. A job that
has more memory than it asked for is killed, and `sacct` knows every job, from a database of its own
(slurmdbd and MariaDB), as on most clusters.
"""

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from projects import missing

#: Node -> its GPUs.
NODES = {"one": ["/dev/null", "/dev/zero"], "two": ["/dev/null"]}
PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "mariadbd", "sbatch", "sacct")

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
SlurmctldPort={controller_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting_port}
AccountingStoreFlags=job_comment
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
ReturnToService=2
MinJobAge=3600
KillWait=30
MessageTimeout=100
BatchStartTimeout=100
GresTypes=gpu
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=64000 "
    "Gres=gpu:{gpus}\n"
)
PARTITION = "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
ACCOUNTING = """\
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={user}
AuthType=auth/none
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageLoc=slurm
StorageUser={user}
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
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
    gpus: frozenset[str]

    @property
    def rule(self) -> str:
        return self.about.partition("_wildcards")[0]

    @property
    def has_ended(self) -> bool:
        return self.state not in ("PENDING", "RUNNING", "COMPLETING")

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
        done = self._run(command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answers(self, *command: str) -> bool:
        """Whether one of its commands can be run yet."""
        return self._run(command).returncode == 0

    def is_idle(self) -> bool:
        """Whether every node is there and has nothing to do."""
        done = self._run(["sinfo", "--noheader", "--format=%T"])
        return done.returncode == 0 and done.stdout.split() == ["idle"]

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

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
            node = fields["NodeList"]
            found.append(
                Job(
                    int(fields["JobId"]),
                    about[1] if about else "",
                    fields["JobState"],
                    _time(fields["StartTime"]),
                    _time(fields["EndTime"]),
                    _megabytes(fields["MinMemoryNode"]),
                    60 * int(hours) + int(minutes),
                    frozenset(f"{node}-{index}" for index in _numbers(indices[1]))
                    if indices
                    else frozenset(),
                )
            )
        return sorted(found, key=lambda job: job.number)

    def accounted(self, jobs: Sequence[Job]) -> dict[int, str]:
        """Return what the database says became of these jobs: number -> state."""
        numbers = ",".join(str(job.number) for job in jobs)
        columns = ["--noheader", "--parsable2", "--format", "JobID,State"]
        lines = self("sacct", "--allocations", "--jobs", numbers, *columns).splitlines()
        # "CANCELLED by 0"
        return {int(number): state.split()[0] for number, state in (x.split("|") for x in lines)}


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
    if lacking := [name for name in PROGRAMS if not _found(name)]:
        missing(f"Slurm is not installed: there is no {', '.join(lacking)}")
    slurm = _configured(folder)
    database = {
        "datadir": folder / "database",
        "socket": folder / "database.sock",
        "pid-file": folder / "mariadbd.pid",
        "user": _user(),
    }
    options = [f"--{name}={value}" for name, value in database.items()]
    daemons = [
        (
            # the options by which it reads no file of the system, and asks nobody who they are
            ["mariadbd", "--no-defaults", "--skip-networking", "--skip-grant-tables", *options],
            (folder / "database.sock").exists,
        ),
        (["slurmdbd", "-D"], lambda: slurm.answers("sacctmgr", "list", "cluster")),
        (["slurmctld", "-D", "-c"], lambda: slurm.answers("scontrol", "ping")),
        *((["slurmd", "-D", "-N", name], lambda: True) for name in NODES),
    ]
    with contextlib.ExitStack() as stack:
        for command, is_ready in daemons:
            stack.enter_context(_daemon(slurm, command))
            _wait(is_ready, folder)
        _wait(slurm.is_idle, folder)
        stack.callback(slurm, "scancel", "--user", str(os.getuid()))
        yield slurm


@contextlib.contextmanager
def _daemon(slurm: Slurm, command: list[str]) -> Iterator[None]:
    program = _found(command[0])
    assert program
    environment = {**os.environ, **slurm.environment}
    environment["MYSQL_UNIX_PORT"] = f"{slurm.folder}/database.sock"
    with (slurm.folder / "daemons.out").open("ab") as out:
        process = subprocess.Popen([program, *command[1:]], env=environment, stdout=out, stderr=out)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(ready: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + 300
    while not ready():
        assert time.monotonic() < deadline, (folder / "daemons.out").read_text()[-4000:]
        time.sleep(0.2)


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")


def _user() -> str:
    return subprocess.check_output(["id", "-un"], text=True).strip()


def _configured(folder: Path) -> Slurm:
    for name in ("state", "bin", "database", *(f"spool-{name}" for name in NODES)):
        (folder / name).mkdir()
    (folder / "database/slurm").mkdir()  # to MariaDB a folder is a database
    host = socket.gethostname().partition(".")[0]
    user = _user()
    accounting_port, controller_port, *ports = _free_ports(2 + len(NODES))
    common = {"folder": folder, "host": host, "user": user}
    configuration = CONFIGURATION.format(
        **common, accounting_port=accounting_port, controller_port=controller_port
    )
    for (name, gpus), port in zip(NODES.items(), ports, strict=True):
        configuration += NODE.format(name=name, host=host, port=port, gpus=len(gpus))
    (folder / "slurm.conf").write_text(configuration + PARTITION)
    accounting = folder / "slurmdbd.conf"
    accounting.write_text(ACCOUNTING.format(**common, port=accounting_port))
    accounting.chmod(0o600)  # else it refuses to start
    (folder / "gres.conf").write_text(
        "".join(
            f"NodeName={name} Name=gpu Count={len(gpus)} File={','.join(gpus)}\n"
            for name, gpus in NODES.items()
        )
    )
    # Snakemake's job step takes SLURM_CONF from the environment of its srun: put it back
    srun = folder / "bin/srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {_found("srun")} "$@"\n')
    srun.chmod(0o755)
    python = folder / "bin/python"
    python.symlink_to(sys.executable)
    return Slurm(folder)


def _free_ports(count: int) -> list[int]:
    """Ports below those that a system gives to connections."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        for port in random.sample(range(20000, 32000), 1000):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                break
        return found
