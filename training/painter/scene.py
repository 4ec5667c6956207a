"""What a painting shows, and how families of paintings register themselves."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from painter.canvas import Canvas

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
        time: Time of day or weather, a key the family knows; empty for plain day.
        detail: A subject within the family, e.g. the city of a skyline; may be empty.
        medium: "oil", "watercolor" or "pastel".
    """

    family: str
    colours: tuple[str, ...] = ()
    count: int = 0
    time: str = ""
    detail: str = ""
    medium: str = "oil"

    def caption(self, rng: np.random.Generator) -> str:
        """Return one of the many ways to say what is seen, in lower case."""
        from painter.families import FAMILIES

        return with_medium(FAMILIES[self.family].say(self, rng), self, rng)

    def captions(self, rng: np.random.Generator, count: int = 4) -> list[str]:
        """Return ``count`` captions, some of which may be equal."""
        return [self.caption(rng) for _ in range(count)]


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


def join(words: tuple[str, ...], rng: np.random.Generator) -> str:
    """Return "a", "a and b" or "a, b and c"."""
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
    "oil": ("an oil painting of {}", "{}, oil on canvas", "{} in oil", "an oil painting: {}"),
    "watercolor": (
        "a watercolor of {}",
        "a watercolor painting of {}",
        "{} in watercolor",
        "{}, watercolor on paper",
    ),
    "pastel": ("a pastel of {}", "a pastel drawing of {}", "{} in pastel", "{}, soft pastel"),
}


def with_medium(subject: str, scene: Scene, rng: np.random.Generator) -> str:
    """Wrap a subject ("a bowl of fruit") in words about the painting.

    A subject that already says "painting" keeps its words. Oil, the plain case, is often not
    mentioned; the other media nearly always are.
    """
    if scene.medium == "oil" and rng.random() < 0.75:
        if "painting" in subject or rng.random() < 0.5:
            return subject
        return f"a painting of {subject}"
    forms = _OF_MEDIUM[scene.medium]
    if "painting" in subject:
        forms = tuple(f for f in forms if f.startswith("{},") or f.startswith("{} in"))
    return pick(rng, *forms).format(subject)
