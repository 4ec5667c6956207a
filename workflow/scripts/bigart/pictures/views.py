"""Smaller and tiled forms of a picture, to be looked at on a screen: JPEG, sRGB, streamed.

libvips reads a picture in strips, so the largest print takes little memory here.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("VIPS_CONCURRENCY", "1")  # the other cores are for other jobs

import pyvips  # type: ignore[import-untyped]

from bigart.errors import UserError
from bigart.pictures import colour
from bigart.pictures.images import Picture

logging.getLogger("pyvips").setLevel(logging.WARNING)

#: Side of a tile in pixels, without what it shares with its neighbours, and that width.
TILE, OVERLAP = 1024, 1


@contextlib.contextmanager
def _readable(path: Path | str) -> Iterator[None]:
    """Turn an error of libvips into a message.

    Raises:
        UserError: The picture is missing, damaged, or of a kind that libvips does not read.
    """
    try:
        yield
    except pyvips.Error as error:
        reason = (error.detail or error.message).strip().splitlines()[-1]
        raise UserError(
            f"{path} cannot be read ({reason}); if this workflow made it, delete it and run again"
        ) from None


def opened(path: Path | str) -> "pyvips.Image":
    """Return a picture to be read from top to bottom once: three channels of 8 bits, sRGB.

    Raises:
        UserError: The picture is missing or no picture.
    """
    with _readable(path):
        image = pyvips.Image.new_from_file(str(path), access="sequential", fail_on="error")
        return _srgb(image)


def _srgb(image: "pyvips.Image") -> "pyvips.Image":
    if image.get_typeof("orientation") and image.get("orientation") != 1:
        image = image.copy_memory().autorot()
    profile = "icc-profile-data"
    if image.get_typeof(profile) and image.get(profile) != colour.srgb_profile():
        image = image.icc_transform("srgb", embedded=True, intent="relative", depth=8)
    if image.hasalpha():
        image = image.flatten(background=255)
    return image.colourspace("srgb").cast("uchar")


def shrunk(path: Path | str, side: int) -> Picture:
    """Return a picture as uint8 (height, width, 3), sRGB, at most ``side`` pixels on each side.

    A smaller one stays as it is. Averages of boxes, then a Lanczos filter of three lobes.

    Raises:
        UserError: The picture is missing or damaged.
    """
    with _readable(path):
        image = opened(path)
        scale = min(1, side / max(image.width, image.height))
        if scale < 1:
            width, height = (max(1, round(scale * n)) for n in (image.width, image.height))
            image = image.thumbnail_image(width, height=height, size="force")
        return image.numpy()


def save_jpeg(path: Path | str, picture: Picture, quality: int) -> None:
    """Write uint8 (height, width, 3) as a JPEG without notes, colours at full resolution."""
    image = pyvips.Image.new_from_array(picture)
    image.jpegsave(str(path), Q=quality, keep="none", subsample_mode="off", optimize_coding=True)


def save_tiles(path: Path | str, folder: Path, name: str, quality: int) -> tuple[int, int]:
    """Write a picture as a pyramid of JPEG tiles, Microsoft's Deep Zoom format.

    ``<folder>/<name>.dzi`` says its size; ``<folder>/<name>_files/LEVEL/COLUMN_ROW.jpg`` are the
    tiles, level 0 being one pixel.

    Returns:
        Width and height of the picture in pixels.

    Raises:
        UserError: The picture is missing or damaged.
    """
    with _readable(path):
        image = opened(path)
        image.dzsave(
            str(folder / name),
            layout="dz",
            suffix=f".jpg[Q={quality},subsample_mode=off,optimize_coding]",
            tile_size=TILE,
            overlap=OVERLAP,
            keep="none",
        )
        (folder / f"{name}_files/vips-properties.xml").unlink(missing_ok=True)  # it holds a date
        return image.width, image.height


def size(path: Path | str) -> tuple[int, int]:
    """Return width and height of a picture file in pixels, without decoding it.

    Raises:
        UserError: The picture is missing or no picture.
    """
    with _readable(path):
        image = pyvips.Image.new_from_file(str(path))
        return image.width, image.height
