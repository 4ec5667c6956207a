"""The file of the table of artworks: its text, its rows and cells, and changes of single cells.

Text in UTF-8, or in UTF-16 with a byte order mark: fields separated by tabs. A # as the first
character of a row opens a comment. A field that begins with a double quote ends at the closing one,
as spreadsheets write it, and may hold doubled quotes and line breaks or tabs; quotes elsewhere are
text. What the cells mean is in ``artworks``.

A change of a cell leaves every other byte as it was: comments, the order of rows and columns,
quotes, line ends, the encoding and byte order marks.
"""

import codecs
import contextlib
import fcntl
import io
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from bigart.config.options import TEXTS
from bigart.config.plain_text import plain
from bigart.errors import UserError, named, show
from bigart.running import files

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
_A_FIELD = re.compile(_FIELD)
# Tabs, and the line breaks of FileMaker, Word and web pages (two of them in Unicode alone)
_LINE_OR_TAB = re.compile("[\t\v\f\u2028\u2029]")
# A comment, or well-formed fields and the rest of the line from the first other field on
_ROW = re.compile(rf"(?:#[^\r\n]*|((?:{_FIELD})*+)([^\r\n]*))(?:{_LINE_END}|\Z)")
_MARKS = re.compile("(?<![^\r\n])\ufeff+")  # joined files have such marks inside, too


class Row(NamedTuple):
    """A row that holds anything but a comment."""

    line: int  # counted from 1 as editors do
    wrong: str  # the error of a wrong quote, which the last cell, then blank, had
    cells: list[str]  # without blank ones at the end
    begin: int  # where its first field begins in the text


def decoded(content: bytes) -> str:
    """Return the text of a table without byte order marks.

    Bytes that are not UTF-8 become surrogates, which no option takes.

    Raises:
        ValueError: It is another kind of file, or in another encoding.
    """
    return _MARKS.sub("", _text(content)[0])


def rows(text: str) -> list[Row]:
    """Return each row of a table's text that holds anything but a comment."""
    import pandas as pd  # type: ignore[import-untyped]  # only here: it takes half a second

    line, places, lines = 1, [], []
    for found in _ROW.finditer(text):
        fields, rest = found[1] or "", found[2] or ""
        if fields or rest:
            places.append((line, rest.split("\t")[0], found.start()))
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
    result: list[Row] = []
    for (line, wrong, begin), columns in zip(places, table.to_numpy().tolist(), strict=True):
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
        is_text = bool(result) and plain(result[0].cells[0]) in TEXTS
        if cells and (wrong or is_text or not plain(cells[0]).startswith("#")):
            result.append(Row(line, message, cells, begin))
    return result


