"""Progress: a bar in a terminal, readable lines in a log."""

import logging
import sys
import time

from tqdm import tqdm

from bigart.cli import PROGRESS

log = logging.getLogger(PROGRESS)

LOG_EVERY_SECONDS = 10.0


class Progress:
    """Counts steps up to a total, and shows it with the time that is left.

    In a terminal it is one moving bar. In a log it is a line after the first step, then one every
    ten seconds and one at the end, without control characters.

    Args:
        label: What is being done ("thumbnails").
        total: Steps in all.
    """

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done = label, total, 0
        self._start, self._told = time.monotonic(), -LOG_EVERY_SECONDS
        self._bar = tqdm(total=total, desc=label) if sys.stderr.isatty() else None

    def advance(self, steps: int = 1) -> None:
        """Count ``steps`` more (fewer when negative)."""
        self.done += steps
        if self._bar is not None:
            self._bar.update(steps)
            if self.done >= self.total:
                self._bar.close()
        seconds = time.monotonic() - self._start
        if self.done >= self.total or seconds - self._told >= LOG_EVERY_SECONDS:
            self._told = seconds
            log.info(self._line(seconds))

    def to(self, done: int, total: int) -> None:
        """Set the count and the total, for work that reports where it is."""
        self.total = total
        if self._bar is not None:
            self._bar.total = total
        self.advance(done - self.done)

    def _line(self, seconds: float) -> str:
        share = f"{self.label}: {self.done}/{self.total}"
        if self.done >= self.total:
            return f"{share}, done in {duration(seconds)}"
        if self.done <= 0:
            return share
        return f"{share}, {duration(seconds / self.done * (self.total - self.done))} left"


def duration(seconds: float) -> str:
    """Return a time as a person says it: "8 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
