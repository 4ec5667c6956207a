"""The file of the table: one cell changes, and every other byte stays."""

import csv
import difflib
import io
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bigart.config import table_file
from bigart.config.plain_text import plain
from bigart.config.table_file import TableFile, rows
from bigart.errors import UserError
from projects import ROOT

PATH = Path("prompts.tsv")
TABLE = """\
# mine\tall of them

artwork\tprompt\tchoose
lake\ta lake\t2
\t
"sea"\t"the ""old"" sea,\n# grey"\t"1"
# later\tlater\t7
hill\ta hill
"""


def cells(content: bytes) -> list[list[str]]:
    return [row.cells for row in rows(table_file.decoded(content))]


def changed(content: str | bytes, artwork: str, column: str, value: str) -> bytes:
    content = content if isinstance(content, bytes) else content.encode()
    return TableFile(PATH, content).with_cell(artwork, column, value).content


def set_cell(path: Path, artwork: str, column: str, value: str) -> None:
    table = TableFile.read(path)
    table.with_cell(artwork, column, value).save(table)


# What stays


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
def test_all_but_the_cell_stays(line_end, encoding):
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    text = mark + TABLE.replace("\n", line_end)

    def edited(artwork: str, column: str, value: str) -> str:
        return changed(text.encode(encoding), artwork, column, value).decode(encoding)

    assert edited("lake", "choose", "5") == text.replace("a lake\t2", "a lake\t5")
    assert edited("sea", "choose", "5") == text.replace('\t"1"', '\t"5"')
    assert edited("sea", "prompt", 'a "sea"') == text.replace(
        f'"the ""old"" sea,{line_end}# grey"', '"a ""sea"""'
    )
    assert edited("hill", "choose", "5") == text.replace("a hill", "a hill\t5")
    assert edited("lake", "choose", "") == text.replace("a lake\t2", "a lake\t")
    assert edited("lake", "seed", "5") == text.replace("\tchoose", "\tchoose\tseed").replace(
        "a lake\t2", "a lake\t2\t5"
    )


def test_marks_inside_joined_files_stay():
    content = "\ufeff\ufeffartwork\tprompt\n\ufeff# two\n\ufeff\ufeffsea\tthe sea\n\ufeff".encode()
    new = changed(content, "sea", "choose", "3")
    expected = content.replace(b"prompt", b"prompt\tchoose").replace(b"the sea", b"the sea\t\x33")
    assert new == expected
    first = "prompt\tchoose\tartwork\n\ufeff\t\tsea\n".encode()
    assert changed(first, "sea", "prompt", "x") == first.replace(b"\t\tsea", b"x\t\tsea")


def test_bytes_that_are_no_utf_8_stay():
    content = b"# caf\xe9\nartwork\tprompt\nsea\tcaf\xe9\n"
    assert changed(content, "sea", "choose", "3") == (
        b"# caf\xe9\nartwork\tprompt\tchoose\nsea\tcaf\xe9\t3\n"
    )


def test_a_blank_column_without_a_name_is_used():
    content = "artwork\tprompt\t\t\nsea\tx\t\t\n"
    assert changed(content, "sea", "choose", "3") == b"artwork\tprompt\tchoose\t\nsea\tx\t3\t\n"


def test_a_file_without_a_last_line_end_keeps_none():
    assert changed("artwork\tprompt\nsea\tx", "sea", "choose", "3") == (
        b"artwork\tprompt\tchoose\nsea\tx\t3"
    )


def test_a_table_in_quotes_gets_cells_in_quotes():
    content = '"artwork"\t"prompt"\n"sea"\t"x"\n'
    assert changed(content, "sea", "choose", "3") == (
        b'"artwork"\t"prompt"\t"choose"\n"sea"\t"x"\t"3"\n'
    )


