"""Files that are either whole or absent, and written by one process at a time."""

import contextlib
import hashlib
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock

log = logging.getLogger("bigart")

_HOST = socket.gethostname()
PARTIAL = ".partial-"
ABANDONED_SECONDS = 24 * 3600  # a file of another machine without a write since then


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    A missing folder is created, and temporary files of killed runs are removed. The content is
    flushed to the disk before the rename: a power cut leaves the old file or the new one, never a
    part of either.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    with atomic_together([path]) as [temporary]:
        yield temporary


@contextlib.contextmanager
def atomic_together(paths: Sequence[Path | str]) -> Iterator[list[Path]]:
    """Do as ``atomic`` for several files: the old ones go when all new ones are whole.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    targets = [Path(path) for path in paths]
    temporaries = [_temporary(path) for path in targets]
    for path in targets:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
    try:
        yield temporaries
        for temporary in temporaries:
            _flush(temporary)
        for temporary, path in zip(temporaries, targets, strict=True):
            temporary.replace(path)
    except OSError as error:
        if error.filename is None:  # errors of writes have no file name
            error.filename = str(targets[0])
        raise
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Do as ``atomic`` for a folder: it takes the place of the old one when the block succeeds.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    target = Path(path)
    temporary = _temporary(target)
    former = temporary.with_name(f"{temporary.name}-former")
    target.parent.mkdir(parents=True, exist_ok=True)
    for old in target.parent.glob(f".{target.name}{PARTIAL}{_HOST}-*"):
        if not _lives(old.name.removesuffix("-former").rpartition("-")[2]):
            shutil.rmtree(old, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        if target.exists():
            target.replace(former)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.stem}{PARTIAL}{_HOST}-{os.getpid()}{path.suffix}")


def finish(temporary: Path, path: Path) -> None:
    """Flush a complete file to the disk and give it its final name."""
    _flush(temporary)
    temporary.replace(path)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of ``path`` that killed processes left.

    A file of this machine is removed when its process has ended. Other machines' processes cannot
    be seen, so their files are removed after a day without a write.
    """
    for old in path.parent.glob(f".{path.stem}{PARTIAL}*{path.suffix}"):
        host, _, pid = old.name.removesuffix(path.suffix).rpartition(PARTIAL)[2].rpartition("-")
        with contextlib.suppress(FileNotFoundError):
            age = time.time() - old.stat().st_mtime
            if (host == _HOST and not _lives(pid)) or age > ABANDONED_SECONDS:
                old.unlink()


def _lives(pid: str) -> bool:
    try:
        after_name = Path("/proc", pid, "stat").read_text().rpartition(")")[2]
    except OSError:
        return not Path("/proc", "self").exists()  # without /proc: assume that it lives
    return after_name.split()[0] != "Z"  # a zombie has ended


@contextlib.contextmanager
def locked(path: Path | str) -> Iterator[None]:
    """Hold an exclusive lock for writing ``path``; wait if another process holds it.

    A job of a killed run may still be running when the next run starts the same job. The lock is on
    a hidden file beside ``path``, which holds the name of the process. The file is never removed:
    otherwise two processes could lock two files of the same name. A lock ends with its process.

    Raises:
        OSError: The folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f".{path.name}.lock")
    file.touch()
    holder = file.read_text() or "another process"
    lock = process_lock(file)
    try:
        acquire(lock, f"{path}: {holder} is at work on it; waiting until that ends")
    except OSError as error:  # some network file systems know no locks
        log.warning("%s: the file system has no locks (%s)", path.parent, error.strerror)
    try:
        file.write_text(f"process {os.getpid()} on {_HOST}")
        yield
    finally:
        lock.release()


def process_lock(path: Path) -> "FileLock":
    """Return a lock on a file that the system releases when its process ends."""
    from filelock import FileLock  # only here: the workflow reads the config without it

    return FileLock(path, fallback_to_soft=False)  # a soft lock outlives its process


def acquire(lock: "FileLock", waiting: str) -> contextlib.AbstractContextManager[object]:
    """Acquire a lock, until the returned context ends; say where another process holds it."""
    try:
        return lock.acquire(timeout=0)
    except TimeoutError:
        log.info(waiting)
        return lock.acquire()


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
