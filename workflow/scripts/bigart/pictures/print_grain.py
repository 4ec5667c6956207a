"""Grain for a print, strip by strip: that of ``texture``, without the noise of a whole picture."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bigart.pictures.images import Picture
from bigart.pictures.texture import grain_of_rows, with_grain

Noise = Callable[[int], npt.NDArray[np.float32]]


def grained(
    strips: Iterable[Picture], height: int, noises: Sequence[Noise], amount: float, size: int
) -> Iterator[Picture]:
    """Add grain, as ``texture.texture_picture`` adds it to a whole picture.

    Args:
        strips: The picture.
        height: Its rows.
        noises: For each channel a function that draws the next rows of noise.
        amount: As there.
        size: As there.
    """
    radius = size // 2
    windows = [noise(0) for noise in noises]
    first = drawn = top = 0  # of the windows: first row, row behind the last
    for strip in strips:
        bottom = top + len(strip)
        new = min(bottom + radius, height) - drawn
        drawn += new
        result = np.empty_like(strip)
        for channel, noise in enumerate(noises):
            window = np.concatenate([windows[channel], noise(new)])
            added = grain_of_rows(window, amount, size, slice(top - first, bottom - first))
            result[:, :, channel] = with_grain(strip[:, :, channel], added)
            windows[channel] = window[max(0, bottom - radius) - first :].copy()
        first, top = max(0, bottom - radius), bottom
        yield result
