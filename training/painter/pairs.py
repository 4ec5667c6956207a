"""Two subjects side by side: two shapes, a corgi and a cat, two things on a table."""

import numpy as np

from painter.abstract import paint_ground, shape, shape_noun
from painter.canvas import Canvas
from painter.colours import BRIGHT, Colour, pigment
from painter.outdoors import outdoors, when
from painter.pets import Place, animal_noun, backdrop, cat, corgi, stand, where
from painter.scene import Family, Scene, a, join, named, pick, some_colours
from painter.still_life import bottle, fish_bowl, fruit_bowl, room

SHAPES = ("circles", "triangles", "squares")
ANIMALS = {"corgi": corgi, "cat": cat}


def _beside(rng: np.random.Generator, left: str, right: str) -> str:
    """Say two things of which the first is on the left."""
    between = (" and ", " and ", " next to ", " beside ", " with ", " to the left of ")
    if rng.random() < 0.12:
        return f"{left} and {right} side by side"
    return left + pick(rng, *between) + right


# -- shapes --------------------------------------------------------------------------------


def _shapes(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    ground = paint_ground(scene, canvas)
    for k, (family, colour) in enumerate(zip(scene.detail.split(), scene.colours, strict=True)):
        x, y = 0.28 + 0.44 * k + rng.normal(0, 0.02), 0.5 + rng.normal(0, 0.07)
        r = rng.uniform(0.13, 0.185)
        shape(canvas, family, x, y, r, pigment(colour, rng), ground)


def _say_shapes(scene: Scene, rng: np.random.Generator) -> str:
    left, right = (
        a(f"{named(colour, rng)} {shape_noun(family, rng)}")
        for family, colour in zip(scene.detail.split(), scene.colours, strict=True)
    )
    things = _beside(rng, left, right)
    return pick(rng, things, f"an abstract painting of {things}", f"abstract art with {things}")


def _sample_shapes(rng: np.random.Generator) -> Scene:
    colours = some_colours(rng, (*BRIGHT, "black", "white"), (0, 0, 1))
    return Scene("shapes", colours, 2, detail=f"{pick(rng, *SHAPES)} {pick(rng, *SHAPES)}")


# -- pets ----------------------------------------------------------------------------------


def _pets(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    *animals, place = scene.detail.split()
    backdrop(scene, canvas, place)
    foot = 0.80 if place == "sofa" else rng.uniform(0.85, 0.91)
    for k, animal in enumerate(animals):
        size = rng.uniform(0.58, 0.64) * (0.92 if animal == "cat" else 1)
        at = Place(0.28 + 0.44 * k + rng.normal(0, 0.015), foot, size)
        stand(canvas, at, 0.36)
        ANIMALS[animal](canvas, at, "sitting", scene)


def _say_pets(scene: Scene, rng: np.random.Generator) -> str:
    *animals, place = scene.detail.split()
    left, right = (animal_noun(animal, rng) for animal in animals)
    plain = rng.random() < 0.2 and f"{animals[0]} and {animals[1]}"
    things = plain or _beside(rng, a(left), a(right))
    things += where(place, rng)
    return things + when(scene, rng) if place == "meadow" else things


def _sample_pets(rng: np.random.Generator) -> Scene:
    place = pick(rng, "meadow", "rug", "sofa", "window")
    animals = pick(rng, "corgi cat", "cat corgi")
    scene = Scene("pets", (), 2, detail=f"{animals} {place}")
    return outdoors(scene, rng, 5, 1, 1, 0.4, storm=0.4) if place == "meadow" else scene


# -- on a table ----------------------------------------------------------------------------


def _bottles(canvas: Canvas, x: float, edge: float, cloth: Colour, name: str) -> None:
    rng = canvas.rng
    for dx in (-0.085, 0.09):
        y, width = edge + rng.uniform(0.10, 0.20), rng.uniform(0.06, 0.075)
        bottle(canvas, x + dx, y, rng.uniform(0.38, 0.52), width, pigment(name, rng), cloth)


def _table(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    edge, cloth = room(canvas)
    for k, thing in enumerate(scene.detail.split()):
        x = 0.27 + 0.45 * k + rng.normal(0, 0.012)
        if thing == "bottles":
            _bottles(canvas, x, edge, cloth, scene.colours[0])
        elif thing == "fruit":
            fruit_bowl(canvas, x, edge, rng.uniform(0.18, 0.205), cloth)
        elif thing == "goldfish":
            fish_bowl(canvas, x, edge + rng.uniform(0.13, 0.18), rng.uniform(0.195, 0.22), cloth)
        else:
            at = Place(x, edge + rng.uniform(0.17, 0.21), rng.uniform(0.56, 0.64))
            stand(canvas, at, 0.34)
            cat(canvas, at, "sitting", scene)


def _say_table(scene: Scene, rng: np.random.Generator) -> str:
    words = {
        "bottles": (
            f"{join(scene.colours, rng)} bottles",
            f"{join(scene.colours, rng)} glass bottles",
        ),
        "fruit": ("a bowl of fruit", "a bowl of fruit", "a fruit bowl"),
        "goldfish": ("goldfish in a glass bowl", "a goldfish bowl", "a fish bowl"),
        "cat": ("a tabby cat", "a cat", "a tabby"),
    }
    left, right = (pick(rng, *words[thing]) for thing in scene.detail.split())
    things = _beside(rng, left, right)
    return pick(rng, things, things, f"{things} on a table", f"a still life with {things}")


def _sample_table(rng: np.random.Generator) -> Scene:
    left, right = (
        str(t) for t in rng.choice(("bottles", "fruit", "goldfish", "cat"), 2, replace=False)
    )
    detail = f"{left} {right}"
    return Scene("table", (pick(rng, *BRIGHT),) if "bottles" in detail else (), detail=detail)


FAMILIES = {
    "shapes": Family(_sample_shapes, _say_shapes, _shapes),
    "pets": Family(_sample_pets, _say_pets, _pets, 0.7),
    "table": Family(_sample_table, _say_table, _table, 0.9),
}
