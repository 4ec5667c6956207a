"""Show the gallery in a browser, and write what is chosen there into the table of artworks.

Prints the address to open. Only this machine can reach it, and only with the token in it. A click
on a candidate writes its number into the column `choose` of the artwork's row; all else in the
table stays as it is. Nothing is painted here: end with Ctrl-C, then `snakemake gallery --cores 8`
paints what follows from the choices, and samples nothing again.
"""

import argparse
import logging
import webbrowser
from pathlib import Path

from bigart.commands import command, gallery_server
from bigart.config import project
from bigart.config.choices import Choices
from bigart.errors import UserError, together
from bigart.running import yaml_file

log = logging.getLogger("bigart")

GALLERY = "gallery"  # under `results`
PORT = 8642


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Where this runs on another machine, `ssh -L {PORT}:127.0.0.1:{PORT} THAT-MACHINE` "
        "on yours lets the address open there.",
    )
    parser.add_argument(
        "config", nargs="?", default="config/config.yaml", type=Path, help="default: %(default)s"
    )
    parser.add_argument(
        "--port", type=int, help=f"where to listen (default: {PORT}, or a free one if it is taken)"
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Serve the gallery until Ctrl-C.

    Raises:
        UserError: There is no gallery, the config or the table is wrong, or the port is taken.
    """
    mapping = yaml_file.read(arguments.config).content
    config, _, errors = project.read(mapping, [arguments.config])
    if errors:
        raise together([*map(str, errors)])
    if arguments.port is not None and not 0 <= arguments.port < 2**16:
        raise UserError(f"--port is {arguments.port}; allowed: 1 to 65535, or 0 for a free one")
    folder = Path(config.results, GALLERY)
    if not (folder / "index.html").is_file():
        raise UserError(
            f"there is no gallery in {folder}: run `snakemake gallery_candidates --cores 8`, which "
            "paints the candidates, or `snakemake gallery --cores 8`, which paints all"
        )
    choices = Choices(Path(config.table), config)
    with gallery_server.listen(folder, choices, arguments.port, PORT) as server:
        print(server.address, flush=True)
        log.info("Open this address to choose; choices go into %s. Ctrl-C ends.", config.table)
        if arguments.open and not webbrowser.open(server.address):
            log.warning("No browser could be opened here.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            log.info("\nEnded. `snakemake gallery --cores 8` paints what was chosen.")
        finally:
            choices.close()


if __name__ == "__main__":
    main()
