"""Locks by which the jobs of one machine share its GPUs; the jobs know nothing else of each other.

A job starts Python, takes a slot at the GPU with the fewest jobs, loads its network there, and then
waits for the GPU lock: of the jobs at a GPU one computes, while the others start or write their
pictures. A lock ends with its process, however that ends, so nothing has to be cleaned up.
"""

import contextlib
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bigart.running.files import acquire, process_lock

log = logging.getLogger("bigart")

#: More jobs at one GPU than any memory holds.
MAX_SLOTS = 16


@dataclass(frozen=True)
class Slot:
    """A job's slot at a GPU, held until the job ends."""

    index: int  # of the GPU among the names that the job gave
    held: FileLock | None  # None where all slots were taken
    gpu_lock: FileLock  # the job that holds it computes

    def locked(self) -> contextlib.AbstractContextManager[object]:
        """Take the GPU lock, until the context ends; wait while another job holds it."""
        return acquire(
            self.gpu_lock, "another job computes on this device; waiting for the GPU lock"
        )


def acquire_slot(names: Sequence[str], folder: Path | None = None) -> Slot | None:
    """Take a slot at the GPU with the most free slots; of several such GPUs at the first.

    Args:
        names: Of the GPUs that this job may use: the same in all jobs, as a UUID is.
        folder: Of the lock files; None is one of the user's own among the temporary files.

    Returns:
        The slot; None when no lock can be had there. Then jobs may compute on a GPU at once.
    """
    folder = folder or Path(tempfile.gettempdir(), f"bigart-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        # two jobs that count at once would count each other's trial locks
        with process_lock(folder / "choosing"):
            free = [_free_slots(folder, name) for name in names]
            index = max(range(len(names)), key=lambda i: len(free[i]))
            held = free[index][0] if free[index] else None
            if held:
                held.acquire(timeout=0)
    except OSError as error:
        log.warning("cannot share GPUs with other jobs, since %s cannot be used: %s", folder, error)
        return None
    return Slot(index, held, process_lock(folder / f"{names[index]}.lock"))


def _free_slots(folder: Path, name: str) -> list[FileLock]:
    free = []
    for number in range(MAX_SLOTS):
        slot = process_lock(folder / f"{name}.slot-{number}")
        with contextlib.suppress(Timeout), slot.acquire(timeout=0):
            free.append(slot)
    return free
