"""The table of artworks: what it may hold, and what is said when it holds something else."""

import csv
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bigart.config import options
from bigart.config.artworks import Artwork, prompt_warnings, read, unknown_words
from bigart.metadata import picture_file, recipe

HEADER = "artwork\tprompt\tseed\tchoose\tguidance\ttexture_size\tdetail\n"


def read_table(
    path: Path, content: str | bytes | None = None, **options: object
) -> tuple[dict[str, Artwork], list[str]]:
    """Write a table unless it is there, and return its artworks and what is wrong with it."""
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    _, artworks, faults = read({"table": str(path), **options})
    return artworks, [str(fault) for fault in faults]


@pytest.fixture
def table(tmp_path):
    """Write a table in which nothing is wrong, and return its artworks."""

    def write(content: str | bytes, **options: object) -> dict[str, Artwork]:
        artworks, faults = read_table(tmp_path / "prompts.tsv", content, **options)
        assert faults == []
        return artworks

    return write


@pytest.fixture
def faults(tmp_path):
    """Write a faulty table, and return what is said of it."""

    def write(content: str | bytes) -> list[str]:
        _, faults = read_table(tmp_path / "prompts.tsv", content)
        assert faults
        return faults

    return write


# What a table may hold


def test_blank_cells_and_absent_columns_take_the_values_of_the_config(table):
    content = HEADER + "boat\ta boat\t\t2\t\t\tno\nhill\ta hill\n"
    artworks = table(content, seed=5, guidance=3, format="tif")
    boat, hill = artworks["boat"], artworks["hill"]
    assert (boat.prompt, boat.seed, boat.choose, boat.detail) == ("a boat", 5, 2, False)
    assert (hill.guidance, hill.format, hill.detail, hill.choose) == (3.0, "tif", True, 1)


def test_comments_blank_lines_byte_order_mark_and_line_ends_are_no_fault(table):
    content = "\ufeff# mine\r\n\r\nprompt\tartwork\t\t\r\n\t\t\r\na boat\tboat\r\n# a hill"
    assert list(table(content)) == ["boat"]
    assert list(table("artwork\tprompt\rboat\ta boat\rhill\ta hill\r")) == ["boat", "hill"]
    assert list(table('artwork\tprompt\n"# said ""so"""\t\nboat\ta boat\n')) == ["boat"]


def test_a_line_is_no_comment_where_it_may_be_a_prompt_that_starts_with_a_hash(table):
    assert list(table("artwork\tprompt\nboat\ta boat\n# no. 2\tboat-2\n")) == ["boat"]
    artworks = table("# mine\tall\nprompt\tartwork\na boat\tboat\n# no. 2\tboat-2\n# no. 3\n")
    assert [artwork.prompt for artwork in artworks.values()] == ["a boat", "# no. 2"]


def test_artworks_keep_the_order_of_the_table(table):
    assert list(table("artwork\tprompt\nz\tp\na\tp\nm\tp\n")) == ["z", "a", "m"]


@pytest.mark.parametrize(
    ("cell", "prompt"),
    [
        (
            "a $(boat) `at` ~/sea; rm -rf * & 'so' | > <",
            "a $(boat) `at` ~/sea; rm -rf * & 'so' | > <",
        ),
        ('the "red" boat', 'the "red" boat'),
        ('"red" and "blue"', '"red" and "blue"'),
        ('"a boat, wrapped"', "a boat, wrapped"),
        ('"the ""red"" boat"', 'the "red" boat'),
        ('"""a boat"""', '"a boat"'),
        ('"', '"'),
        ("  a boat \u00a0", "a boat"),
        ("湖に沈む夕日 закат 👩‍🎨", "湖に沈む夕日 закат 👩‍🎨"),
        ("{wildcards.artwork} {0} %s \\n", "{wildcards.artwork} {0} %s \\n"),
        ("#1 boat", "#1 boat"),
    ],
)
def test_prompts_are_taken_literally(table, cell, prompt):
    assert table(f"artwork\tprompt\nboat\t{cell}\n")["boat"].prompt == prompt


printable = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)


