"""The contact sheet: all candidates of an artwork side by side, numbered, so a person can pick.

Every picture is shown pixel for pixel, and the prompt in its own script.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from bigart.errors import UserError
from bigart.pictures import text
from bigart.pictures.images import Picture

PAPER = (242, 242, 240)
INK = (38, 38, 38)
FAINT = (122, 122, 120)
EDGE = (214, 214, 211)

MARGIN = 48  # all lengths in pixels
GAP = 28
NUMBER_SIZE = 34
NUMBER_SPACE = 54  # below a picture, for its number
NUMBER_BASELINE = 41
FRAME = 5  # around the chosen picture
PROMPT_SIZE = 28
PROMPT_LINE = 38
PROMPT_MAX_LINES = 4
PROMPT_BASELINE = 30  # below the top of its line
SMALL_SIZE = 17
SMALL_LINE = 28
SMALL_BASELINE = 23
HEAD_SPACE = 30  # between the head and the pictures
MIN_WIDTH = 560  # of the text, where pictures are few or small


def contact_sheet(
    pictures: Sequence[Picture],
    prompt: str,
    note: str = "",
    agreement: Sequence[float] = (),
    chosen: int = 0,
) -> Picture:
    """Lay out pictures in rows, numbered from 1, under their prompt.

    Args:
        pictures: uint8 (height, width, 3), all of one size.
        prompt: Any text; wrapped, and cut with an ellipsis after four lines. What runs from right
            to left begins at the right.
        note: A smaller line under the prompt.
        agreement: Of each picture with the prompt, shown beside its number; or nothing.
        chosen: The number that is framed; 0 for none.

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
    lines = text.wrap(prompt, PROMPT_SIZE, inner, PROMPT_MAX_LINES)
    notes = text.wrap(note, SMALL_SIZE, inner, 1)
    top = tiles_top(len(lines), bool(notes))
    full_height = top + rows * (height + NUMBER_SPACE) + (rows - 1) * GAP + MARGIN - GAP // 2

    sheet = Image.new("RGB", (2 * MARGIN + inner, full_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = MARGIN
    for line in lines:
        x = MARGIN + (inner - text.length(line, PROMPT_SIZE) if line.rtl else 0)
        text.draw(sheet, x, y + PROMPT_BASELINE, line, PROMPT_SIZE, INK)
        y += PROMPT_LINE
    for line in notes:
        text.draw(sheet, MARGIN, y + SMALL_BASELINE, line, SMALL_SIZE, FAINT)
    for index, picture in enumerate(pictures):
        x, y = tile_corner(index, columns, width, height, top)
        if index + 1 == chosen:
            frame = (x - FRAME, y - FRAME, x + width + FRAME - 1, y + height + FRAME - 1)
            draw.rectangle(frame, outline=INK, width=FRAME)
        else:
            draw.rectangle((x - 1, y - 1, x + width, y + height), outline=EDGE)
        sheet.paste(Image.fromarray(picture), (x, y))
        number = text.line_of(str(index + 1))
        middle = x + (width - text.length(number, NUMBER_SIZE)) / 2
        text.draw(sheet, middle, y + height + NUMBER_BASELINE, number, NUMBER_SIZE, INK)
        if agreement:
            score = text.line_of(f"{agreement[index]:.3f}")
            right = x + width - text.length(score, SMALL_SIZE)
            text.draw(sheet, right, y + height + NUMBER_BASELINE, score, SMALL_SIZE, FAINT)
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
