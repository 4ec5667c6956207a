"""The config, the table of artworks and the models, checked together."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bigart.config import artworks
from bigart.config.options import COLUMNS, DEFAULTS, Artwork, Config, checked
from bigart.errors import InputError, UserError, listed, named, show, suggest
from bigart.running import yaml_file
from bigart.weights.table import ModelFile, check_present, read_models

_WORDS = re.compile(r"(?<!\w)(?<!\w['’])\w+")  # of "lake's" the lake


def load(
    mapping: Mapping[str, Any] | None,
    config_files: Iterable[Path | str],
    models_table: Path | str,
    root: Path | str,
) -> tuple[Config, dict[str, Artwork], dict[str, ModelFile]]:
    """Return the config, its artworks in the order of the table, and the model file of each role.

    Args:
        mapping: The config, as ``read`` takes it.
        config_files: The files it came from, as ``read`` takes them.
        models_table: ``config/models.yaml``, unless the config names another one.
        root: The folder that the table of models counts its paths from.

    Raises:
        UserError: Anything is wrong in any of them, or a model file of one's own is not there;
            the message lists every error.
    """
    config, table, found = read(mapping, config_files)
    errors = [str(error) for error in found]
    files: dict[str, ModelFile] = {}
    try:
        models_table = config.models_table or models_table
        files = read_models(models_table, root=root).set(config.models)
        check_present(files)
    except UserError as error:
        errors += str(error).splitlines()
    if len(errors) == 1:
        raise UserError(errors[0])
    if errors:
        lines = "".join(f"\n  {error}" for error in errors)
        raise UserError(f"{counted(len(errors), 'error')}:{lines}")
    return config, table, files


def read(
    mapping: Mapping[str, Any] | None, config_files: Iterable[Path | str] = ()
) -> tuple[Config, dict[str, Artwork], list[InputError]]:
    """Return the config, the artworks in the order of the table, and all errors in both.

    Where there are errors, the config has the default in place of each wrong value, and rows with
    an error are left out: nothing may be painted from them.

    Args:
        mapping: The config, as YAML or Snakemake gives it; ``--config`` may have put text where a
            number belongs.
        config_files: The files it came from, the last one winning: errors then name the line.
    """
    if not isinstance(mapping, Mapping | None):
        raise UserError(f"config: found {show(mapping)}; it must hold keys")
    config, errors = _read_config(mapping or {}, config_files)
    table: dict[str, Artwork] = {}
    if not any(error.place == "`table`" for error in errors):
        table, table_errors = artworks.read(Path(config.table), config)
        errors += table_errors
    return config, table, sorted(errors)


def read_config_file(path: Path | str) -> dict[str, Any]:
    """Return what a YAML file holds, to be checked by ``read``.

    Raises:
        UserError: The file is missing, is not text, or is not YAML; the message names the line.
    """
    content = yaml_file.read(path).content
    if content is not None and not isinstance(content, dict):
        raise UserError(f"{path}: found {show(content)}; it must hold lines such as `seed: 42`")
    return content or {}


def texts(table: Mapping[str, Artwork]) -> Iterator[tuple[str, str]]:
    """Yield where each prompt and negative prompt is, in words, and the text."""
    for name, artwork in table.items():
        for column in ("prompt", "negative_prompt"):
            yield f"artwork `{name}`, column `{column}`", getattr(artwork, column)


def unknown_words(
    config: Config, table: Mapping[str, Artwork], files: Mapping[str, ModelFile]
) -> list[str]:
    """Return a warning for each prompt with words that the chosen models were never shown."""
    if (path := files["base"].words) is None:
        return []
    known = set(path.read_text(encoding="utf-8").split())
    warnings = []
    for place, text in texts(table):
        words = dict.fromkeys(_WORDS.findall(text.lower()))
        if unknown := [word for word in words if word not in known]:
            warnings.append(
                f"{place}: the {config.models} models were never shown {listed(unknown)} and paint "
                "something else in its place"
            )
    if warnings:
        warnings.append(f"What they know: {path}. `models: glide` knows far more.")
    return warnings


def counted(count: int, noun: str) -> str:
    """Return ``1 artwork`` or ``5 artworks``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _read_config(
    mapping: Mapping[str, Any], config_files: Iterable[Path | str]
) -> tuple[Config, list[InputError]]:
    """Return the config, with the default for each wrong value, and the errors."""
    files: list[tuple[str, yaml_file.YamlFile]] = []
    errors: list[InputError] = []
    for path in map(str, config_files):
        with contextlib.suppress(UserError):  # whoever read the config has said so
            files.append((path, yaml_file.read(path)))

    def error(key: object, message: str) -> None:
        where, value = ("config", 0), mapping.get(key)  # type: ignore[call-overload]
        for path, file in files:  # a value of --config is in none
            if isinstance(file.content, dict) and key in file.content:
                written = file.content[key]
                if (type(written), show(written, 10**6)) == (type(value), show(value, 10**6)):
                    where = path, file.lines.get(str(key), 0)
        errors.append(InputError(*where, named(key), message))

    for path, file in files:
        for key, line, first in file.duplicates:
            message = f"stands a second time; it stands in line {first} already"
            errors.append(InputError(path, line, named(key), message))
    for unknown in mapping.keys() - DEFAULTS.keys():
        error(unknown, _unknown_option(unknown))
    values = {key: mapping[key] for key in DEFAULTS if not _is_blank(mapping.get(key))}
    config, wrong = checked(Config, values)
    for key, message in wrong.items():
        error(key, message)
    if config is None:
        right = {key: value for key, value in values.items() if key not in wrong}
        config = Config.model_validate(right)
    for place in (Path(config.results), *Path(config.results).parents):
        if os.path.lexists(place) and not os.path.isdir(place):  # noqa: PTH112 (never raises)
            found = show(str(place), 400)
            error("results", f"{found} is not a folder; allowed: the path of a folder")
    return config, errors


def _unknown_option(key: object) -> str:
    if not isinstance(key, str):
        return "no such option. YAML reads yes, no, on, off and numbers as values, not as words"
    if key in COLUMNS:
        return "no such option: it is a column of the table of artworks"
    return f"no such option. {suggest(key, DEFAULTS) or 'The options are ' + listed(DEFAULTS)}"


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
