"""Horizontal strips of a picture, with the rows of context (halo) that a computation reads."""

from collections.abc import Iterator


def strips(height: int, strip: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield for each strip: rows to read, the valid rows of their result, rows to write.

    Args:
        height: Rows in all.
        strip: Rows to write at once.
        halo: Rows of context above and below; none beyond the picture's edge.
    """
    for start in range(0, height, strip):
        stop = min(start + strip, height)
        low, high = max(0, start - halo), min(height, stop + halo)
        yield slice(low, high), slice(start - low, stop - low), slice(start, stop)


def times(rows: slice, scale: int) -> slice:
    """Return the same rows of a picture that is ``scale`` times larger."""
    return slice(rows.start * scale, rows.stop * scale)
