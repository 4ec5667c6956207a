"""The contact sheet: all candidates of an artwork side by side, numbered, so a person can pick.

Every picture is shown pixel for pixel. Text is in the font inside Pillow, so it looks the same
everywhere. That font has the English letters and little else: accented letters are drawn without
their accents, and others (Cyrillic, Chinese, emoji, ...) as crossed boxes. The recipe in the sheet
has the exact prompt.
"""

import functools
import math
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bigart.errors import UserError
from bigart.pictures.images import Picture

PAPER = (242, 242, 240)
INK = (38, 38, 38)
FAINT = (122, 122, 120)
EDGE = (214, 214, 211)

MARGIN = 48  # all lengths in pixels
GAP = 28
NUMBER_SIZE = 34
NUMBER_SPACE = 54  # below a picture, for its number
PROMPT_SIZE = 28
PROMPT_LINE = 38
PROMPT_MAX_LINES = 4
SMALL_SIZE = 17
SMALL_LINE = 28
HEAD_SPACE = 30  # between the head and the pictures
MIN_WIDTH = 560  # of the text, where pictures are few or small

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(pictures: Sequence[Picture], prompt: str, note: str = "") -> Picture:
    """Lay out pictures in rows, numbered from 1, under their prompt.

    Args:
        pictures: uint8 (height, width, 3), all of one size.
        prompt: Any text; wrapped, and cut with an ellipsis after four lines.
        note: A smaller line under the prompt.

    Returns:
        uint8 (height, width, 3).

    Raises:
        UserError: The sizes of the pictures differ.
    """
    sizes = sorted({picture.shape[1::-1] for picture in pictures})
    if len(sizes) > 1:
        found = ", ".join(f"{width}x{height}" for width, height in sizes)
        raise UserError(f"the pictures of a contact sheet must be of one size, not {found}")
    width, height = sizes[0]
    rows, columns = grid(len(pictures))
    inner = max(MIN_WIDTH, columns * width + (columns - 1) * GAP)
    large, medium, small = map(ImageFont.load_default, (NUMBER_SIZE, PROMPT_SIZE, SMALL_SIZE))
    lines = wrap(prompt, medium, inner, PROMPT_MAX_LINES)
    notes = wrap(note, small, inner, 1)
    top = tiles_top(len(lines), bool(notes))
    full_height = top + rows * (height + NUMBER_SPACE) + (rows - 1) * GAP + MARGIN - GAP // 2

    sheet = Image.new("RGB", (2 * MARGIN + inner, full_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = MARGIN
    for line in lines:
        draw.text((MARGIN, y), line, INK, medium)
        y += PROMPT_LINE
    for line in notes:
        draw.text((MARGIN, y + 5), line, FAINT, small)
    for index, picture in enumerate(pictures):
        x, y = tile_corner(index, columns, width, height, top)
        draw.rectangle((x - 1, y - 1, x + width, y + height), outline=EDGE)
        sheet.paste(Image.fromarray(picture), (x, y))
        foot = y + height + NUMBER_SPACE // 2 + 2
        draw.text((x + width // 2, foot), str(index + 1), INK, large, anchor="mm")
    return np.array(sheet)


def grid(count: int) -> tuple[int, int]:
    """Return (rows, columns): at most four columns, and as few empty places as possible."""
    rows = math.ceil(count / 4)
    return rows, math.ceil(count / rows)


def tiles_top(prompt_lines: int, has_note: bool) -> int:
    """Return the upper edge of the first row of pictures, below the prompt and the note."""
    head = prompt_lines * PROMPT_LINE + (SMALL_LINE if has_note else 0)
    return MARGIN + (head + HEAD_SPACE if head else 0)


def tile_corner(index: int, columns: int, width: int, height: int, top: int) -> tuple[int, int]:
    """Return the left and upper edge of picture ``index`` (from 0) on the sheet."""
    row, column = divmod(index, columns)
    return MARGIN + column * (width + GAP), top + row * (height + NUMBER_SPACE + GAP)


def wrap(text: str, font: Font, width: int, max_lines: int) -> list[str]:
    """Break text into lines of at most ``width`` pixels; an ellipsis ends a text that is cut.

    White space is collapsed, control characters are removed, words wider than a line are broken.
    """
    lines: list[str] = []
    words = _drawable(text).split()[::-1]
    while words and len(lines) <= max_lines:
        line = words.pop()
        while words and font.getlength(f"{line} {words[-1]}") <= width:
            line = f"{line} {words.pop()}"
        fits = 1
        while fits < len(line) and font.getlength(line[: fits + 1]) <= width:
            fits += 1
        words += filter(None, [line[fits:]])
        lines.append(line[:fits])
    if len(lines) > max_lines:
        last = lines[max_lines - 1]
        while last and font.getlength(f"{last}...") > width:
            last = last[:-1]
        lines = [*lines[: max_lines - 1], f"{last.rstrip(' ,.;')}..."]
    return lines


def _drawable(text: str) -> str:
    """Remove what cannot be drawn: controls, joiners, lone surrogates, variation selectors."""
    letters = " ".join(text.split())
    kept = (c for c in letters if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return "".join(_letter(c) for c in kept if not "\ufe00" <= c <= "\ufe0f")


@functools.lru_cache(maxsize=4096)
def _letter(letter: str) -> str:
    """Return a letter without its accents if the font lacks it and would draw a box."""
    mask = ImageFont.load_default(SMALL_SIZE).getmask
    if bytes(mask(letter)) != bytes(mask("\uffff")):
        return letter
    parts = unicodedata.normalize("NFKD", letter)
    return "".join(c for c in parts if not unicodedata.combining(c))
