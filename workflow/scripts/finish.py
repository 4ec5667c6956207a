"""Write the final picture, ready for print: format, resolution, colour profile, recipe."""

import argparse

from bigart.commands import command
from bigart.metadata import picture_file, recipe
from bigart.pictures import images


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="the picture to finish")
    parser.add_argument("--out", required=True, help="the final file: .png, .jpg or .tif")
    parser.add_argument("--dpi", type=_number, default=300, help="pixels per inch (default: 300)")
    parser.add_argument("--quality", type=int, default=95, help="of a JPEG, 1-100 (default: 95)")
    command.main(parser, run)


def _number(text: str) -> float:
    """Return a number; a whole one without a point, as recipes have it."""
    return int(text) if text.isdecimal() else float(text)


def run(arguments: argparse.Namespace) -> None:
    """Write the final picture."""
    kind = picture_file.format_of(arguments.out)
    record = {"format": kind, "dpi": arguments.dpi}
    if kind == "JPEG":
        record["quality"] = arguments.quality
    made = recipe.extend(picture_file.recipe_so_far(arguments.image), "final", **record)
    if picture_file.copy_pixels(arguments.image, arguments.out, made, arguments.dpi):
        return
    picture = images.read_rgb(arguments.image)
    picture_file.write_picture(arguments.out, picture, made, arguments.dpi, arguments.quality)


if __name__ == "__main__":
    main()
