"""The contact sheet: every candidate pixel for pixel, under a number one can read."""

import numpy as np
import pytest

from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.pictures import contact_sheet as sheets
from bigart.pictures import images
from conftest import run


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


def test_a_prompt_has_four_lines_at_most_and_begins_where_its_script_begins():
    left, right = (sheets.contact_sheet(candidates(2), word * 5) for word in ("a lake ", "بحيرة "))
    ink = [np.argwhere((sheet[:86] < 150).all(axis=2))[:, 1] for sheet in (left, right)]
    assert ink[0].min() < sheets.MARGIN + 5
    assert ink[1].max() > right.shape[1] - sheets.MARGIN - 5
    assert ink[1].min() > sheets.MARGIN + 50
    heights = [len(sheets.contact_sheet(candidates(1), "word " * count)) for count in (1, 40, 400)]
    assert heights[2] == heights[0] + 3 * sheets.PROMPT_LINE


@pytest.mark.parametrize("prompt", ["", "ขี้ขลาด ពណ៌ស ཨོཾ", "z" * 500, "\ud800\x00", "👩🏽‍🎨" * 99])
def test_no_prompt_reaches_into_pictures_or_margin(prompt):
    pictures = candidates(3)
    sheet = sheets.contact_sheet(pictures, prompt, prompt)
    edge = sheets.MARGIN - 2
    for strip in (sheet[: edge - 8], sheet[-20:], sheet[:, :edge], sheet[:, -edge:]):
        assert (strip == sheets.PAPER).all()
    place = (sheet == pictures[2][0, 0]).all(axis=2)
    assert any(
        np.array_equal(sheet[y : y + 64, x : x + 64], pictures[2]) for y, x in np.argwhere(place)
    )


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
