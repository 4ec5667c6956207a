"""The proof of a print: A4 pages with the picture, parts of it in their printed size, and a ramp.

Lengths are in mm from the lower left corner, sizes of text in points. The text is drawn as
outlines, so that any script shows everywhere; the same input gives the same bytes.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from reportlab import rl_config  # type: ignore[import-untyped]
from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.lib.units import mm  # type: ignore[import-untyped]
from reportlab.lib.utils import ImageReader  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

from bigart.pictures import text_outlines
from bigart.pictures.frame import Box
from bigart.pictures.images import Picture, encode
from bigart.pictures.print_rows import part, small

WIDTH, HEIGHT = 210.0, 297.0
MARGIN = 15.0
INNER = WIDTH - 2 * MARGIN
PICTURE = 108.0  # longer side of the picture on the page
PROMPT_LINES = 4
SIDE = 85.0  # of a part in its printed size
GAP = INNER - 2 * SIDE
SHEET = (210.0, 297.0)  # drawn beside the print, to compare
INK, FAINT, EDGE = (0.15,) * 3, (0.45,) * 3, (0.75,) * 3
CUT = (0.85, 0.1, 0.1)  # the line along which the print is cut
TITLE, BODY, SMALL, TINY = 15.0, 10.0, 7.5, 6.3
_POINT = 25.4 / 72
_OVERVIEW = 1300  # pixels of the longer side
_QUALITY = 95


@dataclass(frozen=True)
class Sheet:
    """What a proof shows.

    Attributes:
        title: The artwork's name.
        prompt: Any text.
        facts: Name and value of each property of the print.
        recipe: Heading and text of each stage.
        dpi: Pixels per inch of the print.
        bleed: In pixels, on each side.
        keywords: For programs, in the file.
    """

    title: str
    prompt: str
    facts: Sequence[tuple[str, str]]
    recipe: Sequence[tuple[str, str]]
    dpi: float
    bleed: int = 0
    keywords: str = ""


def pages(image: Image.Image, path: Path | str, sheet: Sheet) -> bytes:
    """Return a PDF file.

    Args:
        image: The print with its bleed, opened by ``print_rows.opened_large``.
        path: Its file.
        sheet: What is said of it.
    """
    rl_config.useA85 = 0  # the content of streams as it is, a fifth smaller
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1, pageCompression=1)
    canvas.setTitle(sheet.title)
    canvas.setSubject(sheet.prompt)
    canvas.setKeywords(sheet.keywords)
    canvas.setCreator("BIG.art")
    page = _Page(canvas)
    overview = small(image, path, _OVERVIEW)
    parts = _parts(overview, image, sheet)
    rest = _first_page(page, overview, image, sheet, parts)
    canvas.showPage()
    _second_page(page, image, path, sheet, parts)
    canvas.showPage()
    while rest:
        rest = page.columns(rest, HEIGHT - MARGIN, MARGIN + 6)
        page.foot(sheet.title)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


class _Page:
    """Draws on the present page of a canvas."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas

    def text(
        self,
        words: str | text_outlines.Line,
        x: float,
        y: float,
        size: float = BODY,
        ink: tuple[float, ...] = INK,
        width: float = INNER,
        align: float = 0,
    ) -> None:
        """Draw a line; ``align`` is the share of the free width before it."""
        if isinstance(words, str):
            line = text_outlines.cut(text_outlines.text.line_of(words), size * _POINT, width)
        else:
            line = words
        x += align * (width - text_outlines.length(line, size * _POINT))
        path = self.canvas.beginPath()
        for curve in text_outlines.outlines(line, x, y, size * _POINT):
            points = [round(value * mm, 2) for point in curve.points for value in point]
            if curve.kind == "m":
                path.moveTo(*points)
            elif curve.kind == "l":
                path.lineTo(*points)
            elif curve.kind == "c":
                path.curveTo(*points)
            else:
                path.close()
        self.canvas.setFillColorRGB(*ink)
        self.canvas.drawPath(path, stroke=0, fill=1, fillMode=1)  # non-zero: strokes may overlap

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        ink: tuple[float, ...] = EDGE,
        line: float = 0.15,
        dash: tuple[float, ...] = (),
    ) -> None:
        """Draw an empty rectangle, its line and dashes in mm."""
        self.canvas.setStrokeColorRGB(*ink)
        self.canvas.setLineWidth(line * mm)
        self.canvas.setDash([length * mm for length in dash])
        self.canvas.rect(x * mm, y * mm, width * mm, height * mm, stroke=1, fill=0)
        self.canvas.setDash([])

    def label(self, words: str, x: float, y: float) -> None:
        """Draw a short text on white."""
        self.canvas.setFillColorRGB(1, 1, 1)
        self.canvas.rect(x * mm, y * mm, 3.2 * mm, 3.8 * mm, stroke=0, fill=1)
        self.text(words, x, y + 0.9, SMALL, INK, 3.2, align=0.5)

    def line(self, x: float, y: float, to_x: float, to_y: float, width: float = 0.15) -> None:
        """Draw a line."""
        self.canvas.setStrokeColorRGB(*FAINT)
        self.canvas.setLineWidth(width * mm)
        self.canvas.line(x * mm, y * mm, to_x * mm, to_y * mm)

    def picture(self, picture: Picture, x: float, y: float, width: float, height: float) -> None:
        """Draw a picture."""
        jpeg = io.BytesIO(encode(picture, "JPEG", _QUALITY))
        place = x * mm, y * mm, width * mm, height * mm
        self.canvas.drawImage(ImageReader(jpeg), *place)

    def foot(self, title: str) -> None:
        """Draw what stands at the end of each page."""
        self.text(f"{title}: print this page at 100 %", MARGIN, 8, TINY, FAINT, align=0.5)

    def columns(
        self, recipe: Sequence[tuple[str, str]], top: float, bottom: float
    ) -> list[tuple[str, str]]:
        """Write blocks in two columns; return those for which there was no room."""
        width, step = (INNER - 6) / 2, 3.0
        column, y = 0, top
        left = [
            (heading, words, text_outlines.wrap(words, TINY * _POINT, width, 200))
            for heading, words in recipe
        ]
        high = [step * (1 + len(lines)) + 1.2 for _, _, lines in left]
        if left:  # columns of about the same height
            bottom = max(bottom, top - (sum(high) + max(high)) / 2 - step)
        while left:
            heading, _, lines = left[0]
            room = int((y - bottom) / step) - 1
            whole = int((top - bottom) / step) - 1
            if room < min(len(lines), whole):
                column, y = column + 1, top
                if column > 1:
                    break
                continue
            x = MARGIN + column * (width + 6)
            y -= step
            self.text(heading, x, y, TINY, INK, width)
            for line in lines[:room]:
                y -= step
                self.text(line, x, y, TINY, FAINT, width, align=float(line.rtl))
            y -= 1.2
            left.pop(0)
        return [(heading, words) for heading, words, _ in left]


