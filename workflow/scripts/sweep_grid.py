"""Lay the pictures of a sweep out on one sheet, under labels that say their values."""

import argparse
from collections.abc import Callable
from pathlib import Path

from bigart.commands import command
from bigart.config import sweeps
from bigart.config.options import add_option
from bigart.errors import UserError
from bigart.metadata import parameters, picture_file, recipe
from bigart.pictures import images
from bigart.pictures.images import Picture
from bigart.pictures.sweep_grid import (
    Size,
    Sweep,
    Values,
    numbered,
    numbered_size,
    shrunk,
    sweep_grid,
)
from bigart.stages import STAGES

PREVIEW = "preview.jpg"
CANDIDATE = STAGES["upsampled"].file
FINAL_SIDE = 560  # pixels


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", required=True, help="the folder of the artworks")
    add_option(parser, "--row", "artwork")
    parser.add_argument(
        "--axis",
        required=True,
        action="append",
        help="a column and its values, written as --axis='seed=1|2|3'; for several, several times",
    )
    parser.add_argument("--show", required=True, choices=("finals", "candidates"))
    parser.add_argument("--candidates", type=int, default=1, help="how many there are (default: 1)")
    parser.add_argument("--prompt", default="", help="the prompt, written as --prompt='...'")
    parser.add_argument("--out", required=True, help="the sheet: .png, .jpg or .tif")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Write the sheet."""
    axes = dict(map(_axis, arguments.axis))
    picture, cell = _pictures(arguments, axes)
    sheet = sweep_grid(
        Sweep(
            title=f"{arguments.row}: {arguments.show}",
            prompt=arguments.prompt,
            axes=axes,
            caption=lambda values: sweeps.name(arguments.row, values),
            picture=picture,
            frames=arguments.show == "finals",
        ),
        cell,
    )
    picture_file.write_picture(arguments.out, sheet, _recipe(arguments, axes))


def _recipe(arguments: argparse.Namespace, axes: dict[str, list[str]]) -> recipe.Recipe:
    """Return what the sheet says about itself: what all pictures share, and the values of each."""
    first = _folder(arguments, {column: values[0] for column, values in axes.items()})
    picture = first / (PREVIEW if arguments.show == "finals" else CANDIDATE.format(candidate=1))
    shared = parameters.generation(picture_file.recipe_so_far(picture))
    listed = {column: "|".join(values) for column, values in axes.items()}
    given = {"artwork": arguments.row, "prompt": arguments.prompt, "shows": arguments.show}
    return recipe.extend(recipe.start(), "sweep", **{**shared, **given, **listed})


def _folder(arguments: argparse.Namespace, values: Values) -> Path:
    return Path(arguments.results, sweeps.name(arguments.row, values))


def _axis(written: str) -> tuple[str, list[str]]:
    column, _, values = written.partition("=")
    if column not in sweeps.COLUMNS or not all(values.split("|")):
        raise UserError(
            f"--axis is '{written}'; allowed is a column that may list values, and its values: "
            "seed=1|2|3"
        )
    return column, values.split("|")


def _pictures(
    arguments: argparse.Namespace, axes: dict[str, list[str]]
) -> tuple[Callable[[Values, Size], Picture], Size]:
    """Return what reads the picture of a combination, and the size that it should have."""

    def final(values: Values, box: Size) -> Picture:
        return shrunk(images.read_rgb(_folder(arguments, values) / PREVIEW), box)

    def candidates(values: Values) -> list[Picture]:
        names = (CANDIDATE.format(candidate=k) for k in range(1, arguments.candidates + 1))
        return [images.read_rgb(_folder(arguments, values) / name) for name in names]

    if arguments.show == "finals":
        return final, (FINAL_SIDE, FINAL_SIDE)
    first = candidates({column: values[0] for column, values in axes.items()})
    size = numbered_size(len(first), first[0].shape[1::-1])
    return lambda values, box: numbered(candidates(values), box), size


if __name__ == "__main__":
    main()
