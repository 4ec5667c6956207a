"""A print from a picture, strip by strip: cropped, exactly scaled, with its colours and bleed.

Each function turns strips, uint8 (rows, width, 3) from the top, into others. Only the picture that
is read is whole in memory, in 8 bits.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from bigart.pictures import colour
from bigart.pictures.frame import Box
from bigart.pictures.images import Picture, opened, set_upright

ROWS = 64  # of a strip
_REACH = 3  # of a Lanczos window, in pixels of the smaller picture
_MOST_PIXELS = 2**31  # of a file that is still read
_ADOBE_GAMMA = 563  # / 256


@contextlib.contextmanager
def opened_large(path: Path | str) -> Iterator[Image.Image]:
    """Yield a picture upright and decoded, also with more pixels than Pillow takes by itself.

    ``part`` gives its pixels.

    Raises:
        UserError: As ``images.read_rgb``, but for colours.
    """
    former = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
    try:
        with opened(path) as image:
            set_upright(image, path)
            image.load()
            yield image
    finally:
        Image.MAX_IMAGE_PIXELS = former


def part(image: Image.Image, box: Box, path: Path | str) -> Image.Image:
    """Return a part of an opened picture, as RGB in sRGB.

    Raises:
        UserError: Its colours cannot be converted.
    """
    cropped = image.crop(box)
    cropped.format = image.format  # tells where a file describes its colours
    return colour.to_srgb(cropped, path)


def small(image: Image.Image, path: Path | str, longer: int) -> Picture:
    """Return an opened picture in sRGB with at most ``longer`` pixels at its longer side."""
    reduced = image.reduce(max(1, max(image.size) // (2 * longer)))
    reduced.format = image.format
    scale = min(1, longer / max(reduced.size))
    width, height = (max(1, round(side * scale)) for side in reduced.size)
    rgb = colour.to_srgb(reduced, path)
    return np.asarray(rgb.resize((width, height), Image.Resampling.LANCZOS))


def rows(image: Image.Image, path: Path | str) -> Iterator[Picture]:
    """Yield the strips of an opened picture."""
    return scaled(image, (0, 0, *image.size), image.size, path)


def scaled(
    image: Image.Image, box: Box, size: tuple[int, int], path: Path | str
) -> Iterator[Picture]:
    """Yield a part of a picture in another size, scaled with Lanczos' window of radius 3.

    Each strip is computed from all the rows that its window reaches, in width and then in height,
    as Pillow's ``crop`` and ``resize`` give it for the whole. (In one call, Pillow takes the order
    that is cheaper for a strip, and rounds in between.)

    Args:
        image: An opened picture.
        box: Left, upper, right and lower edge of the part, in pixels.
        size: Width and height of the result.
        path: The picture's file.
    """
    left, upper, right, lower = box
    width, height = size
    if (right - left, lower - upper) == size:
        for top in range(upper, lower, ROWS):
            yield np.asarray(part(image, (left, top, right, min(top + ROWS, lower)), path))
        return
    scale = (lower - upper) / height
    reach = int(_REACH * max(scale, 1)) + 2
    for top in range(0, height, ROWS):
        bottom = min(top + ROWS, height)
        first = max(upper, int(upper + top * scale) - reach)
        last = min(lower, int(upper + bottom * scale) + reach)
        read = part(image, (left, first, right, last), path)
        ends = upper + top * scale - first, min(upper + bottom * scale, lower) - first
        wide = read.resize((width, read.height), Image.Resampling.LANCZOS)
        edges = 0, ends[0], width, ends[1]
        yield np.asarray(wide.resize((width, bottom - top), Image.Resampling.LANCZOS, edges))


def converted(strips: Iterable[Picture], profile: bytes) -> Iterator[Picture]:
    """Turn strips in sRGB into the colours of a profile, relative colorimetric."""
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(colour.srgb_profile())),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        "RGB",
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    for strip in strips:
        yield np.asarray(transform.apply(Image.fromarray(np.ascontiguousarray(strip))))


def with_bleed(strips: Iterable[Picture], bleed: int) -> Iterator[Picture]:
    """Add a mirrored edge on each side; the mirror lies on the edge of the picture.

    Args:
        strips: The picture, at least ``bleed`` pixels wide and high.
        bleed: In pixels.
    """
    if not bleed:
        yield from strips
        return
    end: Picture | None = None  # the last rows
    top: list[Picture] = []
    waiting = bleed
    for strip in strips:
        wide = np.pad(strip, ((0, 0), (bleed, bleed), (0, 0)), mode="symmetric")
        end = wide if end is None else np.concatenate([end, wide])
        end = end[-bleed:].copy()
        if waiting <= 0:
            yield wide
            continue
        top.append(wide)
        waiting -= len(wide)
        if waiting <= 0:
            joined = np.concatenate(top)
            yield joined[:bleed][::-1]
            yield joined
            top = []
    if end is not None:
        yield end[::-1]


def adobe_rgb_profile() -> bytes:
    """Return an ICC profile of the colours that Adobe published as Adobe RGB (1998).

    It is made from the published primaries and gamma, and none of Adobe's own file.
    """
    # a curve of one number is a gamma, in steps of 1/256 (ICC.1:2001-04, 6.5.3): from a table of
    # 16 bits black would come back as 1
    gamma = np.array([_ADOBE_GAMMA / 65535])
    return colour.rgb_profile(colour.ADOBE, gamma, "Compatible with Adobe RGB (1998)")
