"""Convert one model file to safetensors, verified, without running anything that is in it."""

import argparse
import hashlib
import logging
from pathlib import Path

from bigart.commands import command
from bigart.errors import UserError
from bigart.running import files
from bigart.weights import conversion, table
from bigart.weights.ncnn import weights_beside

log = logging.getLogger("bigart")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    table.add_arguments(parser)
    parser.add_argument(
        "--source",
        nargs="+",
        help="the file, or those that are blended (default: the entry's paths or downloads)",
    )
    parser.add_argument("--out", help="the safetensors file (default: WEIGHTS/NAME.safetensors)")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Convert the file and say where it is."""
    file = table.read_models(arguments.models).file(arguments.name)
    if not file.needs_conversion:
        raise UserError(f"{file.name} needs no conversion: {file.final_path(arguments.weights)}")
    given = arguments.source or [part.source_path(arguments.weights) for part in file.sources]
    if len(given) != len(file.sources):
        raise UserError(
            f"{file.name} is made of {len(file.sources)} files; --source has {len(given)}"
        )
    out = Path(arguments.out or file.final_path(arguments.weights))
    found, hashes = [], []
    for part, source in zip(file.sources, map(Path, given), strict=True):
        sha256 = part.check(source, arguments.weights)
        architecture, options = part.architecture, part.options
        found.append(
            conversion.open_checkpoint(source, architecture, options, not sha256, part.file)
        )
        hashes.append(sha256 or files.sha256(weights_beside(source) or source))
    if file.parts:
        shares = [share for share, _ in file.parts]
        network = conversion.blended(list(zip(shares, found, strict=True)))
        parts = [f"{share:g} {sha256}" for share, sha256 in zip(shares, hashes, strict=True)]
        hashes = [hashlib.sha256("\n".join(parts).encode()).hexdigest()]
    else:
        [network] = found
    metadata = conversion.save(network, out, hashes[0])
    log.info("%s: %s, %s", file.name, metadata["architecture"], metadata["options"])
    print(out)


if __name__ == "__main__":
    main()
