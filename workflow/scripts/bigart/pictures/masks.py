"""Masks: pictures whose white says what is painted anew. Each stage has them in its own size."""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from bigart.errors import UserError
from bigart.pictures import colour, print_rows
from bigart.pictures.images import Picture, opened

Mask = npt.NDArray[np.bool_]
Plane = npt.NDArray[np.float32]

WHITE = 128  # of 255: from here on it is white
#: How far the new picture fades in, as a part of the print's side.
FEATHER = 1 / 48
#: The colours of a print -> their ICC profile.
PROFILES: Mapping[str, Callable[[], bytes]] = {
    "sRGB": colour.srgb_profile,
    "Adobe RGB": print_rows.adobe_rgb_profile,
}
_SIDE = 1024  # in which distances are measured
_SHAPE = 0.01  # by how much a side may differ, as a part
_WIDENS = 0.5  # by how much an edge is wider, a pixel farther from a narrow part
_TOUCHED = 1e-6  # the share of a pixel from which on a mask touches it
_AROUND = np.ones((3, 3), bool)
_GREY = ("1", "L", "LA")
_SAME = 4  # levels by which two descriptions of the same colours may differ
_MOST_PIXELS = 2**31  # of a file that is still read, as in print_rows
_ROWS = 256  # of a mask that are read at once
_VALUES = 2**24  # of a mask that are 32 bits wide at once


@contextlib.contextmanager
def opened_large(path: Path | str) -> Iterator[Image.Image]:
    """Yield a picture as ``images.opened`` does, also with more pixels than Pillow takes by itself.

    Raises:
        UserError: As ``images.opened``.
        OSError: The disk refuses.
    """
    former = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
    try:
        with opened(path) as image:
            yield image
    finally:
        Image.MAX_IMAGE_PIXELS = former


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
    with opened_large(path) as image:
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith(("I", "F")):
            raise UserError(f"{path} has more than 8 bits a channel; save it with 8")
        width, height = image.size
        mask: Mask = np.empty((height, width), bool)
        for top in range(0, height, _ROWS):
            bottom = min(top + _ROWS, height)
            mask[top:bottom] = _grey(image.crop((0, top, width, bottom))) >= WHITE
    if abs(width * shape[1] / (height * shape[0]) - 1) > _SHAPE:
        wanted = "square" if shape[0] == shape[1] else f"{shape[0]} x {shape[1]}"
        raise UserError(
            f"{path} has {width} x {height} pixels, and a mask must be {wanted}, in any size"
        )
    if not mask.any():
        raise UserError(f"{path} is nowhere white, so nothing would be painted anew")
    return mask


def _grey(image: Image.Image) -> Picture:
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return np.asarray(image.convert("L"))


def touched(mask: Mask, side: int) -> Mask:
    """Return which of (side, side) pixels are painted anew: all that a mask touches."""
    return _shares(mask, (side, side)) > _TOUCHED


def _shares(mask: Mask, size: tuple[int, int]) -> Plane:
    """Return what share of each pixel is white in another size, width and height."""
    width, height = size
    count = min(height, math.ceil(mask.size / _VALUES))
    edges = [round(height * part / count) for part in range(count + 1)]
    parts = []
    for top, bottom in itertools.pairwise(edges):
        upper, lower = (edge * len(mask) / height for edge in (top, bottom))
        first = math.floor(upper)
        image = Image.fromarray(mask[first : math.ceil(lower)].astype(np.float32))
        box = 0, upper - first, image.width, lower - first
        parts.append(np.asarray(image.resize((width, bottom - top), Image.Resampling.BOX, box)))
    return np.concatenate(parts)


