"""Lay the candidates of an artwork side by side, numbered, on one sheet."""

import argparse
from typing import Any

from bigart.commands import command
from bigart.config.options import AUTO
from bigart.metadata import parameters, picture_file, recipe
from bigart.pictures import images
from bigart.pictures.contact_sheet import contact_sheet


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", nargs="+", required=True, help="the candidates, in order")
    parser.add_argument("--chosen", help="what judge.py has written: the agreement is shown")
    parser.add_argument("--prompt", default="", help="the prompt, written as --prompt='...'")
    parser.add_argument("--seed", type=int, help="the seed, shown under the prompt")
    parser.add_argument("--artwork", default="", help="the artwork's name, shown with the seed")
    parser.add_argument("--out", required=True, help="the sheet: .png, .jpg or .tif")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Write the sheet."""
    pictures = [images.read_rgb(path) for path in arguments.images]
    seed = "" if arguments.seed is None else f"seed {arguments.seed}"
    scores = _agreement(arguments.chosen, len(pictures)) if arguments.chosen else {}
    judged = "agreement with the prompt on the right" if scores else ""
    note = ", ".join(filter(None, [arguments.artwork, seed, judged]))
    sheet = contact_sheet(pictures, arguments.prompt, note, **scores)
    given = {"prompt": arguments.prompt, "seed": arguments.seed, "artwork": arguments.artwork}
    known = parameters.generation(picture_file.recipe_so_far(arguments.images[0]))
    record = known | {name: value for name, value in given.items() if value not in ("", None)}
    made = recipe.extend(
        recipe.start(), "contact sheet", **record, candidates=len(pictures), **scores
    )
    picture_file.write_picture(arguments.out, sheet, made)


def _agreement(path: str, count: int) -> dict[str, Any]:
    """Return the agreement of each candidate and which is chosen, where a picture tells."""
    made = picture_file.recipe_so_far(path)
    found = recipe.agreement(made, count)  # none where a person has put the picture there
    return {"agreement": found, "chosen": recipe.candidate(made, AUTO)} if found else {}


if __name__ == "__main__":
    main()
