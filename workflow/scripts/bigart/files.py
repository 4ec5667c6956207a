"""Files that are either whole or absent."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

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
        if pid.isdigit() and not Path("/proc", pid).exists() and Path("/proc").exists():
            old.unlink(missing_ok=True)


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
