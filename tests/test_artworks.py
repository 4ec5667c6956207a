"""The table of artworks: what it may hold, and what is said when it holds something else."""

import csv
import gzip
import io
import re
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from bigart.config import options
from bigart.config.options import Artwork
from bigart.config.plain_text import plain
from bigart.config.project import read

HEADER = "artwork\tprompt\tseed\tchoose\tguidance\ttexture_size\tdetail\n"


def read_table(content: str | bytes, **options: object) -> tuple[dict[str, Artwork], list[str]]:
    """Return the artworks of a table, and what is wrong with it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "prompts.tsv")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        _, artworks, errors = read({"table": str(path), **options})
    return artworks, [str(error) for error in errors]


def table(content: str | bytes, **options: object) -> dict[str, Artwork]:
    """Return the artworks of a table in which nothing is wrong."""
    artworks, errors = read_table(content, **options)
    assert errors == []
    return artworks


def errors(content: str | bytes) -> list[str]:
    """Return what is wrong with a table."""
    return read_table(content)[1]


# What a table may hold


def test_blank_cells_and_absent_columns_take_the_values_of_the_config():
    content = HEADER + "boat\ta boat\t\t2\t\t\tno\nhill\ta hill\n"
    artworks = table(content, seed=5, guidance=3, format="tif")
    boat, hill = artworks["boat"], artworks["hill"]
    assert (boat.prompt, boat.seed, boat.choose, boat.detail) == ("a boat", 5, 2, False)
    assert (hill.guidance, hill.format, hill.detail, hill.choose) == (3.0, "tif", True, 1)


SAVED = """\
artwork\tprompt\tseed\r
"lake"\t"a lake,\n# light, ""gold\"""\t"7"\r
""\t""\t""\r
sea\tNA\t\r
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
def test_tables_as_spreadsheets_save_them(encoding, line_end):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    artworks = table((mark + SAVED.replace("\r\n", line_end)).encode(encoding))
    found = [(artwork.artwork, artwork.prompt, artwork.seed) for artwork in artworks.values()]
    assert found == [("lake", 'a lake, # light, "gold"', 7), ("sea", "NA", 42)]


def test_a_hash_opens_a_comment_as_the_first_character_of_a_row_alone():
    content = (
        '\ufeff# "mine\tall\n\nprompt\tartwork\t\n\t\t\na boat\tboat\n# no. 2\tboat-2\n"# 3"\tb3'
    )
    assert [artwork.prompt for artwork in table(content).values()] == ["a boat", "# 3"]


@pytest.mark.parametrize(
    ("cell", "prompt"),
    [
        ('the "red" boat', 'the "red" boat'),
        ('a boat"', 'a boat"'),
        ('"the ""red"" boat"', 'the "red" boat'),
        ("  a boat \u00a0", "a boat"),
        ("a\u00a0boat,  \u200ba \u2067lake", "a\u00a0boat,  \u200ba \u2067lake"),
        ("#1 {artwork} $(ls) `at` '%s' \\n 湖", "#1 {artwork} $(ls) `at` '%s' \\n 湖"),
        ("null", "null"),
    ],
)
def test_prompts_are_taken_literally(cell, prompt):
    assert table(f"artwork\tprompt\nboat\t{cell}\n")["boat"].prompt == prompt


printable = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
with_breaks = st.text('a" #\n\r')


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize(
    "inside", ["\n", "\r\n", "\r", "\n\r\n", "\v", "\f", "\u2028", "\u2029", "\t", " \n "]
)
def test_a_break_inside_a_cell_is_a_blank_wherever_the_cell_is(inside, line_end):
    cell = f'"the ""old"" lake,{inside}#light# gold"'
    rows = [
        f'artwork\t"{inside}prompt"\tchoose\t"seed{inside}"\tnegative_prompt',
        f"lake\t{cell}\t2\t7\t{cell}",
        '""\t""\t""\t""\t""',
        f'"sea{inside}"\tthe sea\t"1"\t"{inside}8"\t"{inside}"',
    ]
    lake, sea = table(line_end.join(rows)).values()
    assert plain(lake.prompt) == plain(lake.negative_prompt) == 'the "old" lake, #light# gold'
    assert (lake.choose, lake.seed) == (2, 7)
    assert (sea.artwork, sea.prompt, sea.choose, sea.seed) == ("sea", "the sea", 1, 8)
    assert lake.prompt.isprintable()


