"""The grids of a sweep: every picture under its values, on one sheet of a bounded size."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from bigart.config import sweeps
from bigart.metadata import parameters, picture_file, recipe
from bigart.pictures import images, text
from bigart.pictures import sweep_grid as grids
from bigart.stages import STAGES
from projects import ROOT, run_command


def colours(axes):
    """A colour of its own for each combination."""
    combinations = [
        dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
    ]
    dice = np.random.default_rng(3)
    return [(values, dice.integers(60, 220, 3, np.uint8)) for values in combinations]


def laid_out(axes, cell=(96, 96), prompt="a lake", side=None):
    """Return the sheet, what was written on it, and where each combination's picture is."""
    known = colours(axes)

    def picture(values, box):
        colour = next(colour for of, colour in known if of == dict(values))
        width, height = (side or box[0], side or box[1])
        return np.broadcast_to(colour, (height, width, 3)).copy()

    words = []
    with pytest.MonkeyPatch.context() as patch:
        drawn = text.draw
        patch.setattr(text, "draw", lambda sheet, *line: (words.append(line), drawn(sheet, *line)))
        sweep = grids.Sweep("lake: finals", prompt, axes, lambda v: "-".join(v.values()), picture)
        sheet = grids.sweep_grid(sweep, cell)
    places = {}
    for values, colour in known:
        y, x = np.nonzero((sheet == colour).all(axis=2))
        places[tuple(values.values())] = (x.min(), y.min(), x.max() + 1, y.max() + 1)
        assert len(x) == (x.max() + 1 - x.min()) * (y.max() + 1 - y.min())
    return sheet, words, places


def beside(words, value, start, end, axis):
    """Whether a label with that text has its left end or baseline between two places."""
    return any(start <= line[axis] < end for line in words if line[2].text == value)


AXES = {"seed": ["1", "2", "4294967295"], "guidance": ["2", "3.5"]}


def test_each_picture_is_in_the_column_and_row_of_its_values():
    _, words, places = laid_out(AXES)
    for (seed, guidance), (left, top, right, bottom) in places.items():
        assert (right - left, bottom - top) == (96, 96)
        assert beside(words, seed, left - 48, right, axis=0)
        assert beside(words, guidance, top, bottom, axis=1)
    assert len({place[0] for place in places.values()}) == 3
    assert len({place[1] for place in places.values()}) == 2
    said = [line[2].text for line in words]
    assert said[0] == "lake: finals"
    assert {"a lake", "seed", "guidance", "4294967295-3.5"} <= {*said}


def test_labels_are_large_and_dark():
    _, words, _ = laid_out(AXES, cell=(560, 560))
    sizes = {line[2].text: line[3] for line in words}
    assert sizes["3.5"] >= 60
    assert sizes["seed"] >= 40
    for line in words:
        assert 1.05 / (0.05 + (line[4][0] / 255) ** 2.2) > 5  # contrast with white


def test_every_further_axis_gives_blocks_with_titles():
    axes = AXES | {"detail": ["true", "false"], "format": ["png", "jpg"]}
    _, words, places = laid_out(axes)
    said = [line[2].text for line in words]
    for detail, suffix in itertools.product(axes["detail"], axes["format"]):
        assert said.count(f"detail {detail}, format {suffix}") == 1
    assert said.count("4294967295") == 4
    assert len(places) == 24


@pytest.mark.parametrize(
    ("counts", "aspect", "expected"),
    [
        ((5, 1, 1), 1, (5, 1)),  # one row
        ((8, 1, 1), 1, (8, 1)),
        ((9, 1, 1), 1, (3, 1)),
        ((12, 1, 1), 1, (4, 1)),
        ((200, 1, 1), 1, (15, 1)),
        ((4, 1, 1), 1.7, (4, 1)),
        ((5, 1, 1), 1.7, (2, 1)),  # candidates are wide
        ((14, 14, 1), 1, (14, 1)),
        ((3, 2, 4), 1, (3, 2)),
        ((2, 2, 50), 1, (2, 7)),  # small blocks stand side by side
    ],
)
def test_the_sheet_is_neither_long_nor_wide(counts, aspect, expected):
    assert grids.arrangement(*counts, aspect) == expected


