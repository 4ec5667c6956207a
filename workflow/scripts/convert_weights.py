"""Convert one checkpoint to safetensors, verified, without running anything that is in it."""

import argparse
import logging
from pathlib import Path

from bigart.commands import command
from bigart.errors import UserError
from bigart.weights import conversion, table

log = logging.getLogger("bigart")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The result is WEIGHTS/NAME.safetensors, or what --out names.",
    )
    table.add_arguments(parser)
    parser.add_argument("--source", help="the checkpoint (default: the entry's path or download)")
    parser.add_argument("--out", help="the safetensors file (default: WEIGHTS/NAME.safetensors)")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Convert the file and say where it is."""
    file = table.read_models(arguments.models).file(arguments.name)
    if not file.needs_conversion:
        raise UserError(f"{file.name} needs no conversion: {file.final_path(arguments.weights)}")
    source = Path(arguments.source or file.source_path(arguments.weights))
    out = Path(arguments.out or file.final_path(arguments.weights))
    sha256 = file.check(source, arguments.weights)
    metadata = conversion.convert(source, out, file.architecture, file.options, sha256)
    log.info("%s: %s, %s", file.name, metadata["architecture"], metadata["options"])
    print(out)


if __name__ == "__main__":
    main()
