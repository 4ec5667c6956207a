"""The table of artworks.

Text in UTF-8, or in UTF-16 with a byte order mark: a row for each artwork, fields separated by
tabs, the first row names the columns. A # as the first character of a row opens a comment. A field
that begins with a double quote ends at the closing one, as spreadsheets write it, and may hold
doubled quotes and line breaks or tabs; quotes elsewhere are text.
"""

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path

from bigart.config.options import (
    COLUMNS,
    DEFAULTS,
    REQUIRED,
    TEXTS,
    Artwork,
    Config,
    Options,
    checked,
)
from bigart.config.plain_text import plain
from bigart.errors import InputError, listed, named, show, suggest

_LINE_END = r"\r\n|[\r\n]"
# Not with both tabs and line breaks: then a quote stayed open until that of another row
_QUOTED = r'"(?:(?:[^"\t]|"")*+|(?:[^"\r\n]|"")*+)"'
_FORMATS = {
    b"PK\3\4": "a spreadsheet's own file (.xlsx, .ods, ...) or an archive",
    b"\xd0\xcf\x11\xe0": "an Excel file (.xls)",
    b"{\\rtf": "rich text",
    b"\x1f\x8b": "compressed",
}
_FIELD = rf'(?:{_QUOTED}|[^"\t\r\n][^\t\r\n]*+|)(?:\t|(?={_LINE_END}|\Z))'
# Tabs, and the line breaks of FileMaker, Word and web pages (two of them in Unicode alone)
_LINE_OR_TAB = re.compile("[\t\v\f\u2028\u2029]")
# A comment, or well-formed fields and the rest of the line from the first other field on
_ROW = re.compile(rf"(?:#[^\r\n]*|((?:{_FIELD})*+)([^\r\n]*))(?:{_LINE_END}|\Z)")


def read(path: Path, config: Config) -> tuple[dict[str, Artwork], list[InputError]]:
    """Return the artworks of the rows without a wrong value, in their order, and all errors."""
    errors: list[InputError] = []

    def error(line: int, message: str, *places: str) -> None:
        errors.append(InputError(str(path), line, ", ".join(filter(None, places)), message))

    try:
        rows = _rows(_decoded(path.read_bytes()))
    except (OSError, ValueError, ImportError) as failure:
        reason = getattr(failure, "strerror", None) or failure
        folder = path.absolute().parent
        error(0, f"cannot be read in {folder}: {reason}. `table` in config.yaml says where it is.")
        return {}, errors
    if not rows:
        error(0, "the table is empty; its first row must name artwork, prompt ...")
        return {}, errors
    (line, wrong_quote, names), *rows = rows
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
    earlier: dict[str, tuple[str, int]] = {}
    for line, wrong_quote, cells in rows:
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
        artwork, wrong = checked(Artwork, inherited | known, config.candidates)
        for column in wrong.keys() & {*names}:
            error(line, wrong[column], label, f"column {named(column)}")
        twin, first = earlier.setdefault(name.casefold(), (name, line))
        if name and first != line:
            message = f"line {first} names the artwork {named(twin)} already"
            allowed = "allowed: a name of its own, upper and lower case aside"
            error(line, f"{message}; {allowed}", label, "column `artwork`")
        if artwork:
            artworks[name] = artwork
    return artworks, errors


def cells(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return the names of the columns, and the cells of each row as text, by the row's artwork.

    Raises:
        OSError, ValueError: The table cannot be read.
    """
    (_, _, names), *rows = _rows(_decoded(path.read_bytes()))
    names = [*map(plain, names)]
    place = names.index("artwork")
    return names, {plain(row[place]): row for _, _, row in rows if len(row) > place}


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


def _decoded(data: bytes) -> str:
    """Return the text; bytes that are not UTF-8 become surrogates, which no option takes."""
    for start, kind in _FORMATS.items():
        if data.startswith(start):
            raise ValueError(f'it is {kind}; save the table as text with tabs, encoding "UTF-8"')
    is_utf32 = data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE))
    if is_utf32 or b"\0" in data[:2]:
        encoding = "UTF-32" if is_utf32 else "UTF-16 without a byte order mark"
        raise ValueError(f'its encoding is {encoding}; save it with the encoding "UTF-8"')
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError as error:
            where = f"its UTF-16 is damaged at byte {error.start + 1}"
            raise ValueError(f'{where}; save it with the encoding "UTF-8"') from None
    else:
        text = data.decode("utf-8", "surrogateescape")
    return re.sub("(?<![^\r\n])\ufeff+", "", text)  # joined files have such marks inside, too


def _rows(text: str) -> list[tuple[int, str, list[str]]]:
    """Return line, error and cells of each row that holds anything but a comment.

    Blank cells at its end are left out. An error is a wrong quote; the last cell, blank, had it.
    """
    import pandas as pd  # type: ignore[import-untyped]  # only here: it takes half a second

    line, places, lines = 1, [], []
    for found in _ROW.finditer(text):
        fields, rest = found[1] or "", found[2] or ""
        if fields or rest:
            places.append((line, rest.split("\t")[0]))
            lines.append(re.sub(f"(?:{_LINE_END})+", " ", fields) + ("?" if rest else ""))
        line += len(re.findall(_LINE_END, found[0]))
    table = pd.read_csv(
        io.StringIO("\n".join(lines)),
        sep="\t",
        header=None,
        names=range(1 + max((row.count("\t") for row in lines), default=0)),
        dtype=str,
        na_filter=False,
        skip_blank_lines=False,
        encoding_errors="surrogatepass",
    )
    rows: list[tuple[int, str, list[str]]] = []
    for (line, wrong), columns in zip(places, table.to_numpy().tolist(), strict=True):
        cells = [_LINE_OR_TAB.sub(" ", cell).strip() if plain(cell) else "" for cell in columns]
        while cells and not cells[-1]:
            cells.pop()
        message = ""
        if wrong:
            cells[-1] = ""
            message = (
                f"found {show(wrong)}, which begins with a double quote and does not end with it; "
                "allowed: quotes around the whole field, those inside doubled, and not both line "
                "breaks and tabs inside"
            )
        # a spreadsheet puts a comment with a quote or line break into quotes
        is_text = bool(rows) and plain(rows[0][2][0]) in TEXTS
        if cells and (wrong or is_text or not plain(cells[0]).startswith("#")):
            rows.append((line, message, cells))
    return rows
