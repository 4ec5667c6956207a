"""Add artworks to the table: a row for each prompt, with a name made from it and a new seed.

Every other option of the row stays blank, so that it has the value of config.yaml, or is given by a
flag. The row is checked first: nothing is written where the table would have an error.

    python workflow/scripts/add_artwork.py "a lighthouse in a storm" --steps 60 --guidance 3.5
"""

import argparse
import contextlib
import logging
from pathlib import Path

from bigart.commands import command
from bigart.config import new_artworks, options, project
from bigart.config.options import Options
from bigart.config.table_file import TableFile
from bigart.errors import UserError, named, show, together
from bigart.running import yaml_file
from bigart.weights.table import ROOT, TABLE, read_models

log = logging.getLogger("bigart")


def main() -> None:
    """Run the command."""
    command.main(parser(), run)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="add_artwork.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("prompts", nargs="*", metavar="PROMPT", help="what to paint, in quotes")
    result.add_argument("--file", type=Path, help="a text file with a prompt in each line")
    result.add_argument("--artwork", default="", help="the name, instead of one from the prompt")
    result.add_argument("--config", default="config/config.yaml", help="default: %(default)s")
    group = result.add_argument_group("columns, for all prompts of the command")
    for name in (*Options.model_fields, *options.SOURCES):
        words = f"{options.PROPERTIES[name]['description']}: {options.allowed(name)}"
        if name == "seed":
            words += " (default: drawn by chance)"
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, metavar="VALUE", help=words.replace("%", "%%"))
    return result


def run(arguments: argparse.Namespace) -> None:
    """Add the rows, and say which.

    Raises:
        UserError: There is no prompt, or the table would have an error.
    """
    prompts = [*arguments.prompts]
    if arguments.file:
        prompts += new_artworks.prompts_of(arguments.file)
    if not prompts:
        raise UserError("no prompt: write one in quotes, or name a file of prompts with --file")
    if arguments.artwork and len(prompts) > 1:
        raise UserError(f"--artwork names one artwork, and there are {len(prompts)} prompts")
    mapping = yaml_file.read(arguments.config).content
    config, _, errors = project.read(mapping, [arguments.config])
    if errors := [error for error in errors if error.file != config.table]:
        raise together([*map(str, errors)])
    table = TableFile.read(config.table)
    cells = {name: getattr(arguments, name) for name in (*Options.model_fields, *options.SOURCES)}
    cells = {name: text for name, text in cells.items() if text is not None}
    new, rows, added = new_artworks.with_artworks(table, config, prompts, cells, arguments.artwork)
    new.save(table)
    for row in rows:
        what = f"{named(row['artwork'])}, seed {row['seed']}: {show(row['prompt'])}"
        print(f"{config.table}: added {what}")
    if len(added) > len(rows):
        print(f"These rows are sweeps: they make {len(added)} artworks.")
    with contextlib.suppress(UserError):  # what is wrong with the models, Snakemake says
        files = read_models(config.models_table or TABLE, root=ROOT).set(config.models)
        for warning in project.unknown_words(config, added, files):
            log.warning("warning: %s", warning)
    log.info("`snakemake gallery_candidates --cores 8` paints candidates to choose from.")


if __name__ == "__main__":
    main()
