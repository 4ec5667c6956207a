"""Noise that belongs to one candidate of one seed, whatever else is computed beside it."""

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def standard_normal(
    seed: int, stage: str, candidate: int, draw: int, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return standard normal noise that depends on the arguments alone.

    A counter-based generator (Philox, Salmon et al. 2011) on the CPU draws it, so it is the same
    at any batch size, order and device, and a run can resume at any draw.

    Args:
        seed: The artwork's seed, 0 to 2**32 - 1.
        stage: What the noise is for ("thumbnails").
        candidate: 1 for the first.
        draw: 0 for the first draw of that candidate.
        shape: Any.

    Returns:
        float32 array of ``shape``.
    """
    generator = _generator(seed, stage, candidate, draw)
    return generator.standard_normal(shape, dtype=np.float32)


def rows_of(
    seed: int, stage: str, candidate: int, draw: int, width: int
) -> Callable[[int], NDArray[np.float32]]:
    """Return a function that draws the next rows of ``standard_normal``, (rows, width).

    It is for pictures whose noise does not fit into memory.

    Args:
        seed: As there, like the others.
        stage: The same.
        candidate: The same.
        draw: The same.
        width: Pixels of a row.
    """
    generator = _generator(seed, stage, candidate, draw)
    return lambda count: generator.standard_normal((count, width), dtype=np.float32)


def _generator(seed: int, stage: str, candidate: int, draw: int) -> np.random.Generator:
    name = f"{seed}/{stage}/{candidate}/{draw}"
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))
