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
    models.add_arguments(parser)
    cli.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Fetch the file and say where it is."""
    print(fetch.fetch(models.asked_file(arguments), arguments.weights))


if __name__ == "__main__":
    main()
