"""GPUs shared by the jobs of one machine, which know nothing of each other but lock files.

A job takes a seat at the device with the fewest jobs, starts Python, opens its network there, and
then waits for its turn: of the jobs at a device one computes, while the others get ready or write
their pictures. A lock ends with its process, however that ends, so nothing has to be cleaned up.
"""

import itertools
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger("bigart")


@dataclass(frozen=True)
class Seat:
    """A job's place at a device, held until the job ends.

    Attributes:
        index: Which of the devices it is.
        held: The seat itself, first or later row.
        turn: Whoever holds it computes.
    """

    index: int
    held: FileLock
    turn: FileLock


def take_seat(names: Sequence[str], folder: Path | None = None) -> Seat | None:
    """Take a seat at the device that has the fewest.

    Args:
        names: Of the devices that this job may use: the same in all jobs, as a UUID is.
        folder: Where the lock files are; None is one of the user's own among the temporary files.

    Returns:
        The seat; None when no lock file can be made there. Then jobs may share a device unaware.
    """
    folder = folder or Path(tempfile.gettempdir(), f"bigart-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for row in itertools.count():
            for index, name in enumerate(names):
                seat = FileLock(folder / f"{name}.seat-{row}")
                try:
                    seat.acquire(timeout=0)
                except Timeout:
                    continue
                return Seat(index, seat, FileLock(folder / f"{name}.turn"))
    except OSError as error:
        log.warning("cannot share GPUs with other jobs, since %s cannot be used: %s", folder, error)
    return None
