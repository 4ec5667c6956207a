"""What a run needs besides right options, checked before its first job.

``project`` checks the config, the table and the table of models. Here are the machine and the
content of the model files: device, packages, models, locale, and room on the disks.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from bigart.config import prints, sources
from bigart.config.options import AUTO, TEXTS, Artwork, Config
from bigart.config.project import by_clip, needed, texts
from bigart.errors import UserError, named, show
from bigart.running import engines, environment
from bigart.running.progress import megabytes
from bigart.stages import ALL, COMPARED, STAGES, Stage, of_file
from bigart.weights import inspection
from bigart.weights.table import ModelFile

#: What is left of a checkpoint when it is converted, at least: of a VQGAN only a part is.
CONVERTED = 0.3

#: How the folders of the gallery's renderings end -> what they take, in bytes, as measured.
VIEWS = {"/final": 8_000_000, "/candidates": 300_000}

Models = Mapping[str, ModelFile]


def errors(
    config: Config,
    table: Mapping[str, Artwork],
    models: Models,
    outputs: Set[str],
    weights: Path | str = "weights",
) -> list[str]:
    """Return all that would make jobs fail wherever they run.

    Args:
        config: The config.
        table: The artworks.
        models: The model file of each role.
        outputs: The files that the jobs will write.
        weights: The folder of fetched and converted models.
    """
    named_ = {part for path in outputs for part in path.split("/")}
    speech = locale_error({name: row for name, row in table.items() if name in named_})
    reads_models = any(_networks(config, outputs)) or _model_bytes(models, weights).keys() & outputs
    return [
        *(inspection.check_set(models, weights) if reads_models else []),
        *([speech] if speech else []),
        *prints.engine_errors(config, table, models, outputs),
        *sources.file_errors(
            config, table, outputs, prints.ENLARGED * prints.side(models, weights)
        ),
        *room_errors(outputs, models, weights, table),
    ]


def cut_prompts(
    table: Mapping[str, Artwork], models: Models, weights: Path | str = "weights"
) -> list[str]:
    """Return a warning for each prompt of which CLIP, which is to guide or choose, reads a part.

    Nothing where its files are still to be fetched, or this Python cannot read prompts.
    """
    roles = ("vocabulary", "merges", "clip_vocabulary")
    paths = {role: models[role].final_path(weights) for role in roles if role in models}
    rows = by_clip(table)
    text = models["clip_text"].final_path(weights) if rows else Path()
    if not rows or not all(path.is_file() for path in (text, *paths.values())):
        return []
    with contextlib.suppress(UserError, ImportError):
        options = inspection.inspect(text, "clip-text", converted=True).options
        # a token is a byte at least: most prompts need no tokenizer, which brings torch
        most = getattr(options, "text_ctx", 0) - 2
        prompts = texts(rows, ["prompt"])
        if long := [found for found in prompts if len(found[1].encode(errors="replace")) > most]:
            from bigart.networks.clip_reader import clip_reader

            reader = clip_reader(paths.get("clip_vocabulary"), paths["vocabulary"], paths["merges"])
            length = most + 2
            cut = {place: reader.cut(prompt, length) for place, prompt in long}
            return [
                f"{place}: CLIP reads {length - reader.marks} tokens and this has {count}; this "
                f"end is cut for CLIP: {show(end, 400)}"
                for place, (count, end) in cut.items()
                if end
            ]
    return []


def device_error(config: Config) -> str | None:
    """Return the error that this machine lacks the device, or a GPU for the precision, if it does.

    Where a GPU may be, the first job tells: only torch knows, and takes seconds to import.
    """
    wants_gpu = config.device not in ("auto", "cpu") or config.precision == "fp16"
    if not wants_gpu or environment.expects_gpu("auto"):
        return None
    try:
        from bigart.running.device import resolve
    except ImportError:  # torch is in an environment of its own, and there is no driver for it
        return (
            f"device is {config.device} and precision {config.precision}, and there is no GPU "
            "here; `device: auto` with `precision: auto` works everywhere"
        )
    try:
        resolve(config.device, config.precision)
    except UserError as error:
        return str(error)
    return None


def package_errors(config: Config, outputs: Set[str]) -> list[str]:
    """Return an error for each original package that the jobs need and this Python lacks."""
    kinds = {(engine, stage.architecture) for engine, stage in _networks(config, outputs)}
    missing = [engines.missing_package(*kind) for kind in sorted(kinds)]
    return [*dict.fromkeys(str(error) for error in missing if error)]


def locale_error(table: Mapping[str, Artwork]) -> str | None:
    """Return the error that the system's encoding lacks characters of prompts, if it does."""
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    cannot = []
    for name, artwork in table.items():
        try:
            "".join(getattr(artwork, text) for text in TEXTS).encode(encoding, errors)
        except UnicodeEncodeError:
            cannot.append(named(name))
    if not cannot:
        return None
    others = f" and {len(cannot) - 1} more" if len(cannot) > 1 else ""
    return (
        f"the encoding of this locale, {encoding}, lacks characters in the prompt of {cannot[0]}"
        f"{others}: run `export LC_ALL=C.UTF-8 PYTHONUTF8=1` first"
    )


