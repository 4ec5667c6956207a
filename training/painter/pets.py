"""Pets: corgis and tabby cats, at home and out of doors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from painter.canvas import (
    HORIZONTAL,
    Canvas,
    Points,
    along,
    around,
    below,
    box,
    ellipse,
    evenly,
    ribbon,
    ridge,
    smooth,
    straight,
)
from painter.colours import BLACK, WHITE, Colour, mix, rgb
from painter.outdoors import (
    XS,
    foliage,
    hills,
    horizon_colour,
    is_white,
    lit,
    meadow,
    outdoors,
    sky,
    tree,
    when,
)
from painter.scene import NUMBERS, Family, Scene, a, pick, tint
from painter.still_life import WALLS, room

Pairs = Sequence[tuple[float, float]]
CREAM, PINK = rgb(0.97, 0.94, 0.87), rgb(0.90, 0.55, 0.56)


@dataclass(frozen=True)
class Place:
    """Where a figure stands: its own coordinates, y down from 0 at its foot, onto the canvas."""

    x: float
    y: float
    size: float
    way: float = 1.0
    turn: float = 0.0

    def __call__(self, points: Pairs | Points) -> Points:
        """Return points (k, 2) of the figure on the canvas."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        turned = np.asarray(points, float) @ np.array([[c, s], [-s, c]])
        return turned * (self.way * self.size, self.size) + (self.x, self.y)

    def oval(self, x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Points:
        """Return an ellipse of the figure on the canvas."""
        return self(ellipse(x, y, rx, ry, turn))

    def line(self, points: Pairs, width: float) -> Points:
        """Return a line of the figure, pointed at its ends, as a polygon on the canvas."""
        knots = np.asarray(points, float)
        t = np.linspace(0, len(knots) - 1, 4 * len(knots))
        at = [np.interp(t, range(len(knots)), knots[:, k]) for k in (0, 1)]
        taper = 0.35 + 0.65 * np.sin(np.linspace(0, np.pi, len(t)))
        return ribbon(self(np.stack(at, -1)), width * self.size * taper)

    def part(self, x: float, y: float, size: float, turn: float = 0.0) -> "Place":
        """Return the place of a part that has coordinates of its own, a head say."""
        ((cx, cy),) = self([(x, y)])
        return Place(float(cx), float(cy), self.size * size, self.way, turn)


def mirrored(half: Pairs) -> list[tuple[float, float]]:
    """Return an outline from its right half, from the top to the bottom, both on the axis."""
    return [*half, *((-x, y) for x, y in half[-2:0:-1])]


def both(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> list[Points]:
    """Return an ellipse and its mirror image."""
    return [ellipse(x, y, rx, ry, turn), ellipse(-x, y, rx, ry, -turn)]


def fur(canvas: Canvas, outline: Points, colour: Colour, field_angle: float, size: float) -> None:
    """Paint a furry thing: light from the upper left, strokes along an angle, tufts at the rim."""
    rng = canvas.rng
    rim = evenly(outline, 0.012)
    step = np.roll(rim, -1, 0) - rim
    normal = np.stack([step[:, 1], -step[:, 0]], -1)
    normal *= np.sign((normal * (rim - rim.mean(0))).sum())  # outwards, whichever way it runs
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    reach = (0.006 + 0.012 * size) * rng.uniform(0.3, 1.5, (len(rim), 1))
    tips = rim + step * rng.uniform(0.2, 2.0, (len(rim), 1)) + normal * reach
    tufts = [np.stack(t) for t in zip(rim, tips, rim + step, strict=True)]
    low, high = outline.min(0), outline.max(0)
    lamp = (float(low[0] * 0.7 + high[0] * 0.3), float(low[1] * 0.85 + high[1] * 0.15))
    away = float(np.hypot(*(high - low))) * 0.95
    canvas.shaded(
        canvas.shape(outline, *tufts),
        colour,
        lamp,
        away,
        0.52,
        straight(field_angle),
        scale=0.45,
        vary=0.17,
        relief=1.2,
    )


# -- a corgi -------------------------------------------------------------------------------


def _corgi_head(canvas: Canvas, at: Place, coat: Colour, white: Colour, smiles: bool) -> None:
    """Paint a corgi's head, 1 wide, about (0, 0)."""
    ear = [(-0.47, -0.12), (-0.53, -0.50), (-0.45, -0.90), (-0.36, -0.93), (-0.20, -0.66)]
    ear = [*ear, (-0.06, -0.36)]
    inner = [(-0.42, -0.26), (-0.45, -0.52), (-0.40, -0.78), (-0.26, -0.58), (-0.17, -0.36)]
    for side in (-1, 1):
        fur(canvas, at(smooth(ear) * (side, 1)), mix(coat, BLACK, 0.10), 1.3, at.size)
        canvas.fill(
            canvas.shape(at(smooth(inner) * (side, 1))),
            mix(mix(PINK, coat, 0.35), BLACK, 0.12),
            straight(1.4),
            scale=0.4,
        )
    skull = [(0.0, -0.45), (0.28, -0.40), (0.45, -0.16), (0.50, 0.08), (0.42, 0.28), (0.18, 0.43)]
    fur(canvas, at(smooth(mirrored([*skull, (0.0, 0.47)]))), coat, 1.2, at.size)
    blaze = [(0.0, -0.43), (0.05, -0.30), (0.055, -0.12), (0.17, 0.02), (0.27, 0.16), (0.27, 0.32)]
    canvas.shaded(
        canvas.shape(at(smooth(mirrored([*blaze, (0.13, 0.43), (0.0, 0.47)])))),
        white,
        (at.x - 0.1 * at.size, at.y + 0.1 * at.size),
        0.5 * at.size,
        0.72,
        straight(1.57),
        scale=0.4,
        vary=0.08,
    )
    brows = [at(p) for p in both(0.20, -0.19, 0.06, 0.035, -0.4)]
    canvas.fill(canvas.shape(*brows), mix(coat, white, 0.45), scale=0.4)
    _eyes(canvas, at, 0.215, -0.055, 0.072, rgb(0.28, 0.15, 0.07))
    dark = rgb(0.10, 0.08, 0.08)
    if smiles:
        mouth = [(0.0, 0.21), (0.17, 0.25), (0.13, 0.35), (0.0, 0.40)]
        canvas.fill(canvas.shape(at(smooth(mirrored(mouth)))), mix(dark, PINK, 0.2), scale=0.4)
        tongue = [(0.0, 0.28), (0.08, 0.29), (0.085, 0.40), (0.0, 0.46)]
        canvas.fill(canvas.shape(at(smooth(mirrored(tongue)))), rgb(0.92, 0.46, 0.50), scale=0.4)
        cleft = at.line([(0, 0.29), (0, 0.41)], 0.018)
        canvas.fill(canvas.shape(cleft), rgb(0.74, 0.30, 0.36), scale=0.4)
    lips = [
        at.line([(0, 0.17), (0, 0.22), (0.08, 0.26), (0.18, 0.23)], 0.028),
        at.line([(0, 0.17), (0, 0.22), (-0.08, 0.26), (-0.18, 0.23)], 0.028),
    ]
    canvas.fill(canvas.shape(*lips), mix(dark, white, 0.15), scale=0.4)
    _nose(canvas, at, 0.115, 0.105, dark)


def _eyes(canvas: Canvas, at: Place, x: float, y: float, r: float, iris: Colour) -> None:
    """Paint round eyes with a glint."""
    canvas.fill(canvas.shape(*(at(p) for p in both(x, y, r * 1.25, r * 1.2))), BLACK, scale=0.4)
    canvas.fill(canvas.shape(*(at(p) for p in both(x, y, r, r))), iris, scale=0.4, vary=0.04)
    canvas.fill(canvas.shape(*(at(p) for p in both(x, y, r * 0.6, r * 0.6))), BLACK, scale=0.4)
    glints = [at.oval(side * x - r * 0.3, y - r * 0.35, r * 0.3, r * 0.3) for side in (-1, 1)]
    canvas.fill(canvas.shape(*glints), WHITE, scale=0.4, vary=0.02)


def _nose(canvas: Canvas, at: Place, y: float, r: float, colour: Colour) -> None:
    shape = [
        (0.0, y - 0.55 * r),
        (0.75 * r, y - 0.55 * r),
        (r, y - 0.05 * r),
        (0.45 * r, y + r * 0.5),
    ]
    nose = at(smooth(mirrored([*shape, (0.0, y + 0.68 * r)])))
    canvas.fill(canvas.shape(nose), colour, scale=0.4, vary=0.05)
    shine = at.oval(-0.25 * r, y - 0.3 * r, 0.28 * r, 0.12 * r)
    canvas.fill(canvas.shape(shine), mix(colour, WHITE, 0.6), scale=0.4)


def _leg(x: float, top: float, w: float, foot: float = 1.25) -> Points:
    """Return the outline of a leg with its paw."""
    knots = [(x - w, top), (x + w, top), (x + 0.8 * w, -0.09), (x + foot * w, -0.01)]
    return smooth([*knots, (x, 0.015), (x - foot * w, -0.01), (x - 0.8 * w, -0.09)])


def _toes(canvas: Canvas, at: Place, xs: Sequence[float], w: float, colour: Colour) -> None:
    lines = [
        at.line([(x + dx * w, -0.035), (x + dx * w, 0.008)], 0.014)
        for x in xs
        for dx in (-0.35, 0.35)
    ]
    canvas.fill(canvas.shape(*lines), mix(colour, BLACK, 0.6), scale=0.4)


def corgi(canvas: Canvas, at: Place, pose: str, scene: Scene) -> None:
    """Paint a corgi of height ``at.size`` that sits, stands, or shows its head and shoulders."""
    rng = canvas.rng
    coats = (rgb(0.82, 0.50, 0.20), rgb(0.74, 0.42, 0.17), rgb(0.88, 0.60, 0.30))
    coat = lit(coats[int(rng.integers(3))], scene)
    white, smiles = lit(CREAM, scene), bool(rng.random() < 0.75)
    tilt = rng.normal(0, 0.10)
    if pose == "portrait":
        bust = [(0.0, -0.50), (0.24, -0.44), (0.40, -0.16), (0.52, 0.20), (0.56, 0.60)]
        fur(canvas, at(smooth(mirrored([*bust, (0.0, 0.66)]))), coat, 1.2, at.size)
        chest = [(0.0, -0.42), (0.18, -0.34), (0.28, -0.04), (0.24, 0.30), (0.12, 0.62)]
        fur(canvas, at(smooth(mirrored([*chest, (0.0, 0.66)]))), white, 1.57, at.size)
        _corgi_head(canvas, at.part(0, -0.62, 0.86, tilt), coat, white, smiles)
        return
    if pose == "standing":
        for x in (-0.44, 0.35):
            fur(
                canvas, at(_leg(x, -0.30, 0.07) - (0, 0.025)), mix(white, BLACK, 0.32), 1.5, at.size
            )
        body = [(-0.74, -0.46), (-0.56, -0.60), (-0.20, -0.60), (0.20, -0.60), (0.46, -0.68)]
        body += [(0.66, -0.52), (0.60, -0.26), (0.36, -0.16), (-0.10, -0.19), (-0.48, -0.16)]
        body += [(-0.76, -0.26)]
        fur(canvas, at(smooth(body)), coat, 0.12, at.size)
        fur(canvas, at.oval(-0.75, -0.38, 0.07, 0.11), mix(white, coat, 0.25), 1.2, at.size)
        belly = [(-0.40, -0.17), (0.10, -0.24), (0.42, -0.24), (0.36, -0.14), (-0.10, -0.16)]
        canvas.fill(canvas.shape(at(smooth(belly))), mix(white, BLACK, 0.16), scale=0.5)
        chest = [(0.44, -0.68), (0.68, -0.58), (0.68, -0.32), (0.54, -0.18), (0.38, -0.26)]
        fur(canvas, at(smooth([*chest, (0.40, -0.46)])), white, 1.4, at.size)
        fur(canvas, at.oval(-0.52, -0.32, 0.18, 0.19), coat, 1.0, at.size)
        for x in (-0.56, 0.48):
            fur(canvas, at(_leg(x, -0.26, 0.075)), white, 1.57, at.size)
        _toes(canvas, at, (-0.56, 0.48), 0.075, white)
        _corgi_head(canvas, at.part(0.66, -0.84, 0.54, tilt), coat, white, smiles)
        return
    body = [(0.0, -0.66), (0.17, -0.62), (0.28, -0.38), (0.36, -0.12), (0.30, 0.0), (0.0, 0.01)]
    fur(canvas, at(smooth(mirrored(body))), coat, 1.3, at.size)
    for side in (-1, 1):
        fur(canvas, at.oval(side * 0.27, -0.14, 0.14, 0.155), coat, 1.0, at.size)
        fur(canvas, at.oval(side * 0.30, -0.015, 0.12, 0.045), white, 0.1, at.size)
    chest = [(0.0, -0.62), (0.17, -0.56), (0.21, -0.38), (0.12, -0.16), (0.0, -0.10)]
    fur(canvas, at(smooth(mirrored(chest))), white, 1.57, at.size)
    for x in (-0.105, 0.105):
        fur(canvas, at(_leg(x, -0.34, 0.072)), white, 1.57, at.size)
    gaps = [at.line([(x, -0.33), (x * 0.94, -0.03)], 0.022) for x in (-0.195, 0, 0.195)]
    canvas.fill(canvas.shape(*gaps), mix(white, BLACK, 0.5), straight(1.57), opacity=0.7, scale=0.4)
    _toes(canvas, at, (-0.105, 0.105), 0.072, white)
    _corgi_head(canvas, at.part(0, -0.77, 0.56, tilt), coat, white, smiles)


# -- a tabby cat ---------------------------------------------------------------------------

_COATS = {
    "gray": (rgb(0.60, 0.58, 0.55), rgb(0.24, 0.23, 0.23)),
    "brown": (rgb(0.62, 0.47, 0.32), rgb(0.24, 0.16, 0.11)),
    "orange": (rgb(0.93, 0.62, 0.30), rgb(0.72, 0.34, 0.12)),
}


def _stripes(canvas: Canvas, at: Place, outline: Points, lines: list[Pairs], tone: Colour) -> None:
    """Paint stripes where they are on the body."""
    body = canvas.shape(outline)
    rng = canvas.rng
    bands = [at.line(line, rng.uniform(0.034, 0.052)) for line in lines]
    canvas.fill(canvas.within(body, *bands), tone, straight(0.3), scale=0.4, opacity=0.85)


def _cat_head(canvas: Canvas, at: Place, coat: Colour, dark: Colour, pale: Colour) -> None:
    """Paint a cat's head, 1 wide, about (0, 0)."""
    rng = canvas.rng
    for side in (-1, 1):
        ear = np.array(
            [(-0.49, 0.02), (-0.50, -0.40), (-0.45, -0.72), (-0.26, -0.56), (-0.06, -0.34)]
        )
        fur(canvas, at(smooth(ear, 4) * (side, 1)), coat, 1.3, at.size)
        inner = np.array([(-0.42, -0.22), (-0.42, -0.58), (-0.17, -0.36)])
        canvas.fill(
            canvas.shape(at(inner * (side, 1))), mix(PINK, coat, 0.3), straight(1.3), scale=0.4
        )
    skull = [(0.0, -0.42), (0.27, -0.38), (0.46, -0.14), (0.51, 0.10), (0.38, 0.30), (0.14, 0.39)]
    outline = at(smooth(mirrored([*skull, (0.0, 0.40)])))
    fur(canvas, outline, coat, 1.2, at.size)
    lines: list[Pairs] = [[(0, -0.44), (0, -0.20)]]
    for side in (-1, 1):
        lines += [
            [(side * 0.12, -0.44), (side * 0.10, -0.22)],
            [(side * 0.24, -0.42), (side * 0.20, -0.22), (side * 0.10, -0.16)],
            [(side * 0.54, -0.04), (side * 0.36, 0.00)],
            [(side * 0.55, 0.09), (side * 0.34, 0.09)],
            [(side * 0.50, 0.23), (side * 0.32, 0.17)],
        ]
    _stripes(canvas, at, outline, lines, dark)
    for x in (-0.10, 0.10):
        canvas.shaded(
            canvas.shape(at.oval(x, 0.19, 0.15, 0.115)),
            pale,
            tuple(at([(x - 0.05, 0.14)])[0]),
            0.25 * at.size,
            0.75,
            scale=0.4,
            vary=0.07,
        )
    canvas.fill(canvas.shape(at.oval(0, 0.31, 0.11, 0.065)), mix(pale, BLACK, 0.06), scale=0.4)
    eye = (rgb(0.52, 0.68, 0.24), rgb(0.88, 0.70, 0.20), rgb(0.40, 0.62, 0.52))[
        int(rng.integers(3))
    ]
    lids, irises = [], []
    for side in (-1, 1):
        almond = np.array(
            [(-0.13, 0.02), (-0.02, -0.085), (0.12, -0.05), (0.07, 0.055), (-0.04, 0.075)]
        )
        place = np.array([0.215, -0.03])
        lids.append(at((smooth(almond * 1.18) + place) * (side, 1)))
        irises.append(at((smooth(almond) + place) * (side, 1)))
    canvas.fill(canvas.shape(*lids), mix(dark, BLACK, 0.6), scale=0.4)
    canvas.fill(canvas.shape(*irises), eye, scale=0.4, vary=0.06)
    wide = rng.uniform(0.022, 0.048)
    canvas.fill(canvas.shape(*(at(p) for p in both(0.215, -0.03, wide, 0.072))), BLACK, scale=0.4)
    glints = [at.oval(side * 0.215 - 0.035, -0.06, 0.02, 0.02) for side in (-1, 1)]
    canvas.fill(canvas.shape(*glints), WHITE, scale=0.4, vary=0.02)
    _nose(canvas, at, 0.115, 0.065, mix(PINK, BLACK, 0.15))
    lips = [
        at.line([(0, 0.15), (0, 0.21), (s * 0.06, 0.25), (s * 0.14, 0.23)], 0.02) for s in (-1, 1)
    ]
    canvas.fill(canvas.shape(*lips), mix(dark, BLACK, 0.4), scale=0.4)
    whiskers = [
        at.line([(s * 0.13, 0.19 + d), (s * 0.42, 0.15 + 2.4 * d), (s * 0.72, 0.17 + 4 * d)], 0.014)
        for s in (-1, 1)
        for d in (-0.03, 0.0, 0.03)
    ]
    canvas.fill(canvas.shape(*whiskers), WHITE, scale=0.4, opacity=0.85)


def _tail(
    canvas: Canvas, at: Place, points: Pairs, width: float, coat: Colour, dark: Colour
) -> None:
    """Paint a ringed tail along a curve."""
    knots = np.asarray(points, float)
    t = np.linspace(0, len(knots) - 1, 40)
    curve = np.stack([np.interp(t, range(len(knots)), knots[:, k]) for k in (0, 1)], -1)
    for _ in range(3):
        curve[1:-1] = (curve[:-2] + curve[1:-1] + curve[2:]) / 3
    line = at(curve)
    thick = width * at.size * np.clip(6 * np.sin(np.linspace(0.25, np.pi - 0.12, 40)), 0, 1)
    fur(canvas, ribbon(line, thick), coat, 0.5, at.size * 0.7)
    rings = [ribbon(line[k : k + 3], thick[k : k + 3] * 0.96) for k in range(6, 36, 6)]
    tip = ribbon(line[36:], thick[36:] * 0.96)
    canvas.fill(canvas.shape(*rings, tip), dark, scale=0.4, opacity=0.85)


def cat(canvas: Canvas, at: Place, pose: str, scene: Scene) -> None:
    """Paint a tabby of height ``at.size`` that sits, lies, or shows its head and shoulders."""
    rng = canvas.rng
    colour = next((c for c in scene.colours if c in _COATS), "")
    coat, dark = (lit(c, scene) for c in _COATS[colour or pick(rng, *_COATS)])
    pale, tilt = mix(coat, lit(CREAM, scene), rng.uniform(0.5, 0.85)), rng.normal(0, 0.07)

    def sides(rows: Sequence[float], inner: float, outer: float, drop: float) -> list[Pairs]:
        return [
            [(s * outer, y), (s * (inner + outer) / 2, y + drop * 0.4), (s * inner, y + drop)]
            for s in (-1, 1)
            for y in rows
        ]

    if pose == "portrait":
        bust = [(0.0, -0.46), (0.20, -0.38), (0.34, -0.10), (0.44, 0.24), (0.48, 0.62)]
        outline = at(smooth(mirrored([*bust, (0.0, 0.66)])))
        fur(canvas, outline, coat, 1.3, at.size)
        _stripes(canvas, at, outline, sides((-0.05, 0.10, 0.25, 0.40, 0.55), 0.2, 0.55, 0.06), dark)
        chest = [(0.0, -0.40), (0.14, -0.28), (0.18, 0.06), (0.12, 0.40), (0.0, 0.62)]
        fur(canvas, at(smooth(mirrored(chest))), pale, 1.57, at.size)
        _cat_head(canvas, at.part(0, -0.62, 0.84, tilt), coat, dark, pale)
        return
    if pose == "lying":
        body = [(-0.68, -0.08), (-0.70, -0.30), (-0.44, -0.50), (0.0, -0.54), (0.36, -0.46)]
        body += [(0.62, -0.26), (0.66, -0.06), (0.40, 0.01), (-0.40, 0.01)]
        outline = at(smooth(body))
        fur(canvas, outline, coat, 0.2, at.size)
        backs: list[Pairs] = [
            [(x, -0.60), (x - 0.03, -0.42), (x + 0.02, -0.24)]
            for x in np.arange(-0.55, 0.35, 0.13) + rng.normal(0, 0.01, 7)
        ]
        _stripes(canvas, at, outline, backs, dark)
        haunch = at.oval(-0.44, -0.16, 0.21, 0.17)
        fur(canvas, haunch, coat, 0.6, at.size)
        arcs: list[Pairs] = [
            [(-0.62 + d, -0.24), (-0.50 + d, -0.2), (-0.46 + d, -0.1)] for d in (0, 0.1, 0.2)
        ]
        _stripes(canvas, at, haunch, arcs, dark)
        curl = [(-0.60, -0.06), (-0.40, 0.0), (-0.10, 0.02), (0.14, -0.01)]
        _tail(canvas, at, curl, 0.10, coat, dark)
        for x in (0.36, 0.54):
            fur(canvas, at.oval(x, -0.03, 0.12, 0.05), mix(coat, pale, 0.6), 0.1, at.size)
        _cat_head(canvas, at.part(0.42, -0.50, 0.54, tilt), coat, dark, pale)
        return
    side = rng.choice((-1.0, 1.0))
    curl = [
        (side * x, y)
        for x, y in ((0.22, -0.05), (0.40, -0.02), (0.50, -0.14), (0.47, -0.32), (0.54, -0.42))
    ]
    _tail(canvas, at, curl, 0.085, coat, dark)
    body = [(0.0, -0.70), (0.14, -0.66), (0.21, -0.42), (0.29, -0.14), (0.25, -0.01), (0.0, 0.01)]
    outline = at(smooth(mirrored(body)))
    fur(canvas, outline, coat, 1.3, at.size)
    _stripes(
        canvas, at, outline, sides((-0.52, -0.42, -0.32, -0.22, -0.12), 0.12, 0.34, 0.05), dark
    )
    chest = [(0.0, -0.64), (0.11, -0.58), (0.13, -0.40), (0.07, -0.20), (0.0, -0.14)]
    fur(canvas, at(smooth(mirrored(chest))), pale, 1.57, at.size)
    for x in (-0.075, 0.075):
        leg = at(_leg(x, -0.36, 0.055))
        fur(canvas, leg, mix(coat, pale, 0.35), 1.57, at.size)
        rows: list[Pairs] = [
            [(x - 0.08, y), (x, y + 0.012), (x + 0.08, y)] for y in (-0.26, -0.18, -0.11)
        ]
        _stripes(canvas, at, leg, rows, dark)
    _toes(canvas, at, (-0.075, 0.075), 0.055, coat)
    for s in (-1, 1):
        fur(canvas, at.oval(s * 0.22, -0.015, 0.09, 0.04), mix(coat, pale, 0.4), 0.1, at.size)
    _cat_head(canvas, at.part(0, -0.78, 0.46, tilt), coat, dark, pale)


# -- where they are ------------------------------------------------------------------------


def _meadow(scene: Scene, canvas: Canvas) -> None:
    """Paint a meadow with trees under the sky."""
    rng = canvas.rng
    horizon = rng.uniform(0.34, 0.48)
    sky(scene, canvas, horizon)
    far = mix(horizon_colour(scene), lit(rgb(0.45, 0.52, 0.6), scene), 0.5)
    grass = meadow(rgb(0.36, 0.56, 0.20), scene)
    slopes = [mix(grass, rgb(0.40, 0.52, 0.30), 0.5), grass]
    hills(scene, canvas, horizon, [lit(c, scene) for c in slopes], far)
    for x in rng.uniform(0, 1, int(rng.integers(1, 5))):
        leaf = mix(lit(foliage(rgb(0.16, 0.34, 0.14), scene, rng), scene), far, 0.3)
        tree(canvas, x, horizon + rng.uniform(0.04, 0.12), rng.uniform(0.14, 0.26), leaf)
    line = np.full(160, horizon + 0.16) + 0.012 * ridge(rng)
    near = lit(grass, scene)
    canvas.fill(
        canvas.shape(below(line)),
        [mix(near, WHITE, 0.12), near, mix(near, BLACK, 0.25)],
        along(XS, line),
        scale=1.1,
        vary=0.15,
    )
    if not is_white(scene):
        flowers = [
            ellipse(x, y, 0.007 * y, 0.006 * y)
            for x, y in rng.uniform((0, horizon + 0.2), (1, 1), (int(rng.integers(0, 70)) + 1, 2))
        ]
        hue = (rgb(0.96, 0.86, 0.3), rgb(0.95, 0.94, 0.9), rgb(0.88, 0.4, 0.5))[
            int(rng.integers(3))
        ]
        canvas.fill(canvas.shape(*flowers), lit(hue, scene), scale=0.5)


def _indoors(scene: Scene, canvas: Canvas, place: str) -> None:
    """Paint a room: a rug on the floor, a sofa, or a window."""
    rng = canvas.rng
    hues = (
        rgb(0.30, 0.44, 0.56),
        rgb(0.62, 0.28, 0.24),
        rgb(0.36, 0.46, 0.34),
        rgb(0.72, 0.58, 0.36),
    )
    hue = hues[int(rng.integers(len(hues)))]
    room(canvas, WALLS[int(rng.integers(len(WALLS)))])
    if place == "window":
        left, top = rng.uniform(0.04, 0.30), rng.uniform(0.02, 0.08)
        w, h = rng.uniform(0.50, 0.62), rng.uniform(0.44, 0.50)
        frame = box(left - 0.025, top - 0.025, left + w + 0.025, top + h + 0.03)
        canvas.fill(canvas.shape(frame), rgb(0.90, 0.88, 0.82), straight(1.57), scale=0.6)
        pane = canvas.shape(box(left, top, left + w, top + h))
        view = [rgb(0.50, 0.70, 0.92), rgb(0.84, 0.91, 0.95), rgb(0.48, 0.62, 0.32)]
        canvas.fill(pane, view, HORIZONTAL, scale=1.2)
        bars = [
            box(left + w / 2 - 0.008, top, left + w / 2 + 0.008, top + h),
            box(left, top + h * 0.45, left + w, top + h * 0.45 + 0.014),
        ]
        canvas.fill(canvas.shape(*bars), rgb(0.90, 0.88, 0.82), straight(1.57), scale=0.5)
    elif place == "sofa":
        canvas.shaded(
            canvas.shape(canvas.wobble(box(0.02, 0.30, 0.98, 0.92), 0.006)),
            mix(hue, BLACK, 0.12),
            (0.3, 0.3),
            0.9,
            0.55,
            straight(1.4),
            scale=1.1,
        )
        for left in (0.06, 0.51):
            seat = smooth(
                [
                    (left, 0.70),
                    (left + 0.21, 0.68),
                    (left + 0.43, 0.70),
                    (left + 0.44, 0.86),
                    (left, 0.86),
                ]
            )
            canvas.shaded(
                canvas.shape(seat), hue, (left + 0.1, 0.68), 0.5, 0.6, HORIZONTAL, scale=1.0
            )
        for x in (-0.02, 0.90):
            arm = smooth(
                [(x, 0.52), (x + 0.06, 0.47), (x + 0.12, 0.52), (x + 0.12, 0.95), (x, 0.95)]
            )
            canvas.shaded(canvas.shape(arm), hue, (x, 0.45), 0.5, 0.5, straight(1.5), scale=0.9)
    else:
        rug = ellipse(0.5, 0.86, 0.46, 0.115)
        canvas.fill(
            canvas.shape(canvas.wobble(rug, 0.003)), mix(hue, BLACK, 0.2), around(0.5, 0.86)
        )
        rim = ellipse(0.5, 0.86, 0.40, 0.094)
        canvas.fill(canvas.shape(rim), mix(hue, CREAM, 0.5), around(0.5, 0.86), scale=0.7)
        canvas.fill(
            canvas.shape(ellipse(0.5, 0.86, 0.37, 0.084)), hue, around(0.5, 0.86), scale=0.7
        )


def backdrop(scene: Scene, canvas: Canvas, place: str) -> None:
    """Paint where the pets are: "meadow", "rug", "sofa" or "window"."""
    if place == "meadow":
        _meadow(scene, canvas)
    else:
        _indoors(scene, canvas, place)


def stand(canvas: Canvas, at: Place, width: float) -> None:
    """Paint the shadow on the ground of a figure ``width`` times as wide as ``at.size``."""
    spot = ellipse(at.x + 0.05 * at.size, at.y, at.size * width, at.size * 0.06)
    canvas.fill(
        canvas.shape(spot, soft=0.012), rgb(0.10, 0.09, 0.10), HORIZONTAL, opacity=0.5, relief=0.4
    )


def _pets(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    pose, place = scene.detail.split()
    backdrop(scene, canvas, place)
    animal = corgi if scene.family == "corgi" else cat
    count = scene.count or 1
    wide = {"sitting": 0.36, "standing": 0.85, "lying": 0.72, "portrait": 0.5}[pose]
    if pose == "portrait":
        size = rng.uniform(0.50, 0.60)
        animal(
            canvas, Place(0.5 + rng.normal(0, 0.04), 0.80, size, rng.choice((-1, 1))), pose, scene
        )
        return
    size = min(0.44 / (wide * count), rng.uniform(0.60, 0.74))
    foot = 0.80 if place == "sofa" else rng.uniform(0.84, 0.92)
    for k in range(count):
        x = 0.5 + (k - (count - 1) / 2) * 0.92 / count + rng.normal(0, 0.012)
        at = Place(
            float(x), foot + rng.normal(0, 0.01), size * rng.uniform(0.94, 1.0), rng.choice((-1, 1))
        )
        stand(canvas, at, wide)
        animal(canvas, at, pose, scene)


# -- words ---------------------------------------------------------------------------------

_WHERE = {
    "meadow": ("on the grass", "in a meadow", "in a garden", "in a park", "in a field", "outside"),
    "rug": ("on a rug", "on a carpet", "at home", "in a room", "on the floor"),
    "sofa": ("on a sofa", "on a couch", "on the sofa"),
    "window": ("by a window", "in front of a window", "near the window"),
}
_NOUNS = {
    "corgi": ("corgi", "corgi", "corgi", "welsh corgi", "dog", "corgi dog", "puppy", "corgi puppy"),
    "cat": ("tabby cat", "tabby cat", "tabby cat", "cat", "tabby", "striped cat", "kitten"),
}


def animal_noun(family: str, rng: np.random.Generator) -> str:
    """Return a noun for a "corgi" or a "cat"."""
    return pick(rng, *_NOUNS[family])


def where(place: str, rng: np.random.Generator) -> str:
    """Return words for a place, with a leading space; often none for a plain one."""
    chance = 0.5 if place in ("rug", "meadow") else 0.9
    return " " + pick(rng, *_WHERE[place]) if rng.random() < chance else ""


def _say(scene: Scene, rng: np.random.Generator) -> str:
    pose, place = scene.detail.split()
    noun = tint(scene, rng) + animal_noun(scene.family, rng)
    if scene.count > 1:
        plural = noun[:-1] + "ies" if noun.endswith(("puppy", "tabby")) else noun + "s"
        things = f"{NUMBERS[scene.count]} {plural}"
        subject = pick(rng, things, things, f"{things} {pose}")
    elif pose == "portrait":
        subject = pick(
            rng,
            f"a portrait of {a(noun)}",
            f"{a(noun)} portrait",
            f"the face of {a(noun)}",
            f"the head of {a(noun)}",
        )
    else:
        adjective = pick(rng, "cute ", "happy ", "little ", "pet ")
        subject = pick(
            rng,
            a(noun),
            a(noun),
            f"{a(noun)} {pose}",
            f"{a(noun)} {pose}",
            a(f"{pose} {noun}"),
            f"a {adjective}{noun}",
            f"one {noun}",
        )
    subject += where(place, rng)
    return subject + when(scene, rng) if place == "meadow" else subject


def _sample(family: str, poses: tuple[str, ...], colours: tuple[str, ...]) -> Family:
    def sample(rng: np.random.Generator) -> Scene:
        pose = pick(rng, *poses)
        place = pick(rng, "meadow", "meadow", "rug", "rug", "sofa", "window")
        count = (
            int(rng.choice((0, 1, 2, 3), p=(0.55, 0.2, 0.17, 0.08))) if pose != "portrait" else 0
        )
        coat = (pick(rng, *colours),) if colours and rng.random() < 0.45 else ()
        scene = Scene(family, coat, count, detail=f"{pose} {place}")
        return outdoors(scene, rng, 5, 1, 1, 0.5, storm=0.5) if place == "meadow" else scene

    return Family(sample, _say, _pets, 1.2)


FAMILIES = {
    "corgi": _sample("corgi", ("sitting", "standing", "portrait"), ()),
    "cat": _sample("cat", ("sitting", "lying", "portrait"), tuple(_COATS)),
}
