"""From a picture's recipe back to the row of the table and the config that make it again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from safetensors import safe_open

from bigart.config.options import COLUMNS, DEFAULTS, PROPERTIES, Artwork, Config, Options, checked
from bigart.config.table_file import TableFile
from bigart.errors import UserError, listed, named, show
from bigart.metadata.recipe import Recipe, find
from bigart.running import files as disk
from bigart.running.engines import NATIVE, UPSTREAM
from bigart.stages import INSTEAD, STAGES
from bigart.weights.ncnn import weights_beside
from bigart.weights.table import ModelFile, Models, read_pins

CONFIG = "# config/config.yaml"
_FORMATS = {"PNG": "png", "JPEG": "jpg", "TIFF": "tif"}
_NO_ROW = "no row of the table makes this picture again"


def row(recipe: Recipe) -> dict[str, str]:
    """Return the cells of the row that makes a picture again, also those with a default.

    Raises:
        UserError: No single row makes it: it was not made from a prompt alone, or its stages had
            different values of an option.
    """
    records = _records(recipe)
    found: dict[str, set[str]] = {}
    if "thumbnails" in records:
        found["choose"] = {_cell(records["thumbnails"].get("candidate"))}
    for name, record in records.items():
        for flag, option in _options(name):
            key = flag.removeprefix("--").replace("-", "_")
            if key in record:
                found.setdefault(option, set()).add(_cell(record[key]))
    if differing := [option for option, values in found.items() if len(values) > 1]:
        raise UserError(f"{_NO_ROW}: its stages had different values of {listed(differing)}")
    cells = {option: value for option, (value,) in found.items()}
    cells["artwork"] = _cell(find(recipe, "artwork")) or "artwork"
    if "picture" in records:  # its name alone: where it lies, no recipe says
        cells["picture"] = _cell(records["picture"].get("picture"))
        cells.setdefault("prompt", _cell(find(recipe, "description")))
    if mask := find(recipe, "mask"):
        cells["mask"] = _cell(mask)
    if {"enlarged-4096", "enlarged-picture"} & records.keys():
        cells["detail"] = _cell("detailed" in records)
    if "final" in records:
        cells["format"] = _FORMATS.get(str(records["final"].get("format")), "png")
        usual = {name: _cell(DEFAULTS[name]) for name in Options.model_fields}
        cells = usual | cells  # what no stage has recorded was not in use
    cells = {name: cells[name] for name in COLUMNS if name in cells}
    given = {name: value for name, value in cells.items() if value}
    if wrong := checked(Artwork, given, PROPERTIES["candidates"]["maximum"])[1]:
        reasons = (f"{named(name)}: {message}" for name, message in wrong.items())
        raise UserError(f"{_NO_ROW}: {'; '.join(reasons)}")
    return cells


def config(recipe: Recipe, models: Models) -> dict[str, Any]:
    """Return what config.yaml must say besides, also where that is the default.

    Raises:
        UserError: No set of models has the files that made the picture, or its stages had
            different engines or precisions.
    """
    cells = row(recipe)
    records = [record for name, record in _records(recipe).items() if STAGES[name].role]
    engines = {NATIVE if record.get("engine") == NATIVE else UPSTREAM for record in records}
    precisions = {_cell(record.get("precision")) for record in records}
    for name, values in (("engine", engines), ("precision", precisions)):
        if len(values) > 1:
            message = f"its stages had different values of {named(name)}"
            raise UserError(f"no config makes this picture again: {message}")
    usual = max(DEFAULTS["candidates"], int(cells.get("choose", 1)))
    result = {
        "models": _set(recipe, models),
        "engine": engines.pop(),
        "precision": precisions.pop(),
        "candidates": find(recipe, "candidates") or usual,
        # in the row a blank cell means that of the config
        **{name: "" for name, value in cells.items() if not value},
    }
    if wrong := checked(Config, result)[1]:
        reasons = (f"{named(name)}: {message}" for name, message in wrong.items())
        raise UserError(f"no config makes this picture again: {'; '.join(reasons)}")
    return result


def text(recipe: Recipe, models: Models) -> str:
    """Return table and config, to be pasted: header, row, the line ``CONFIG``, and YAML.

    Raises:
        UserError: As ``row`` and ``config``.
    """
    cells = {name: value for name, value in row(recipe).items() if value}
    table = TableFile(Path("the table"), b"").with_rows([cells]).content.decode()
    settings = yaml.safe_dump(config(recipe, models), sort_keys=False)
    return f"{table}\n{CONFIG}\n{settings}"


def _records(recipe: Recipe) -> dict[str, Mapping[str, Any]]:
    """Return the stages of a picture that the workflow made from a prompt."""
    names = [str(record.get("stage")) for record in recipe["stages"]]
    if strange := [name for name in names if name not in STAGES]:
        raise UserError(f"{_NO_ROW}: it has the stage {show(strange[0])}, which is not a row's")
    if names[:1] not in (["thumbnails"], ["picture"]):
        raise UserError(f"{_NO_ROW}: it does not begin with thumbnails of a prompt")
    records = dict(zip(names, recipe["stages"], strict=True))
    records.pop("chosen", None)  # what CLIP has chosen, the row says as a number
    return records


def _options(name: str) -> Iterator[tuple[str, str]]:
    """Yield flag and option of a stage, and of the one that does its work for other artworks."""
    for stage in STAGES.values():
        if name in (stage.name, INSTEAD.get(stage.name)):
            yield from stage.options.items()


def _cell(value: Any) -> str:
    """Return a recorded value as a cell of the table holds it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _set(recipe: Recipe, models: Models) -> str:
    """Return the first set of models whose files made a picture."""
    made = {
        str(file): sha256
        for record in _records(recipe).values()
        if isinstance(record.get("models"), Mapping)
        for file, sha256 in record["models"].items()
    }
    others = []
    for name in models.sets:
        files = {file.final_path().name: file for file in models.set(name).values()}
        if not made.keys() <= files.keys():
            continue
        if not (wrong := [file for file, sha256 in made.items() if not _is(files[file], sha256)]):
            return name
        others.append(f"{named(name)} has another {listed(wrong)}")
    reason = "; ".join(others) or f"they are {listed(made)}"
    raise UserError(
        f"{models.where} has no set of the models that made this picture: {reason}. Name the table "
        "that has it with --models"
    )


def _is(file: ModelFile, sha256: str) -> bool:
    """Return whether a file may be the one with that hash: where none is known, it may."""
    known = file.sha256 or read_pins("weights").get(file.name, {}).get("sha256")
    made = file.ready or file.blend  # its hash is in its header
    source = file.final_path() if made else file.source_path()
    source = weights_beside(source) or source
    if not known and source.is_file():
        if made:
            with safe_open(source, framework="np") as header:
                known = (header.metadata() or {}).get("source_sha256")
        known = known or disk.sha256(source)
    return known in (None, sha256)