@dataclass(frozen=True)
class TableFile:
    """A table as it was read from its file, or with changes that are not saved yet."""

    path: Path
    content: bytes

    @classmethod
    def read(cls, path: Path | str) -> "TableFile":
        """Return the table in a file.

        Raises:
            OSError: It is missing or cannot be read.
        """
        return cls(Path(path), Path(path).read_bytes())

    def cell(self, artwork: str, column: str) -> str:
        """Return what a row's cell holds; "" where it is blank or the column is not there.

        Raises:
            UserError: There is no such row, or the table cannot be read.
        """
        _, names, row = self._row(artwork)
        place = names.index(column) if column in names else len(row.cells)
        return row.cells[place] if place < len(row.cells) else ""

    def with_cell(self, artwork: str, column: str, value: str) -> "TableFile":
        """Return the table with another value in a row's cell, and the column where it had none.

        Raises:
            UserError: There is no such row, or the table cannot be read.
        """
        table, names, row = self._row(artwork)
        value = _as_read(value)
        place = names.index(column) if column in names else len(names)
        head = {place: column} if column not in names else {}
        self._check_room(table.rows, head)
        edits = _edits(table.text, table.rows[0], head) + _edits(table.text, row, {place: value})
        cells = [known.cells for known in table.rows]
        cells[0] = _with(cells[0], head)
        cells[table.rows.index(row)] = _with(row.cells, {place: value})
        return self._changed(edits, cells)

    def with_rows(self, new: Sequence[Mapping[str, str]]) -> "TableFile":
        """Return the table with rows at its end, and the columns that it did not have.

        Args:
            new: Column -> value of each row; blank where a column is left out.

        Raises:
            UserError: The table cannot be read.
        """
        text, known = self._parsed()
        names = [*map(plain, known[0].cells)] if known else []
        added = [*dict.fromkeys(name for row in new for name in row if name not in names)]
        head = dict(enumerate(added, start=len(names)))
        self._check_room(known, head)
        names += added
        lines = [[_as_read(row.get(name, "")) for name in names] for row in new]
        lines = lines if known else [names, *lines]
        quoted = bool(known) and _all_quoted(text, known[-1])
        end = _line_end(text)
        end_of_last = end if text and not text.endswith(("\r", "\n")) else ""
        below = end_of_last + "".join(_line(cells, quoted) + end for cells in lines)
        cells = [row.cells for row in known] + [_with(row, {}) for row in lines]
        edits = [(len(text), len(text), below)]
        if known:
            cells[0] = _with(cells[0], head)
            edits = _edits(text, known[0], head) + edits
        return self._changed(edits, cells)

    def save(self, former: "TableFile") -> None:
        """Replace the file, which must still hold the former table: whole, or not at all.

        Its permissions stay. A symbolic link stays one. Two processes that save do so one after
        the other.

        Raises:
            UserError: The file has changed since it was read.
            OSError: It cannot be written.
        """
        path = self.path.resolve()
        with _folder_locked(path.parent):
            former.check_unchanged()
            if not os.access(path, os.W_OK):
                raise PermissionError(13, "the table is read-only", str(self.path))
            with files.atomic(path) as temporary:
                with temporary.open("wb") as file:
                    file.write(self.content)
                    file.flush()
                    os.fsync(file.fileno())
                shutil.copymode(path, temporary)
                with contextlib.suppress(OSError):  # only root may give files away
                    os.chown(temporary, path.stat().st_uid, path.stat().st_gid)
                former.check_unchanged()  # again, since writing took its time

    def check_unchanged(self) -> None:
        """Raise a UserError where the file no longer holds this."""
        with contextlib.suppress(FileNotFoundError):
            if self.path.read_bytes() == self.content:
                return
        raise UserError(f"{self.path} has changed since it was read, so nothing was written")

    def _parsed(self) -> "_Parsed":
        try:
            text = decoded(self.content)
            found = rows(text)
        except (ValueError, ImportError) as error:
            raise UserError(f"{self.path} cannot be read: {error}") from None
        if found and found[0].wrong:
            raise UserError(f"{self.path}, line {found[0].line}: {found[0].wrong}")
        return _Parsed(text, found)

    def _check_room(self, known: Sequence[Row], head: Mapping[int, str]) -> None:
        """Raise a UserError where new columns would give a meaning to fields that have none."""
        for row in known[1:] if head else ():
            if len(row.cells) > len(known[0].cells):
                message = f"found more fields than the {len(known[0].cells)} columns"
                raise UserError(f"{self.path}, line {row.line}: {message}")

    def _row(self, artwork: str) -> tuple["_Parsed", list[str], Row]:
        """Return the parsed table, the names of its columns and the row of an artwork."""
        table = self._parsed()
        names = [*map(plain, table.rows[0].cells)] if table.rows else []
        place = names.index("artwork") if "artwork" in names else len(names)
        found = [row for row in table.rows[1:] if plain("".join(row.cells[place:][:1])) == artwork]
        if not found:
            raise UserError(f"{self.path} has no row of the artwork {named(artwork)}")
        if len(found) > 1:
            where = f"lines {found[0].line} and {found[1].line}"
            raise UserError(f"{self.path}: {where} both name the artwork {named(artwork)}")
        if found[0].wrong:
            raise UserError(f"{self.path}, line {found[0].line}: {found[0].wrong}")
        return table, names, found[0]

    def _changed(self, edits: list["_Edit"], cells: list[list[str]]) -> "TableFile":
        """Return the table with its text edited, which must then read as these cells."""
        changed = replace(self, content=_edited(self.content, edits))
        if [row.cells for row in rows(decoded(changed.content))] != cells:
            raise UserError(
                f"{self.path} is written in a way that this change would garble: make it by hand"
            )
        return changed


_Edit = tuple[int, int, str]  # begin and end in the text without marks, and what stands there then


