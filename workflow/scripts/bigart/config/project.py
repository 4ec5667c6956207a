"""All that a run is told: the config, the table of artworks and the models, checked together."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bigart.config import artworks
from bigart.config.artworks import Artwork, Config
from bigart.errors import UserError
from bigart.weights.table import ModelFile, check_present, read_models


def load(
    mapping: Mapping[str, Any] | None,
    config_files: Iterable[Path | str],
    models_table: Path | str,
    root: Path | str,
) -> tuple[Config, dict[str, Artwork], dict[str, ModelFile]]:
    """Return the config, its artworks in the order of the table, and the model file of each role.

    Args:
        mapping: The config, as ``artworks.read`` takes it.
        config_files: The files it came from, as ``artworks.read`` takes them.
        models_table: ``config/models.yaml``, unless the config names another one.
        root: The folder that the table of models counts its paths from.

    Raises:
        UserError: Anything is wrong in any of them, or a model file of one's own is not there;
            the message lists every fault.
    """
    config, table, found = artworks.read(mapping, config_files)
    faults = [str(fault) for fault in found]
    files: dict[str, ModelFile] = {}
    try:
        models_table = config.models_table or models_table
        files = read_models(models_table, root=root).set(config.models)
        check_present(files)
    except UserError as error:
        faults += str(error).splitlines()
    if len(faults) == 1:
        raise UserError(faults[0])
    if faults:
        lines = "".join(f"\n  {fault}" for fault in faults)
        raise UserError(f"{counted(len(faults), 'fault')}:{lines}")
    return config, table, files


def unknown_words(
    config: Config, table: Mapping[str, Artwork], files: Mapping[str, ModelFile]
) -> list[str]:
    """Return a warning for each prompt with words that the chosen models were never shown."""
    words = files["base"].words
    if words is None:
        return []
    known = words.read_text(encoding="utf-8").split()
    warnings = artworks.unknown_words(table, set(known), config.models)
    if warnings:
        warnings.append(f"What they know: {words}. `models: glide` knows far more.")
    return warnings


def counted(count: int, noun: str) -> str:
    """Return ``1 artwork`` or ``5 artworks``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
