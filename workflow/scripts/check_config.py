"""Check config.yaml, the table of artworks and the models, and say what they ask for.

Prints a summary, or every error at once (exit status 1). Nothing is painted.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from bigart.commands import command
from bigart.config import options, project
from bigart.config.options import COLUMNS, DEFAULTS, REQUIRED, Artwork, Config
from bigart.errors import show
from bigart.weights.table import TABLE, ModelFile

ROOT = Path(__file__).parent.parent.parent
SCHEMAS = ROOT / "workflow" / "schemas"


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
    result.add_argument(
        "--schemas", action="store_true", help="write the JSON schemas in workflow/schemas"
    )
    return result


def run(arguments: argparse.Namespace) -> None:
    """Check and summarise, or print the options, or write the schemas.

    Raises:
        UserError: Something is wrong; the message lists every error.
    """
    if arguments.options:
        print(options_table(), end="")
        return
    if arguments.schemas:
        for path, text in schemas().items():
            path.write_text(text, encoding="utf-8")
        return
    mapping = project.read_config_file(arguments.config)
    if arguments.table:
        mapping["table"] = arguments.table
    if arguments.models:
        mapping["models_table"] = arguments.models
    config, table, files = project.load(mapping, [arguments.config], TABLE, ROOT)
    print(summary(config, table), end="")
    for warning in [*_cut_prompts(table, files), *project.unknown_words(config, table, files)]:
        print(f"warning: {warning}")


def _cut_prompts(table: Mapping[str, Artwork], files: Mapping[str, ModelFile]) -> Iterator[str]:
    """Yield a warning for each prompt that is longer than the models read."""
    vocabulary, merges = (files[role].final_path() for role in ("vocabulary", "merges"))
    if not (vocabulary.is_file() and merges.is_file()):
        yield "whether the prompts are too long shows once `snakemake weights` has run"
        return
    # only here, since torch comes with them
    from bigart.networks.tokenizer import Tokenizer
    from bigart.weights.network_file import load_metadata

    path = files["base"].final_path()
    sizes = json.loads(load_metadata(path)["options"]) if path.is_file() else files["base"].options
    context = sizes.get("text_ctx", 128)
    tokenizer = Tokenizer.from_files(vocabulary, merges)
    for place, text in project.texts(table):
        if len(tokens := tokenizer.encode(text)) > context:
            cut = tokenizer.decode(tokens[context:]).strip()
            yield (
                f"{place}: the models read {context} tokens and this has {len(tokens)}; "
                f"this end is cut: {show(cut, 400)}"
            )


def summary(config: Config, table: Mapping[str, Artwork]) -> str:
    """Return what will be painted, and what differs from the defaults, as lines of text."""
    count = project.counted(len(table), "artwork")
    lines = [f"{count} in {config.table}, painted by the {config.models} models"]
    changed = [
        f"  {name}: {show(value)} (default {show(default)})"
        for name, default in DEFAULTS.items()
        if (value := getattr(config, name)) != default
    ]
    lines += ["", "Not the default, for all artworks:", *changed] if changed else []
    lines.append("")
    for artwork in table.values():
        own = ", ".join(
            f"{name} {show(value)}"
            for name in COLUMNS
            if name not in REQUIRED and (value := getattr(artwork, name)) != getattr(config, name)
        )
        lines.append(f"  {artwork.artwork}: {show(artwork.prompt)}")
        lines += [f"    {own}"] if own else []
    return "\n".join(lines) + "\n"


def options_table() -> str:
    """Return every option as a Markdown table: name, meaning, allowed, default, column or not."""
    lines = ["| option | meaning | allowed | default | column |", "| --- | --- | --- | --- | --- |"]
    for name, default in DEFAULTS.items():
        meaning = options.properties()[name]["description"]
        written = options.written(default) if default == "" else f"`{options.written(default)}`"
        column = "yes" if name in COLUMNS else ""
        lines.append(f"| `{name}` | {meaning} | {options.allowed(name)} | {written} | {column} |")
    return "\n".join(lines) + "\n"


def schemas() -> dict[Path, str]:
    """Return the text of the file of each JSON schema."""
    head = (
        "# Written by `check_config.py --schemas` from workflow/scripts/bigart/config/options.py.\n"
    )
    found = {"config": options.schema(Config), "prompts": options.schema(Artwork)}
    return {
        SCHEMAS / f"{name}.schema.yaml": head + yaml.safe_dump(schema, sort_keys=False, width=100)
        for name, schema in found.items()
    }


if __name__ == "__main__":
    command.main(parser(), run)
