"""Abstract paintings: circles, triangles, squares, colour blocks, splatters of lines."""

import itertools

import numpy as np

from painter.canvas import Canvas, Points, around, box, ellipse, ribbon, straight
from painter.colours import BRIGHT, Colour, mix, pigment, rgb
from painter.scene import NUMBERS, Family, Scene, a, join, pick, some_colours

GROUNDS = (
    rgb(0.93, 0.90, 0.82),
    rgb(0.88, 0.86, 0.80),
    rgb(0.80, 0.78, 0.72),
    rgb(0.30, 0.33, 0.40),
    rgb(0.86, 0.80, 0.66),
    rgb(0.68, 0.73, 0.76),
    rgb(0.20, 0.20, 0.24),
    rgb(0.95, 0.94, 0.91),
)


def _palette(scene: Scene, canvas: Canvas, count: int) -> list[Colour]:
    names = scene.colours or BRIGHT
    order = (
        [names[i % len(names)] for i in range(count)]
        if scene.colours
        else [str(n) for n in canvas.rng.choice(BRIGHT, count)]
    )
    canvas.rng.shuffle(order)
    return [pigment(name, canvas.rng) for name in order]


def paint_ground(scene: Scene, canvas: Canvas) -> Colour:
    """Paint a ground that stands out against the scene's colours; return its colour."""
    rng = canvas.rng
    own = [pigment(name, np.random.default_rng(0), 0.0) for name in scene.colours]
    order = [GROUNDS[int(i)] for i in rng.permutation(len(GROUNDS))]
    contrast = [min((float(np.abs(g - c).max()) for c in own), default=1.0) for g in order]
    fit = [g for g, c in zip(order, contrast, strict=True) if c > 0.28]
    ground = fit[0] if fit else order[int(np.argmax(contrast))]
    second = np.clip(ground * rng.uniform(0.82, 1.05) + rng.normal(0, 0.03, 3), 0, 1)
    canvas.fill(
        canvas.everything(),
        [ground, second.astype(np.float32)],
        straight(rng.uniform(-0.8, 0.8)),
        scale=1.8,
        vary=0.05,
    )
    return ground


def _spots(rng: np.random.Generator, count: int, big: bool) -> list[tuple[float, float, float]]:
    """Return centres and radii that fill the picture and overlap little."""
    spots: list[tuple[float, float, float]] = []
    radius = 0.44 / np.sqrt(count + 0.4) if big else 0.30 / np.sqrt(count)
    for _ in range(count):
        best, gap = (0.5, 0.5, radius), -9.0
        r = radius * rng.uniform(0.62, 1.15)
        for _ in range(12):
            x, y = rng.uniform(0.05 + r * 0.7, 0.95 - r * 0.7, 2)
            room = min((np.hypot(x - a, y - b) - r - c for a, b, c in spots), default=1.0)
            if room > gap:
                best, gap = (float(x), float(y), float(r)), room
        spots.append(best)
    return spots


def shape(
    canvas: Canvas, family: str, x: float, y: float, r: float, colour: Colour, ground: Colour
) -> None:
    """Paint a circle, triangle or square about (x, y), of radius ``r``, with its shadow."""
    rng = canvas.rng
    if family == "circles":
        outline: Points = ellipse(x, y, r, r * rng.uniform(0.94, 1.04))
        field = around(x, y)
    else:
        corners = 3 if family == "triangles" else 4
        turn = rng.uniform(0, 2 * np.pi) if corners == 3 else rng.normal(0.25 * np.pi, 0.12)
        t = turn + np.arange(corners) * 2 * np.pi / corners + rng.normal(0, 0.08, corners)
        outline = np.stack([x + np.cos(t) * r * 1.22, y + np.sin(t) * r * 1.22], -1)
        field = straight(turn + np.pi / corners)
    outline = canvas.wobble(outline, 0.0035)
    shadow = canvas.shape(outline + np.array([0.010, 0.013]), soft=0.008)
    canvas.fill(shadow, mix(ground, rgb(0.05, 0.05, 0.1), 0.6), opacity=0.4, relief=0)
    mask = canvas.shape(outline)
    style = rng.random()
    canvas.shaded(mask, colour, (x - r * 0.4, y - r * 0.5), r * 2.2, 0.8, field, scale=0.9)
    if family == "circles" and style < 0.35:
        inner = canvas.shape(canvas.wobble(ellipse(x, y, r * 0.66, r * 0.66), 0.003))
        canvas.fill(inner, mix(colour, ground, 0.62), field)
        core = canvas.shape(canvas.wobble(ellipse(x, y, r * 0.36, r * 0.36), 0.003))
        canvas.fill(core, mix(colour, rgb(0, 0, 0), 0.12), field)
    elif style < 0.5:
        centre = np.array([x, y])
        inner = canvas.shape((outline - centre) * 0.55 + centre)
        canvas.fill(inner, mix(colour, rgb(1, 1, 1), 0.35), field, opacity=0.8)


