"""The table of artworks.

Text in UTF-8, or in UTF-16 with a byte order mark: a row for each artwork, fields separated by
tabs, the first row names the columns. A # as the first character of a row opens a comment. A field
that begins with a double quote ends at the closing one, as spreadsheets write it, and may hold line
breaks and doubled quotes; quotes elsewhere are text.
"""

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bigart.config.options import COLUMNS, DEFAULTS, REQUIRED, Artwork, Config, Options, checked
from bigart.errors import InputError, UserError, listed, named, show, suggest

LONGEST_ROW = 10_000  # characters

_BLANKS = " \u00a0"
_LINE_END = r"\r\n|[\r\n]"
_QUOTED = r'"(?:[^"]|"")*+"'
_FIELD = rf'(?:{_QUOTED}|[^"\t\r\n][^\t\r\n]*+|)(?:\t|(?={_LINE_END}|\Z))'
# A comment, or well-formed fields and the rest of the line from the first other field on
_ROW = re.compile(rf"(?:#[^\r\n]*|((?:{_FIELD})*+)([^\r\n]*))(?:{_LINE_END}|\Z)")
_DAMAGED = re.compile("[\0\udc80-\udcff]")
_SAVE = 'Save the file again with the encoding "UTF-8".'


class _Row(NamedTuple):
    line: int  # where it begins
    text: str  # its well-formed fields, on one line
    error: str = ""
    field: int = 0  # where the error is, counted from 1; 0 for all of the row


def read(path: Path, config: Config) -> tuple[dict[str, Artwork], list[InputError]]:
    """Return the artworks of the rows without an error, in their order, and all errors."""
    reader = _Reader(path, config)
    try:
        return reader.read(list(_rows(_decoded(path.read_bytes())))), reader.errors
    except UserError as error:
        message = str(error)
    except (OSError, ValueError, ImportError) as error:
        reason = getattr(error, "strerror", None) or error
        folder = path.absolute().parent
        message = (
            f"it cannot be read in {folder}: {reason}. `table` in config.yaml says where it is."
        )
    return {}, [InputError(show(str(path), 400)[1:-1], 0, "", message)]


def _decoded(data: bytes) -> str:
    """Return the text; bytes that are not UTF-8 become surrogates U+DC80 to U+DCFF."""
    wide = ""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        wide = "UTF-32"
    elif data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            wide = f"UTF-16, and damaged at byte {error.start + 1}"
    elif zeros := re.match(rb"(\0[^\0]){4}|([^\0]\0){4}", data):
        wide = f"UTF-16-{'BE' if zeros[1] else 'LE'} without a byte order mark"
    if wide:
        raise UserError(f"the file is written in {wide}. {_SAVE}")
    return data.decode("utf-8-sig", "surrogateescape")


def _rows(text: str) -> Iterator[_Row]:
    """Yield each row that is not a comment."""
    line = 1
    for found in _ROW.finditer(text):
        fields, rest = found[1] or "", found[2] or ""
        one_line = re.sub(_LINE_END, " ", fields)
        if (size := len(fields + rest)) > LONGEST_ROW:
            error = f"the row has {size:,} characters; allowed: at most {LONGEST_ROW:,}"
            yield _Row(line, "", error)
        elif damaged := _DAMAGED.search(fields + rest):
            byte = bytes([ord(damaged[0]) & 0xFF])
            maybe = f"0x{byte.hex().upper()} (in Windows-1252 {byte.decode('cp1252', 'replace')!r})"
            what = "a NUL" if byte == b"\0" else f"{maybe}, which is not UTF-8"
            yield _Row(line, "", f"character {damaged.start() + 1} is {what}. {_SAVE}")
        elif rest:
            error = (
                f"found {show(rest.split(chr(9))[0])}, which begins with a double quote and does "
                "not end with it; allowed: quotes around the whole field, those inside doubled"
            )
            yield _Row(line, one_line, error, re.sub(_QUOTED, "", fields).count("\t") + 1)
        elif fields:
            yield _Row(line, one_line)
        line += len(re.findall(_LINE_END, found[0]))