@pytest.mark.parametrize("counts", [(200,), (2, 100), (100, 2), (14, 14), (2, 2, 50), (1, 1)])
def test_the_largest_sweeps_fit_a_sheet_that_can_be_opened(counts):
    names = ("seed", "steps", "guidance")
    axes = {name: [str(k) for k in range(1, n + 1)] for name, n in zip(names, counts, strict=False)}
    plan = grids._Plan(96, 96)
    sweep = grids.Sweep("lake", "a lake", axes, lambda values: sweeps.name("lake", values), None)
    width, height = plan.all_of(sweep)
    assert len(plan.cells) == np.prod(counts)
    assert len({place[:2] for place in plan.cells}) == len(plan.cells)
    assert max(x for x, _, _ in plan.cells) + 96 < width
    assert max(y for _, y, _ in plan.cells) + 96 < height
    assert max(width, height) < 4 * min(width, height)


def test_a_sheet_that_would_be_too_large_has_smaller_pictures(monkeypatch):
    monkeypatch.setattr(grids, "LARGEST", 100_000)
    sheet, _, places = laid_out(AXES)
    assert sheet.shape[0] * sheet.shape[1] <= 100_000
    assert len(places) == 6
    monkeypatch.setattr(grids, "LONGEST", 300)
    sheet, _, _ = laid_out(AXES)
    assert max(sheet.shape) <= 300


def test_a_picture_of_another_shape_is_in_the_middle():
    _, _, places = laid_out(AXES, side=40)
    lefts = sorted({place[0] for place in places.values()})
    assert lefts[1] - lefts[0] > 96


@pytest.mark.parametrize("prompt", ["", "ขี้ขลาด ཨོཾ", "z" * 500, "\ud800\x00", "بحيرة " * 99])
def test_no_prompt_reaches_into_pictures_or_margin(prompt):
    sheet, _, places = laid_out(AXES, prompt=prompt)
    assert len(places) == 6
    for strip in (sheet[:, :8], sheet[:, -8:], sheet[-4:]):
        assert (strip == grids.PAPER).all()


def test_candidates_have_their_numbers_and_keep_their_pixels():
    dice = np.random.default_rng(0)
    pictures = [dice.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(7)]
    size = grids.numbered_size(7, (64, 64))
    cell = grids.numbered(pictures, size)
    assert cell.shape[1::-1] == size
    for number, picture in enumerate(pictures):
        row, column = divmod(number, 4)
        y, x = row * (size[1] // 2), column * (64 + 3)
        assert np.array_equal(cell[y : y + 63, x : x + 64], picture[:63])
        assert (cell[y + 66 : y + size[1] // 2 - 2, x : x + 64] < 100).any()
    smaller = grids.numbered(pictures, (size[0] // 2, size[1]))
    assert smaller.shape[1] <= size[0] // 2


# The command


def test_the_command_reads_the_artworks_of_a_sweep(tmp_path):
    made = recipe.extend(recipe.start(), "thumbnails", prompt="a lake", seed=1, steps=60)
    for seed, shade in (("1", 80), ("2", 160)):
        folder = tmp_path / sweeps.name("lake", {"seed": seed})
        picture = np.full((64, 64, 3), shade, np.uint8)
        picture_file.write_picture(folder / "preview.jpg", picture, made)
        for k in (1, 2, 3):
            name = STAGES["upsampled"].file.format(candidate=k)
            picture_file.write_picture(folder / name, picture + 10 * k, made)
    common = ["--results", tmp_path, "--row=lake", "--axis=seed=1|2", "--prompt=a lake"]
    for shows, shades in (("finals", {80, 160}), ("candidates", {90, 100, 110, 170, 180, 190})):
        out = tmp_path / f"{shows}.png"
        arguments = [*common, f"--show={shows}", "--candidates=3", "--out", out]
        assert run_command("sweep_grid", *arguments) == 0
        sheet = images.read_rgb(out)
        for shade in shades:
            assert ((sheet == shade).all(axis=2)).sum() > 3000
        read = picture_file.read_recipe(out)
        assert parameters.text(read, (9, 9)) == (
            f"a lake\nSteps: 60, Seed: 1|2, Size: 9x9, Version: BIG.art {read['bigart']}"
        )
        before = out.read_bytes()
        assert run_command("sweep_grid", *arguments) == 0
        assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        ("sead=1", "--axis is 'sead=1'; allowed is"),
        ("seed=1|", "allowed"),
        ("seed=1", "no picture"),
    ],
)
def test_wrong_arguments_have_a_message(tmp_path, capsys, axis, said):
    arguments = ["--results", tmp_path, "--row=lake", f"--axis={axis}", "--show=finals"]
    assert run_command("sweep_grid", *arguments, "--out", tmp_path / "a.png") == 1
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_a_grid_needs_no_torch():
    command = [
        sys.executable,
        "-X",
        "importtime",
        ROOT / "workflow/scripts/sweep_grid.py",
        "--help",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "numpy" in imported
    assert not imported & {"torch", "pandas"}