def _shapes(scene: Scene, canvas: Canvas) -> None:
    ground = paint_ground(scene, canvas)
    count = scene.count or int(canvas.rng.integers(7, 15))
    spots = _spots(canvas.rng, count, bool(scene.count))
    for (x, y, r), colour in zip(spots, _palette(scene, canvas, count), strict=True):
        shape(canvas, scene.family, x, y, r, colour, ground)


def _colour_blocks(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    ground = mix(rgb(0.92, 0.90, 0.85), rgb(0.15, 0.15, 0.18), float(rng.random() < 0.35))
    canvas.fill(canvas.everything(), ground, scale=1.6)
    rows = int(rng.integers(3, 7))
    columns = rows if rng.random() < 0.6 else int(rng.integers(3, 7))
    gap = rng.uniform(0.0, 0.018)
    ys = np.linspace(0, 1, rows + 1)
    xs = np.linspace(0, 1, columns + 1)
    ys[1:-1] += rng.normal(0, 0.18 / rows, rows - 1)
    xs[1:-1] += rng.normal(0, 0.18 / columns, columns - 1)
    colours = iter(_palette(scene, canvas, rows * columns))
    for top, bottom in itertools.pairwise(ys):
        for left, right in itertools.pairwise(xs):
            colour = np.clip(next(colours) * rng.uniform(0.8, 1.15), 0, 1).astype(np.float32)
            outline = box(left + gap, top + gap, right - gap, bottom - gap)
            field = straight(float(rng.choice([0.0, np.pi / 2])) + rng.normal(0, 0.15))
            canvas.fill(
                canvas.shape(canvas.wobble(outline, 0.003)), colour, field, scale=1.2, vary=0.11
            )
            if rng.random() < 0.18:
                w, h = (right - left) * 0.25, (bottom - top) * 0.25
                inner = canvas.wobble(box(left + w, top + h, right - w, bottom - h), 0.003)
                canvas.fill(canvas.shape(inner), mix(colour, rgb(1, 1, 1), 0.3), field)


def _splatter(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    paint_ground(scene, canvas)
    count = int(rng.integers(26, 46))
    groups: dict[int, list[Points]] = {}
    colours = _palette(scene, canvas, max(3, 2 * len(scene.colours)))
    for i in range(count):
        start = rng.uniform(-0.1, 1.1, 2)
        heading = rng.uniform(0, 2 * np.pi)
        steps = 40
        bend = np.cumsum(rng.normal(0, 0.09, steps)) + rng.normal(0, 0.04) * np.arange(steps)
        pace = rng.uniform(0.012, 0.04)
        moves = np.stack([np.cos(heading + bend), np.sin(heading + bend)], -1) * pace
        line = start + np.cumsum(moves, 0)
        swell = np.convolve(rng.uniform(0.3, 1.7, steps + 4), np.ones(5) / 5, "valid")
        strokes = groups.setdefault(i // 5 * len(colours) + i % len(colours), [])
        strokes.append(ribbon(line, rng.uniform(0.004, 0.013) * swell))
        for _ in range(int(rng.integers(2, 8))):
            at = line[int(rng.integers(steps))] + rng.normal(0, 0.03, 2)
            r = 0.002 + rng.exponential(0.004)
            strokes.append(ellipse(at[0], at[1], r, r * rng.uniform(0.6, 1), rng.uniform(0, 3)))
    for key, strokes in groups.items():
        colour = colours[key % len(colours)]
        canvas.fill(
            canvas.shape(*(s + 0.003 for s in strokes)), rgb(0.1, 0.1, 0.12), opacity=0.25, relief=0
        )
        canvas.fill(canvas.shape(*strokes), colour, vary=0.07, relief=1.6)


_NOUNS = {
    "circles": ("circle", "circle", "circle", "disc", "dot", "round shape"),
    "triangles": ("triangle", "triangle", "triangle", "triangular shape"),
    "squares": ("square", "square", "square", "box"),
}


def shape_noun(family: str, rng: np.random.Generator) -> str:
    """Return a noun for one of the family's shapes."""
    return pick(rng, *_NOUNS[family])


def plural(noun: str) -> str:
    """Return the plural of a noun."""
    return noun + ("es" if noun.endswith("x") else "s")


def _say_shapes(scene: Scene, rng: np.random.Generator) -> str:
    noun = shape_noun(scene.family, rng)
    colours = join(scene.colours, rng) or pick(rng, "colored", "colorful", "colored", "bright")
    if scene.count == 1:
        one = f"{colours} {noun}"
        things = pick(rng, f"one {one}", a(one), f"a single {one}", f"a big {one}")
    elif scene.count:
        things = f"{NUMBERS[scene.count]} {colours} {plural(noun)}"
    else:
        things = pick(rng, "", "", "many ", "some ") + f"{colours} {plural(noun)}"
    return pick(
        rng,
        f"an abstract painting with {things}",
        f"an abstract painting of {things}",
        things,
        f"abstract art with {things}",
        f"abstract {things}" if not scene.count else f"{things}, abstract art",
        f"an abstract composition of {things}",
        f"a geometric painting with {things}",
        f"modern art: {things}",
    )


def _say_blocks(scene: Scene, rng: np.random.Generator) -> str:
    colours = join(scene.colours, rng) or pick(rng, "colored", "bright", "many colored")
    return pick(
        rng,
        f"color blocks of {colours} squares",
        f"blocks of {colours}",
        f"{colours} color blocks",
        f"an abstract painting with {colours} color blocks",
        f"a grid of {colours} squares",
        f"color blocks of {colours} rectangles",
        a(f"{colours} color block painting"),
        f"a checkerboard of {colours} squares",
        f"{colours} tiles",
        f"a patchwork of {colours}",
    )


def _say_splatter(scene: Scene, rng: np.random.Generator) -> str:
    colours = join(scene.colours, rng) or pick(rng, "colored", "colorful")
    return pick(
        rng,
        f"a splatter of thin {colours} lines",
        f"a splatter of {colours} lines",
        f"an abstract painting with thin {colours} lines",
        f"splattered {colours} paint",
        f"thin {colours} lines",
        f"an abstract splatter of {colours} paint",
        f"splatters of {colours} paint",
        f"drips and splashes of {colours} paint",
        f"a drip painting in {colours}",
        f"{colours} scribbles",
    )


def _sample(family: str) -> Family:
    def sample(rng: np.random.Generator) -> Scene:
        colours = some_colours(rng, (*BRIGHT, "black", "white"), (0.2, 0.3, 0.3, 0.2))
        count = 0
        if family in ("circles", "triangles", "squares") and rng.random() < 0.45:
            count = int(rng.integers(max(1, len(colours)), 6))
        return Scene(family, colours, count)

    if family == "splatter":
        return Family(sample, _say_splatter, _splatter)
    if family == "blocks":
        return Family(sample, _say_blocks, _colour_blocks)
    return Family(sample, _say_shapes, _shapes, weight=1.1)


FAMILIES = {
    name: _sample(name) for name in ("circles", "triangles", "squares", "blocks", "splatter")
}
