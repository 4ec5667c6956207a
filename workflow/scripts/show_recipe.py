"""Show how a picture was made: the recipe that BIG.art keeps in every file."""

import argparse
import json
import sys

from bigart.commands import command
from bigart.metadata import picture_file, recipe


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", help="a .png, .jpg or .tif")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Print the recipe."""
    made = picture_file.read_recipe(arguments.picture)
    text = json.dumps(made, indent=2) if arguments.json else recipe.describe(made)
    sys.stdout.buffer.write(f"{text}\n".encode(errors="backslashreplace"))


if __name__ == "__main__":
    main()
