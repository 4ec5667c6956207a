"""Take a picture of one's own into the workflow: upright, in sRGB, without the camera's notes.

The file is only read. Place, time, camera and all else that it says of itself stay behind.
"""

import argparse
from pathlib import Path

from bigart.commands import command
from bigart.metadata import print_file, recipe
from bigart.pictures import print_rows
from bigart.running import files

STAGE = "picture"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", required=True, help="the picture")
    parser.add_argument("--out", required=True, help="the PNG to write")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Write the picture."""
    path = arguments.picture
    with print_rows.opened_large(path) as image:
        made = recipe.extend(
            recipe.start(),
            STAGE,
            picture=Path(path).name,
            sha256=files.sha256(path),
            pixels=[*image.size],
        )
        print_file.write(arguments.out, image.size, print_rows.rows(image, path), made)


if __name__ == "__main__":
    main()
