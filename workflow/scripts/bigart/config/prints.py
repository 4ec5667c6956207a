"""What the print of an artwork takes: which stages, how many pixels, how much memory and time."""

import contextlib
import math
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from bigart.config import print_size
from bigart.config.options import DEFAULTS, TEXTS, Artwork, Config
from bigart.config.plain_text import plain
from bigart.errors import UserError
from bigart.networks.options import GlideOptions
from bigart.pictures import frame
from bigart.running import engines
from bigart.stages import INSTEAD, STAGES, Stage, of_file
from bigart.weights import inspection
from bigart.weights.table import ModelFile

#: Side in pixels of the pictures that become larger ones, where nothing else is known.
SIDE = 256
#: By how much the stages before a print enlarge them.
ENLARGED = 16

#: Stages whose files grow with the size of a print.
GROWING = ("enlarged-picture", "enlarged-print", "final-print", "final-repaint")

Models = Mapping[str, ModelFile]


def side(models: Models, weights: Path | str = "weights") -> int:
    """Return the side in pixels of the pictures at `upsampled`, which become larger ones."""
    file = models["upsampler"]
    path = file.final_path(weights)
    with contextlib.suppress(UserError):
        if path.is_file():
            options = inspection.inspect(path, file.architecture, converted=True).options
            return options.image_size if isinstance(options, GlideOptions) else SIDE
    return SIDE


def doing(name: str, row: Artwork) -> str:
    """Return the stage that does for an artwork what a stage does for most.

    Args:
        name: That stage, of ``stages.ALL``.
        row: The artwork.
    """
    if name == "thumbnails" and row.is_begun:
        return "thumbnails-picture"
    if row.repaint and name in ("thumbnails", "upsampled", "final"):
        return f"{name}-repaint"
    if name == "thumbnails" and row.guide != "text":
        return "thumbnails-clip"
    if name == "enlarged-1024" and row.is_enlarged_only:
        return "picture-1024"
    if name == "enlarged-4096" and row.is_enlarged_only:
        return "enlarged-picture"
    if name == "final" and print_size.is_print(row):
        return "final-print"
    return name


def stage_of(path: str, row: Artwork) -> Stage | None:
    """Return the stage that writes a file of an artwork, or None where none does."""
    stage = of_file(path)
    return STAGES[doing(INSTEAD.get(stage.name, stage.name), row)] if stage else None


def compared(name: str, row: Artwork, option: str) -> Any:
    """Return an option of an artwork as it is compared to tell whether a stage must run again.

    What changes no picture gives the same: invisible characters of a prompt; one length of a print
    and two equal ones, but for a picture of one's own, which these cut; `crop` where nothing is
    cut.

    Args:
        name: The stage.
        row: The artwork.
        option: The option's name.
    """
    value = getattr(row, option)
    if option in TEXTS:
        return plain(value)
    if option == "crop" and name == "enlarged-picture" and not print_size.cuts(row.size):
        return DEFAULTS["crop"]
    if option == "size":
        is_cut = row.is_enlarged_only and print_size.cuts(value)
        return f"{value}, cut" if is_cut else print_size.with_both(value)
    return value


def factors(row: Artwork, models: Models, picture: int) -> tuple[int, ...]:
    """Return by how much an artwork's picture is enlarged for its print, one time after the other.

    Args:
        row: The artwork.
        models: The model file of each role.
        picture: Side of the picture in pixels, before that.
    """
    target = None if row.is_enlarged_only else print_size.pixels(row.size, row.dpi)
    scales = (2, 4) if "enlarger_x2" in models else (4,)
    return frame.factors((picture, picture), target, scales) if target else ()


def megapixels(stage: Stage, row: Artwork, models: Models, picture: int) -> float:
    """Return the million pixels that a stage on request reads or makes, whichever are more."""
    if stage.name not in (*GROWING, "proof"):
        return 0
    if stage.name == "enlarged-picture":
        return max(_whole(row, picture)) ** 2 / 1e6
    enlarged = picture * math.prod(factors(row, models, picture))
    width, height = _whole(row, picture)
    read = width * height if stage.name == "proof" else enlarged**2
    return max(read, width * height) / 1e6


def file_bytes(stage: Stage, row: Artwork, models: Models, picture: int) -> float:
    """Return about what a file of a stage on request takes."""
    if stage.name in ("enlarged-picture", "enlarged-print"):  # without grain
        return 1e6 * megapixels(stage, row, models, picture)
    width, height = _whole(row, picture)
    return {"png": 2.0, "tif": 3.4, "jpg": 1.6}[row.format] * width * height


def mem_mb(stage: Stage, row: Artwork, models: Models, picture: int) -> int:
    """Return at least twice the memory that a stage was measured to take, in MB.

    An enlargement's grows with the width that its network reads, in which it takes 64 features
    (docs/speed.md); the others decode a picture, with four bytes a pixel.
    """
    million = megapixels(stage, row, models, picture)
    if stage.name == "enlarged-print":
        found = factors(row, models, picture)
        width = picture * math.prod(found[:-1])
        return round(1500 + width * 0.9 + 8 * width**2 / 1e6)
    if stage.name == "enlarged-picture":  # reckoned: what is read may be half as wide, or twice
        return round(1500 + 600 * math.sqrt(million) + 32 * million)
    each = 26 if stage.name == "final-repaint" else 10  # it decodes two pictures and a mask
    return round(700 + each * million)


def runtime(stage: Stage, row: Artwork, models: Models, picture: int) -> int:
    """Return a stage's time limit in minutes, at least twice the longest that was measured."""
    each = 0.6 if stage.role else 0.05
    return round(10 + each * megapixels(stage, row, models, picture))


def engine_errors(
    config: Config, table: Mapping[str, Artwork], models: Models, outputs: Set[str]
) -> list[str]:
    """Return what the original packages cannot do, if they are to: enlarge for prints, inpaint."""
    if config.engine == engines.NATIVE:
        return []
    found = []
    anew = [key for key, row in table.items() if row.repaint]
    thumbnails = {f"{config.results}/{key}/1-thumbnails/1.png" for key in anew}
    if "base_inpaint" in models and thumbnails & outputs:
        found.append(
            f"`repaint` of the artwork `{anew[0]}` needs a network for inpainting, which `engine: "
            "upstream` does not run; use `engine: native`"
        )
    for name, column in (("enlarged-print", "size"), ("enlarged-picture", "picture")):
        files = {row: f"{config.results}/{row}/{STAGES[name].file}" for row in table}
        made = [
            row
            for row, path in files.items()
            if path in outputs and stage_of(path, table[row]) == STAGES[name]
        ]
        if made:
            found.append(
                f"`{column}` of the artwork `{made[0]}` needs an enlargement for which the "
                "original packages would take more memory than a machine has; use `engine: native`"
            )
    return found


def _whole(row: Artwork, picture: int) -> tuple[int, int]:
    """Return width and height of the final file in pixels."""
    width, height = print_size.pixels(row.size, row.dpi) or (picture, picture)
    bleed = 2 * print_size.of_length(row.bleed, "mm", row.dpi)
    return width + bleed, height + bleed
