"""Check config.yaml, the table of artworks, the models and the machine; say what they ask for.

Prints what differs from the defaults, or every error at once (exit status 1). Nothing is painted.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from bigart.commands import command
from bigart.config import options, preflight, project
from bigart.config.options import COLUMNS, DEFAULTS, Artwork, Options
from bigart.errors import show, together
from bigart.running import yaml_file
from bigart.weights.table import ROOT, TABLE, ModelFile


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
        print(options_table())
        return
    if arguments.schemas:
        for path, text in schemas().items():
            path.write_text(text, encoding="utf-8")
        return
    mapping = yaml_file.read(arguments.config).content or {}
    others = {"table": arguments.table, "models_table": arguments.models}
    if isinstance(mapping, dict):
        mapping |= {key: path for key, path in others.items() if path}
    config, table, files = project.load(mapping, [arguments.config], TABLE, ROOT)
    print(f"{config.table}, painted by the {config.models} models")
    for name, chosen in {"config.yaml": config, **table}.items():
        print(f"  {name}: {_differences(chosen)}")
    made = preflight.all_outputs(config, table, files)
    if errors := preflight.errors(config, table, files, made):
        raise together(errors)
    here = [preflight.device_error(config), *preflight.package_errors(config, made)]
    for error in filter(None, here):
        print(f"warning: on this machine, without environments of `--sdm`: {error}")
    for warning in [*_cut_prompts(table, files), *project.unknown_words(config, table, files)]:
        print(f"warning: {warning}")


def _differences(chosen: Options) -> str:
    usual = {name: part.default for name, part in type(chosen).model_fields.items()}
    pairs = [(name, value) for name, value in chosen if value != usual[name]]
    return ", ".join(f"{name} {show(value)}" for name, value in pairs) or "the defaults"


def _cut_prompts(table: Mapping[str, Artwork], files: Mapping[str, ModelFile]) -> Iterator[str]:
    """Yield a warning for each prompt that is longer than the models read."""
    paths = [files[role].final_path() for role in ("base", "vocabulary", "merges")]
    if not all(path.is_file() for path in paths):
        yield "whether the prompts are too long shows once `snakemake weights --cores 1` has run"
        return
    # only here, since torch comes with them
    from bigart.networks.tokenizer import Tokenizer
    from bigart.weights.network_file import load_metadata

    context = json.loads(load_metadata(paths[0])["options"])["text_ctx"]
    tokenizer = Tokenizer.from_files(*paths[1:])
    for place, text in project.texts(table):
        if len(tokens := tokenizer.encode(text)) > context:
            cut = tokenizer.decode(tokens[context:]).strip()
            yield (
                f"{place}: the models read {context} tokens and this has {len(tokens)}; "
                f"this end is cut: {show(cut, 400)}"
            )


def options_table() -> str:
    """Return every option as a Markdown table: name, meaning, allowed, default, column or not."""
    lines = ["| option | meaning | allowed | default | column |", "| --- | --- | --- | --- | --- |"]
    for name, default in DEFAULTS.items():
        meaning, allowed = options.PROPERTIES[name]["description"], options.allowed(name)
        written = "blank" if default == "" else f"`{_written(default)}`"
        column = "yes" if name in COLUMNS else ""
        lines.append(f"| `{name}` | {meaning} | {allowed} | {written} | {column} |")
    return "\n".join(lines)


def _written(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def schemas() -> dict[Path, str]:
    """Return the text of the file of each JSON schema."""
    head = "# Written by `check_config.py --schemas` from bigart/config/options.py.\n"
    version = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        ROOT / "workflow" / "schemas" / f"{name}.schema.yaml": head
        + yaml.safe_dump({**version, **schema}, sort_keys=False, width=100)
        for name, schema in options.SCHEMAS.items()
    }


if __name__ == "__main__":
    command.main(parser(), run)