def _cells(rows: list[_Row]) -> list[list[str]]:
    """Return the cells of each row, without quotes and blanks around them."""
    import pandas as pd  # type: ignore[import-untyped]  # only here: it takes half a second

    table = pd.read_csv(
        io.StringIO("".join(f"{row.text}\n" for row in rows)),
        sep="\t",
        header=None,
        names=range(1 + max((row.text.count("\t") for row in rows), default=0)),
        dtype=str,
        na_filter=False,
        skip_blank_lines=False,
    )
    return [[cell.strip(_BLANKS) for cell in cells] for cells in table.to_numpy().tolist()]


class _Reader:
    """Turns rows into artworks, and collects the errors."""

    def __init__(self, path: Path, config: Config) -> None:
        self.path, self.config = path, config
        self.errors: list[InputError] = []
        self.names: list[str] = []
        self.earlier: dict[str, tuple[str, int]] = {}  # name and line of each artwork
        self.inherited = config.model_dump(include={*Options.model_fields})

    def error(self, line: int, message: str, *places: str) -> None:
        place = ", ".join(part for part in places if part)
        self.errors.append(InputError(str(self.path), line, place, message))

    def read(self, rows: list[_Row]) -> dict[str, Artwork]:
        pairs = [
            (row, cells)
            for row, cells in zip(rows, _cells(rows), strict=True)
            if row.error or any(cells)
        ]
        if not pairs:
            self.error(0, "the table is empty; its first row must name artwork, prompt ...")
            return {}
        (header, names), *below = pairs
        if header.error:
            self.error(header.line, header.error, f"column {header.field}" if header.field else "")
            return {}
        self.read_header(header.line, names)
        if not set(REQUIRED) & set(self.names):
            return {}
        if not below:
            self.error(0, "no artworks: there is no row below the header")
        artworks = [self.artwork(row, cells) for row, cells in below]
        return {artwork.artwork: artwork for artwork in artworks if artwork}

    def read_header(self, line: int, names: list[str]) -> None:
        """Set the columns' names, as they are written, and report the errors among them."""
        while not names[-1]:
            names.pop()
        self.names = names
        if len(names) == 1 and names[0] not in COLUMNS and re.search(r"[,; ]", names[0]):
            found = show(names[0])
            self.error(line, f"found the header {found}, without a tab; separate columns by tabs")
            return
        for place, name in enumerate(names, start=1):
            message = ""
            if (first := names.index(name) + 1) < place:
                message = f"it stands a second time; it is column {first} already"
            elif name in DEFAULTS and name not in COLUMNS:
                message = "that option is one for all artworks: set it in config.yaml"
            elif name not in COLUMNS:
                hint = suggest(name, COLUMNS) or f"Allowed: {listed(COLUMNS)}"
                message = f"no such column. {hint}"
            if message:
                self.error(line, message, f"column {named(name) if name else place}")
        for name in REQUIRED:
            if name not in names:
                self.error(line, "it is missing; the first row must name it", f"column `{name}`")

    def artwork(self, row: _Row, cells: list[str]) -> Artwork | None:
        """Return the artwork of a row, or None and report what is wrong with it."""
        before, count = len(self.errors), len(self.names)
        values = {name: cell for name, cell in zip(self.names, cells, strict=False) if cell}
        name = values.get("artwork", "")
        label = f"artwork {named(name)}" if name else ""

        def error(message: str, column: str = "") -> None:
            self.error(row.line, message, label, column and f"column {named(column)}")

        if row.error:
            error(row.error, self.names[row.field - 1] if 0 < row.field <= count else "")
            return None
        if extra := [cell for cell in cells[count:] if cell]:
            error(
                f"found more fields than the {count} columns, the first one being "
                f"{show(extra[0])}. Is there a tab inside the prompt?"
            )
        known = {column: cell for column, cell in values.items() if column in COLUMNS}
        artwork, wrong = checked(Artwork, known, self.config.candidates)
        for column in wrong.keys() & set(self.names):
            is_one = column not in values and "\t" not in row.text
            hint = ". Is the row separated by tabs? It holds none" if is_one else ""
            error(wrong[column] + hint, column)
        earlier, line = self.earlier.setdefault(name.casefold(), (name, row.line))
        if name and line != row.line:
            error(
                f"line {line} names the artwork {named(earlier)} already; allowed: a name of its "
                "own, upper and lower case aside, which some disks do not tell apart",
                "artwork",
            )
        if artwork is None or len(self.errors) > before:
            return None
        blank = self.inherited.keys() - artwork.model_fields_set
        return artwork.model_copy(update={column: self.inherited[column] for column in blank})
