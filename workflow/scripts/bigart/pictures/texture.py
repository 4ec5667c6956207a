"""Texture: fine noise, like grain of canvas or film, that gives smooth areas a surface.

The formula is BIG.art's (Gonsalves, 2022): Gaussian noise, a quarter of it raw and three
quarters blurred, is added to the image. One noise for all channels (monochrome) at 1024 px, one
for each channel (colour) at 4096 px.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bigart.errors import UserError
from bigart.pictures.images import Picture

MAX_AMOUNT = 0.15
MAX_SIZE = 9
SIGMA = 1.0
RAW, BLURRED = 0.25, 0.75

_STRIP = 256  # rows blurred at a time: bounds memory, changes nothing else

Plane = npt.NDArray[np.float32]


def texture_picture(
    picture: Picture, noise: Callable[[int], Plane], amount: float, size: int, colour: bool
) -> Picture:
    """Give a picture its texture, one channel at a time to save memory (0.45 GB at 4096 px).

    Args:
        picture: uint8 (height, width, 3).
        noise: Called with 0 for monochrome texture, with 0, 1 and 2 for colour; returns standard
            normal float32 (height, width).
        amount: Standard deviation of the noise before the blur, 0 to 0.15 of full scale.
            0 gives the picture back unchanged.
        size: Width of the blur's kernel in pixels, odd, 1 to 9. 1 is no blur.
        colour: One noise for each channel instead of one for all.

    Returns:
        uint8 (height, width, 3), rounded to the nearest level.

    Raises:
        UserError: ``amount`` or ``size`` is out of range, or the picture is smaller than the
            kernel.
    """
    check(amount, size, picture.shape[:2])
    if amount == 0:
        return picture.copy()
    result = np.empty_like(picture)
    plane = noise(0)
    for channel in range(3):
        if colour and channel > 0:
            plane = noise(channel)
        values: Plane = picture[..., channel].astype(np.float32)
        values /= 255
        values = texture_plane(values, plane, amount, size)
        values *= 255
        result[..., channel] = np.rint(values, out=values)
    return result


def check(amount: float, size: int, shape: tuple[int, ...]) -> None:
    """Refuse an amount or kernel size that is out of range, or too wide for ``shape``.

    Raises:
        UserError: Says what was found and what is allowed.
    """
    if not 0 <= amount <= MAX_AMOUNT:
        raise UserError(f"texture amount is {amount:g}; allowed are 0 to {MAX_AMOUNT}")
    if size % 2 != 1 or not 1 <= size <= MAX_SIZE:
        raise UserError(f"texture size is {size}; allowed are 1, 3, 5, 7 and 9")
    if min(shape) <= size // 2:
        raise UserError(f"a picture of {shape[1]}x{shape[0]} pixels is too small for size {size}")


def gaussian_kernel(size: int) -> Plane:
    """Return the normalised Gaussian of sigma 1 at ``size`` whole steps around 0."""
    x = np.arange(size) - size // 2
    weights = np.exp(-(x**2) / (2 * SIGMA**2))
    return (weights / weights.sum()).astype(np.float32)


def texture_plane(values: Plane, noise: Plane, amount: float, size: int) -> Plane:
    """Return ``clip(values + 0.25 z + 0.75 gaussian(z), 0, 1)`` with ``z = amount * noise``.

    Args:
        values: One channel, float32 (height, width) in [0, 1]; left alone.
        noise: Standard normal float32 (height, width).
        amount: As in ``texture_picture``.
        size: As in ``texture_picture``.
    """
    kernel, radius = gaussian_kernel(size), size // 2
    height, width = values.shape
    padded = np.pad(noise, radius, mode="reflect")
    result = np.empty_like(values)
    for top in range(0, height, _STRIP):
        rows = slice(top, min(top + _STRIP, height))
        count = rows.stop - top
        down = sum(k * padded[top + i : top + i + count] for i, k in enumerate(kernel))
        blurred = sum(k * down[:, i : i + width] for i, k in enumerate(kernel))
        grain = np.float32(amount) * (RAW * noise[rows] + BLURRED * blurred)
        np.clip(values[rows] + grain, 0, 1, out=result[rows])
    return result