@given(prompt=printable.filter(lambda text: text.strip(" \u00a0")))
@example('""')
@example("'")
def test_any_prompt_survives_the_way_through_a_spreadsheet(tmp_path_factory, prompt):
    path = tmp_path_factory.mktemp("table") / "prompts.tsv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, "excel-tab")
        rows.writerow(["artwork", "prompt"])
        rows.writerow(["one", prompt])
    artworks, _ = read_table(path)
    assert artworks["one"].prompt == prompt.strip(" \u00a0")


@given(name=st.one_of(st.text(min_size=1), st.from_regex(r"[./\\A-Za-z0-9:~-]{1,12}")))
@example("..")
@example("a/../..")
@example("con.txt")
@example("LPT1")
@example("a" * 101)
@example("a\n")
@example("a.")
def test_an_accepted_id_is_a_folder_right_under_results(name):
    try:
        accepted = options.read("artwork", name)
    except options.RefusedError:
        return
    folder = Path("/results", str(accepted))
    assert folder.resolve().parent == Path("/results")
    assert str(accepted).isascii()
    assert 0 < len(str(accepted)) <= 100
    assert not str(accepted).endswith(".")
    assert str(accepted).split(".")[0].lower() not in {"con", "nul", "prn", "aux"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [("my villa", "`my-villa`"), ("../../etc", "`etc`"), ("Café", "`Cafe`"), ("con", "`my-con`")],
)
def test_an_unsafe_id_is_answered_with_a_safe_one(faults, name, hint):
    (message,) = faults(f"artwork\tprompt\n{name}\ta boat\n")
    assert f"line 2, artwork `{name}`, column `artwork`: found '{name}'" in message
    assert f"For instance: {hint}" in message


