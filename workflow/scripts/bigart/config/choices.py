"""Which candidate each artwork's row chooses: read, written, and taken back.

The table is what it was when a person last looked at it. Where somebody has changed it since, a
choice is refused: what the person saw may be out of date.
"""

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bigart.config import artworks
from bigart.config.options import Artwork, Config
from bigart.config.table_file import TableFile
from bigart.errors import InputError, UserError, named, suggest

log = logging.getLogger("bigart")

COLUMN = "choose"
UNDONE_AT_MOST = 100  # choices that can be taken back


class _Step(NamedTuple):
    """A choice that was written."""

    artwork: str
    choose: int | str  # what it was before
    before: TableFile


class Choices:
    """The choices in a table; several threads may use them at once."""

    def __init__(self, path: Path, config: Config) -> None:
        """Look at the table.

        Args:
            path: The table.
            config: What its blank cells mean.

        Raises:
            OSError: The table cannot be read.
        """
        self.path, self._config = path, config
        self._seen = TableFile.read(path)
        self._steps: deque[_Step] = deque(maxlen=UNDONE_AT_MOST)
        self._lock = threading.RLock()

    def look(self) -> dict[str, object]:
        """Return the state of the table as it is now, which the next choice starts from.

        Returns:
            ``choices``: artwork -> the number of its candidate, or "auto". ``fixed``: artwork ->
            why its choice cannot be written. ``undo``: the artwork whose choice would be taken
            back, and what it then has; or None.

        Raises:
            OSError: The table cannot be read.
        """
        with self._lock:
            now = TableFile.read(self.path)
            if now.content != self._seen.content:
                self._seen = now
                self._steps.clear()
            return self._state()

    def choose(self, artwork: str, choose: int) -> dict[str, object]:
        """Write a choice into the table; return the new state.

        Raises:
            UserError: There is no such artwork or candidate, the choice cannot be written, or the
                table has changed since it was looked at. Nothing is written then.
            OSError: The table cannot be read or written.
        """
        with self._lock:
            self._check_unchanged()
            table, errors = self._artworks(self._seen)
            if errors:
                raise UserError(_has_errors(errors))
            if reason := _sweeps(table).get(artwork):
                raise UserError(reason)
            if artwork not in table:
                hint = suggest(artwork, table) or "The gallery may be older than the table."
                raise UserError(f"{self.path} has no artwork {named(artwork)}. {hint}")
            former = table[artwork].choose
            if choose != former or not self._seen.cell(artwork, COLUMN):
                new = self._seen.with_cell(artwork, COLUMN, str(choose))
                if errors := self._artworks(new)[1]:
                    raise UserError("\n".join(map(str, errors)))
                new.save(self._seen)
                self._steps.append(_Step(artwork, former, self._seen))
                self._seen = new
                log.info("%s: candidate %d (before: %s)", artwork, choose, former)
            return self._state()

    def undo(self) -> dict[str, object]:
        """Take the last choice back, so that the table is what it was; return the new state.

        Raises:
            UserError: There is no choice to take back, or the table has changed since then.
            OSError: The table cannot be read or written.
        """
        with self._lock:
            self._check_unchanged()
            if not self._steps:
                raise UserError("there is no choice to undo")
            step = self._steps[-1]
            step.before.save(self._seen)
            self._steps.pop()
            self._seen = step.before
            log.info("%s: candidate %s again", step.artwork, step.choose)
            return self._state()

    def close(self) -> None:
        """Wait for the end of a choice that is being written, and take no other."""
        self._lock.acquire()

    def _check_unchanged(self) -> None:
        if TableFile.read(self.path).content != self._seen.content:
            raise UserError(
                f"{self.path} has changed meanwhile, and is left as it is. Reload the page, and "
                "choose again"
            )

    def _state(self) -> dict[str, object]:
        table, errors = self._artworks(self._seen)
        fixed = _sweeps(table)
        if errors:
            fixed = dict.fromkeys(table, _has_errors(errors))
        undo = None
        if self._steps:
            undo = {"artwork": self._steps[-1].artwork, "choose": self._steps[-1].choose}
        return {
            "choices": {name: artwork.choose for name, artwork in table.items()},
            "fixed": fixed,
            "undo": undo,
        }

    def _artworks(self, table: TableFile) -> tuple[dict[str, Artwork], list[InputError]]:
        return artworks.read(self.path, self._config, table.content)


def _sweeps(table: Mapping[str, Artwork]) -> dict[str, str]:
    """Return why choices cannot be written: of the artworks of sweeps, and of their rows' names."""
    found = {}
    for name, artwork in table.items():
        if sweep := artwork.sweep:
            found[name] = found[sweep] = (
                f"the row {named(sweep)} is a sweep, one row for several artworks: write its "
                "`choose` by hand, or give this artwork a row of its own"
            )
    return found


def _has_errors(errors: Sequence[InputError]) -> str:
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"the table has errors, and is left alone until they are corrected: {errors[0]}{more}"
