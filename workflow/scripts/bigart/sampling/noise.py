"""Noise that belongs to one candidate of one seed, whatever else is computed beside it."""

import hashlib

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
    name = f"{seed}/{stage}/{candidate}/{draw}"
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
    generator = np.random.Generator(np.random.Philox(key=key))
    return generator.standard_normal(shape, dtype=np.float32)
