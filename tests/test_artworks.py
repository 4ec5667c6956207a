"""The table of artworks: what it may hold, and what is said when it holds something else."""

import csv
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bigart.config import options
from bigart.config.options import Artwork
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
        ("a\u00a0boat", "a boat"),
        ("#1 {artwork} $(ls) `at` '%s' \\n 湖", "#1 {artwork} $(ls) `at` '%s' \\n 湖"),
        ("null", "null"),
    ],
)
def test_prompts_are_taken_literally(cell, prompt):
    assert table(f"artwork\tprompt\nboat\t{cell}\n")["boat"].prompt == prompt


printable = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)


@given(
    prompt=printable.filter(str.strip), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
)
@example('""', csv.QUOTE_MINIMAL)
@example("'", csv.QUOTE_ALL)
def test_any_prompt_survives_the_way_through_a_spreadsheet(prompt, quoting):
    file = io.StringIO(newline="")
    rows = csv.writer(file, "excel-tab", quoting=quoting)
    rows.writerows([["artwork", "prompt"], ["one", prompt], ["two", f"a\n{prompt}"]])
    found = [artwork.prompt for artwork in table(file.getvalue()).values()]
    assert found == [text.replace("\u00a0", " ").strip() for text in (prompt, f"a {prompt}")]


@given(name=st.one_of(st.text(min_size=1), st.from_regex(r"[./\\A-Za-z0-9:~-]{1,12}")))
@example("..")
@example("con.txt")
@example("a" * 101)
@example("a.")
@example("Verify")
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
        ("seed", "-1", "whole number 0 to 4294967295"),
        ("choose", "8", "whole number 1 to `candidates`. `candidates` is 7."),
        ("texture_size", "4", "`1`, `3`, `5`, `7`, `9`"),
        ("guidance", "0,5", "Write it as 0.5."),
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
        ("artwork\tprompt\nboat\ta boat\n".encode("utf-16")[:-1], "'utf-16-le' codec"),
        ("artwork\tprompt\nboat\ta boat\n".encode("utf-16-le"), "UTF-16 without a byte order"),
        ("artwork\tprompt\nboat\ta boat\n".encode("utf-16-be"), "UTF-16 without a byte order"),
        ("artwork\tprompt\nboat\ta boat\n".encode("utf-32"), "UTF-32"),
        (b"artwork\tprompt\nboat\ta\0boat\n", "Character 2 is U+0000"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "column `prompt`: it is missing"),
    ],
)
def test_errors_of_the_whole_table(content, said):
    assert any(said in message for message in errors(content))


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
