"""Commands end with a message and a status, and leave whole files or none."""

import argparse
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bigart.commands import command
from bigart.errors import UserError
from bigart.running import files, progress
from projects import run_command

SCRIPTS = Path(__file__).parent.parent / "workflow/scripts"
COMMANDS = sorted(path.name for path in SCRIPTS.glob("*.py"))


def status(error: BaseException | None, log: Path | None = None) -> int:
    def run(_: argparse.Namespace) -> None:
        if error:
            raise error

    logging.getLogger().handlers.clear()
    try:
        command.main(
            argparse.ArgumentParser(prog="paint.py"), run, ["--log", str(log)] if log else []
        )
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (None, 0, ""),
        (UserError("no such colour"), 1, "paint: error: no such colour\n"),
        (OSError(errno.ENOSPC, "", "a.png"), 1, "paint: error: the disk is full: a.png\n"),
        (PermissionError(errno.EACCES, "", "a"), 1, "paint: error: permission denied: a\n"),
        (MemoryError(), 1, "paint: error: not enough memory"),
        (torch.OutOfMemoryError(), 1, "paint: error: not enough memory on the GPU"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "paint: error: not enough"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_status_and_message(
    error: BaseException | None, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(error) == code
    assert capsys.readouterr().err.startswith(told)


def test_faults_of_the_program_keep_their_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert status(ZeroDivisionError(), tmp_path / "log/paint.log") == 1
    assert "Traceback" in capsys.readouterr().err
    assert "Traceback" in (tmp_path / "log/paint.log").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command.removesuffix(".py"), "--help") == 0
    told = capsys.readouterr()
    assert "usage" in told.out
    assert not told.err


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "folder/picture.png"
    with files.atomic(path) as temporary:
        temporary.write_text("first")
        assert temporary.suffix == ".png"
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), files.atomic(path) as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    here = socket.gethostname()
    names = {name: f"{name}-{number}" for name, number in ((here, 999999999), ("else-where", 1))}
    dead, elsewhere = (tmp_path / f".picture{files.PARTIAL}{name}.png" for name in names.values())
    alive = tmp_path / f".picture{files.PARTIAL}{here}-1.png"
    old = tmp_path / f".picture{files.PARTIAL}else-where-2.png"
    for leftover in (dead, alive, elsewhere, old):
        leftover.touch()
    os.utime(old, (0, 0))
    with files.atomic(tmp_path / "picture.png") as temporary:
        temporary.touch()
    assert [path.exists() for path in (dead, alive, elsewhere, old)] == [False, True, True, False]


MAKE = """
import argparse, sys, time
from pathlib import Path
from bigart.commands import command
from bigart.running import files

def run(arguments):
    time.sleep(1)  # as a stage gets ready: the one before it, killed, may still be on its way out
    with files.atomic(arguments.out) as temporary:
        temporary.write_text("half")
        print("begun", flush=True)
        time.sleep(arguments.seconds)

parser = argparse.ArgumentParser(prog="make.py")
parser.add_argument("--out")
parser.add_argument("--seconds", type=float)
command.main(parser, run)
"""


def make(folder: Path, seconds: float) -> subprocess.Popen[str]:
    arguments = ["--out", folder / "out", "--seconds", seconds, "--log", folder / "log/out.log"]
    return subprocess.Popen(
        [sys.executable, "-c", MAKE, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


ENDS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}


@pytest.mark.parametrize("number", [*ENDS, signal.SIGKILL])
def test_a_second_process_waits_for_the_end_of_the_first(
    tmp_path: Path, number: signal.Signals
) -> None:
    first = make(tmp_path, 60)
    assert first.stdout is not None
    assert first.stdout.readline() == "begun\n"
    second = make(tmp_path, 0)
    assert second.stderr is not None
    told = second.stderr.readline()
    assert f"process {first.pid} on {socket.gethostname()} is at work on it" in told
    assert second.poll() is None
    first.send_signal(number)
    first.communicate(timeout=60)
    assert first.returncode == ENDS.get(number, -number)
    second.communicate(timeout=60)
    assert second.returncode == 0
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"log", "log/out.log", "log/.out.log.lock", "out"}


def test_a_second_signal_does_not_cut_the_end_short(tmp_path: Path) -> None:
    """Slurm sends SIGTERM twice."""
    code = """
import argparse, time
from bigart.commands import command

def run(arguments):
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("saving", flush=True)
        time.sleep(1)
        print("saved", flush=True)

command.main(argparse.ArgumentParser(), run)
"""
    job = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert job.stdout is not None
    for line in ("begun\n", "saving\n"):
        assert job.stdout.readline() == line
        job.send_signal(signal.SIGTERM)
    assert job.stdout.readline() == "saved\n"
    assert job.wait(timeout=60) == 143


def test_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does, for all it starts
    try:
        job = make(tmp_path, 1)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert job.stdout is not None
    assert job.stdout.readline() == "begun\n"
    job.send_signal(signal.SIGHUP)
    job.communicate(timeout=60)
    assert job.returncode == 0
    assert (tmp_path / "out").exists()


def test_many_at_once_take_turns(tmp_path: Path) -> None:
    """They count by reading and writing, which loses some where two do so at once."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    code = (
        "import sys, time; from pathlib import Path; from bigart.running import files\n"
        "path = Path(sys.argv[1])\n"
        "for _ in range(20):\n"
        "    with files.locked(path):\n"
        "        count = int(path.read_text())\n"
        "        time.sleep(0.001)\n"
        "        path.write_text(str(count + 1))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    jobs = [
        subprocess.Popen([sys.executable, "-c", code, str(counter)], env=environment)
        for _ in range(6)
    ]
    assert [job.wait(timeout=60) for job in jobs] == [0] * 6
    assert counter.read_text() == "120"


def test_a_file_system_without_locks_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with files.locked(tmp_path / "picture.log"):
        pass
    assert "has no locks (No locks available)" in caplog.text


def test_progress_in_a_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        bar = progress.Progress("thumbnails", 4)
        for _ in range(4):
            bar.advance()
    first, last = caplog.messages
    assert first.startswith("thumbnails: 1/4, ")
    assert first.endswith(" left")
    assert last.startswith("thumbnails: 4/4, done in ")


@pytest.mark.parametrize(
    ("seconds", "said"), [(8, "8 s"), (200, "3 min 20 s"), (7512, "2 h 5 min")]
)
def test_durations(seconds: float, said: str) -> None:
    assert progress.duration(seconds) == said
