"""New rows for the table: names made from the prompts, and seeds drawn by chance."""

import itertools
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bigart.config import artworks
from bigart.config.options import PROPERTIES, Artwork, Config, as_name
from bigart.config.table_file import TableFile
from bigart.errors import UserError, together

NAME_LENGTH = 40  # characters of a name made from a prompt, before its number
_LEFT_OUT = {"a", "an", "the"}


def with_artworks(
    table: TableFile,
    config: Config,
    prompts: Sequence[str],
    cells: Mapping[str, str],
    name: str = "",
) -> tuple[TableFile, list[dict[str, str]], dict[str, Artwork]]:
    """Return a table with a row for each prompt, not saved yet, these rows and their artworks.

    Args:
        table: The table.
        config: What its blank cells mean.
        prompts: What to paint.
        cells: Column -> value, for all rows. Without a seed each row gets one drawn by chance.
        name: That of the artwork, where there is one prompt; otherwise it is made from the prompt.

    Raises:
        UserError: The table would refuse a row, or has errors already; the message lists all.
    """
    known, _ = artworks.read(table.path, config, table.content)
    sweeps = (artwork.sweep for artwork in known.values())
    taken = {*map(str.casefold, [*known, *sweeps]), *_former(Path(config.results))}
    rows = []
    for prompt in prompts:
        chosen = name or next(one for one in _names(prompt) if one.casefold() not in taken)
        taken.add(chosen.casefold())
        seed = str(secrets.randbelow(PROPERTIES["seed"]["maximum"] + 1))
        rows.append({"artwork": chosen, "prompt": prompt, "seed": seed, **cells})
    new = table.with_rows(rows)
    found, errors = artworks.read(table.path, config, new.content)
    if errors:
        raise together([*map(str, errors)])
    return new, rows, {key: artwork for key, artwork in found.items() if key not in known}


def prompts_of(path: Path) -> list[str]:
    """Return the prompts of a file: one a line, without blank lines and those that begin with #.

    Raises:
        UserError: It is missing, is not UTF-8 text, or holds no prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start + 1})") from None
    prompts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not prompts:
        raise UserError(f"{path} holds no prompt; it is to hold one a line")
    return prompts


def _names(prompt: str) -> Iterator[str]:
    """Yield names for a prompt: from its words, as many as fit, then with numbers."""
    words = re.findall(r"\w+", re.sub("['’]", "", prompt.lower()))
    name = ""
    for word in (word for word in words if word not in _LEFT_OUT):
        longer = as_name(f"{name}-{word}" if name else word, length=100)
        if len(longer) > NAME_LENGTH and name:
            break
        name = longer[:NAME_LENGTH].strip("-._") or name
    if as_name(name):
        yield name
    base = name or "artwork"
    yield from (f"{base}-{number}" for number in itertools.count(2 if name else 1))


def _former(results: Path) -> Iterator[str]:
    """Yield the folders of artworks that the table may no longer have: their pictures stay."""
    if results.is_dir():
        yield from (path.name.casefold() for path in results.iterdir())
