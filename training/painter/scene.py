"""What a painting shows, and the words for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from painter.canvas import Canvas
from painter.colours import SYNONYMS

MEDIA = ("oil", "watercolor", "pastel")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Scene:
    """Everything a caption can say about a painting.

    Attributes:
        family: Key of ``families.FAMILIES``.
        colours: Names from ``colours.NAMED``, the most important first; empty where the
            picture has its natural colours or all of them.
        count: How many things, 0 where the picture does not count them.
        time: Time of day, a key of ``outdoors.TIMES``; empty for plain day.
        weather: A key of ``outdoors.WEATHERS``; empty for fair weather.
        season: A key of ``outdoors.SEASONS``; empty where nobody can tell.
        detail: A subject within the family, e.g. the city of a skyline; may be empty.
        medium: One of ``MEDIA``.
    """

    family: str
    colours: tuple[str, ...] = ()
    count: int = 0
    time: str = ""
    weather: str = ""
    season: str = ""
    detail: str = ""
    medium: str = "oil"


@dataclass(frozen=True)
class Family:
    """A family of paintings: how to invent a scene, say it, and paint it."""

    sample: Callable[[np.random.Generator], Scene]
    say: Callable[[Scene, np.random.Generator], str]
    draw: Callable[[Scene, Canvas], None]
    weight: float = 1.0


def pick(rng: np.random.Generator, *choices: str) -> str:
    """Return one of the choices."""
    return choices[int(rng.integers(len(choices)))]


def a(thing: str) -> str:
    """Return a thing with its indefinite article."""
    return ("an " if thing[0] in "aeiou" else "a ") + thing


def named(colour: str, rng: np.random.Generator) -> str:
    """Return a word for a colour: mostly its plain name, sometimes a synonym."""
    synonyms = SYNONYMS.get(colour, ())
    return pick(rng, *synonyms) if synonyms and rng.random() < 0.15 else colour


def tint(scene: Scene, rng: np.random.Generator) -> str:
    """Return the scene's colours as they stand before a noun, with a space behind, or nothing."""
    return "".join(f"{named(colour, rng)} " for colour in scene.colours)


def join(colours: tuple[str, ...], rng: np.random.Generator) -> str:
    """Return the names of colours as "x", "x and y" or "x, y and z"."""
    words = [named(colour, rng) for colour in colours]
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + pick(rng, " and ", " and ", " & ") + words[-1]


def some_colours(
    rng: np.random.Generator, names: tuple[str, ...], sizes: tuple[float, ...]
) -> tuple[str, ...]:
    """Return distinct colours; ``sizes[k]`` is the chance of k of them."""
    k = int(rng.choice(len(sizes), p=np.array(sizes) / sum(sizes)))
    return tuple(str(c) for c in rng.choice(names, k, replace=False))


_OF_MEDIUM: dict[str, tuple[str, ...]] = {
    "oil": (
        "an oil painting of {}",
        "an oil painting: {}",
        "{}, oil on canvas",
        "{}, oil painting",
        "{} in oil",
        "{} in the style of an oil painting",
        "an impressionist painting of {}",
        "an acrylic painting of {}",
    ),
    "watercolor": (
        "a watercolor of {}",
        "a watercolor painting of {}",
        "{} in watercolor",
        "{}, watercolor on paper",
        "{}, watercolor",
        "{} in the style of a watercolor",
        "a watercolour of {}",
        "an aquarelle of {}",
    ),
    "pastel": (
        "a pastel of {}",
        "a pastel drawing of {}",
        "{} in pastel",
        "{}, soft pastel",
        "{} in the style of a pastel drawing",
        "a chalk drawing of {}",
        "{} in chalk pastels",
    ),
}
_PLAIN = (
    "a painting of {}",
    "a painting of {}",
    "a painting of {}",
    "a picture of {}",
    "artwork of {}",
    "a beautiful painting of {}",
    "a detailed painting of {}",
)


def with_medium(subject: str, scene: Scene, rng: np.random.Generator) -> str:
    """Wrap a subject ("a bowl of fruit") in words about the painting.

    A subject that already says "painting" keeps its words. Oil, the plain case, is often not
    mentioned; the other media nearly always are.
    """
    art = "painting" in subject or "art " in subject
    if scene.medium == "oil" and rng.random() < 0.7:
        return subject if art or rng.random() < 0.5 else pick(rng, *_PLAIN).format(subject)
    forms = _OF_MEDIUM[scene.medium]
    if art:
        forms = tuple(f for f in forms if f.startswith("{}"))
    return pick(rng, *forms).format(subject)
