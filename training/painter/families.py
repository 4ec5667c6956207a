"""All families of paintings, and what training does with them: invent a scene, say it, paint it."""

import zlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from painter import (
    abstract,
    city,
    landscape,
    microscope,
    outdoors,
    pairs,
    pets,
    still_life,
    traffic,
    workshop,
)
from painter.canvas import Canvas
from painter.scene import MEDIA, Family, Scene, with_medium

FAMILIES: dict[str, Family] = {
    **abstract.FAMILIES,
    **landscape.FAMILIES,
    **city.FAMILIES,
    **still_life.FAMILIES,
    **pets.FAMILIES,
    **workshop.FAMILIES,
    **microscope.FAMILIES,
    **traffic.FAMILIES,
    **pairs.FAMILIES,
}


def is_held_out(scene: Scene) -> bool:
    """Tell whether training leaves this combination of family and colours out (1 in 12)."""
    if len(scene.colours) < 2:
        return False
    return zlib.crc32(" ".join((scene.family, *sorted(scene.colours))).encode()) % 12 == 0


def sample_scene(rng: np.random.Generator, held_out: bool | None = False) -> Scene:
    """Invent a scene.

    Args:
        rng: Decides everything.
        held_out: False for the scenes of training, True for colour combinations that training
            never shows, None for either.
    """
    names = list(FAMILIES)
    weights = np.array([FAMILIES[name].weight for name in names])
    while True:
        scene = FAMILIES[names[int(rng.choice(len(names), p=weights / weights.sum()))]].sample(rng)
        if held_out is None or is_held_out(scene) == held_out:
            break
    return replace(scene, medium=MEDIA[int(rng.choice(3, p=(0.72, 0.14, 0.14)))])


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Return one of the many ways to say what is seen, in lower case."""
    return with_medium(FAMILIES[scene.family].say(scene, rng), scene, rng)


def paint(scene: Scene, size: int, seed: int, weave: bool = True) -> NDArray[np.uint8]:
    """Paint a scene, (size, size, 3) uint8 sRGB.

    The same scene and seed give the same picture at any size of 64 pixels and more, with the
    threads of the canvas where these can be seen or without.
    """
    canvas = Canvas(size, np.random.default_rng(seed), scene.medium)
    FAMILIES[scene.family].draw(scene, canvas)
    if scene.weather:
        outdoors.weather(scene, canvas)
    return canvas.finish(weave)