@dataclass(frozen=True)
class _Part:
    box: Box  # in pixels of the print
    words: str


def _parts(overview: Picture, image: Image.Image, sheet: Sheet) -> list[_Part]:
    """Choose four parts: where most and least happens, the darkest and the lightest."""
    width, height = (side - 2 * sheet.bleed for side in image.size)
    side = round(SIDE / 25.4 * sheet.dpi)
    across, down = min(side, width), min(side, height)
    scale = len(overview[0]) / image.width
    grey: npt.NDArray[np.float64] = overview.mean(axis=2) / 255
    edges = np.abs(np.diff(grey, axis=0, append=grey[-1:]))
    edges = edges + np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    lefts, tops = (_starts(*sides, sheet.bleed) for sides in ((width, across), (height, down)))
    boxes = [(left, top, left + across, top + down) for top in tops for left in lefts]

    def mean(values: npt.NDArray[np.float64], box: Box) -> float:
        left, top, right, bottom = (round(edge * scale) for edge in box)
        return float(values[top : max(bottom, top + 1), left : max(right, left + 1)].mean())

    busy = [mean(edges, box) for box in boxes]
    light = [mean(grey, box) for box in boxes]
    # bands show in smooth parts that are neither black nor white
    smooth = [b + (0 if 0.25 < shade < 0.9 else 1) for b, shade in zip(busy, light, strict=True)]
    wishes = (
        ("most detail", busy, -1),
        ("least detail", smooth, 1),
        ("darkest", light, 1),
        ("lightest", light, -1),
    )
    found: list[_Part] = []
    for words, values, sign in wishes:
        order = sorted(range(len(boxes)), key=lambda i: sign * values[i])
        free = [i for i in order if not any(_overlap(boxes[i], part.box) for part in found)]
        if free:
            found.append(_Part(boxes[free[0]], words))
    return found


