"""Write a smaller JPEG of a picture, for screens: at most 1500 pixels on each side, sRGB."""

import argparse

from bigart.commands import command
from bigart.metadata import picture_file, recipe
from bigart.pictures import views

SIDE, QUALITY = 1500, 88


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="the picture")
    parser.add_argument("--out", required=True, help="the preview: .jpg")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Write the preview."""
    picture = views.shrunk(arguments.image, SIDE)
    made = picture_file.recipe_so_far(arguments.image)
    if len(recipe.to_xmp(made)) > recipe.JPEG_ROOM / 2:  # of a very long prompt
        made = recipe.start()
    made = recipe.extend(made, "preview", quality=QUALITY)
    picture_file.write_picture(arguments.out, picture, made, quality=QUALITY)


if __name__ == "__main__":
    main()
