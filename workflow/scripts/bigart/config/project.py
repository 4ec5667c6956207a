"""The config, the table of artworks and the models, checked together."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bigart.config import artworks, sweeps
from bigart.config.options import AUTO, COLUMNS, DEFAULTS, TEXTS, Artwork, Config, checked
from bigart.config.plain_text import plain
from bigart.errors import InputError, UserError, listed, named, show, suggest, together
from bigart.running import yaml_file
from bigart.weights.table import (
    CLIP_ROLES,
    INPAINT_ROLES,
    ModelFile,
    Models,
    check_present,
    read_models,
)

_WORDS = re.compile(r"(?<!\w)(?<!\w['’])\w+")  # of "lake's" the lake


def load(
    mapping: Mapping[str, Any] | None,
    config_files: Iterable[Path | str],
    models_table: Path | str,
    root: Path | str,
) -> tuple[Config, dict[str, Artwork], dict[str, ModelFile]]:
    """Return the config, its artworks in the order of the table, and the model file of each role.

    The first two arguments are those of ``read``; ``models_table`` is in use unless the config
    names another one, and its paths begin at ``root``.

    Raises:
        UserError: Anything is wrong, or a model file is missing; the message lists every error.
    """
    config, table, found = read(mapping, config_files)
    errors = [str(error) for error in found]
    files: dict[str, ModelFile] = {}
    try:
        models = read_models(config.models_table or models_table, root=root)
        files = models.set(config.models)
        errors += clip_errors(config, table, models)
        check_present(files)
    except UserError as error:
        errors += str(error).splitlines()
    if errors:
        if files:  # all is said at once; without errors, this waits until there are jobs
            from bigart.weights import inspection

            errors += inspection.check_set(files)
        raise together(errors)
    return config, table, files


def read(
    mapping: Mapping[str, Any] | None, config_files: Iterable[Path | str] = ()
) -> tuple[Config, dict[str, Artwork], list[InputError]]:
    """Return the config, the artworks in the order of the table, and all errors in both.

    Where there are errors, the config has defaults in place of wrong values, and artworks with
    wrong values are left out: nothing may be painted from them.

    Args:
        mapping: The config, as YAML or Snakemake gives it; ``--config`` may have put text where a
            number belongs.
        config_files: The files it came from, the last one winning: errors then name the line.
    """
    if not isinstance(mapping, Mapping | None):
        where = ", ".join(map(str, config_files)) or "config"
        raise UserError(f"{where}: found {show(mapping)}; it must hold lines such as `seed: 42`")
    config, errors = _read_config(mapping or {}, config_files)
    table: dict[str, Artwork] = {}
    if not any(error.place == "`table`" for error in errors):
        table, table_errors = artworks.read(Path(config.table), config)
        errors += table_errors
    return config, table, sorted(errors)


def clip_errors(config: Config, table: Mapping[str, Artwork], models: Models) -> list[str]:
    """Return the errors that CLIP is to guide or to choose, and the chosen set has none."""
    if "clip_image" in models.sets.get(config.models, {}):
        return []
    having = [name for name, roles in models.sets.items() if "clip_image" in roles]
    without = {"guide": "`guide: text`", "choose": "a number"}
    errors = []
    for column, allowed in without.items():
        if rows := [name for name, row in table.items() if column in _by_clip(row)]:
            others = f" and {len(rows) - 1} more" if rows[1:] else ""
            errors.append(
                f"artwork `{rows[0]}`{others}, column `{column}`: found "
                f"'{getattr(table[rows[0]], column)}', and the model set `{config.models}` has no "
                f"noised CLIP; allowed: {allowed}, or a set that has it "
                f"({listed(having) if having else 'there is none'})"
            )
    return errors


def _by_clip(row: Artwork) -> list[str]:
    """Return the columns for which an artwork needs noised CLIP."""
    if row.is_enlarged_only:
        return []
    needing = {"guide": row.guide != "text", "choose": row.choose == AUTO}
    return [column for column, needs in needing.items() if needs]


def by_clip(table: Mapping[str, Artwork]) -> dict[str, Artwork]:
    """Return the artworks that need noised CLIP: it guides them, or chooses their candidate."""
    return {name: row for name, row in table.items() if _by_clip(row)}


def needed(files: Mapping[str, ModelFile], table: Mapping[str, Artwork]) -> dict[str, ModelFile]:
    """Return the model file of each role that the artworks need.

    CLIP's are needed where it guides or chooses, and those for inpainting where a part is painted
    anew.
    """
    left_out: set[str] = set()
    if not by_clip(table):
        left_out |= {*CLIP_ROLES}
    if not any(row.repaint for row in table.values()):
        left_out |= {*INPAINT_ROLES}
    return {role: file for role, file in files.items() if role not in left_out}


def texts(
    table: Mapping[str, Artwork], columns: Iterable[str] = TEXTS
) -> Iterator[tuple[str, str]]:
    """Yield where each prompt and negative prompt is, in words, and the text that networks read.

    The artworks of a sweep have theirs from one row. Of what is only enlarged they read none.
    """
    painted = {name: row for name, row in table.items() if not row.is_enlarged_only}
    rows = {artwork.sweep or name: artwork for name, artwork in painted.items()}
    for name, artwork in rows.items():
        for column in columns:
            yield f"artwork `{name}`, column `{column}`", plain(getattr(artwork, column))


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
    files: list[tuple[str, yaml_file.YamlFile]] = []
    errors: list[InputError] = []
    for path in map(str, config_files):
        with contextlib.suppress(UserError):  # whoever read the config has said so
            files.append((path, yaml_file.read(path)))

    def error(key: str, message: str) -> None:
        where = "config", 0
        for path, file in files:  # a value of --config is in none
            if key in (content := file.content or {}) and content[key] == mapping.get(key):
                where = path, file.lines.get(key, 0)
        errors.append(InputError(*where, named(key), message))

    for path, file in files:
        for key, line, first in file.duplicates:
            message = f"stands a second time; it stands in line {first} already"
            errors.append(InputError(path, line, named(key), message))
    for key in mapping.keys() - DEFAULTS.keys():
        hint = suggest(show(key), DEFAULTS) or f"The options are {listed(DEFAULTS)}"
        hint = "It is a column of the table of artworks" if key in COLUMNS else hint
        error(key, f"no such option. {hint}")
    values = {key: mapping[key] for key in DEFAULTS if mapping.get(key) not in (None, "")}
    config, wrong = checked(Config, values)
    for key, message in wrong.items():
        is_sweep = key in sweeps.COLUMNS and sweeps.lists(values[key])
        error(key, sweeps.with_more(message, sweeps.IN_THE_TABLE if is_sweep else ""))
    if config is None:  # without those that are right or wrong by what another option says
        right = values.keys() - wrong.keys() - {"choose", "size", "crop", "bleed"}
        config = Config(**{key: values[key] for key in right})
    if (config.device, config.precision) == ("cpu", "fp16"):
        error("precision", "found 'fp16', and `device` is cpu; a CPU takes auto, fp32 or bf16")
    for place in (Path(config.results), *Path(config.results).parents):
        if os.path.lexists(place) and not os.path.isdir(place):  # noqa: PTH112 (never raises)
            found = show(str(place), 400)
            error("results", f"{found} is not a folder; allowed: the path of a folder")
    return config, errors