# Faults


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("seed", "7.0", "Write it as 7."),
        ("seed", "1e3", "Write it as 1000."),
        ("seed", "8,0", "Write it as 8."),
        ("seed", "8,5", "It is not a whole number."),
        ("seed", "-1", "whole number 0 to 4294967295"),
        ("seed", "٣", "not a number"),
        ("seed", "1_000", "not a number"),
        ("choose", "8", "whole number 1 to 7 (the value of `candidates`)"),
        ("choose", "0", "whole number 1 to `candidates`"),
        ("choose", "yes", "not a number"),
        ("texture_size", "4", "`1`, `3`, `5`, `7` or `9`"),
        ("guidance", "0,5", "Write the number with a point: 0.5."),
        ("guidance", "nan", "It must be a finite number."),
        ("guidance", "-inf", "It must be a finite number."),
        ("guidance", "21", "number 0 to 20"),
        ("detail", "ture", "Did you mean `true`?"),
        ("sampler", "dpm+++", "Did you mean `dpm++`?"),
        ("sampler", "Ancestral", "Did you mean `ancestral`?"),
        ("upsample_steps", "ddim51", "the nearest are `ddim50` and `ddim53`"),
        ("negative_prompt", "bl\x07rry", "U+0007 at character 3"),
        ("prompt", "a \x1b[31mred boat", "U+001B at character 3"),
        ("prompt", "a\u2028boat", "U+2028"),
    ],
)
def test_each_fault_names_file_line_artwork_column_found_and_allowed(faults, column, cell, said):
    row = {"artwork": "boat", "prompt": "a boat", column: cell}
    (message,) = faults("# mine\n\n" + "\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    assert f"prompts.tsv, line 4, artwork `boat`, column `{column}`: found " in message
    assert "allowed: " in message
    assert said in message
    assert message.isprintable()


@given(st.dictionaries(st.sampled_from(list(options.columns())[2:]), st.text(max_size=20)))
def test_whatever_a_cell_holds_is_read_or_refused_in_words(row):
    for column, cell in row.items():
        if not cell.strip():
            continue
        try:
            options.read(column, cell)
        except options.RefusedError as refused:
            message = str(refused)
        else:
            continue
        assert message.startswith("found ")
        assert message.isprintable()


def test_all_faults_are_told_together(faults):
    messages = faults(
        "artwork\tprompt\tsead\tseed\n"
        "boat\t\t\tx\n"
        "Boat\ta boat\n"
        "hill\ta hill\t\t1\t2\n"
        "\ta lake\n"
        "hill\ta hill\n"
    )
    for found, expected in zip(
        messages,
        [
            "line 1, column `sead`: no such column. Did you mean `seed`?",
            "line 2, artwork `boat`, column `prompt`: it is blank",
            "line 2, artwork `boat`, column `seed`: found 'x'",
            "line 3, artwork `Boat`, column `artwork`: it differs from `boat` in line 2 only in",
            "line 4, artwork `hill`: found 5 fields for 4 columns, the first one too many being",
            "line 5, column `artwork`: it is blank",
            "line 6, artwork `hill`, column `artwork`: it names the artwork of line 4 again",
        ],
        strict=True,
    ):
        assert expected in found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the table is empty"),
        ("\n# only this\n\n", "the table is empty"),
        ("artwork\tprompt\n", "no artworks"),
        ("artwork\tseed\nboat\t1\n", "line 1, column `prompt`: it is missing"),
        ("prompt\na boat\n", "line 1, column `artwork`: it is missing"),
        ("artwork\tprompt\tprompt\nboat\ta\tb\n", "column `prompt`: it stands a second time"),
        ("artwork\t\tprompt\nboat\t\ta boat\n", "column 2: it has no name"),
        ("artwork\tprompt\tnegative prompt\na\tb\n", "Did you mean `negative_prompt`?"),
        ("Artwork\tprompt\tPrompt\na\tb\tc\n", "Did you mean `artwork`?"),
        ("artwork\tprompt\tcandidates\na\tb\t3\n", r"set it in config.yaml"),
        ("artwork\tprompt\tqqq\na\tb\t3\n", "Allowed: `artwork`, `prompt`, `seed`"),
        ("artwork,prompt\nboat,a boat\n", "without a tab; separate columns by tabs"),
        ("artwork\tprompt\nboat a boat\n", "It holds none"),
        ("artwork\tprompt\nboat\t" + "a" * 10_000, "10,005 characters; allowed: at most 10,000"),
        ("artwork\tprompt\tseed\nboat\ta\tboat\t3\n", "Is there a tab inside the prompt?"),
        (
            "artwork\tprompt\nboat\ta caf\xe9\n".encode("latin-1"),
            "line 2: byte 11 is 0xE9 (perhaps 'é'",
        ),
        ("artwork\tprompt\nboat\ta boat\n".encode("utf-16"), "UTF-16"),
        ("artwork\tprompt\nboat\ta boat\n".encode("utf-16-le"), "UTF-16-LE"),
        ("artwork\tprompt\nboat\ta boat\n".encode("utf-16-be"), "UTF-16-BE"),
        ("artwork\tprompt\nboat\ta boat\n".encode("utf-32"), "UTF-32"),
        (b"artwork\tprompt\nboat\ta\0boat\n", "line 2: byte 7 is a NUL"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not UTF-8"),
    ],
)
def test_faults_of_the_whole_table(faults, content, said):
    assert any(said in message for message in faults(content))


def test_a_wrong_encoding_does_not_hide_the_other_faults(faults):
    messages = faults(b"artwork\tprompt\tseed\nboat\ta caf\xe9\t\nhill\ta hill\tx\n")
    assert len(messages) == 2
    assert 'Save the file again with the encoding "UTF-8"' in messages[0]
    assert "artwork `hill`, column `seed`" in messages[1]


def test_a_missing_table_or_a_folder(tmp_path):
    for path, said in [
        (tmp_path / "none.tsv", r"no such file.*`table` in config\.yaml"),
        (tmp_path, "a folder"),
        (tmp_path / ("x" * 300), "cannot be read|no such file"),
    ]:
        _, (fault,) = read_table(path)
        assert re.search(said, fault)


