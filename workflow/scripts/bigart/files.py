"""Files that are either whole or absent, and made by one process at a time."""

import contextlib
import fcntl
import hashlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

log = logging.getLogger("bigart")

PARTIAL = ".partial-"


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    The temporary name keeps the suffix, so that image writers recognise the format. Leftovers
    of killed runs (same file, another process that no longer lives) are removed first. The
    content is flushed to the disk before the rename: a power cut leaves the old file or the
    new one, never half of either.

    Args:
        path: The final file. Its folder is made when missing.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.stem}{PARTIAL}{os.getpid()}{path.suffix}")
    try:
        yield temporary
        finish(temporary, path)
    except OSError as error:
        if error.filename is None:  # a write does not know its file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def finish(temporary: Path, path: Path) -> None:
    """Give a complete file its final name, once its content is on the disk itself."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def _remove_leftovers(path: Path) -> None:
    for old in path.parent.glob(f".{path.stem}{PARTIAL}*{path.suffix}"):
        pid = old.name.removesuffix(path.suffix).rpartition(PARTIAL)[2]
        if pid.isdigit() and not _lives(pid):
            old.unlink(missing_ok=True)


def _lives(pid: str) -> bool:
    try:
        after_name = Path("/proc", pid, "stat").read_text().rpartition(")")[2]
    except OSError:
        return not Path("/proc", "self").exists()  # without /proc, to be on the safe side
    return after_name.split()[0] != "Z"  # dead, and its parent has not noticed


@contextlib.contextmanager
def locked(path: Path | str) -> Iterator[None]:
    """Keep others from making ``path`` too; where another process does already, wait for its end.

    A killed run may leave a job behind, which the next run starts again. The lock is a hidden file
    beside ``path`` that says who holds it, and is removed in the end. A lock ends with its process,
    however that ends; a file that was left by a killed one hinders nobody.

    Raises:
        OSError: The folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    while True:
        with lock.open("a+", encoding="utf-8") as file:
            try:
                _lock(file, path)
            except OSError as error:  # some network file systems know no locks
                log.warning("%s: the file system has no locks (%s)", path.parent, error.strerror)
                yield
                return
            if os.fstat(file.fileno()).st_nlink == 0:  # its holder removed it meanwhile
                continue
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _lock(file: TextIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read() or "another process"
        log.info("%s: %s makes it already; waiting for its end", path, holder)
        fcntl.flock(file, fcntl.LOCK_EX)


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