def _starts(length: int, wanted: int, first: int) -> list[int]:
    """Return where parts of a side may begin: in steps of half a part, at most 40."""
    free = length - wanted
    steps = max(1, min(40, round(2 * free / wanted)))
    return sorted({first + round(free * i / steps) for i in range(steps + 1)})


def _overlap(one: Box, other: Box) -> bool:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across > 0 and down > 0


def _first_page(
    page: _Page, overview: Picture, image: Image.Image, sheet: Sheet, parts: Sequence[_Part]
) -> list[tuple[str, str]]:
    """Draw the first page; return what of the recipe has no room on it."""
    y = HEIGHT - MARGIN - 4
    page.text(sheet.title, MARGIN, y, TITLE, width=INNER)
    for line in text_outlines.wrap(sheet.prompt, BODY * _POINT, INNER, PROMPT_LINES):
        y -= 5
        page.text(line, MARGIN, y, BODY, FAINT, align=float(line.rtl))
    top = y - 6
    scale = PICTURE / max(image.size)  # mm for a pixel
    width, height = (side * scale for side in image.size)
    low = top - height
    page.picture(overview, MARGIN, low, width, height)
    page.box(MARGIN, low, width, height)
    bleed = sheet.bleed * scale
    if bleed:
        page.box(
            MARGIN + bleed, low + bleed, width - 2 * bleed, height - 2 * bleed, CUT, 0.2, (1.5, 1)
        )
    for number, one in enumerate(parts, 1):
        left, upper, right, lower = (edge * scale for edge in one.box)
        for ink, thick in (((1, 1, 1), 0.5), (INK, 0.2)):
            page.box(MARGIN + left, top - lower, right - left, lower - upper, ink, thick)
        page.label(str(number), MARGIN + left + 0.3, top - upper - 4.1)
    x = MARGIN + PICTURE + 7
    room = WIDTH - MARGIN - x
    y = top - 3
    for name, value in sheet.facts:
        page.text(name, x, y, SMALL, FAINT, room)
        for line in text_outlines.wrap(value, SMALL * _POINT, room - 19, 3):
            page.text(line, x + 19, y, SMALL, INK, room - 19)
            y -= 4
        y -= 0.6
    bottom = min(low, _to_scale(page, image, sheet, x, y - 2, room))
    ramp = bottom - 7
    _ramp(page, ramp)
    page.foot(sheet.title)
    whole = text_outlines.wrap(sheet.prompt, BODY * _POINT, INNER, PROMPT_LINES + 1)
    cut = [("prompt", sheet.prompt)] if len(whole) > PROMPT_LINES else []
    return page.columns([*cut, *sheet.recipe], ramp - 19, MARGIN)