any_cell = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    'a" #\n\r\t\ufeff', max_size=8
)
names = st.sampled_from(["artwork", "prompt", "choose", "seed"])


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A table as spreadsheets and editors write it, with comments, blank rows and short rows."""
    columns = draw(st.permutations(["artwork", "prompt", "seed", "choose"]))
    columns = [name for name in columns if name != "choose" or draw(st.booleans())]
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    file = io.StringIO(newline="")
    writer = csv.writer(file, "excel-tab", quoting=quoting, lineterminator=end)
    writer.writerow(columns)
    for number in range(draw(st.integers(1, 4))):
        values = {"artwork": f"art-{number}", "prompt": "p", "seed": "7"}
        values["prompt"] = draw(any_cell)
        values["choose"] = draw(st.sampled_from(["", " 2", "3"]))
        row = [values[name] for name in columns]
        if draw(st.booleans()):
            while row and not row[-1]:
                row.pop()
        writer.writerow(row)
        file.write(draw(st.sampled_from(["", end, f'# a comment\t"{end}', f"\t\t{end}"])))
    text = file.getvalue()
    text = text.removesuffix(end) if draw(st.booleans()) else text
    if draw(st.booleans()):
        return text.encode()
    return ("\ufeff" + text).encode(draw(st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"])))


def by_column(content: bytes) -> list[dict[str, str]]:
    """The cells of each row that are not blank, the header's own among them."""
    head, *body = cells(content)
    return [
        {name: cell for name, cell in zip(head, row, strict=False) if cell} for row in [head, *body]
    ]


@given(tables(), st.integers(0, 3), names, any_cell)
@example(b"prompt\tartwork\n\tart-0\n", 0, "prompt", "# x")
def test_a_changed_table_reads_as_before_but_for_the_cell(content, number, column, value):
    before = by_column(content)
    places = [i for i, row in enumerate(before) if row.get("artwork") == f"art-{number}"]
    try:
        new = changed(content, f"art-{number}", column, value)
    except UserError as error:
        reason = str(error)
    else:
        reason = ""
    if reason:  # not a row, with a wrong quote, or no longer one with that value
        is_row = len(places) == 1 and plain(value) and value.lstrip()[0] not in "#\ufeff"
        assert not is_row or "double quote" in reason or "more fields" in reason
        return
    if column == "choose":  # comments, quotes and line ends stay as well
        assert _changed_bytes(content, new) <= len('" 2"'.encode("utf-16-le"))
    read = re.sub("[\t\v\f\u2028\u2029]|[\r\n]+", " ", value).strip()
    before[0][column] = column
    before[places[0]][column] = read if plain(read) else ""
    assert by_column(new) == [{name: cell for name, cell in row.items() if cell} for row in before]


def _changed_bytes(old: bytes, new: bytes) -> int:
    """How many bytes of the old content are not in the new one."""
    steps = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum(end - begin for kind, begin, end, *_ in steps if kind in ("replace", "delete"))


# Rows at the end


def test_a_row_is_added_below_all_that_there_is():
    table = TableFile(PATH, TABLE.encode())
    new = table.with_rows([{"artwork": "ice", "prompt": "#1", "seed": "7"}]).content
    assert new.decode() == TABLE.replace("\tchoose", "\tchoose\tseed") + "ice\t#1\t\t7\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "artwork\tprompt\nice\tcold\n"),
        ("# mine", "# mine\nartwork\tprompt\nice\tcold\n"),
        ("artwork\tprompt", "artwork\tprompt\nice\tcold\n"),
        ("artwork\r\n", "artwork\tprompt\r\nice\tcold\r\n"),
        ("prompt\tartwork\rx\ty", "prompt\tartwork\rx\ty\rcold\tice\r"),
        ('"artwork"\t"prompt"\n', '"artwork"\t"prompt"\n"ice"\t"cold"\n'),
    ],
)
def test_a_first_row_and_line_ends(content, expected):
    new = TableFile(PATH, content.encode()).with_rows([{"artwork": "ice", "prompt": "cold"}])
    assert new.content.decode() == expected


