"""Write the page of the gallery beside the renderings of the artworks, with what it needs."""

import argparse
import json
import shutil
from pathlib import Path

from bigart.commands import command
from bigart.config import gallery
from bigart.config.options import Config, checked
from bigart.errors import together
from bigart.running import files


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, help="the config as JSON; its table is read")
    parser.add_argument("--out", required=True, help="the page: .html")
    parser.add_argument("--out-assets", required=True, help="the folder of what it needs")
    command.main(parser, run)


def run(arguments: argparse.Namespace) -> None:
    """Write page and folder."""
    config, wrong = checked(Config, json.loads(arguments.settings))
    if config is None:
        raise together([f"--settings: {name}: {message}" for name, message in wrong.items()])
    page = Path(arguments.out)
    columns, found = gallery.shown(config, page.parent)
    with files.atomic_folder(arguments.out_assets) as folder:
        for name in gallery.ASSETS:
            shutil.copyfile(gallery.TEMPLATES / name, folder / name)
    with files.atomic(page) as temporary:
        temporary.write_bytes(gallery.page(columns, found, config))


if __name__ == "__main__":
    main()
