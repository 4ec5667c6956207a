"""Write what the gallery shows of a finished artwork: tiles of the final, stages, the recipe.

The folder holds tiles.dzi and tiles_files/ (Deep Zoom), preview.jpg, card.jpg, a JPEG for each
stage, and facts.json, which says what they are.
"""

import argparse
import json
import shutil
from pathlib import Path

from bigart.commands import command
from bigart.config import gallery
from bigart.metadata import measured, picture_file
from bigart.pictures import views
from bigart.running import files

TILE_QUALITY, STAGE_QUALITY, CARD_QUALITY = 88, 90, 82
CARD_SIDE = 640  # in pixels: a card of the gallery on a screen with two pixels to the point
STAGE_SIDE = 1024


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artwork", required=True, help="the artwork's name")
    parser.add_argument("--final", required=True, help="the final picture")
    parser.add_argument("--preview", required=True, help="its preview: .jpg")
    for name in gallery.STAGES_SHOWN:
        parser.add_argument(f"--{name}", help=f"the picture of the stage {name}")
    parser.add_argument("--logs", help="the artwork's folder of logs, for time and memory")
    parser.add_argument("--out", required=True, help="the folder to write")
    parser.add_argument("--out-recipe", required=True, help="the page of the recipe: .html")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Write folder and page."""
    recipe = picture_file.recipe_so_far(arguments.final)
    suffix = Path(arguments.final).suffix.removeprefix(".")
    took = measured.read(Path(arguments.logs), suffix) if arguments.logs else []
    with files.atomic_folder(arguments.out) as folder:
        width, height = views.save_tiles(arguments.final, folder, "tiles", TILE_QUALITY)
        shutil.copyfile(arguments.preview, folder / "preview.jpg")
        card = views.shrunk(arguments.preview, CARD_SIDE)
        views.save_jpeg(folder / "card.jpg", card, CARD_QUALITY)
        stages = []
        for name in gallery.STAGES_SHOWN:
            path = vars(arguments)[name.replace("-", "_")]
            if path is None:
                continue
            picture = views.shrunk(path, STAGE_SIDE)
            views.save_jpeg(folder / f"{name}.jpg", picture, STAGE_QUALITY)
            stages.append({"name": name, "width": picture.shape[1], "height": picture.shape[0]})
        facts = {
            "width": width,
            "height": height,
            "preview": views.size(arguments.preview),
            "card": card.shape[1::-1],
            "file": Path(arguments.final).name,
            "bytes": Path(arguments.final).stat().st_size,
            "stages": stages,
            "recipe": recipe,
            "measured": measured.as_json(took),
        }
        text = json.dumps(facts, indent=1)
        (folder / "facts.json").write_text(f"{text}\n", encoding="utf-8")
    page = gallery.recipe_page(arguments.artwork, facts)
    with files.atomic(arguments.out_recipe) as temporary:
        temporary.write_bytes(page)


if __name__ == "__main__":
    main()