def room_errors(
    outputs: Set[str],
    models: Models,
    weights: Path | str = "weights",
    table: Mapping[str, Artwork] | None = None,
) -> list[str]:
    """Return an error for each disk with too little room for the files, or that is read-only."""
    side = prints.side(models, weights)
    scale = (side / prints.SIDE) ** 2
    sizes = _model_bytes(models, weights)
    needed: dict[str, float] = {}  # folder -> bytes; paths are text, since there may be thousands
    for path in outputs:
        row = (table or {}).get(path.rpartition("/")[0].rpartition("/")[2])
        stage, before = prints.stage_of(path, row) if row else of_file(path), 0
        with contextlib.suppress(OSError):
            before = os.path.getsize(path)  # noqa: PTH202
        views = next((size for end, size in VIEWS.items() if path.endswith(end)), 0)
        size = stage.file_bytes * scale if stage else sizes.get(path, views)
        if row and stage and stage.name in prints.GROWING:
            size = prints.file_bytes(stage, row, models, prints.ENLARGED * side)
        parent = path.rpartition("/")[0] or "."
        needed[parent] = needed.get(parent, 0) + max(0, size - before)
    disks: dict[int, tuple[Path, float]] = {}
    found = set()
    for name, size in needed.items():
        folder = Path(name)
        while not folder.exists():
            folder = folder.parent
        if not os.access(folder, os.W_OK | os.X_OK):
            found.add(f"{folder} is read-only, or belongs to somebody else")
        device = folder.stat().st_dev
        place, so_far = disks.get(device, (folder, 0))
        disks[device] = place, so_far + size
    for place, size in disks.values():
        if size > (free := shutil.disk_usage(place).free):
            found.add(
                f"the files to be made take about {megabytes(round(size))}, and the disk of "
                f"{place} has {megabytes(free)} free: make room, or paint fewer artworks at a "
                "time by naming their files in the command"
            )
    return sorted(found)


def all_outputs(
    config: Config,
    table: Mapping[str, Artwork],
    models: Models,
    weights: Path | str = "weights",
) -> set[str]:
    """Return the files of all stages of all artworks, and those of the models that are made."""
    picture = prints.ENLARGED * prints.side(models, weights)
    pictures = (
        f"{config.results}/{name}/{stage.file}".format(candidate=candidate, format=artwork.format)
        for name, artwork in table.items()
        for stage in _stages(artwork, prints.factors(artwork, models, picture))
        for candidate in range(1, config.candidates + 1 if "{candidate}" in stage.file else 2)
    )
    files = needed(models, table).values()
    sources = [source for file in files for source in file.sources]
    fetched = [source.source_path(weights) for source in sources if source.needs_fetch]
    converted = [file.final_path(weights) for file in files if file.needs_conversion]
    return {*pictures, *map(os.path.relpath, fetched), *map(os.path.relpath, converted)}


def _stages(artwork: Artwork, factors: tuple[int, ...]) -> Iterator[Stage]:
    """Yield the stages of an artwork, those of ``ALL`` by their names there."""
    if artwork.picture:
        yield STAGES["picture"]
    for stage in ALL:
        is_painted = stage.name in ("thumbnails", "upsampled", "contact-sheet")
        at_1024 = stage.name in ("enlarged-1024", "textured-1024")
        if artwork.is_enlarged_only and (is_painted or (at_1024 and not artwork.detail)):
            continue
        if stage.name != "detailed" or artwork.detail:
            yield stage
    if artwork.choose == AUTO and not artwork.is_enlarged_only:
        yield STAGES["chosen"]
    if factors:
        yield STAGES["enlarged-print"]


def _networks(config: Config, outputs: Set[str]) -> Iterator[tuple[str, Stage]]:
    """Yield engine and stage of each file that a network writes."""
    for path in outputs:
        if (stage := of_file(path)) and stage.role:
            yield config.engine, stage
        elif (name := Path(path).stem) in COMPARED:  # of the comparison of the engines
            yield Path(path).parent.name, COMPARED[name]


def _model_bytes(models: Models, weights: Path | str) -> dict[str, float]:
    """Return what the set's files to be fetched and converted take, where that is known."""
    sizes: dict[str, float] = {}
    for file in models.values():
        published = 0
        for part in file.sources:
            source = part.source_path(weights)
            size = source.stat().st_size if source.is_file() else part.bytes or 0
            sizes[os.path.relpath(source)] = published = size
        if file.needs_conversion:
            sizes[os.path.relpath(file.final_path(weights))] = CONVERTED * published
    return sizes
