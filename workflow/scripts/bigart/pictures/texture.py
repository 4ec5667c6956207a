"""Texture: fine noise, like grain of canvas or film, that gives smooth areas a surface.

The formula is BIG.art's (Gonsalves, 2022): Gaussian noise, a quarter of it raw and three
quarters blurred, is added to the image. One noise for all channels (monochrome) at 1024 px, one
for each channel (colour) at 4096 px.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

from bigart.pictures.images import Picture
from bigart.running.environment import cores

SIGMA = 1.0  # of the blur, in pixels
RAW, BLURRED = 0.25, 0.75
STRIP = 2**15  # pixels that are computed at once: their arrays stay in the processor's cache

Plane = npt.NDArray[np.float32]


def texture_picture(
    picture: Picture, noise: Callable[[int], Plane], amount: float, size: int, colour: bool
) -> Picture:
    """Give a picture its texture, one channel at a time to save memory (0.4 GB at 4096 px).

    Args:
        picture: uint8 (height, width, 3).
        noise: Called with 0 for monochrome texture, with 0, 1 and 2 for colour; returns standard
            normal float32 (height, width).
        amount: Standard deviation of the noise before the blur, as a part of full scale.
            0 gives the picture back unchanged.
        size: Width of the blur's kernel in pixels, odd. 1 is no blur.
        colour: One noise for each channel instead of one for all.

    Returns:
        uint8 (height, width, 3), rounded to the nearest level.
    """
    if amount == 0:
        return picture.copy()
    result = np.empty_like(picture)
    height, width, _ = picture.shape
    rows = max(1, STRIP // width)

    def add(noises: list[Plane], start: int) -> None:
        part = slice(start, start + rows)
        for channel in range(3):
            if channel < len(noises):
                added = grain_of_rows(noises[channel], amount, size, part)
            result[part, :, channel] = with_grain(picture[part, :, channel], added)

    with ThreadPoolExecutor(cores()) as pool:
        noises = list(pool.map(noise, range(3 if colour else 1)))
        list(pool.map(lambda start: add(noises, start), range(0, height, rows)))
    return result


def with_grain(levels: npt.NDArray[np.uint8], grain: Plane) -> Plane:
    """Return levels of one channel with grain added, rounded and in their range."""
    values: Plane = levels.astype(np.float32)
    values /= 255
    values += grain
    np.clip(values, 0, 1, out=values)
    values *= 255
    return np.rint(values, out=values)


def grain(noise: Plane, amount: float, size: int) -> Plane:
    """Return ``amount * (0.25 z + 0.75 gaussian(z))`` of a noise z, reflected at the edges."""
    return grain_of_rows(noise, amount, size, slice(None))


def grain_of_rows(noise: Plane, amount: float, size: int, rows: slice) -> Plane:
    """Return some rows of ``grain``, the same numbers as all of it has there."""
    radius = size // 2
    start, stop, _ = rows.indices(len(noise))
    first = max(0, start - radius)
    read = noise[first : stop + radius]
    inner = slice(start - first, stop - first)
    blurred: Plane = gaussian_filter(read, SIGMA, radius=radius, mode="mirror")[inner]
    blurred *= BLURRED
    blurred += RAW * noise[rows]
    blurred *= np.float32(amount)
    return blurred