def weights(mask: Mask, size: tuple[int, int]) -> Callable[[int, int], Plane]:
    """Return how much the new picture counts, 0 to 1, for some rows of a print.

    It is 0 outside the mask, and rises inside it from its edge on, to 1 along the middle of each
    part: a narrow one has a narrow edge, and one of a few pixels none. A pixel is outside where the
    nearest one of the mask is black.

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
    soft = _places(mask, small)
    (low_y, high_y, part_y), (low_x, high_x, part_x) = (
        _between(length, have) for length, have in zip((height, width), soft.shape, strict=True)
    )

    def of_rows(top: int, bottom: int) -> Plane:
        rows = slice(top, bottom)
        share = part_y[rows, None]
        lines = (1 - share) * soft[low_y[rows]] + share * soft[high_y[rows]]
        place = np.minimum((1 - part_x) * lines[:, low_x] + part_x * lines[:, high_x], 1)
        found: Plane = place * place * (3 - 2 * place) * mask[np.ix_(near[0][rows], near[1])]
        return found

    return of_rows


def _places(mask: Mask, size: tuple[int, int]) -> Plane:
    """Return where each pixel of a small size is between the edge, 0, and what is all new, 1.

    Farther inside it is more than 1.

    Args:
        mask: In its own size.
        size: Width and height.

    Returns:
        (height, width).
    """
    # here, since the environments of the networks have no scipy
    from scipy import ndimage  # type: ignore[import-untyped]

    shares = _shares(mask, size)
    is_touched, inside = shares > _TOUCHED, shares > 0.5
    inside |= is_touched & ~ndimage.binary_dilation(inside, _AROUND)  # thinner than a pixel here
    if inside.all():
        return np.ones(inside.shape, np.float32)
    distance = ndimage.distance_transform_edt(inside) - 0.5
    most = max(1.0, FEATHER * max(size))
    reach = np.full(inside.shape, most)
    whole = inside | is_touched
    large = ndimage.binary_propagation(inside & (distance >= 2 * most), _AROUND, mask=whole)
    for apart in (large, ~large):  # a dot beside a large part changes nothing there
        reach[apart] = _reach(inside & apart, distance, most)[apart]
    place: Plane = np.clip(distance / reach, 0, 2).astype(np.float32)
    for known in (inside, whole):  # what is thin lies between pixels here
        place = np.where(known, place, ndimage.maximum_filter(place, 3))
    return place


def _reach(inside: Mask, distance: Plane, most: float) -> Plane:
    """Return over how many pixels the new picture fades in, for each pixel.

    Along the middle of a narrow part that is no more than half of the distance, and it grows from
    there. A part is narrow for a radius where no disc of it fits in. What sticks out of a wider
    part by a quarter of the radius at most is a rough edge, and no part.

    Args:
        inside: Of the mask, (height, width).
        distance: Of what is inside to the outside, in pixels.
        most: In parts that are wide enough, in pixels.
    """
    from scipy import ndimage

    reach = np.full(inside.shape, most)
    narrow, radius = inside, 2 * most
    while radius > 0.5 and narrow.any():
        wide, fits = np.zeros_like(inside), inside & (distance >= radius)
        if fits.any():
            wide = inside & (ndimage.distance_transform_edt(~fits) <= radius + 1)
        rough = max(1, round(radius / 4))
        near = ndimage.binary_dilation(wide, _AROUND, iterations=rough, mask=inside)
        narrow = ndimage.binary_propagation(narrow & ~near, _AROUND, mask=narrow & ~wide)
        least = max(0.5, radius / 2 - 1)
        middle = narrow & (distance >= least)
        if middle.any():
            away = ndimage.distance_transform_edt(~middle)
            away = np.maximum(away - 2, 0)  # so far from a wide part a thin line may begin
            reach = np.minimum(reach, least / 2 + _WIDENS * away)
        radius /= 2
    return reach


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


def check_former(
    former: Image.Image, path: Path | str, size: tuple[int, int], bleed: int, profile: str
) -> None:
    """Refuse a former print whose numbers mean other places or colours than those of the new one.

    Args:
        former: Opened and upright; it need not be decoded.
        path: Its file.
        size: Width and height of the new print, without bleed.
        bleed: Pixels of its mirrored edge.
        profile: Its colours: a key of ``PROFILES``.

    Raises:
        UserError: It cannot be laid over it.
    """
    width, height = (side - 2 * bleed for side in former.size)
    if (width, height) != size:
        without = " without its bleed" if bleed else ""
        raise UserError(
            f"{path} has {width} x {height} pixels{without}, and the new print "
            f"{size[0]} x {size[1]}: `size`, `dpi` and `bleed` of both must be the same"
        )
    remedy = f"its pixels stay as they are, so save it as 8-bit RGB in {profile}"
    if former.mode not in (*_GREY, "P", "PA", "RGB", "RGBA"):
        raise UserError(f"{path} has {former.mode} colours, and {remedy}")
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    numbers = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3)
    sample = Image.fromarray(levels[None] if former.mode in _GREY else numbers)
    theirs = _seen(sample, former.info, former.format, path)
    ours = _seen(sample, {"icc_profile": PROFILES[profile]()}, None, path)
    if np.abs(theirs - ours).max() > _SAME:
        raise UserError(f"{path} has other colours than {profile}, and {remedy}")


def _seen(
    sample: Image.Image, info: Mapping[Any, Any], kind: str | None, path: Path | str
) -> npt.NDArray[np.int_]:
    """Return in sRGB what numbers mean in a file, by what it says of itself."""
    tagged = sample.copy()
    tagged.info, tagged.format = {**info}, kind
    return np.asarray(colour.to_srgb(tagged, path)).astype(int)


def former_picture(path: Path | str, bleed: int, side: int) -> Picture:
    """Return a former print as a stage sees it, uint8 (side, side, 3), in sRGB.

    Args:
        path: Its file.
        bleed: Pixels of its mirrored edge, which is left out.
        side: Of the stage's pictures, in pixels.

    Raises:
        UserError: As ``images.read_rgb``, or without the bleed it is no square.
        OSError: The disk refuses.
    """
    with print_rows.opened_large(path) as image:
        box = bleed, bleed, image.width - bleed, image.height - bleed
        width, height = box[2] - box[0], box[3] - box[1]
        if width != height or width <= 0:
            raise UserError(
                f"the picture to repaint has {width} x {height} pixels, and only a square one can "
                "be painted anew"
            )
        rgb = print_rows.part(image, box, path)
    return np.asarray(rgb.resize((side, side), Image.Resampling.LANCZOS))
