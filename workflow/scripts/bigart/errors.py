"""Errors that the user can fix, and words for their messages."""

import difflib
import re
from collections.abc import Iterable, Mapping

_LONGEST = 4000  # bits of a whole number; Python refuses to write out much longer ones


class UserError(Exception):
    """An error in the user's input or surroundings.

    ``str(error)`` is the whole message, one or more lines that say what was found, what is
    allowed and what to do. Commands print it without a traceback and exit with status 1.
    """


class PackageError(UserError):
    """A package that is needed is missing, cannot be imported, or has another version."""


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `Did you mean `x`?` for a misspelt word, or nothing when no known word comes close."""
    simple = {_simplified(name): name for name in known}
    close = difflib.get_close_matches(_simplified(word), simple, n=1, cutoff=0.6)
    return f"Did you mean `{simple[close[0]]}`?" if close else ""


def show(value: object, length: int = 60) -> str:
    """Write a value for a message: short, on one line, with nothing that a terminal would obey."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            text = f"'{value if value.isprintable() else _escaped(value)}'"
        case int() if value.bit_length() > _LONGEST:
            return "a whole number of more than 1,000 digits"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a group of keys"
        case _:
            text = _escaped(str(value))
    return text if len(text) <= length else f"{text[: length - 1]}… ({len(text)} characters)"


def _simplified(word: str) -> str:
    return re.sub(r"[\s_-]+", "_", word.strip().lower())


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