def test_an_error_below_cells_with_line_breaks_names_its_own_line():
    content = '# mine\r\nartwork\t"seed\n"\tprompt\r\na\t"x\n\r\ny"\t"b\rc"\r\nb\tx\ty\r\n'
    lines = [message.split(", ")[1] for message in errors(content)]
    assert lines == ["line 4", "line 8"]


def test_a_spreadsheet_may_put_a_comment_into_quotes():
    content = '"# my ""best"" ones,\nall of them"\t\nartwork\tprompt\n"# later"\t""\nsea\tthe sea\n'
    assert [*table(content)] == ["sea"]


def test_joined_files_have_byte_order_marks_inside():
    part = '\ufeff# {0}\n\ufeff"{0}"\t"the {0}"\n'
    content = "\ufeff\ufeffartwork\tprompt\n" + part.format("lake") + part.format("sea")
    assert [artwork.prompt for artwork in table(content).values()] == ["the lake", "the sea"]


# What nobody sees


def test_ids_column_names_and_numbers_are_read_without_what_nobody_sees():
    content = (
        "\u200bart\u00adwork\u00a0\tpro\u200dmpt\tseed\u200e\tguidance\ttexture_size\tsampler\n"
        "la\u200bke\u2060\ta lake\t\u202a7\u202c\t\u00a02.5\u3000\t3\u200b\tdd\u00adim\n"
        "\u200b\t\u00a0\u2060\t\ufe0f\n"
        "sea\tthe sea\t４２\t７．５\t５\t\u200b\n"
        "ice\tthe ice\t٤٢\t٧٫٥\t९\n"
    )
    found = [
        (name, row.artwork, row.seed, row.guidance, row.texture_size, row.sampler)
        for name, row in table(content).items()
    ]
    assert found == [
        ("lake", "lake", 7, 2.5, 3, "ddim"),
        ("sea", "sea", 42, 7.5, 5, "ancestral"),
        ("ice", "ice", 42, 7.5, 9, "ancestral"),
    ]


def test_two_ids_that_look_the_same_are_the_same():
    (message,) = errors("artwork\tprompt\nlake\ta\nla\u200bke\tb\n")
    assert "line 3, artwork `lake`, column `artwork`: line 2 names the artwork `lake`" in message


def test_a_prompt_of_nothing_visible_is_blank():
    (message,) = errors("artwork\tprompt\nlake\t\u200b\u00a0\u2800\n")
    assert "line 2, artwork `lake`, column `prompt`: it is blank" in message


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a painting of an Italian villa", "a painting of an Italian villa"),
        ("a\u00a0lake", "a lake"),  # web pages
        ("a \u00a0 \u2009lake\u3000", "a lake"),  # runs; print; Japanese keyboards
        ("\ufeffa\u2003lake\u202f!", "a lake !"),
        ("a\u3164lake\u2800", "a lake"),  # blanks of chats
        ("a sun\u00adset", "a sunset"),  # word processors, PDF
        ("a\u200b lake\u200b", "a lake"),  # web pages
        ("\u2067بحيرة\u2069 \u200fذهبية\u200e", "بحيرة ذهبية"),
        ("می\u200cخواهم", "میخواهم"),
        ("क्\u200dष", "क्ष"),
        ("👩\u200d🎨 ❤\ufe0f", "👩🎨 ❤"),
        ("🏴\U000e0067\U000e0062\U000e007f", "🏴"),
        ("cafe\u0301", "café"),  # macOS
        ("cafe\u034f\u0301", "café"),  # the joiner goes first
        ("하늘", "하늘"),
        ("\u212bngstrom", "Ångstrom"),
        ("x² ﬁ Ａ … “q” – ½", "x² ﬁ Ａ … “q” – ½"),  # seen, and so kept
        ("\u0600١ \u06dd", "\u0600١ \u06dd"),  # Arabic signs that are formats, and seen
    ],
)
def test_the_plain_form_of_a_prompt(text, read):
    assert plain(text) == read