@given(tables(), any_cell, any_cell)
def test_rows_are_read_as_they_were_added(content, first, second):
    before = cells(content)
    new = [{"artwork": "b", "prompt": first}, {"artwork": "c", "prompt": second, "steps": "60"}]
    table = TableFile(PATH, content)
    if max(map(len, before)) > len(before[0]):  # of an open quote
        with pytest.raises(UserError, match="found more fields than"):
            table.with_rows(new)
        return
    after = cells(table.with_rows(new).content)
    assert after[0] == [*before[0], "steps"]
    assert after[1:-2] == before[1:]
    for row, wanted in zip(after[-2:], new, strict=True):
        found = dict(zip(after[0], row, strict=False))
        assert found["artwork"] == wanted["artwork"]
        assert plain(found.get("prompt", "")) == plain(wanted["prompt"])


# What is refused


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("artwork\tprompt\nlake\tx\n", "has no row of the artwork `sea`"),
        ("", "has no row of the artwork `sea`"),
        ("artwork\tprompt\nsea\tx\nice\ty\t7\n", "line 3: found more fields than the 2 columns"),
        ("prompt\nsea\n", "has no row of the artwork `sea`"),
        ("artwork\tprompt\nsea\tx\nsea\ty\n", "lines 2 and 3 both name the artwork `sea`"),
        ('artwork\tprompt\nsea\t"x\n', "line 2: found '\"x'"),
        ('artwork\t"prompt\nsea\tx\n', "line 1: found '\"prompt'"),
        (b"PK\3\4", "a spreadsheet's own file"),
        ("artwork\tprompt\nsea\tx\n".encode("utf-16-le"), "UTF-16 without a byte order mark"),
    ],
)
def test_tables_that_cannot_be_changed_are_refused(content, said):
    with pytest.raises(UserError, match=r"prompts\.tsv") as refused:
        changed(content, "sea", "choose", "3")
    assert said in str(refused.value)


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path):
    path = tmp_path / "prompts.tsv"
    path.write_text(TABLE)
    table = TableFile.read(path)
    path.write_text(TABLE + "ice\tcold\n")
    with pytest.raises(UserError, match="has changed since it was read"):
        table.with_cell("lake", "choose", "5").save(table)
    assert path.read_text() == TABLE + "ice\tcold\n"
    path.unlink()
    with pytest.raises(UserError, match="has changed since it was read"):
        table.with_cell("lake", "choose", "5").save(table)
    assert list(tmp_path.iterdir()) == []


# The file


def test_permissions_and_links_stay_and_nothing_is_left(tmp_path):
    real, link = tmp_path / "real/prompts.tsv", tmp_path / "prompts.tsv"
    real.parent.mkdir()
    real.write_text(TABLE)
    real.chmod(0o640)
    link.symlink_to(real)
    set_cell(link, "lake", "choose", "5")
    table = TableFile.read(link)
    table.with_rows([{"artwork": "ice", "prompt": "cold"}]).save(table)
    assert link.is_symlink()
    assert real.read_text() == TABLE.replace("a lake\t2", "a lake\t5") + "ice\tcold\t\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert list(real.parent.iterdir()) == [real]


def test_a_read_only_table_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "prompts.tsv"
    path.write_text(TABLE)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anything
    with pytest.raises(PermissionError, match="the table is read-only"):
        set_cell(path, "lake", "choose", "5")
    assert path.read_text() == TABLE
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_at_once_lose_nothing(tmp_path):
    """Each tries again where the other was faster."""
    path = tmp_path / "prompts.tsv"
    path.write_text("artwork\tprompt\n")
    code = """
import sys
from bigart.config.table_file import TableFile
from bigart.errors import UserError

for number in range(5):
    while True:
        try:
            table = TableFile.read(sys.argv[1])
            row = {"artwork": f"{sys.argv[2]}-{number}", "prompt": "x"}
            table.with_rows([row]).save(table)
            break
        except UserError as error:
            assert "has changed" in str(error)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    command = [sys.executable, "-c", code, str(path)]
    writers = [subprocess.Popen([*command, name], env=environment) for name in "ab"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    found = sorted(row[0] for row in cells(path.read_bytes())[1:])
    assert found == sorted(f"{name}-{number}" for name in "ab" for number in range(5))
