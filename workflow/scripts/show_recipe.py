"""Show how a picture was made: the recipe that BIG.art keeps in every file.

With --row: the row of the table, and the config, that make the picture again.
"""

import argparse
import json
import sys

from bigart.commands import command
from bigart.metadata import picture_file, recipe
from bigart.weights.table import ROOT, TABLE, read_models


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", help="a .png, .jpg or .tif")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print it as JSON")
    form.add_argument(
        "--row", action="store_true", help="print what makes it again: a table, and config.yaml"
    )
    parser.add_argument(
        "--models", default=TABLE, help="the table of models, for --row (default: the project's)"
    )
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Print the recipe."""
    made = picture_file.read_recipe(arguments.picture)
    if arguments.row:
        from bigart.config import recipe_row  # takes a second

        text = recipe_row.text(made, read_models(arguments.models, root=ROOT)).removesuffix("\n")
    else:
        text = json.dumps(made, indent=2) if arguments.json else recipe.describe(made)
    sys.stdout.buffer.write(f"{text}\n".encode(errors="backslashreplace"))


if __name__ == "__main__":
    main()
