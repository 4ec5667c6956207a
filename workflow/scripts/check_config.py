"""Check config.yaml, the table of artworks and the models, and say what they ask for.

Prints a summary, or every fault at once (exit status 1). Nothing is painted.
"""

import argparse
import json
from pathlib import Path

from bigart.commands import command
from bigart.config import artworks, options, project
from bigart.errors import show
from bigart.weights.table import TABLE, ModelFile

ROOT = Path(__file__).parent.parent.parent


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(prog="check_config.py", description=__doc__)
    result.add_argument(
        "config", nargs="?", default="config/config.yaml", type=Path, help="default: %(default)s"
    )
    result.add_argument("--table", help="check this table in place of the config's")
    result.add_argument("--models", help="check this table of models in place of the config's")
    result.add_argument(
        "--options", action="store_true", help="print every option as the table of config/README.md"
    )
    return result


def run(arguments: argparse.Namespace) -> None:
    """Check and summarise, or print the options.

    Raises:
        UserError: Something is wrong; the message lists every fault.
    """
    if arguments.options:
        print(options_table(), end="")
        return
    mapping = artworks.read_config_file(arguments.config)
    if arguments.table:
        mapping["table"] = arguments.table
    if arguments.models:
        mapping["models_table"] = arguments.models
    config, table, files = project.load(mapping, [arguments.config], TABLE, ROOT)
    print(summary(config, table), end="")
    warnings = _cut_prompts(table, files) + project.unknown_words(config, table, files)
    for warning in warnings:
        print(f"warning: {warning}")


def _cut_prompts(table: dict[str, artworks.Artwork], files: dict[str, ModelFile]) -> list[str]:
    """Return a warning for each prompt of which the models read only a part."""
    vocabulary, merges = (files[role].final_path() for role in ("vocabulary", "merges"))
    if not (vocabulary.is_file() and merges.is_file()):
        return ["whether the prompts are too long shows once `snakemake weights` has run"]
    # only here, since torch comes with them
    from bigart.networks.tokenizer import Tokenizer
    from bigart.weights.network_file import load_metadata

    base = files["base"]
    path = base.final_path()
    options = json.loads(load_metadata(path)["options"]) if path.is_file() else base.options
    encode = Tokenizer.from_files(vocabulary, merges).encode
    return artworks.prompt_warnings(table, encode, options.get("text_ctx", 128))


def summary(config: artworks.Config, table: dict[str, artworks.Artwork]) -> str:
    """Return what will be painted, and what differs from the defaults, as lines of text."""
    count = project.counted(len(table), "artwork")
    lines = [f"{count} in {config.table}, painted by the {config.models} models"]
    changed = [
        f"  {name}: {show(value)} (default {show(standard)})"
        for name in options.options()
        if (value := getattr(config, name)) != (standard := options.default(name))
    ]
    if changed:
        lines += ["", "Not the default, for all artworks:", *changed]
    lines.append("")
    for artwork in table.values():
        own = ", ".join(
            f"{name} {show(value)}"
            for name in options.columns()
            if name not in options.required_columns()
            and (value := getattr(artwork, name)) != getattr(config, name)
        )
        lines.append(f"  {artwork.artwork}: {show(artwork.prompt)}")
        if own:
            lines.append(f"    {own}")
    return "\n".join(lines) + "\n"


def options_table() -> str:
    """Return every option as a Markdown table: name, meaning, allowed, default, column or not."""
    lines = [
        "| option | meaning | allowed | default | column |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, schema in options.options().items():
        default = schema["default"]
        written = show(default) if isinstance(default, bool) else str(default)
        lines.append(
            f"| `{name}` | {schema['description']} | {options.allowed(schema)} "
            f"| {f'`{written}`' if written else 'blank'} "
            f"| {'yes' if 'x-column' in schema else ''} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    command.main(parser(), run)