def test_invisible_is_what_unicode_calls_ignorable():
    points = [chr(point) for point in (*range(0x20000), *range(0xE0000, 0xE1010))]
    ignorable = set(regex.findall(r"\p{Default_Ignorable_Code_Point}", "".join(points)))
    gone = {point for point in points if plain(f"a{point}b") == "ab"}
    assert gone == (ignorable - {"\u3164", "\uffa0"}) | {"\ufff9", "\ufffa", "\ufffb"}


@given(st.text() | st.lists(st.sampled_from("e ́\u200d\u00a0\u034f가가")).map("".join))
def test_a_plain_form_is_its_own(text):
    assert plain(plain(text)) == plain(text)


@given(st.lists(st.text(string.ascii_letters + string.digits + string.punctuation, min_size=1)))
def test_a_plain_prompt_is_read_as_it_stands(words):
    assert plain(" ".join(words)) == " ".join(words)


@given(
    prompt=(printable | with_breaks).filter(plain),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@example('""', csv.QUOTE_MINIMAL)
@example("'", csv.QUOTE_ALL)
@example('"\n#"\r\n"', csv.QUOTE_MINIMAL)
def test_any_prompt_survives_the_way_through_a_spreadsheet(prompt, quoting):
    file = io.StringIO(newline="")
    rows = csv.writer(file, "excel-tab", quoting=quoting)
    rows.writerows([["artwork", "prompt"], ["one", prompt], ["two", f"a\n{prompt}"]])
    found = [artwork.prompt for artwork in table(file.getvalue()).values()]
    kept = [re.sub(r"[\r\n]+", " ", text).strip() for text in (prompt, f"a\n{prompt}")]
    assert found == kept


@given(name=st.one_of(st.text(min_size=1), st.from_regex(r"[./\\A-Za-z0-9:~-]{1,12}")))
@example("..")
@example("con.txt")
@example("a" * 101)
@example("a.")
@example("Verify")
@example("gallery")
@example("Proofs")
def test_an_accepted_id_is_a_folder_right_under_results(name):
    artwork, _ = options.checked(Artwork, {"artwork": name, "prompt": "a boat"})
    if artwork is None:
        return
    assert Path("/results", artwork.artwork).resolve().parent == Path("/results")
    assert artwork.artwork.isascii()
    assert 0 < len(artwork.artwork) <= 100
    assert not artwork.artwork.endswith(".")
    assert artwork.artwork.split(".")[0].lower() not in {
        "con",
        "nul",
        "prn",
        "aux",
        "lpt1",
        "verify",
        "gallery",
        "proofs",
    }


def test_an_unsafe_id_is_answered_with_a_safe_one():
    for name, safe in [("my villa", "my-villa"), ("../etc", "etc"), ("Café", "Cafe")]:
        (message,) = errors(f"artwork\tprompt\n{name}\ta boat\n")
        assert f"line 2, artwork `{name}`, column `artwork`: found '{name}'" in message
        assert f"For instance: `{safe}`" in message


# Errors


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("seed", "1e3", "Write it as 1000."),
        ("seed", "8,0", "Write it as 8."),
        ("seed", "1.000", "Write it as 1000."),
        ("seed", "4\u202f294\u202f967", "Write it as 4294967."),
        ("seed", "-1", "whole number 0 to 4294967295. No seed is drawn by chance"),
        ("seed", "new", "For other pictures write another number."),
        ("choose", "8", "whole number 1 to `candidates`. `candidates` is 7."),
        ("texture_size", "4", "`1`, `3`, `5`, `7`, `9`"),
        ("guidance", "0,5", "Write it as 0.5."),
        ("guidance_interval", "0,2 to 0,8", "Write both with a point"),
        ("guidance_interval", "nan to 1", "two numbers 0 to 1, such as `0.2 to 0.8`"),
        ("guidance", "nan", "number 0 to 20"),
        ("detail", "ture", "Did you mean `true`?"),
        ("sampler", "dpm+++", "Did you mean `dpm++`?"),
        ("upsample_steps", "ddim51", "No even stride takes 51 of 1000 steps; `ddim50` is near"),
        ("negative_prompt", "bl\x07rry", "Character 3 is U+0007"),
        ("prompt", "a \x1b[31mred boat", "Character 3 is U+001B"),
    ],
)
def test_each_error_names_file_line_artwork_column_found_and_allowed(column, cell, said):
    row = {"artwork": "boat", "prompt": "a boat", column: cell}
    (message,) = errors("# mine\n\n" + "\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    assert f"prompts.tsv, line 4, artwork `boat`, column `{column}`: found " in message
    assert "allowed: " in message
    assert said in message
    assert message.isprintable()


@given(st.dictionaries(st.sampled_from(options.COLUMNS[2:]), st.text(max_size=20)))
def test_whatever_a_cell_holds_is_read_or_refused_in_words(row):
    values, wrong = options.checked(Artwork, {"artwork": "a", "prompt": "a", **row}, 7)
    assert (values is None) == bool(wrong)
    assert wrong.keys() <= row.keys()
    for message in wrong.values():
        assert message.startswith("found ")
        assert message.isprintable()


def test_all_errors_come_together():
    messages = errors(
        "artwork\tprompt\tsead\tseed\tchoose\n"
        "boat\t\t\tx\t9\n"
        'Boat\t"a\nboat"\n'
        "hill\ta hill\t\t1\t2\t5\n"
        '\ta lake\t"\n'
        'hill\t"a" hill\n'
        "hill\ta hill\n"
    )
    for found, expected in zip(
        messages,
        [
            "line 1, column `sead`: no such column. Did you mean `seed`?",
            "line 2, artwork `boat`, column `choose`: found '9'",
            "line 2, artwork `boat`, column `prompt`: it is blank",
            "line 2, artwork `boat`, column `seed`: found 'x'",
            "line 3, artwork `Boat`, column `artwork`: line 2 names the artwork `boat` already",
            "line 5, artwork `hill`: found more fields than the 5 columns, the last one being '5'",
            "line 6, column `sead`: found '\"', which begins with a double quote and does not",
            "line 7, artwork `hill`, column `prompt`: found '\"a\" hill', which begins",
            "line 8, artwork `hill`, column `artwork`: line 5 names the artwork `hill` already",
        ],
        strict=True,
    ):
        assert expected in found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the table is empty"),
        ('\n# only this\n\n""\t\n', "the table is empty"),
        ("artwork\tprompt\n", "no artworks"),
        ("artwork\tseed\nboat\t1\n", "line 1, column `prompt`: it is missing"),
        ("artwork\tprompt\tprompt\nboat\ta\tb\n", "column `prompt`: it stands a second time"),
        ("artwork\t\tprompt\nboat\t\ta boat\n", "column 2: no such column. Allowed: `artwork`"),
        ('artwork\t"prompt\nboat\ta boat\n', "line 1, column 2: found '\"prompt', which begins"),
        ("artwork\tprompt\tcandidates\na\tb\t3\n", r"set it in config.yaml"),
        ("artwork,prompt\nboat,a boat\n", "`prompt`: it is missing; tabs separate the columns"),
        ("artwork\tprompt\nboat\t" + "a" * 10_001, "allowed: text of at most 10,000 characters"),
        ("artwork\tprompt\tseed\nboat\ta\tboat\t3\n", "Is there a tab inside the prompt?"),
        ("artwork\tprompt\nboat\ta boat\n".encode("utf-16")[:-1], "UTF-16 is damaged at byte 55"),
        ("artwork\tprompt\nboat\ta boat\n".encode("utf-16-le"), "UTF-16 without a byte order"),
        ("artwork\tprompt\nboat\ta boat\n".encode("utf-16-be"), "UTF-16 without a byte order"),
        ("artwork\tprompt\nboat\ta boat\n".encode("utf-32"), "UTF-32"),
        (b"artwork\tprompt\nboat\ta\0boat\n", "Character 2 is U+0000"),
        (b"PK\3\4\x14\0\6\0[Content_Types].xml", "a spreadsheet's own file (.xlsx, .ods, ...)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel file (.xls); save the table as text"),
        (rb"{\rtf1\ansi artwork\tab prompt\par", "it is rich text"),
        (gzip.compress(b"artwork\tprompt\n", mtime=0), "it is compressed"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "column `prompt`: it is missing"),
    ],
)
def test_errors_of_the_whole_table(content, said):
    assert any(said in message for message in errors(content))


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
def test_an_open_quote_takes_no_other_row(line_end):
    rows = ["artwork\tprompt\tseed", 'lake\t"a lake\t7', 'sea\tthe sea"\tx', 'ice\t"the ice\t', ""]
    messages = [message.split("prompts.tsv, ")[1] for message in errors(line_end.join(rows))]
    assert [message.split(":")[0] for message in messages] == [
        "line 2, artwork `lake`, column `prompt`",
        "line 3, artwork `sea`, column `seed`",
        "line 4, artwork `ice`, column `prompt`",
    ]
    assert "found '\"a lake', which begins with a double quote" in messages[0]


