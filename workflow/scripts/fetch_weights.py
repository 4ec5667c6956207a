"""Fetch one model file: resumed after a break, verified, whole or absent."""

import argparse

from bigart.commands import command
from bigart.weights import download, table


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    table.add_arguments(parser)
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Fetch the file, or those that it is a blend of, and say where they are."""
    file = table.read_models(arguments.models).file(arguments.name)
    for source in file.sources:
        print(download.fetch(source, arguments.weights))


if __name__ == "__main__":
    main()
