"""The plain form of text, as the networks read prompts, and ids and numbers are understood."""

import re
import unicodedata

# Unicode's Default_Ignorable_Code_Point (zero-width characters, joiners, soft hyphens, direction
# marks, variation selectors, ...), and the marks of interlinear annotations
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
# Blank in every font, and not white space for Unicode: Hangul's fillers, the empty Braille cell
_BLANK = re.compile("[\u3164\uffa0\u2800]")


def plain(text: str) -> str:
    """Return text in NFC, without invisible characters, its words one ordinary blank apart."""
    visible = _INVISIBLE.sub("", _BLANK.sub(" ", text))
    return " ".join(unicodedata.normalize("NFC", visible).split())


def plain_number(text: str) -> str:
    """Return the plain form of a number: also with the digits and points of other scripts."""
    digits = (str(unicodedata.decimal(character, character)) for character in plain(text))
    return "".join(digits).translate({0xFF0E: ".", 0x066B: "."})
