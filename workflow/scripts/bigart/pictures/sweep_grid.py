"""The grid of a sweep: a picture for each combination of values, under labels that say them.

The first two columns that list values are the axes. Each combination of the others is a block with
a title. An axis that is too long for the sheet goes on in another block, with its labels again.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from bigart.pictures import contact_sheet, text
from bigart.pictures.contact_sheet import EDGE, INK, PAPER
from bigart.pictures.images import Picture

LARGEST = 60_000_000  # pixels of a sheet
LONGEST = 16_000  # pixels of its sides
LONGEST_LINE = 4000  # pixels: HarfBuzz draws 4096 at most
GREY = (96, 96, 94)
WIDE = 8  # squares side by side, before an axis goes on in another block
NUMBER = 0.16  # of a candidate's side: the type of its number

# Sizes of type: the labels' as a part of a cell's shorter side, the others' as parts of that
LABEL = 0.11
TITLE = 1.4
PROMPT = 0.8
AXIS = 0.65
CAPTION = 0.5
LINE = 1.4  # of the size of its type
BASELINE = 1.07

Values = Mapping[str, str]
Size = tuple[int, int]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Sweep:
    """What a grid shows.

    Attributes:
        title: Any text; so is the prompt.
        prompt: Below the title; cut with an ellipsis after four lines.
        axes: Column -> values, as they are to be read.
        caption: Returns what stands below the picture of a combination.
        picture: Returns that picture, uint8 (height, width, 3), no larger than the width and
            height that it is given.
        frames: Whether each has a thin line around it.
    """

    title: str
    prompt: str
    axes: Mapping[str, Sequence[str]]
    caption: Callable[[Values], str]
    picture: Callable[[Values, Size], Picture]
    frames: bool = True


def sweep_grid(sweep: Sweep, cell: Size) -> Picture:
    """Lay out the pictures of a sweep.

    Args:
        sweep: What to show.
        cell: Width and height in pixels that each picture should have. Where the sheet would have
            more than 60 million pixels or a side longer than 16,000, they have less.

    Returns:
        uint8 (height, width, 3).
    """
    scale = 1.0
    while True:
        plan = _Plan(max(16, round(cell[0] * scale)), max(16, round(cell[1] * scale)))
        width, height = size = plan.all_of(sweep)
        excess = max(math.sqrt(width * height / LARGEST), max(size) / LONGEST)
        if excess <= 1 or max(plan.width, plan.height) <= 16:
            return plan.drawn(size, sweep)
        scale *= 0.98 / excess


def arrangement(across: int, down: int, others: int, aspect: float) -> tuple[int, int]:
    """Return how many columns a block has, and how many blocks stand side by side.

    Args:
        across: Values of the axis that runs across.
        down: Those of the other one, 1 without it.
        others: Combinations of the other columns, 1 without them.
        aspect: Width of a cell by its height.
    """

    def elongation(parts: int) -> float:
        width, rows = math.ceil(across / parts) * aspect, down * parts * others
        return 0 if parts == 1 and width <= WIDE else abs(math.log(width / rows))

    columns = math.ceil(across / min(range(1, across + 1), key=elongation))
    if columns < across:
        return columns, 1

    def fits(per_line: int) -> bool:
        rows = down * math.ceil(others / per_line)
        return per_line <= others and per_line * columns * aspect <= max(WIDE - 2, rows)

    most = next(count for count in itertools.count(1) if not fits(count + 1))
    return columns, math.ceil(others / math.ceil(others / most))  # as few empty places as possible


@dataclass(frozen=True)
class _Axes:
    """The columns in the order of the sheet: across, down, others."""

    names: Sequence[str]
    across: Sequence[str]
    down: Sequence[str]  # a blank without a second axis
    others: Sequence[tuple[str, ...]]

    @classmethod
    def of(cls, axes: Mapping[str, Sequence[str]]) -> "_Axes":
        """Put the longer one of the first two across, where it is far longer."""
        names = [*axes]
        if len(names) > 1 and len(axes[names[1]]) > 3 * len(axes[names[0]]):
            names[:2] = names[1], names[0]
        others = [*itertools.product(*(axes[name] for name in names[2:]))]
        return cls(names, axes[names[0]], axes[names[1]] if names[1:] else [""], others)

    def values(self, across: str, down: str, other: Sequence[str]) -> Values:
        texts = [across, *([down] if self.names[1:] else []), *other]
        return dict(zip(self.names, texts, strict=True))

    def title(self, other: Sequence[str]) -> str:
        pairs = zip(self.names[2:], other, strict=True)
        return ", ".join(f"{name} {value}" for name, value in pairs)


@dataclass
class _Plan:
    """Where everything is on a sheet, for cells of one size."""

    width: int
    height: int
    texts: list[tuple[float, int, text.Line, int, Colour]] = field(default_factory=list)
    cells: list[tuple[int, int, Values]] = field(default_factory=list)

    def all_of(self, sweep: Sweep) -> Size:
        """Plan the whole sheet; return its size."""
        axes = _Axes.of(sweep.axes)
        counts = len(axes.across), len(axes.down), len(axes.others)
        columns, per_line = arrangement(*counts, self.width / self.height)
        starts = range(0, len(axes.across), columns)
        parts = [axes.across[start : start + columns] for start in starts]

        margin = unit = self.type(1)
        side = self.side(axes)
        block_width = side + columns * (self.width + self.gap) - self.gap
        inner = max(per_line * (block_width + 2 * unit) - 2 * unit, 12 * unit)
        title = self.wrapped(sweep.title, TITLE, inner)
        y = self.write(title, margin, margin, TITLE, INK, inner)
        prompt = self.wrapped(sweep.prompt, PROMPT, inner, 4)
        top = bottom = self.write(prompt, margin, y, PROMPT, INK, inner) + unit
        for number, (other, part) in enumerate(itertools.product(axes.others, parts)):
            place = number % per_line
            if number and not place:
                top = bottom + unit
            x = margin + place * (block_width + 2 * unit)
            name = self.wrapped(axes.title(other), 1, block_width)
            y = self.write(name, x, top, 1, INK)
            bottom = max(bottom, self.block(axes, part, other, sweep.caption, x, y))
        return inner + 2 * margin, bottom + margin - self.gap

    def block(
        self,
        axes: _Axes,
        part: Sequence[str],
        other: Sequence[str],
        caption: Callable[[Values], str],
        x: int,
        y: int,
    ) -> int:
        """Plan labels and pictures of a part of the first axis; return where they end."""
        side, step = self.side(axes), self.width + self.gap
        places = range(x + side, x + side + step * len(part), step)
        heads = zip(places, part, strict=True)
        y = max(self.label(axes.names[0], value, place, y, self.width) for place, value in heads)
        y += self.gap // 2
        for down in axes.down:
            if side:
                lines = len(self.wrapped(down, 1, side - self.gap))
                middle = y + (self.height - self.line(AXIS) - lines * self.line(1)) // 2
                self.label(axes.names[1], down, x, middle, side - self.gap)
            ends = []
            for place, across in zip(places, part, strict=True):
                values = axes.values(across, down, other)
                self.cells.append((place, y, values))
                under = self.wrapped(caption(values), CAPTION, self.width)
                end = y + self.height + self.gap // 4
                ends.append(self.write(under, place, end, CAPTION, GREY, self.width, middle=True))
            y = max(ends) + self.gap
        return y

    def side(self, axes: _Axes) -> int:
        """Return the width of the labels of the second axis, with what is beside them."""
        if not axes.names[1:]:
            return 0
        lengths = [self.length(value, 1) for value in axes.down]
        longest = max([*lengths, self.length(axes.names[1], AXIS)])
        return min(self.width, math.ceil(longest)) + self.gap

    def drawn(self, size: Size, sweep: Sweep) -> Picture:
        """Return the sheet."""
        sheet = Image.new("RGB", size, PAPER)
        for x, y, values in self.cells:
            content = sweep.picture(values, (self.width, self.height))
            height, width = content.shape[:2]
            left, top = x + (self.width - width) // 2, y + (self.height - height) // 2
            sheet.paste(Image.fromarray(content), (left, top))
            if sweep.frames:
                _frame(sheet, left, top, (width, height))
        for words in self.texts:
            text.draw(sheet, *words)
        return np.array(sheet)

    def label(self, axis: str, value: str, x: int, y: int, width: int) -> int:
        """Plan the name of an axis with a value below it; return where it ends."""
        y = self.write(self.wrapped(axis, AXIS, width), x, y, AXIS, GREY, width, middle=True)
        return self.write(self.wrapped(value, 1, width), x, y, 1, INK, width, middle=True)

    def write(
        self,
        lines: Sequence[text.Line],
        x: int,
        y: int,
        share: float,
        ink: Colour,
        width: int = 0,
        *,
        middle: bool = False,
    ) -> int:
        """Plan lines in a width; return where they end. What reads from the right begins there."""
        size = self.type(share)
        for line in lines:
            free = width - text.length(line, size) if middle or line.rtl else 0
            place = x + (free / 2 if middle else free)
            self.texts.append((place, y + round(BASELINE * size), line, size, ink))
            y += self.line(share)
        return y

    def wrapped(self, words: str, share: float, width: int, most: int = 8) -> list[text.Line]:
        return text.wrap(words, self.type(share), min(width, LONGEST_LINE), most)

    def length(self, words: str, share: float) -> float:
        return text.length(text.line_of(words), self.type(share))

    @property
    def gap(self) -> int:
        return self.type(1) // 2

    def type(self, share: float) -> int:
        """Return a size of type in pixels."""
        return max(8, round(share * LABEL * min(self.width, self.height)))

    def line(self, share: float) -> int:
        """Return the height of a line in pixels."""
        return round(LINE * self.type(share))


def _frame(sheet: Image.Image, x: int, y: int, size: Size) -> None:
    ImageDraw.Draw(sheet).rectangle((x - 1, y - 1, x + size[0], y + size[1]), outline=EDGE)


def shrunk(picture: Picture, box: Size) -> Picture:
    """Return a picture no larger than a width and height; it is never enlarged."""
    height, width = picture.shape[:2]
    factor = min(1.0, box[0] / width, box[1] / height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if size == (width, height):
        return picture
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def numbered(pictures: Sequence[Picture], box: Size) -> Picture:
    """Return an artwork's candidates with their numbers, no larger than a width and height.

    Args:
        pictures: uint8 (height, width, 3), all of one size; number 1 first.
        box: At least that of ``numbered_size`` shows them pixel for pixel.
    """
    _, columns = contact_sheet.grid(len(pictures))
    height, width = pictures[0].shape[:2]
    full = numbered_size(len(pictures), (width, height))
    factor = min(1.0, box[0] / full[0], box[1] / full[1])
    side = max(1, int(width * factor)), max(1, int(height * factor))
    size, gap = _number_type(side), _number_gap(side)
    sheet = Image.new("RGB", numbered_size(len(pictures), side), PAPER)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        x, y = column * (side[0] + gap), row * (side[1] + round(size * LINE))
        sheet.paste(Image.fromarray(shrunk(picture, side)), (x, y))
        _frame(sheet, x, y, side)
        number = text.line_of(str(index + 1))
        middle = x + (side[0] - text.length(number, size)) / 2
        text.draw(sheet, middle, y + side[1] + round(size * BASELINE), number, size, INK)
    return np.array(sheet)


def numbered_size(count: int, picture: Size) -> Size:
    """Return width and height of candidates with their numbers, from those of a picture."""
    rows, columns = contact_sheet.grid(count)
    size, gap = _number_type(picture), _number_gap(picture)
    width = columns * (picture[0] + gap) - gap
    return width, rows * (picture[1] + round(size * LINE))


def _number_type(picture: Size) -> int:
    return max(8, round(NUMBER * min(picture)))


def _number_gap(picture: Size) -> int:
    return max(2, round(0.04 * min(picture)))
