"""Sweeps: a row that lists values is one artwork for each combination, and two labelled grids."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigart.config import options, sweeps
from test_artworks import errors, table

HEADER = "artwork\tprompt\tseed\tguidance\tsampler\tdetail\tchoose\n"


def names(*cells: str, **config: object) -> list[str]:
    """The artworks of a row of these cells."""
    return [*table(HEADER + "lake\ta lake\t" + "\t".join(cells) + "\n", **config)]


def faults(*cells: str) -> list[str]:
    """What is wrong with a row of these cells: the column and the message."""
    messages = errors(HEADER + "lake\ta lake\t" + "\t".join(cells) + "\n")
    prefix = "prompts.tsv, line 2, artwork `lake`, "
    assert all(prefix in message and "allowed: " in message for message in messages)
    return [message.split(prefix)[1] for message in messages]


# What a cell may list


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("1..5", [1, 2, 3, 4, 5]),
        ("2|3|4", [2, 3, 4]),
        ("1..3|7", [1, 2, 3, 7]),
        ("9 | 1 .. 2", [9, 1, 2]),
        ("4..4", [4]),
        ("１..２｜\u200b５", [1, 2, 5]),
    ],
)
def test_a_cell_lists_values_and_ranges(cell, values):
    artworks = table(f"artwork\tprompt\tseed\nlake\ta lake\t{cell}\n")
    assert [artwork.seed for artwork in artworks.values()] == values
    assert [*artworks] == [f"lake-seed-{value}" for value in values]
    assert {artwork.sweep for artwork in artworks.values()} == {"lake"}
    assert [dict(artwork.swept) for artwork in artworks.values()] == [
        {"seed": str(value)} for value in values
    ]


def test_each_combination_is_an_artwork_named_after_its_values():
    assert names("1|2", "2|3.50", "dpm++|dpm++sde", "yes") == [
        f"lake-seed-{seed}-sampler-{sampler}-guidance-{guidance}"
        for seed in (1, 2)
        for sampler in ("dpmpp", "dpmppsde")
        for guidance in ("2", "3.5")
    ]
    assert names("", "", "", "on|0", "") == ["lake-detail-true", "lake-detail-false"]


def test_what_is_not_listed_is_that_of_the_row_and_the_config():
    artworks = table(HEADER + "lake\ta|b 1..5\t1|2\t\t\tno\nsea\tthe sea\n", guidance=3)
    assert [*artworks] == ["lake-seed-1", "lake-seed-2", "sea"]
    assert {artwork.prompt for artwork in artworks.values()} == {"a|b 1..5", "the sea"}
    assert [(a.guidance, a.detail) for a in artworks.values()] == [(3, False)] * 2 + [(3, True)]
    assert (artworks["sea"].sweep, artworks["sea"].swept) == ("", {})


def test_columns_may_move_and_a_value_may_be_written_in_another_way():
    first = table("artwork\tprompt\tseed\tguidance\nlake\ta\t1|2\t2|3\n")
    second = table("guidance\tartwork\tseed\tprompt\n2.0|3.\tlake\t1..2\ta\n")
    assert first == second


def test_every_column_but_the_texts_may_list_values():
    texts = {"artwork", *options.TEXTS, "picture", "repaint", "mask"}
    assert set(sweeps.COLUMNS) == {*options.COLUMNS} - texts
    row = "lake\ta\t0 to 0.5|0.2 to 1\tfast27|ddim50|4\t3|5\tpng|jpg\n"
    header = "artwork\tprompt\tguidance_interval\tupsample_steps\ttexture_size\tformat\n"
    artworks = table(header + row)
    assert len(artworks) == 24
    last = "lake-guidance_interval-0.2-to-1-upsample_steps-4-texture_size-5-format-jpg"
    assert [*artworks][-1] == last


@given(
    st.lists(st.floats(0, 20) | st.integers(0, 20).map(float), min_size=2, max_size=9, unique=True)
)
def test_any_numbers_give_artworks_with_names_of_their_own(numbers):
    artworks = table(f"artwork\tprompt\tguidance\na\tb\t{'|'.join(map(repr, numbers))}\n")
    assert [artwork.guidance for artwork in artworks.values()] == numbers
    for name, artwork in artworks.items():
        assert options.checked(options.Artwork, {"artwork": name, "prompt": "b"})[0]
        assert float(artwork.swept["guidance"]) == artwork.guidance


def test_sweeps_are_found_among_the_artworks():
    artworks = table(HEADER + "lake\ta\t1|2\t3|4\nsea\tb\nhill\tc\t5..6\n").values()
    groups = sweeps.grouped(artworks)
    assert {row: len(group) for row, group in groups.items()} == {"lake": 4, "hill": 2}
    assert sweeps.axes(groups["lake"]) == {"seed": ["1", "2"], "guidance": ["3", "4"]}
    for group in groups.values():
        assert [sweeps.name(a.sweep, a.swept) for a in group] == [a.artwork for a in group]


# Errors


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["5..1"], "`seed`: found '5..1'; allowed: whole number 0 to 4294967295. Several values"),
        (["5..1"], "are written `1..5`."),
        (["1-5"], "found '1-5'; allowed: whole number 0 to 4294967295. Several values are"),
        (["1…5"], "are written `1..5`."),
        (["1,2, 3"], "Several values are written `1|2|3`."),
        (["1||2"], "`seed`: found '1||2', where a value is blank; allowed: `2|3|4`"),
        (["1|"], "where a value is blank"),
        (["1|2|1"], "`seed`: found '1' twice in '1|2|1'; allowed: once"),
        (["", "2|2.0"], "`guidance`: found '2' twice"),
        (["", "0.1..0.5"], "found '0.1..0.5'; allowed: number 0 to 20. Several values are written"),
        (["", "", "dpmm|ddim"], "Did you mean `dpm++`? It is in 'dpmm|ddim'."),
        (["", "", "", "yes|maybe"], "found 'maybe'; allowed: `true` or `false`. It is in"),
        (
            ["", "", "", "", "1..9"],
            "found '8'; allowed: `auto`, or whole number 1 to `candidates`.",
        ),
        (["0..4294967295"], "found 4,294,967,296 values; allowed: at most 200 artworks a row"),
        (["1..20", "1..15"], "found 20 x 15 = 300 combinations; allowed: at most 200"),
        (["1.." + "9" * 5000], "found '1..999"),
    ],
)
def test_a_wrong_list_is_answered_with_what_is_allowed(cells, said):
    assert said in "\n".join(faults(*cells))


def test_all_faults_of_a_row_come_together():
    places = [message.split(":")[0] for message in faults("x|-1|1..2|1", "99|1..2", "ddim|fast")]
    assert places == ["column `guidance`", "column `sampler`"] + ["column `seed`"] * 3


def test_a_long_list_of_wrong_values_is_cut():
    messages = faults("", "", "", "", "1..99")
    assert len(messages) == sweeps.WRONG_SHOWN + 1
    assert sum("more values of '1..99' are wrong" in message for message in messages) == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("lake-seed-2\ta\nlake\ta\t1..3\n", "line 2 names the artwork `lake-seed-2` already"),
        ("lake\ta\t1..3\nLAKE-seed-2\ta\n", "line 2 makes the artwork `lake-seed-2` already"),
        ("lake\ta\t1..3\nlake\ta\n", "line 2 names the artwork `lake` already"),
        ("lake\ta\t1|2\nlake-seed-1\ta\t7|8\n", "line 2 makes the artwork `lake-seed-1` already"),
    ],
)
def test_a_name_that_is_there_already_is_an_error(rows, said):
    (message,) = errors(HEADER + rows)
    assert (
        f"line 3, artwork `{rows.split(chr(10))[1].split(chr(9))[0]}`, column `artwork`" in message
    )
    assert said in message


def test_a_name_that_would_be_too_long_is_an_error():
    (message,) = errors(f"artwork\tprompt\tseed\n{'a' * 94}\tb\t1|22\n")
    assert "allowed: at most 100 characters. Shorten it by 2" in message
    assert len(table(f"artwork\tprompt\tseed\n{'a' * 92}\tb\t1|22\n")) == 2


def test_a_rows_own_name_is_checked_too():
    (message,) = errors("artwork\tprompt\tseed\ncon\tb\t1|2\n")
    assert "column `artwork`: found 'con'" in message


def test_a_list_in_the_config_is_sent_to_the_table():
    from bigart.config.project import read

    _, _, found = read({"seed": "1..5", "table": "none"})
    assert any(sweeps.IN_THE_TABLE in str(error) and "`seed`" in str(error) for error in found)


@given(st.text("0123456789|.. x-,", max_size=12), st.sampled_from(sweeps.COLUMNS))
def test_whatever_a_list_holds_is_read_or_refused_in_words(cell, column):
    values = {"artwork": "a", "prompt": "b", column: cell}
    made, wrong = sweeps.expand(values, 7)
    assert bool(made) != bool(wrong)
    assert wrong.keys() <= {column, "artwork"}
    assert len({artwork.artwork for artwork in made}) == len(made) <= sweeps.MOST
    for message in wrong.get(column, []):
        assert re.match("found |more values ", message)
        assert message.isprintable()
