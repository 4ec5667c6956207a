"""Lines of text as outlines, for pages: those of ``text``, in any script, without fonts inside."""

import functools
from dataclasses import dataclass, replace
from typing import Any

import uharfbuzz as hb  # type: ignore[import-untyped]

from bigart.pictures import text
from bigart.pictures.text import Line

_EM = 32  # pixels: fine enough that rounding does not show
_PER_EM = _EM * text._UNITS


@dataclass(frozen=True)
class Curve:
    """A part of an outline: "m"ove, "l"ine, "c"ubic or "h" (closed), with its points (x, y)."""

    kind: str
    points: tuple[tuple[float, float], ...] = ()


def wrap(words: str, size: float, width: float, max_lines: int) -> list[Line]:
    """Break text into lines as ``text.wrap`` does, in any unit of length.

    Args:
        words: The text.
        size: Of the em.
        width: Of a line.
        max_lines: A text with more is cut.
    """
    return text.wrap(words, _EM, width * _EM / size, max_lines)


def length(line: Line, size: float) -> float:
    """Return the width of a line."""
    return text.length(line, _EM) * size / _EM


def cut(line: Line, size: float, width: float) -> Line:
    """Return a line, shortened with an ellipsis where it is longer than ``width``."""
    found = text.wrap(line.text, _EM, width * _EM / size, 1)
    return found[0] if found else replace(line, text="")


def outlines(line: Line, x: float, baseline: float, size: float) -> list[Curve]:
    """Return the outlines of a line, y upwards.

    Args:
        line: The text.
        x: Its left end.
        baseline: Its height.
        size: Of the em.
    """
    scale = size / _PER_EM
    found: list[Curve] = []
    pen = 0
    for run in text._runs(line):
        font = text._font(*run.font, _EM)
        for glyph, x_offset, y_offset, advance in text._shaped(run, _EM):
            left, low = x + (pen + x_offset) * scale, baseline + y_offset * scale
            font.draw_glyph(glyph, _functions(), (found, left, low, scale))
            pen += advance
    return found


@functools.cache
def _functions() -> Any:
    functions = hb.DrawFuncs()

    def add(data: Any, kind: str, *values: float) -> None:
        found, left, low, scale = data
        pairs = zip(values[::2], values[1::2], strict=True)
        points = tuple((left + scale * px, low + scale * py) for px, py in pairs)
        found.append(Curve(kind, points))

    def quadratic(cx: float, cy: float, x: float, y: float, data: Any) -> None:
        found, left, low, scale = data
        (px, py), end = found[-1].points[-1], (left + scale * x, low + scale * y)
        middle = left + scale * cx, low + scale * cy
        first, second = (
            tuple((a + 2 * b) / 3 for a, b in zip(point, middle, strict=True))
            for point in ((px, py), end)
        )
        found.append(Curve("c", (first, second, end)))

    functions.set_move_to_func(lambda x, y, data: add(data, "m", x, y))
    functions.set_line_to_func(lambda x, y, data: add(data, "l", x, y))
    functions.set_cubic_to_func(lambda *values: add(values[-1], "c", *values[:-1]))
    functions.set_quadratic_to_func(quadratic)
    functions.set_close_path_func(lambda data: add(data, "h"))
    return functions