class _Parsed(NamedTuple):
    text: str
    rows: list[Row]


def _text(content: bytes) -> tuple[str, str]:
    """Return the text with its byte order marks, and the encoding."""
    for start, kind in _FORMATS.items():
        if content.startswith(start):
            raise ValueError(f'it is {kind}; save the table as text with tabs, encoding "UTF-8"')
    is_utf32 = content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE))
    if is_utf32 or b"\0" in content[:2]:
        encoding = "UTF-32" if is_utf32 else "UTF-16 without a byte order mark"
        raise ValueError(f'its encoding is {encoding}; save it with the encoding "UTF-8"')
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if content.startswith(mark):
            try:
                return content.decode(encoding), encoding
            except UnicodeDecodeError as error:
                where = f"its UTF-16 is damaged at byte {error.start + 1}"
                raise ValueError(f'{where}; save it with the encoding "UTF-8"') from None
    return content.decode("utf-8", "surrogateescape"), "utf-8"


def _edited(content: bytes, edits: list[_Edit]) -> bytes:
    """Return a table's content with its text edited; marks stay where they are."""
    text, encoding = _text(content)
    marks = [(found.start(), len(found[0])) for found in _MARKS.finditer(text)]

    def place(without: int) -> int:
        for begin, length in marks:
            without += length if begin <= without else 0
        return without

    parts, at = [], 0
    for begin, end, new in sorted(edits, key=lambda edit: edit[0]):
        parts += [text[at : place(begin)], new]
        at = place(end)
    text = "".join([*parts, text[at:]])
    return text.encode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")


def _edits(text: str, row: Row, new: Mapping[int, str]) -> list[_Edit]:
    """Return the edits that put values at places of a row, counted from 0."""
    spans = [*_fields(text, row.begin)]
    quoted = _all_quoted(text, row)
    edits, beyond = [], ""
    for place in range(max(new, default=-1) + 1):
        value = new.get(place, "")
        if place >= len(spans):
            beyond += "\t" + _field(value, quoted, first=False)
        elif place in new:
            begin, end = spans[place]
            same = text[begin:end].startswith('"') or (begin == end and quoted)
            edits.append((begin, end, _field(value, same, first=place == 0)))
    end = spans[-1][1]
    return [*edits, (end, end, beyond)] if beyond else edits


def _fields(text: str, begin: int) -> Iterator[tuple[int, int]]:
    """Yield where each field of a row begins and ends, without the tab behind it."""
    while found := _A_FIELD.match(text, begin):
        has_next = found[0].endswith("\t")
        yield begin, found.end() - has_next
        if not has_next:
            return
        begin = found.end()


def _all_quoted(text: str, row: Row) -> bool:
    written = [text[begin:end] for begin, end in _fields(text, row.begin) if begin < end]
    return bool(written) and all(field.startswith('"') for field in written)


def _field(value: str, quoted: bool, *, first: bool) -> str:
    """Return a value as it stands in the file."""
    if quoted or value.startswith('"') or (first and value.startswith(("#", "\ufeff"))):
        return '"' + value.replace('"', '""') + '"'
    return value


def _line(cells: Sequence[str], quoted: bool) -> str:
    return "\t".join(_field(cell, quoted, first=i == 0) for i, cell in enumerate(cells))


def _line_end(text: str) -> str:
    """Return how most rows end; line breaks inside quotes do not count."""
    ends = (re.search(rf"(?:{_LINE_END})\Z", found[0]) for found in _ROW.finditer(text))
    counts = Counter(end[0] for end in ends if end)
    return counts.most_common(1)[0][0] if counts else "\n"


def _as_read(value: str) -> str:
    """Return what a value is once it has been written and read."""
    value = _LINE_OR_TAB.sub(" ", re.sub(f"(?:{_LINE_END})+", " ", value)).strip()
    return value if plain(value) else ""


def _with(cells: Sequence[str], new: Mapping[int, str]) -> list[str]:
    """Return a row's cells with values put at places, without blank ones at the end."""
    count = max(len(cells), *(place + 1 for place in new), 0)
    result = [new.get(place, "".join(cells[place : place + 1])) for place in range(count)]
    while result and not result[-1]:
        result.pop()
    return result


@contextlib.contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, which leaves no file there; wait for another process that does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems know no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
