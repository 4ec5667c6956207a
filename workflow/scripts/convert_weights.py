"""Convert one checkpoint to safetensors, verified, without running anything that is in it."""

import argparse
import logging
from pathlib import Path

from bigart import checkpoints, cli, fetch, models
from bigart.errors import UserError

log = logging.getLogger("bigart")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The result is WEIGHTS/NAME.safetensors, or what --out names.",
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
    parser.add_argument("--source", help="the checkpoint (default: the entry's path or download)")
    parser.add_argument("--out", help="the safetensors file (default: WEIGHTS/NAME.safetensors)")
    cli.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Convert the file and say where it is."""
    file = models.read_models(*arguments.models).file(arguments.name)
    if not file.needs_conversion:
        raise UserError(f"{file.name} needs no conversion: {file.final_path(arguments.weights)}")
    source = Path(arguments.source or file.source_path(arguments.weights))
    out = Path(arguments.out or file.final_path(arguments.weights))
    expected = file.sha256 or fetch.pinned_sha256(file, arguments.weights)
    metadata = checkpoints.convert(source, out, file.architecture, file.options, expected)
    log.info("%s: %s, %s", file.name, metadata["architecture"], metadata["options"])
    print(out)


if __name__ == "__main__":
    main()
