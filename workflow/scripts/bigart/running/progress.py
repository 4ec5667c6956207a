"""Progress: a bar in a terminal, readable lines in a log."""

import logging
import sys
import time

log = logging.getLogger("bigart.progress")

LOG_EVERY_SECONDS = 10.0


class Progress:
    """Counts up to a total, and shows the count with the time left.

    In a terminal it is one moving bar. In a log it is a line after the first step, then one every
    ten seconds and one at the end, without control characters.

    Args:
        label: Name of the work ("thumbnails").
        total: Steps or bytes in all; None if unknown.
        start: The count at the beginning: what an earlier run did.
        unit: "" for steps, "B" for bytes, which are shown in megabytes and with their rate.
    """

    def __init__(self, label: str, total: int | None, *, start: int = 0, unit: str = "") -> None:
        self.label, self.total, self.done, self.unit = label, total, start, unit
        self._before, self._start, self._logged = start, time.monotonic(), -LOG_EVERY_SECONDS
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm  # takes 0.1 s, and a log needs none

            self._bar = tqdm(
                total=total, initial=start, desc=label, unit=unit or "it", unit_scale=bool(unit)
            )

    def advance(self, steps: int = 1) -> None:
        """Count ``steps`` more (fewer when negative)."""
        self.done += steps
        if self._bar is not None:
            self._bar.update(steps)
        complete = self.total is not None and self.done >= self.total
        if complete:
            self.close()
        seconds = time.monotonic() - self._start
        if complete or seconds - self._logged >= LOG_EVERY_SECONDS:
            self._logged = seconds
            log.info(self._line(seconds, complete))

    def to(self, done: int, total: int) -> None:
        """Set the count and the total, for work that reports where it is."""
        self.total = total
        if self._bar is not None:
            self._bar.total = total
        self.advance(done - self.done)

    def close(self) -> None:
        """Stop the bar where it is, for work that ends before its total."""
        if self._bar is not None:
            self._bar.close()

    def _line(self, seconds: float, complete: bool) -> str:
        shown, of = (megabytes, " of ") if self.unit else (str, "/")
        line = f"{self.label}: {shown(self.done)}"
        if self.total is not None:
            line += of + shown(self.total)
        gained = self.done - self._before
        if complete:
            line += f", done in {duration(seconds)}"
        elif gained > 0 and seconds > 0:
            if self.unit:
                line += f", {megabytes(gained / seconds)}/s"
            if self.total is not None:
                line += f", {duration(seconds / gained * (self.total - self.done))} left"
        return line


def megabytes(count: float) -> str:
    """Return a number of bytes for a person: "67.0 MB"."""
    return f"{count / 1e6:,.1f} MB"


def duration(seconds: float) -> str:
    """Return a time for a person: "8 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
