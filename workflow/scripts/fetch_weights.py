"""Fetch one model file: resumed after a break, verified, whole or absent."""

import argparse

from bigart import cli, fetch, models


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The file comes to WEIGHTS/downloads/NAME with the suffix of its address. A file of "
        "that name that is already there is only verified.",
    )
    parser.add_argument("name", help="an entry of `files:` in models.yaml, for instance bsrgan")
    parser.add_argument(
        "--models",
        default=["config/models.yaml"],
        nargs="+",
        help="the table(s) of model files (default: config/models.yaml)",
    )
    parser.add_argument(
        "--weights", default="weights", help="the folder for model files (default: weights)"
    )
    cli.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Fetch the file and say where it is."""
    table = models.read_models(*arguments.models)
    print(fetch.fetch(table.file(arguments.name), arguments.weights))


if __name__ == "__main__":
    main()
