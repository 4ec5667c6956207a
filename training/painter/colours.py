"""Pigments: the colour words of the captions and what they look like on the palette."""

import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float32]

#: RGB in [0, 1] of every colour a caption can name.
NAMED: dict[str, tuple[float, float, float]] = {
    "red": (0.80, 0.13, 0.12),
    "orange": (0.95, 0.50, 0.10),
    "yellow": (0.97, 0.82, 0.16),
    "green": (0.20, 0.56, 0.24),
    "turquoise": (0.13, 0.66, 0.66),
    "blue": (0.13, 0.30, 0.72),
    "purple": (0.46, 0.20, 0.60),
    "pink": (0.95, 0.55, 0.66),
    "brown": (0.45, 0.28, 0.16),
    "black": (0.09, 0.09, 0.11),
    "white": (0.95, 0.94, 0.90),
    "gray": (0.53, 0.54, 0.56),
}
BRIGHT = ("red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink")
#: Other words for these colours, by the name in ``NAMED``.
SYNONYMS = {
    "red": ("scarlet", "crimson"),
    "yellow": ("golden",),
    "turquoise": ("teal",),
    "blue": ("azure",),
    "purple": ("violet",),
    "gray": ("grey",),
}


def rgb(red: float, green: float, blue: float) -> Colour:
    """Return one colour as a (3,) array."""
    return np.array((red, green, blue), np.float32)


BLACK, WHITE = rgb(0.07, 0.07, 0.09), rgb(0.98, 0.98, 0.95)


def pigment(name: str, rng: np.random.Generator, spread: float = 0.05) -> Colour:
    """Return a named colour as one mixes it by hand: never twice quite the same, (3,) in [0, 1]."""
    base = np.array(NAMED[name], np.float32)
    light = 1 + rng.normal(0, spread * 1.4)
    return np.clip(base * light + rng.normal(0, spread * 0.5, 3), 0.02, 0.98).astype(np.float32)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return ``first`` with ``share`` (0-1) of ``second`` mixed in."""
    return (first * (1 - share) + second * share).astype(np.float32)
