"""The file of a print, written strip by strip: its format, and what it says of itself."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bigart.metadata import picture_file
from bigart.metadata.recipe import Recipe
from bigart.pictures import colour, strip_files
from bigart.pictures.images import Picture
from bigart.running import files


def write(
    path: Path | str,
    size: tuple[int, int],
    strips: Iterable[Picture],
    recipe: Recipe,
    dpi: float | None = None,
    quality: int = 95,
    profile: bytes | None = None,
) -> None:
    """Write a picture as ``picture_file.write_picture`` does, without having it whole.

    Args:
        path: The file to write.
        size: Width and height in pixels.
        strips: The picture from its top, each uint8 (rows, width, 3).
        recipe: How the picture was made.
        dpi: Print resolution in pixels per inch; None records none.
        quality: JPEG quality, 1 to 100.
        profile: The ICC profile of its colours; None is sRGB's.

    Raises:
        UserError: The format has no room for so many pixels, or a JPEG for the recipe.
        OSError: The disk is full or refuses; nothing is left under ``path``.
    """
    kind = picture_file.format_of(path)
    notes: dict[str, Any] = picture_file.notes(kind, recipe, dpi, size, srgb=not profile)
    notes["icc_profile"] = profile or colour.srgb_profile()
    with files.atomic(path) as temporary, temporary.open("wb") as file:
        strip_files.write(file, kind, *size, strips, quality, **notes)
