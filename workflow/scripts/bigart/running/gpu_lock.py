"""GPUs shared by the jobs of one machine, which know nothing of each other but lock files.

A job starts Python, takes a seat at the device with the fewest jobs, opens its network there, and
then waits for its turn: of the jobs at a device one computes, while the others get ready or write
their pictures. A lock ends with its process, however that ends, so nothing has to be cleaned up.
"""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger("bigart")

#: More jobs at one device than any memory holds.
MOST_SEATS = 16


@dataclass(frozen=True)
class Seat:
    """A job's place at a device, held until the job ends.

    Attributes:
        index: Which of the devices it is.
        held: The seat itself; None where all were taken.
        turn: Whoever holds it computes.
    """

    index: int
    held: FileLock | None
    turn: FileLock

    @contextlib.contextmanager
    def taking_turns(self) -> Iterator[None]:
        """Wait until no other job computes on the device, and keep others from it."""
        try:
            self.turn.acquire(timeout=0)
        except Timeout:
            log.info("another job computes on this device; waiting for the turn")
            self.turn.acquire()
        try:
            yield
        finally:
            self.turn.release()


def take_seat(names: Sequence[str], folder: Path | None = None) -> Seat | None:
    """Take a seat at the device that has the fewest taken, of several such at the first.

    Args:
        names: Of the devices that this job may use: the same in all jobs, as a UUID is.
        folder: Where the lock files are; None is one of the user's own among the temporary files.

    Returns:
        The seat; None when no lock can be had there. Then jobs may share a device unaware.
    """
    folder = folder or Path(tempfile.gettempdir(), f"bigart-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with _lock(folder / "choosing"):  # else two that count at once would find each other
            free = [_free_seats(folder, name) for name in names]
            index = max(range(len(names)), key=lambda i: len(free[i]))
            held = free[index][0] if free[index] else None
            if held:
                held.acquire(timeout=0)
    except OSError as error:
        log.warning("cannot share GPUs with other jobs, since %s cannot be used: %s", folder, error)
        return None
    return Seat(index, held, _lock(folder / f"{names[index]}.turn"))


def _free_seats(folder: Path, name: str) -> list[FileLock]:
    free = []
    for number in range(MOST_SEATS):
        seat = _lock(folder / f"{name}.seat-{number}")
        try:
            with seat.acquire(timeout=0):
                free.append(seat)
        except Timeout:
            continue
    return free


def _lock(path: Path) -> FileLock:
    return FileLock(path, fallback_to_soft=False)  # a soft lock outlives its process
