"""Errors that the user can fix, and words for their messages."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class UserError(Exception):
    """An error in the user's input or surroundings, with the whole message for the user.

    Commands print it without a traceback and exit with status 1.
    """


class PackageError(UserError):
    """A package that is needed is missing, cannot be imported, or has another version."""


@dataclass(frozen=True, order=True)
class InputError:
    """One error in a file: where it is, and what is wrong there."""

    file: str
    line: int  # counted from 1 as editors do; 0 for an error of the whole file
    place: str  # the artwork and column, or the option; may be empty
    message: str

    def __str__(self) -> str:
        """Return ``file, line 3, artwork `x`, column `y`: message``."""
        where = [self.file, f"line {self.line}" if self.line else "", self.place]
        return f"{', '.join(part for part in where if part)}: {self.message}"


def together(errors: Sequence[str]) -> UserError:
    """Return one error that says several, one a line."""
    heading = [f"{len(errors)} errors:"] if len(errors) > 1 else []
    return UserError("\n  ".join([*heading, *errors]))


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `Did you mean `x`?` for a misspelt word, or nothing when no known word comes close."""
    simple = {_simplified(name): name for name in known}
    close = difflib.get_close_matches(_simplified(word), simple, n=1, cutoff=0.6)
    return f"Did you mean `{simple[close[0]]}`?" if close else ""


def show(value: object, length: int = 60) -> str:
    """Write a value for a message: short, on one line, with nothing that a terminal would obey."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    text = f"'{text}'" if isinstance(value, str) else text
    return text if len(text) <= length else f"{text[: length - 1]}… ({len(text)} characters)"


def named(name: object) -> str:
    """Return a name that a user wrote in backticks, on one line."""
    return f"`{show(name)[1:-1] if isinstance(name, str) else show(name)}`"


def listed(names: Iterable[str]) -> str:
    """Return known names in backticks."""
    return ", ".join(f"`{name}`" for name in names)


def _simplified(word: str) -> str:
    return re.sub(r"[\s_-]+", "_", word.strip().lower())