def test_a_wrong_encoding_does_not_hide_the_other_errors():
    first, second = errors(b"artwork\tprompt\tseed\nboat\ta caf\xe9\t\nhill\ta hill\tx\n")
    assert 'Character 6 is not UTF-8: save the file as "UTF-8"' in first
    assert "artwork `hill`, column `seed`" in second


def test_a_missing_table_or_a_folder(tmp_path):
    for path, said in [
        (tmp_path / "none.tsv", f"cannot be read in {tmp_path}: No such file"),
        (tmp_path, "directory. `table` in config.yaml says where"),
    ]:
        _, _, (error,) = read({"table": str(path)})
        assert said in str(error)


@given(st.binary(max_size=200) | st.text('ab\t\n\r"#', max_size=40).map(str.encode))
def test_no_file_whatever_is_answered_with_a_traceback(content):
    _, found = read_table(b"artwork\tprompt\tseed\n" + content)
    assert all("prompts.tsv" in error for error in found)


def test_a_thousand_rows_are_read_in_well_under_a_second():
    import pandas  # noqa: F401 (what Snakemake has imported by then)

    rows = "".join(
        f"boat-{i}\ta boat and {i} gulls\t{i}\t{i % 7 + 1}\t2.5\t3\tyes\n" for i in range(1000)
    )
    start = time.process_time()
    assert len(table(HEADER + rows)) == 1000
    assert time.process_time() - start < 0.5


def test_reading_the_options_needs_no_pandas_and_the_table_neither_torch_nor_pillow():
    code = (
        "import sys, bigart.config.options; found = {'pandas'} & sys.modules.keys();"
        "import bigart.config.project; bigart.config.project.read({'table': 'none'});"
        "sys.exit(bool(found or {'torch', 'PIL', 'jsonschema'} & sys.modules.keys()))"
    )
    scripts = Path(__file__).parents[1] / "workflow" / "scripts"
    assert subprocess.run([sys.executable, "-c", code], cwd=scripts, check=False).returncode == 0
