"""The contact sheet: every candidate pixel for pixel, under a number one can read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.pictures import contact_sheet as sheets
from bigart.pictures import images
from conftest import run

FONT = ImageFont.load_default(20)


def candidates(count: int = 7, size: int = 64) -> list[np.ndarray]:
    dice = np.random.default_rng(0)
    return [dice.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(count)]


def corners(count: int, size: int, prompt_lines: int, note: bool) -> list[tuple[int, int]]:
    _, columns = sheets.grid(count)
    top = sheets.tiles_top(prompt_lines, note)
    return [sheets.tile_corner(index, columns, size, size, top) for index in range(count)]


@pytest.mark.parametrize("count", [1, 2, 4, 5, 7, 8, 12])
def test_every_picture_is_there_pixel_for_pixel(count):
    pictures = candidates(count)
    sheet = sheets.contact_sheet(pictures, "a corgi", "seed 42")
    for picture, (x, y) in zip(pictures, corners(count, 64, 1, True), strict=True):
        assert np.array_equal(sheet[y : y + 64, x : x + 64], picture)


def test_every_picture_has_its_own_number_below_it():
    sheet = sheets.contact_sheet(candidates(7), "a corgi")
    labels = [
        sheet[y + 66 : y + 64 + sheets.NUMBER_SPACE, x : x + 64]
        for x, y in corners(7, 64, 1, False)
    ]
    assert len({label.tobytes() for label in labels}) == 7
    for label in labels:
        ink = np.argwhere((label < 100).all(axis=2))
        assert np.ptp(ink[:, 0]) + 1 >= 20  # pixels high
        assert abs(ink[:, 1].mean() - 32) < 4  # centred


def test_only_the_head_depends_on_the_prompt():
    one, two = (sheets.contact_sheet(candidates(), text) for text in ("a corgi", "a tabby cat"))
    top = sheets.tiles_top(1, False)
    assert np.array_equal(one[top:], two[top:])
    assert not np.array_equal(one[:top], two[:top])


def test_the_margin_stays_empty():
    sheet = sheets.contact_sheet(candidates(), "word " * 300, "seed 42 " * 50)
    edge = sheets.MARGIN - 2
    for strip in (sheet[:edge], sheet[-20:], sheet[:, :edge], sheet[:, -edge:]):
        assert (strip == sheets.PAPER).all()


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, (1, 1)), (4, (1, 4)), (5, (2, 3)), (6, (2, 3)), (7, (2, 4)), (9, (3, 3))],
)
def test_rows_are_even(count, expected):
    assert sheets.grid(count) == expected


def test_a_prompt_is_wrapped_at_words_and_cut_with_an_ellipsis():
    lines = sheets.wrap("an italian villa at sunset, " * 20, FONT, 300, 3)
    assert len(lines) == 3
    assert lines[0] == "an italian villa at sunset, an italian"
    assert lines[-1].endswith("...")
    assert all(FONT.getlength(line) <= 300 for line in lines)
    assert sheets.wrap("a corgi", FONT, 300, 3) == ["a corgi"]
    assert sheets.wrap("a \t\n corgi\x07", FONT, 300, 3) == ["a corgi"]
    assert sheets.wrap("", FONT, 300, 3) == []
    assert sheets.wrap("x" * 100, FONT, 300, 9)[0].startswith("xxx")


def test_letters_beyond_the_font_do_not_hide_the_others():
    assert sheets.wrap("café", FONT, 300, 1) == ["cafe"]
    assert sheets.wrap("山水 cat", FONT, 300, 1) == ["山水 cat"]  # two crossed boxes and "cat"


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=200), st.integers(1, 4))
def test_any_prompt_can_be_drawn(prompt, max_lines):
    lines = sheets.wrap(prompt, FONT, 200, max_lines)
    assert len(lines) <= max_lines
    sheets.contact_sheet(candidates(1, 8), prompt, prompt)


def test_pictures_that_do_not_go_together_are_refused():
    with pytest.raises(UserError, match="32x32, 64x64"):
        sheets.contact_sheet([*candidates(1), *candidates(1, 32)], "x")


@pytest.mark.parametrize("name", ["candidates.png", "candidates.jpg"])
def test_the_command(tmp_path, name):
    paths = [tmp_path / f"{number}.png" for number in range(1, 8)]
    for path, picture in zip(paths, candidates(), strict=True):
        picture_file.write_picture(path, picture, recipe.start())
    prompt = "--a \"cat\" & 'dog' $HOME 🎨"
    words = [f"--prompt={prompt}", "--seed", 42, "--artwork", "dog", "--out", tmp_path / name]
    result = run("contact_sheet.py", "--images", *paths, *words)
    assert result.returncode == 0, result.stderr
    stage = picture_file.read_recipe(tmp_path / name)["stages"][0]
    assert (stage["prompt"], stage["seed"], stage["candidates"]) == (prompt, 42, 7)
    sheet = sheets.contact_sheet(candidates(), prompt, "dog, seed 42")
    assert np.abs(images.read_rgb(tmp_path / name).astype(int) - sheet).mean() < 6
