"""The table of artworks: a row for each, and the first row names the columns.

How its text is split into rows and cells is in ``table_file``. A row whose cells list values
becomes several artworks (``sweeps``).
"""

from collections.abc import Iterator
from pathlib import Path

from bigart.config import sources, sweeps, table_file
from bigart.config.options import COLUMNS, DEFAULTS, REQUIRED, Artwork, Config, Options
from bigart.config.plain_text import plain
from bigart.errors import InputError, listed, named, show, suggest

TWINS_SHOWN = 3  # artworks of a row whose names others have


def read(
    path: Path, config: Config, content: bytes | None = None
) -> tuple[dict[str, Artwork], list[InputError]]:
    """Return the artworks of the rows without a wrong value, in their order, and all errors.

    Args:
        path: The table.
        config: What blank cells mean.
        content: What the table is to hold, where that is not in the file (yet).
    """
    errors: list[InputError] = []

    def error(line: int, message: str, *places: str) -> None:
        errors.append(InputError(str(path), line, ", ".join(filter(None, places)), message))

    try:
        content = path.read_bytes() if content is None else content
        rows = table_file.rows(table_file.decoded(content))
    except (OSError, ValueError, ImportError) as failure:
        reason = getattr(failure, "strerror", None) or failure
        folder = path.absolute().parent
        error(0, f"cannot be read in {folder}: {reason}. `table` in config.yaml says where it is.")
        return {}, errors
    if not rows:
        error(0, "the table is empty; its first row must name artwork, prompt ...")
        return {}, errors
    (line, wrong_quote, names, _), *rows = rows
    names = [*map(plain, names)]
    if wrong_quote:
        error(line, wrong_quote, f"column {len(names)}")
        return {}, errors
    for column, message in _header_errors(names):
        error(line, message, f"column {column}")
    if not rows:
        error(0, "no artworks: there is no row below the header")
    inherited = config.model_dump(include={*Options.model_fields})
    artworks: dict[str, Artwork] = {}
    earlier: dict[str, tuple[str, str, int]] = {}
    lines: dict[str, int] = {}
    for line, wrong_quote, cells, _ in rows:
        values = {name: cell for name, cell in zip(names, cells, strict=False) if cell}
        name = plain(values.get("artwork", ""))
        label = name and f"artwork {named(name)}"
        if wrong_quote:
            column = names[len(cells) - 1] if len(cells) <= len(names) else ""
            error(line, wrong_quote, label, column and f"column {named(column)}")
            continue
        if len(cells) > len(names):
            message = f"found more fields than the {len(names)} columns, the last one being "
            error(line, f"{message}{show(cells[-1])}. Is there a tab inside the prompt?", label)
        known = {column: cell for column, cell in values.items() if column in COLUMNS}
        usual = dict(inherited)
        if "picture" in known and "strength" not in known:
            usual["detail"] = False  # a photograph has its own, unless it is asked for
        made, wrong = sweeps.expand(usual | known, config.candidates)
        lines |= dict.fromkeys([name, *(one.artwork for one in made)], line)
        for column in wrong.keys() & {*names}:
            for message in wrong[column]:
                error(line, message, label, f"column {named(column)}")
        if not wrong.keys() & {*names}:  # config.yaml's value does not go with this row's
            for column in wrong.keys() - {*REQUIRED}:
                for message in wrong[column]:
                    error(line, message, label, f"{named(column)} of config.yaml")
        taken = [(name, "names"), *((one.artwork, "makes") for one in made if one.sweep)]
        twins = [
            earlier[own.casefold()]
            for own, verb in taken
            if own and earlier.setdefault(own.casefold(), (own, verb, line))[2] != line
        ]
        for twin, verb, first in twins[:TWINS_SHOWN]:
            message = f"line {first} {verb} the artwork {named(twin)} already"
            allowed = "allowed: a name of its own, upper and lower case aside"
            error(line, f"{message}; {allowed}", label, "column `artwork`")
        artworks |= {artwork.artwork: artwork for artwork in made}
    said = set()
    for artwork in artworks.values():
        row = artwork.sweep or artwork.artwork
        for column, message in sources.faults(artwork, artworks, lines.keys(), config.results):
            if (row, column, message) not in said:
                said.add((row, column, message))
                place = f"artwork {named(row)}"
                error(lines[row], message, place, f"column {named(column)}")
    return artworks, errors


def cells(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return the names of the columns, and the cells of each row as text, by the row's artwork.

    Raises:
        OSError, ValueError: The table cannot be read.
    """
    header, *rows = table_file.rows(table_file.decoded(path.read_bytes()))
    names = [*map(plain, header.cells)]
    place = names.index("artwork")
    return names, {plain(row.cells[place]): row.cells for row in rows if len(row.cells) > place}


def _header_errors(names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield column and message."""
    for place, name in enumerate(names, start=1):
        column = named(name) if name else str(place)
        if name in names[: place - 1]:
            yield column, "it stands a second time"
        elif name in DEFAULTS and name not in COLUMNS:
            yield column, "that option is one for all artworks: set it in config.yaml"
        elif name not in COLUMNS:
            hint = suggest(name, COLUMNS) or f"Allowed: {listed(COLUMNS)}"
            yield column, f"no such column. {hint}"
    for name in {*REQUIRED} - {*names}:
        yield named(name), "it is missing; tabs separate the columns that the first row names"
