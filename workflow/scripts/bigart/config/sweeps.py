"""Sweeps: a row of the table whose cells list values, and the artworks that it stands for.

A cell lists values as ``2|3|4``, whole numbers also as ``1..5``, or both: ``1..3|7``. The row
stands for one artwork for each combination, named after its values: ``lake-seed-3-guidance-2.5``.
Names follow the order of the options, so columns may move.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bigart.config import print_size
from bigart.config.options import TEXTS, Artwork, Options, allowed, checked
from bigart.config.plain_text import plain_number
from bigart.errors import named, show

#: The columns that may list values. In texts, ``|`` and ``..`` are text.
COLUMNS = (*(name for name in Options.model_fields if name not in TEXTS), "strength")
MOST = 200  # artworks of a row
NAME_LENGTH = 100  # characters of an artwork's name
WRONG_SHOWN = 3  # wrong values of a cell

HOW = "`2|3|4`, for whole numbers also `1..5` or `1..3|7`"
IN_THE_TABLE = "Several values go into a column of the table of artworks."

_LIST = re.compile(r"[|｜…]|[.．]{2}")
_RANGE = re.compile(r"([0-9]{1,12}) ?\.\. ?([0-9]{1,12})")
_MEANT_RANGE = re.compile(r"([0-9]{1,12})\s*(?:[-–—~:…]|\.{2,}|to)\s*([0-9]{1,12})")
_MEANT_LIST = re.compile(r"[0-9]+(?:(?:\s*[,;/]\s*|\s+)[0-9]+){2,}")

Faults = dict[str, list[str]]


def lists(cell: object) -> bool:
    """Return whether a cell lists values, rightly or wrongly."""
    return isinstance(cell, str) and bool(_LIST.search(cell))


def expand(values: Mapping[str, Any], candidates: int) -> tuple[list[Artwork], Faults]:
    """Return the artworks of a row, or none and what is wrong in which column.

    Args:
        values: Column -> cell, with the config's values in place of blank ones.
        candidates: How many there are.
    """
    cells = {column: values[column] for column in COLUMNS if lists(values.get(column))}
    rest = {column: cell for column, cell in values.items() if column not in cells}
    artwork, wrong = checked(Artwork, rest, candidates)
    faults = {column: [_message(column, rest.get(column), wrong[column])] for column in wrong}
    if not cells:
        return [artwork] if artwork else [], faults
    axes = {}
    for column, cell in cells.items():
        axes[column], wrong_values = _values(column, cell, candidates)
        if wrong_values:
            faults[column] = wrong_values
    counts = [sum(map(_count, _parts(cell))) for cell in cells.values()]
    if (count := math.prod(counts)) > MOST:
        sizes = " x ".join(f"{number:,}" for number in counts if number > 1)
        found = f"{sizes} = {count:,} combinations" if sizes.count("x") else f"{count:,} values"
        message = f"found {found}; allowed: at most {MOST} artworks a row. Make it several rows"
        faults.setdefault(next(iter(cells)), []).append(message)
    if artwork is None or faults:
        return [], faults
    return _combined(artwork.artwork, rest, axes, candidates)


def _combined(
    row: str, rest: Mapping[str, Any], axes: Mapping[str, list[str]], candidates: int
) -> tuple[list[Artwork], Faults]:
    swept = [dict(zip(axes, texts, strict=True)) for texts in itertools.product(*axes.values())]
    shown = [{column: _shown(column, texts[column]) for column in axes} for texts in swept]
    names = [name(row, texts) for texts in shown]
    longest = max(names, key=len)
    if (excess := len(longest) - NAME_LENGTH) > 0:
        message = (
            f"found {show(row)}, whose sweep names an artwork {named(longest)}; allowed: at most "
            f"{NAME_LENGTH} characters. Shorten it by {excess}"
        )
        return [], {"artwork": [message]}
    found = [
        checked(Artwork, {**rest, **texts, "artwork": own}, candidates)
        for own, texts in zip(names, swept, strict=True)
    ]
    faults: Faults = {}
    for _, wrong in found:
        faults |= {column: [message] for column, message in wrong.items()}
    if doubled := _doubled(own.casefold() for own in names):
        message = f"two of its values make one artwork, {named(doubled[0])}; allowed: one of them"
        faults.setdefault(next(iter(axes)), []).append(message)
    if faults:
        return [], faults
    pairs = zip(found, shown, strict=True)
    return [artwork.of_sweep(row, texts) for (artwork, _), texts in pairs if artwork], {}


def _shown(column: str, value: str) -> str:
    """Return a value as names and grids have it: of a size, both lengths."""
    return print_size.with_both(value) if column == "size" else value


def _values(column: str, cell: str, candidates: int) -> tuple[list[str], list[str]]:
    """Return the values that a cell lists, each as ``text`` writes it, and what is wrong."""
    found, faults, wrong = [], [], 0
    parts = _parts(cell)
    if "" in parts:
        faults.append(f"found {show(cell)}, where a value is blank; allowed: {HOW}")
    for written in filter(None, itertools.chain.from_iterable(map(_written, parts))):
        values = {"artwork": "a", "prompt": "a", column: written}
        artwork, messages = checked(Artwork, values, candidates)
        if artwork:
            found.append(text(getattr(artwork, column)))
        elif (wrong := wrong + 1) <= WRONG_SHOWN:
            message = _message(column, written, messages[column])
            where = "" if written == cell else f"It is in {show(cell)}."
            faults.append(with_more(message, where))
    if wrong > WRONG_SHOWN:
        faults.append(f"more values of {show(cell)} are wrong; allowed: {allowed(column)}")
    faults += [
        f"found {show(value)} twice in {show(cell)}; allowed: once" for value in _doubled(found)
    ]
    return found, faults


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in plain_number(cell).replace("｜", "|").split("|")]


def _written(part: str) -> Iterator[str]:
    """Yield the values of a part of a cell; of a range no more than a row may have."""
    if span := _range(part):
        yield from map(str, range(span[0], min(span[1], span[0] + MOST) + 1))
    else:
        yield part


def _range(part: str) -> tuple[int, int] | None:
    found = _RANGE.fullmatch(part)
    ends = (int(found[1]), int(found[2])) if found else (1, 0)
    return ends if ends[0] <= ends[1] else None


def _count(part: str) -> int:
    span = _range(part)
    return span[1] - span[0] + 1 if span else 1


def _doubled(texts: Iterable[str]) -> list[str]:
    return [one for one, count in Counter(texts).items() if count > 1]


def _message(column: str, cell: object, message: str) -> str:
    """Say how several values are written, where a wrong cell looks as if it meant some."""
    written = plain_number(cell) if isinstance(cell, str) else ""
    if column not in COLUMNS or "Write it as" in message:
        return message
    how = HOW if ".." in written else ""
    if found := _MEANT_RANGE.fullmatch(written):
        low, high = sorted(map(int, found.groups()))
        how = f"`{low}..{high}`"
    elif _MEANT_LIST.fullmatch(written):
        how = f"`{'|'.join(re.findall('[0-9]+', written))}`"
    if not how:
        return message
    return f"found {show(cell)}; allowed: {allowed(column)}. Several values are written {how}."


def with_more(message: str, more: str) -> str:
    """Return a message with one more sentence, which may be blank."""
    end = "" if message[-1] in ".?" else "."
    return f"{message}{end} {more}" if more else message


def text(value: object) -> str:
    """Return a value as names and grids write it: ``2``, ``2.5``, ``true``, ``dpm++``."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def name(row: str, swept: Mapping[str, str]) -> str:
    """Return the name of an artwork of a sweep: ``lake-seed-3-sampler-dpmpp``.

    Args:
        row: The row's name.
        swept: Column -> value, as ``text`` writes it.
    """
    parts = [row]
    for column in filter(swept.__contains__, COLUMNS):
        safe = re.sub(r"[^A-Za-z0-9._]+", "-", swept[column].replace("+", "p"))
        parts += [column, safe.strip("-.")]
    return "-".join(parts)


def grouped(artworks: Iterable[Artwork]) -> dict[str, list[Artwork]]:
    """Return the artworks of each sweep by the name of its row."""
    found: dict[str, list[Artwork]] = {}
    for artwork in artworks:
        if artwork.sweep:
            found.setdefault(artwork.sweep, []).append(artwork)
    return found


def axes(artworks: Iterable[Artwork]) -> dict[str, list[str]]:
    """Return column -> values of the artworks of one sweep, in the order of the table."""
    found: dict[str, dict[str, None]] = {}
    for artwork in artworks:
        for column, value in artwork.swept.items():
            found.setdefault(column, {})[value] = None
    return {column: [*values] for column, values in found.items()}
