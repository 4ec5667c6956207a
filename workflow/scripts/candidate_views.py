"""Write the candidates of an artwork and their contact sheet as JPEG, for the gallery."""

import argparse
import json

from bigart.commands import command
from bigart.config.options import AUTO
from bigart.metadata import picture_file, recipe
from bigart.pictures import images, views
from bigart.running import files

QUALITY, SHEET_QUALITY = 95, 88


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", nargs="+", required=True, help="the candidates, in order")
    parser.add_argument("--chosen", help="what judge.py has written, if it has")
    parser.add_argument("--sheet", required=True, help="the contact sheet")
    parser.add_argument("--out", required=True, help="the folder to write: 1.jpg, 2.jpg ...")
    parser.add_argument("--out-sheet", required=True, help="the sheet to write: .jpg")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Write folder and sheet."""
    pictures = [images.read_rgb(path) for path in arguments.images]
    sheet = images.read_rgb(arguments.sheet)
    with files.atomic(arguments.out_sheet) as temporary:
        views.save_jpeg(temporary, sheet, SHEET_QUALITY)
    with files.atomic_folder(arguments.out) as folder:
        for number, picture in enumerate(pictures, start=1):
            views.save_jpeg(folder / f"{number}.jpg", picture, QUALITY)
        height, width = pictures[0].shape[:2]
        facts = {"count": len(pictures), "width": width, "height": height}
        if arguments.chosen:
            made = picture_file.recipe_so_far(arguments.chosen)
            facts["chosen"] = recipe.candidate(made, AUTO)
            facts["agreement"] = recipe.agreement(made, len(pictures))
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main()
