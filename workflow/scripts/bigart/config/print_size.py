"""The size of a print: what a person writes, and how many pixels that is. No numpy.

Nothing here computes a pixel: ``pictures.frame`` does, from the numbers of this module.
"""

import re
from typing import Any

AUTO = "auto"
LARGEST, SMALLEST = 16384, 16  # pixels of a side, without bleed
INCH = {"mm": 25.4, "cm": 2.54, "in": 1.0}

_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_SIZE = re.compile(rf"({_NUMBER})(?: *[x×] *({_NUMBER}))? *(px|mm|cm|in)?", re.IGNORECASE)
PATTERN = rf"^(?i:auto|{_NUMBER}( *[x×] *{_NUMBER})? *(px|mm|cm|in)?)$"
CENTRE = rf"^{_NUMBER}%? +{_NUMBER}%?$"


def normal(text: str) -> str:
    """Return a size in the one form that counts as the same: ``50x70 cm``, ``8192``."""
    if text.lower() == AUTO:
        return AUTO
    *sides, unit = _parts(text)
    words = "x".join(f"{side:.15g}" for side in sides[: 1 if is_one_length(text) else 2])
    return words if unit == "px" else f"{words} {unit}"


def is_one_length(size: str | int) -> bool:
    """Return whether a size is one length for both sides: of the square, or of the longer side."""
    found = _SIZE.fullmatch(str(size))
    return found is not None and found[2] is None


def with_both(size: str) -> str:
    """Return a size with both sides, also where they are one length: ``50x50 cm``."""
    if not is_one_length(size):
        return size
    length, _, unit = size.partition(" ")
    return f"{length}x{size}" if unit else f"{length}x{length}"


def cuts(size: str | int) -> bool:
    """Return whether a print of that size is cut out of a picture of another shape."""
    return str(size).lower() != AUTO and not is_one_length(size)


def pixels(size: str | int, dpi: float) -> tuple[int, int] | None:
    """Return width and height in pixels; None is the size that the picture has.

    Args:
        size: ``auto``, ``8192``, ``6000x4000``, ``50 cm``, ``20x30 in``: width before height.
        dpi: Pixels per inch.
    """
    if (text := str(size)).lower() == AUTO:
        return None
    width, height, unit = _parts(text)
    each = 1 if unit == "px" else dpi / INCH[unit]
    return round(width * each), round(height * each)


def of_length(length: float, unit: str, dpi: float) -> int:
    """Return a length in whole pixels."""
    return round(length / INCH[unit] * dpi)


def size_error(text: str, dpi: float) -> str | None:
    """Return what is wrong with a size at that resolution."""
    size = pixels(text, dpi)
    if size is None or (min(size) >= SMALLEST and max(size) <= LARGEST):
        return None
    found = "x".join(map(str, size))
    allowed = f"{SMALLEST} to {LARGEST} pixels a side are possible"
    *sides, unit = _parts(text)
    if unit == "px":
        return f"Of {found} pixels, {allowed}." if max(size) > LARGEST else f"{allowed}."
    most = int(LARGEST * INCH[unit] / max(sides))
    hint = f"; `dpi` can be {most} at most for that length" if max(size) > LARGEST else ""
    return f"At {dpi:g} DPI these are {found} pixels, and {allowed}{hint}."


def bleed_error(bleed: float, shorter: int, dpi: float) -> str | None:
    """Return what is wrong with a bleed in mm: at most half the shorter side can be mirrored.

    Args:
        bleed: In mm.
        shorter: That side of the print, in pixels.
        dpi: Pixels per inch.
    """
    if of_length(bleed, "mm", dpi) <= shorter // 2:
        return None
    return (
        f"A bleed of {bleed:g} mm is more than half of the shorter side, "
        f"{shorter * 25.4 / dpi:.0f} mm at {dpi:g} DPI."
    )


def centre(text: str) -> tuple[float, float]:
    """Return the shares of width and height before the centre of a crop: ``50% 40%``."""
    across, down = (float(part.rstrip("%")) / 100 for part in text.split())
    return across, down


def normal_centre(text: str) -> str:
    """Return a crop in the one form that counts as the same."""
    across, down = (float(part.rstrip("%")) for part in text.split())
    return f"{across:.15g}% {down:.15g}%"


def crop_error(
    text: str, size: str | int, dpi: float, source: tuple[int, int] | None = (1, 1)
) -> str | None:
    """Return what is wrong with the centre of a crop.

    Args:
        text: The centre.
        size: Of the print.
        dpi: Pixels per inch.
        source: Width and height of the picture, or numbers like them. None where they are not
            known.
    """
    place = centre(text)
    if max(place) > 1:
        return "Percentages are 0 to 100."
    target = pixels(size, dpi)
    if target is None or source is None:
        return None
    needed = [wanted / have for wanted, have in zip(target, source, strict=True)]
    for share, at, words in zip(needed, place, ("width", "height"), strict=True):
        half = share / max(needed) / 2
        if half < 0.5 and not half - 1e-9 <= at <= 1 - half + 1e-9:
            first, last = 100 * half, 100 - 100 * half
            return (
                f"A {size} print takes {200 * half:.4g}% of the {words}, and would lie outside "
                f"of the picture: its centre can be at {first:.4g}% to {last:.4g}% of the {words}."
            )
    return None


def _parts(text: str) -> tuple[float, float, str]:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no size")
    width, height, unit = found.groups()
    return float(width), float(height or width), (unit or "px").lower()


def is_print(row: Any) -> bool:
    """Return whether an artwork's final file is more than its last picture with notes.

    Args:
        row: Options, such as an artwork.
    """
    return row.size != AUTO or row.bleed > 0 or row.profile != "sRGB"