def _to_scale(
    page: _Page, image: Image.Image, sheet: Sheet, x: float, top: float, room: float
) -> float:
    """Draw print, bleed and a sheet of A4 in one scale; return the height of the lower end."""
    width, height = (side / sheet.dpi * 25.4 for side in image.size)
    bleed = sheet.bleed / sheet.dpi * 25.4
    whole, high = width + SHEET[0] * 1.12, max(height, SHEET[1])
    wanted = max(whole / room, high / 50)
    steps = (1, 2, 2.5, 4, 5, 7.5, 10, 12.5, 15, 20, 25, 30, 40, 50, 75, 100)
    ratio = next((step for step in steps if step >= wanted), wanted)
    base = top - high / ratio
    page.box(x, base, width / ratio, height / ratio, INK, 0.2)
    if bleed:
        inner = x + bleed / ratio, base + bleed / ratio
        size = (width - 2 * bleed) / ratio, (height - 2 * bleed) / ratio
        page.box(*inner, *size, CUT, 0.15, (1.2, 0.8))
    left = x + (width + 0.12 * SHEET[0]) / ratio
    page.box(left, base, SHEET[0] / ratio, SHEET[1] / ratio, FAINT)
    page.text("A4", left, base + 1.5, TINY, FAINT, SHEET[0] / ratio, align=0.5)
    words = f"1 : {ratio:g}, beside a sheet of A4"
    page.text(words, x, base - 3.5, TINY, FAINT, room)
    if bleed:
        page.text("dashed: here the print is cut", x, base - 6.5, TINY, CUT, room)
    return base - 7


def _ramp(page: _Page, top: float) -> None:
    """Draw greys from black to white in 21 steps, and the ends in finer ones."""
    steps = [*range(0, 101, 5)]
    side = INNER / len(steps)
    for index, percent in enumerate(steps):
        x = MARGIN + index * side
        page.canvas.setFillColorRGB(*[round(255 * percent / 100) / 255] * 3)
        page.canvas.rect(x * mm, (top - 7) * mm, side * mm, 7 * mm, stroke=0, fill=1)
        page.text(str(percent), x, top - 10, TINY, FAINT, side, align=0.5)
    page.box(MARGIN, top - 7, INNER, 7)
    words = "grey in percent of white; neighbours can be told apart on a good print"
    page.text(words, MARGIN, top - 13.5, TINY, FAINT)


def _second_page(
    page: _Page, image: Image.Image, path: Path | str, sheet: Sheet, parts: Sequence[_Part]
) -> None:
    """Draw the parts in their printed size."""
    top = HEIGHT - MARGIN - 4
    page.text("In the size of the print", MARGIN, top, TITLE)
    words = f"Parts of the print at its {sheet.dpi:g} DPI; page 1 shows where they are."
    page.text(words, MARGIN, top - 6, BODY, FAINT)
    for index, one in enumerate(parts):
        left, upper, right, lower = one.box
        width, height = (
            (end - start) / sheet.dpi * 25.4 for start, end in ((left, right), (upper, lower))
        )
        x = MARGIN + index % 2 * (SIDE + GAP)
        y = top - 12 - index // 2 * (SIDE + 11)
        picture = np.asarray(part(image, one.box, path))
        page.picture(picture, x, y - height, width, height)
        page.text(f"{index + 1}: {one.words}", x, y - height - 4, SMALL, FAINT, SIDE)
    y = MARGIN + 14
    page.line(MARGIN, y, MARGIN + 100, y)
    for tick in range(0, 101, 5):
        high = 3 if tick % 10 == 0 else 1.5
        page.line(MARGIN + tick, y, MARGIN + tick, y + high)
    for tick in range(0, 101, 20):
        page.text(str(tick // 10), MARGIN + tick - 5, y - 3.2, TINY, FAINT, 10, align=0.5)
    page.text("cm; if this is not 10 cm long, the page was scaled", MARGIN + 106, y, TINY, FAINT)
    page.foot(sheet.title)


def blocks(stages: Sequence[tuple[str, dict[str, object]]]) -> Iterator[tuple[str, str]]:
    """Yield heading and text of each stage of a recipe."""
    for number, (name, values) in enumerate(stages, 1):
        yield f"{number}. {name}", "; ".join(f"{key} {value}" for key, value in values.items())
