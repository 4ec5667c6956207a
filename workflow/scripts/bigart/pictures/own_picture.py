"""A person's own picture: whether it can be read, its shape in pixels, and a square of it."""

from pathlib import Path

import numpy as np
from PIL import Image

from bigart.pictures import print_rows
from bigart.pictures.images import Picture


def check(path: Path | str) -> None:
    """Decode a picture.

    Raises:
        UserError: As ``images.read_rgb``.
        OSError: The disk refuses.
    """
    with print_rows.opened_large(path) as image:
        print_rows.part(image, (0, 0, 1, 1), path)


def size(path: Path | str) -> tuple[int, int]:
    """Return width and height in pixels, upright.

    Raises:
        UserError: As ``images.read_rgb``.
        OSError: The disk refuses.
    """
    with print_rows.opened_large(path) as image:
        width, height = image.size
    return width, height


def square(path: Path | str, side: int) -> Picture:
    """Return the square in the middle of a picture, uint8 (side, side, 3), in sRGB.

    Raises:
        UserError: As ``images.read_rgb``.
        OSError: The disk refuses.
    """
    with print_rows.opened_large(path) as image:
        length = min(image.size)
        left, upper = (image.width - length) // 2, (image.height - length) // 2
        box = (left, upper, left + length, upper + length)
        rgb = print_rows.part(image, box, path)
    return np.asarray(rgb.resize((side, side), Image.Resampling.LANCZOS))


def fitted(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Return the size in which a picture keeps its shape for a print.

    Args:
        size: Width and height of the picture.
        target: Those of the print. Where both are the same, that is the longer side of the
            picture; else the picture covers the print.
    """
    shares = [wanted / have for wanted, have in zip(target, size, strict=True)]
    scale = min(shares) if target[0] == target[1] else max(shares)
    width, height = (max(1, round(scale * side)) for side in size)
    return width, height
