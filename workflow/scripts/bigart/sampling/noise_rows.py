"""The noise of ``noise``, drawn row by row, for pictures whose noise does not fit into memory."""

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def rows_of(
    seed: int, stage: str, candidate: int, draw: int, width: int
) -> Callable[[int], NDArray[np.float32]]:
    """Return a function that draws the next rows of ``noise.standard_normal``, (rows, width).

    Args:
        seed: As there, like the others.
        stage: The same.
        candidate: The same.
        draw: The same.
        width: Pixels of a row.
    """
    name = f"{seed}/{stage}/{candidate}/{draw}"
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
    generator = np.random.Generator(np.random.Philox(key=key))
    return lambda count: generator.standard_normal((count, width), dtype=np.float32)