@given(st.binary(max_size=200))
def test_no_file_whatever_is_answered_with_a_traceback(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("table") / "prompts.tsv"
    path.write_bytes(b"artwork\tprompt\tseed\n" + content)
    _, faults = read_table(path)
    assert all("prompts.tsv" in fault for fault in faults)


def test_a_thousand_rows_load_in_well_under_a_second(table):
    rows = "".join(
        f"boat-{i}\ta boat and {i} gulls\t{i}\t{i % 7 + 1}\t2.5\t3\tyes\n" for i in range(1000)
    )
    start = time.process_time()
    assert len(table(HEADER + rows)) == 1000
    assert time.process_time() - start < 0.8


@pytest.mark.parametrize("letter", ["a", "🎨", "&", '"', "\ufffe"])
def test_the_longest_texts_that_are_not_refused_fit_into_a_jpeg(tmp_path, letter):
    path = tmp_path / "prompts.tsv"

    def read_row(length: int, kind: str = "jpg") -> tuple[dict[str, Artwork], list[str]]:
        row = f"boat\tb{letter * length}\t{kind}\n"
        return read_table(path, f"artwork\tprompt\tformat\n{row}", negative_prompt=letter * 200)

    length = next(n for n in range(9_900, 0, -100) if not read_row(n)[1])
    made = recipe.start()
    for stage in range(8):  # as many as there are, each with a record longer than it has
        made = recipe.extend(made, f"stage {stage}", models={"x" * 64: "0" * 64}, steps="1" * 300)
    artwork = read_row(length)[0]["boat"]
    made = recipe.extend(made, "texts", **vars(artwork))
    picture_file.write_picture(tmp_path / "final.jpg", np.zeros((8, 8, 3), np.uint8), made, dpi=300)
    assert picture_file.read_recipe(tmp_path / "final.jpg") == made
    assert not read_row(length, "tif")[1]
    if length < 9_900:
        _, (fault,) = read_row(length + 100)
        assert "allowed in a JPEG: at most 58,500" in fault
        assert not read_row(length + 100, "png")[1]


def test_reading_the_table_needs_neither_torch_nor_pillow():
    code = (
        "import sys, bigart.config.project; sys.exit(bool({'torch', 'PIL'} & sys.modules.keys()))"
    )
    scripts = Path(__file__).parents[1] / "workflow" / "scripts"
    assert subprocess.run([sys.executable, "-c", code], cwd=scripts, check=False).returncode == 0


# Prompts longer than the models read


def words(text: str) -> list[int]:
    """Stand in for a tokenizer: one token per word, and one more per 4 letters of a word."""
    return [0 for word in text.split() for _ in range((len(word) + 3) // 4)]


def warnings_of(table, prompt: str, context: int = 6) -> list[str]:
    return prompt_warnings(table(f"artwork\tprompt\nboat\t{prompt}\n"), words, context)


def test_a_prompt_that_fits_gives_no_warning(table):
    assert warnings_of(table, "a boat on a lake now") == []


def test_a_long_prompt_is_told_which_words_are_cut(table):
    (warning,) = warnings_of(table, "a boat on a lake now with gulls")
    assert "artwork `boat`, column `prompt`" in warning
    assert "read 6 tokens and this has 9; the end is cut: “with gulls”" in warning


def test_a_word_cut_in_the_middle_shows_its_lost_part(table):
    (warning,) = warnings_of(table, "one two three fourteenthhundred boats")
    assert "from within a word on, is cut: “thhundred boats”" in warning


def test_a_script_without_spaces_is_cut_by_the_letter(table):
    (warning,) = warnings_of(table, "湖" * 24 + "船")
    assert warning.endswith("“船”")


def test_the_negative_prompt_is_checked_too(table):
    negative = "dark gloomy blurry mist far away"
    artworks = table("artwork\tprompt\nboat\ta boat\n", negative_prompt=negative)
    (warning,) = prompt_warnings(artworks, words, 6)
    assert "column `negative_prompt`" in warning
    assert "“far away”" in warning


def test_a_very_long_cut_is_shown_by_its_ends(table):
    (warning,) = warnings_of(table, "go " * 800 + "boats")
    assert " … " in warning
    assert "(795 words)" in warning


def test_words_that_the_models_were_never_shown_are_named(table):
    artworks = table(
        "artwork\tprompt\tnegative_prompt\n"
        "lake\tA painting of a lake, at sunset\t\n"
        "dog\ta Corgi at sunset; a corgi's lake\tmist\n"
    )
    known = ["a", "painting", "of", "lake", "at", "sunset"]
    of_the_prompt, of_the_negative = unknown_words(artworks, known, "embedded")
    assert "artwork `dog`, column `prompt`: the embedded models" in of_the_prompt
    assert "never shown `corgi` and" in of_the_prompt
    assert "column `negative_prompt`" in of_the_negative
    assert "`mist`" in of_the_negative
