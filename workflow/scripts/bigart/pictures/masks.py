"""Masks: pictures whose white says what is painted anew. Each stage has them in its own size."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from bigart.errors import UserError
from bigart.pictures.images import Picture, opened

Mask = npt.NDArray[np.bool_]
Plane = npt.NDArray[np.float32]

WHITE = 128  # of 255: from here on it is white
#: How far the new picture fades in, as a part of the print's side.
FEATHER = 1 / 48
_SIDE = 1024  # in which distances are measured
_SHAPE = 0.01  # by how much a side may differ, as a part


def read(path: Path | str, shape: tuple[int, int]) -> Mask:
    """Return a mask in its own size, (height, width): true where it is white.

    Grey counts as white or black, whichever is nearer, and so does transparency over black.

    Args:
        path: Its file.
        shape: Width and height of what it masks: the mask has that shape, in any size.

    Raises:
        UserError: It is no picture, or of another shape, or nowhere white.
        OSError: The disk refuses.
    """
    with opened(path) as image:
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith(("I", "F")):
            raise UserError(f"{path} has more than 8 bits a channel; save it with 8")
        if image.has_transparency_data:
            black = Image.new("RGBA", image.size, "black")
            grey = Image.alpha_composite(black, image.convert("RGBA")).convert("L")
        else:
            grey = image.convert("L")
        mask: Mask = np.asarray(grey) >= WHITE
    height, width = mask.shape
    if abs(width * shape[1] / (height * shape[0]) - 1) > _SHAPE:
        wanted = "square" if shape[0] == shape[1] else f"{shape[0]} x {shape[1]}"
        raise UserError(
            f"{path} has {width} x {height} pixels, and a mask must be {wanted}, in any size"
        )
    if not mask.any():
        raise UserError(f"{path} is nowhere white, so nothing would be painted anew")
    return mask


def touched(mask: Mask, side: int) -> Mask:
    """Return which of (side, side) pixels are painted anew: all that a mask touches."""
    image = Image.fromarray(mask.astype(np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX)) > 1e-6


def weights(mask: Mask, size: tuple[int, int]) -> Callable[[int, int], Plane]:
    """Return how much the new picture counts, 0 to 1, for some rows of a print.

    It is 0 outside the mask, and rises inside it, from its edge on; a narrow mask has a narrow
    edge. A pixel is outside where the nearest one of the mask is black.

    Args:
        mask: In its own size.
        size: Width and height of the print.

    Returns:
        (first row, row behind the last) -> (rows, width).
    """
    width, height = size
    near = [
        ((np.arange(length) + 0.5) * have / length).astype(int)
        for length, have in zip((height, width), mask.shape, strict=True)
    ]
    scale = min(1, _SIDE / max(size))
    small = max(1, round(scale * width)), max(1, round(scale * height))
    soft = _fading(mask, small)
    (low_y, high_y, part_y), (low_x, high_x, part_x) = (
        _between(length, have) for length, have in zip((height, width), soft.shape, strict=True)
    )

    def of_rows(top: int, bottom: int) -> Plane:
        rows = slice(top, bottom)
        share = part_y[rows, None]
        lines = (1 - share) * soft[low_y[rows]] + share * soft[high_y[rows]]
        values = (1 - part_x) * lines[:, low_x] + part_x * lines[:, high_x]
        found: Plane = values * mask[np.ix_(near[0][rows], near[1])]
        return found

    return of_rows


def _fading(mask: Mask, size: tuple[int, int]) -> Plane:
    """Return the weights in a small size, without their sharp edge."""
    # here, since the environments of the networks have no scipy
    from scipy.ndimage import distance_transform_edt  # type: ignore[import-untyped]

    image = Image.fromarray(mask.astype(np.float32))
    inside = np.asarray(image.resize(size, Image.Resampling.BOX)) > 0.5
    if inside.all():
        return np.ones(inside.shape, np.float32)
    distance = distance_transform_edt(inside) - 0.5
    reach = max(1.0, min(FEATHER * max(size), distance.max() / 2))
    place = np.clip(distance / reach, 0, 1)
    if not inside.any():
        place = np.ones_like(place)  # thinner than a pixel here
    smooth: Plane = (place * place * (3 - 2 * place)).astype(np.float32)
    return smooth


def _between(length: int, have: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Plane]:
    """Return, for each pixel of a line, the two of a smaller line beside it, and its place."""
    place = np.clip((np.arange(length) + 0.5) * have / length - 0.5, 0, have - 1)
    low = place.astype(np.intp)
    return low, np.minimum(low + 1, have - 1), (place - low).astype(np.float32)


def composite(
    strips: Iterable[Picture], former: Image.Image, bleed: int, of_rows: Callable[[int, int], Plane]
) -> Iterator[Picture]:
    """Lay a new print over a former one, strip by strip.

    Args:
        strips: The new one, without bleed.
        former: The former one, opened; its numbers count as they are.
        bleed: Pixels of its mirrored edge.
        of_rows: Of ``weights``. Where it is 0, the former pixels stay as they are.
    """
    top = 0
    for strip in strips:
        bottom = top + len(strip)
        box = (bleed, bleed + top, former.width - bleed, bleed + bottom)
        old = np.asarray(former.crop(box).convert("RGB"))
        share = of_rows(top, bottom)[..., None]
        mixed = old + share * (strip.astype(np.float32) - old)
        yield np.rint(mixed).astype(np.uint8)
        top = bottom


def former_square(image: Image.Image, bleed: int) -> tuple[int, int, int, int]:
    """Return the box of a former print without its bleed.

    Raises:
        UserError: What is left is no square.
    """
    left, upper, right, lower = bleed, bleed, image.width - bleed, image.height - bleed
    if right - left != lower - upper or right <= left:
        raise UserError(
            f"the picture to repaint has {right - left} x {lower - upper} pixels, and only a "
            "square one can be painted anew"
        )
    return left, upper, right, lower
