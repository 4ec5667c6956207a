"""Microorganisms, as a microscope shows them: rods, chains, spirals, amoebas, diatoms, ciliates."""

from collections.abc import Callable

import numpy as np

from painter.canvas import Canvas, Points, around, ellipse, ribbon, smooth, straight
from painter.colours import BLACK, BRIGHT, WHITE, Colour, mix, pigment, rgb
from painter.scene import Family, Scene, join, pick, some_colours

GROUNDS = (
    (rgb(0.05, 0.13, 0.24), rgb(0.12, 0.34, 0.44)),
    (rgb(0.08, 0.10, 0.20), rgb(0.22, 0.20, 0.42)),
    (rgb(0.04, 0.16, 0.14), rgb(0.14, 0.38, 0.30)),
    (rgb(0.74, 0.80, 0.76), rgb(0.92, 0.94, 0.86)),
    (rgb(0.78, 0.70, 0.76), rgb(0.95, 0.90, 0.92)),
)


def _placed(points: Points, x: float, y: float, r: float, turn: float) -> Points:
    c, s = np.cos(turn), np.sin(turn)
    return np.asarray(points) * r @ np.array([[c, s], [-s, c]]) + (x, y)


def _cell(
    canvas: Canvas, outline: Points, colour: Colour, soft: float, clear: float = 0.78
) -> None:
    """Paint a body that light shines through: a bright rim about a paler inside."""
    low, high = outline.min(0), outline.max(0)
    centre, reach = (low + high) / 2, float(np.hypot(*(high - low))) * 0.55
    mask = canvas.shape(outline, soft=soft)
    x, y = canvas.grid(mask)
    away = np.clip(np.hypot(x - centre[0], y - centre[1]) / reach, 0, 1)[..., None]
    tone = mix(colour, WHITE, 0.30) * (1 - away**2) + mix(colour, BLACK, 0.22) * away**2
    canvas.fill(mask, tone.astype(np.float32), around(*centre), scale=0.6, opacity=clear)
    if not soft:
        rim = canvas.shape(ribbon(np.concatenate([outline, outline[:2]]), 0.0065))
        canvas.fill(rim, mix(colour, WHITE, 0.55), around(*centre), scale=0.5, opacity=0.9)


def _dots(canvas: Canvas, x: float, y: float, r: float, colour: Colour, count: int) -> None:
    rng = canvas.rng
    turn, away = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count)) * r
    spots = [
        ellipse(x + np.cos(t) * d, y + np.sin(t) * d, q, q)
        for t, d, q in zip(turn, away, rng.uniform(0.05, 0.11, count) * r + 0.002, strict=True)
    ]
    canvas.fill(canvas.shape(*spots), colour, scale=0.5, opacity=0.85, vary=0.15)


def _rod(canvas: Canvas, x: float, y: float, r: float, colour: Colour, soft: float) -> None:
    rng = canvas.rng
    turn, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.12)
    t = np.linspace(-1, 1, 14)
    line = np.stack([t, bend * (1 - t**2)], -1)
    half = 0.34 * np.sqrt(np.clip(1 - np.clip(np.abs(t) - 0.72, 0, 1) ** 2 / 0.09, 0.02, 1))
    if rng.random() < 0.5 and not soft:
        for k in range(int(rng.integers(1, 4))):
            s = np.linspace(0, 1, 24)
            whip = np.stack([-1 - s * 1.3, 0.16 * np.sin(7 * s + k) + (k - 1) * 0.3 * s], -1)
            path = ribbon(_placed(whip, x, y, r, turn), 0.004)
            canvas.fill(canvas.shape(path), mix(colour, WHITE, 0.3), scale=0.5, opacity=0.8)
    _cell(canvas, _placed(ribbon(line, 2 * half), x, y, r, turn), colour, soft)
    if not soft:
        _dots(canvas, x, y, r * 0.3, mix(colour, BLACK, 0.45), 4)


def _chain(canvas: Canvas, x: float, y: float, r: float, colour: Colour, soft: float) -> None:
    rng = canvas.rng
    heading, at = rng.uniform(0, 2 * np.pi), np.array([x, y])
    for _ in range(int(rng.integers(4, 8))):
        _cell(canvas, ellipse(at[0], at[1], r * 0.34, r * 0.34), colour, soft, 0.9)
        heading += rng.normal(0, 0.35)
        at = at + np.array([np.cos(heading), np.sin(heading)]) * r * 0.62


def _spiral(canvas: Canvas, x: float, y: float, r: float, colour: Colour, soft: float) -> None:
    rng = canvas.rng
    t = np.linspace(-1, 1, 60)
    wave = np.stack([t * 1.5, 0.28 * np.sin(t * rng.uniform(8, 12))], -1)
    line = _placed(wave, x, y, r, rng.uniform(0, 2 * np.pi))
    width = r * 0.22 * np.sqrt(np.clip(1.02 - t**4, 0, 1))
    canvas.fill(canvas.shape(ribbon(line, width), soft=soft), colour, straight(0.4), scale=0.5)
    canvas.fill(
        canvas.shape(ribbon(line - r * 0.03, width * 0.3), soft=soft),
        mix(colour, WHITE, 0.5),
        scale=0.5,
        opacity=0.8,
    )


def _amoeba(canvas: Canvas, x: float, y: float, r: float, colour: Colour, soft: float) -> None:
    rng = canvas.rng
    knots = int(rng.integers(9, 14))
    a = np.linspace(0, 2 * np.pi, knots, endpoint=False) + rng.normal(0, 0.12, knots)
    far = rng.choice((0.62, 0.85, 1.0, 1.45), knots) * rng.uniform(0.85, 1.1, knots)
    outline = smooth(np.stack([x + np.cos(a) * far * r, y + np.sin(a) * far * r], -1), 8)
    _cell(canvas, outline, colour, soft, 0.7)
    if not soft:
        _dots(canvas, x, y, r * 0.6, mix(colour, WHITE, 0.5), 9)
        nx, ny = x + rng.normal(0, 0.15) * r, y + rng.normal(0, 0.15) * r
        _cell(canvas, ellipse(nx, ny, r * 0.28, r * 0.26), mix(colour, BLACK, 0.45), 0, 0.9)


def _ciliate(canvas: Canvas, x: float, y: float, r: float, colour: Colour, soft: float) -> None:
    rng = canvas.rng
    turn = rng.uniform(0, 2 * np.pi)
    shape = smooth(
        [
            (-1.25, 0.05),
            (-0.9, -0.38),
            (0.0, -0.50),
            (0.85, -0.40),
            (1.25, -0.05),
            (0.8, 0.36),
            (-0.2, 0.46),
            (-0.95, 0.36),
        ]
    )
    outline = _placed(shape, x, y, r, turn)
    if not soft:
        step = np.roll(outline, -1, 0) - outline
        normal = np.stack([step[:, 1], -step[:, 0]], -1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        tips = outline + normal * r * 0.17 + step * 0.8
        hairs = [ribbon(np.stack(pair), 0.0035) for pair in zip(outline, tips, strict=True)]
        canvas.fill(canvas.shape(*hairs), mix(colour, WHITE, 0.35), scale=0.5, opacity=0.85)
    _cell(canvas, outline, colour, soft)
    if not soft:
        _dots(canvas, x, y, r * 0.4, mix(colour, WHITE, 0.55), 8)
        kernel = _placed(ellipse(-0.25, 0.0, 0.30, 0.2), x, y, r, turn)
        _cell(canvas, kernel, mix(colour, BLACK, 0.5), 0, 0.9)
        groove = _placed(np.array([(0.9, -0.2), (0.5, 0.0), (0.25, 0.12)]), x, y, r, turn)
        canvas.fill(canvas.shape(ribbon(groove, r * 0.08)), mix(colour, BLACK, 0.5), opacity=0.7)


def _diatom(canvas: Canvas, x: float, y: float, r: float, colour: Colour, soft: float) -> None:
    rng = canvas.rng
    if rng.random() < 0.5:  # a wheel
        _cell(canvas, ellipse(x, y, r * 0.8, r * 0.8), colour, soft)
        spokes = int(rng.integers(9, 16))
        a = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
        lines = [
            ribbon(
                np.array(
                    [(x + c * r * 0.22, y + s * r * 0.22), (x + c * r * 0.7, y + s * r * 0.7)]
                ),
                r * 0.05,
            )
            for c, s in zip(np.cos(a), np.sin(a), strict=True)
        ]
        canvas.fill(
            canvas.shape(*lines, soft=soft), mix(colour, BLACK, 0.4), scale=0.5, opacity=0.8
        )
        hub = ellipse(x, y, r * 0.18, r * 0.18)
        canvas.fill(canvas.shape(hub, soft=soft), mix(colour, WHITE, 0.5), scale=0.5)
        return
    turn = rng.uniform(0, 2 * np.pi)
    boat = smooth(
        [
            (-1.35, 0.0),
            (-0.7, -0.26),
            (0.0, -0.34),
            (0.7, -0.26),
            (1.35, 0.0),
            (0.7, 0.26),
            (0.0, 0.34),
            (-0.7, 0.26),
        ]
    )
    _cell(canvas, _placed(boat, x, y, r, turn), colour, soft, 0.88)
    marks = [np.array([(-1.05, 0), (1.05, 0)])]
    marks += [
        np.array([(t, -0.22 * (1 - t * t * 0.6)), (t, 0.22 * (1 - t * t * 0.6))])
        for t in np.linspace(-0.85, 0.85, 9)
    ]
    lines = [ribbon(_placed(m, x, y, r, turn), 0.0045) for m in marks]
    canvas.fill(canvas.shape(*lines, soft=soft), mix(colour, BLACK, 0.45), scale=0.5, opacity=0.8)


def _spiky(canvas: Canvas, x: float, y: float, r: float, colour: Colour, soft: float) -> None:
    rng = canvas.rng
    a = np.linspace(0, 2 * np.pi, int(rng.integers(10, 15)), endpoint=False) + rng.uniform(0, 1)
    spikes, knobs = [], []
    for c, s in zip(np.cos(a), np.sin(a), strict=True):
        end = (x + c * r * 0.86, y + s * r * 0.86)
        spikes.append(ribbon(np.array([(x + c * r * 0.5, y + s * r * 0.5), end]), r * 0.06))
        knobs.append(ellipse(*end, r * 0.09, r * 0.09))
    canvas.fill(canvas.shape(*spikes, *knobs, soft=soft), mix(colour, WHITE, 0.25), scale=0.5)
    _cell(canvas, ellipse(x, y, r * 0.6, r * 0.6), colour, soft, 0.95)
    if not soft:
        _dots(canvas, x, y, r * 0.4, mix(colour, BLACK, 0.35), 6)


Creature = Callable[[Canvas, float, float, float, Colour, float], None]
#: Each with how large it is next to the others.
CREATURES: dict[str, tuple[tuple[Creature, float], ...]] = {
    "bacteria": ((_rod, 0.8), (_chain, 0.8), (_spiral, 0.9)),
    "amoebas": ((_amoeba, 1.15), (_amoeba, 1.0)),
    "": (
        (_rod, 0.7),
        (_chain, 0.75),
        (_spiral, 0.8),
        (_amoeba, 1.1),
        (_ciliate, 1.1),
        (_diatom, 1.0),
        (_spiky, 1.0),
    ),
}


def _microbes(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    dark, bright = GROUNDS[int(rng.choice(len(GROUNDS), p=(0.28, 0.2, 0.2, 0.18, 0.14)))]
    x, y = canvas.axis[None, :], canvas.axis[:, None]
    beam = np.exp(-((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.22)[..., None]
    ground = dark * (1 - beam) + bright * beam
    canvas.fill(
        canvas.everything(), ground.astype(np.float32), around(0.5, 0.5), scale=1.6, vary=0.06
    )
    names = scene.colours or tuple(str(c) for c in rng.choice(BRIGHT, 4, replace=False))
    kinds = CREATURES[scene.detail]

    def one(spread: float, size: float, soft: float, k: int) -> None:
        px, py = 0.5 + spread * rng.uniform(-1, 1, 2)
        creature, scale = kinds[int(rng.integers(len(kinds)))]
        colour = pigment(names[k % len(names)], rng)
        if soft:
            colour = mix(colour, bright, 0.45)
        creature(canvas, px, py, size * scale, colour, soft)

    for k in range(int(rng.integers(4, 8))):  # out of focus, behind
        one(0.52, rng.uniform(0.05, 0.11), 0.012, k)
    places, radii = rng.uniform(0, 1, (40, 2)), rng.uniform(0.002, 0.006, 40)
    specks = [ellipse(px, py, r, r) for (px, py), r in zip(places, radii, strict=True)]
    canvas.fill(canvas.shape(*specks), mix(bright, WHITE, 0.5), scale=0.5, opacity=0.6)
    spots: list[tuple[float, float, float]] = []
    for k in range(int(rng.integers(9, 15))):
        size = rng.uniform(0.06, 0.125)
        best, room = (0.5, 0.5), -9.0
        for px, py in rng.uniform(0.07, 0.93, (14, 2)):
            gap = min((np.hypot(px - a, py - b) - c - size for a, b, c in spots), default=1.0)
            if gap > room:
                best, room = (float(px), float(py)), gap
        spots.append((*best, size))
        creature, scale = kinds[int(rng.integers(len(kinds)))]
        creature(canvas, *best, size * scale, pigment(names[k % len(names)], rng), 0.0)
    if rng.random() < 0.35:  # the edge of the eyepiece
        away = np.hypot(x - 0.5, y - 0.5)[..., None]
        canvas.paint *= np.clip((0.53 - away) / 0.02, 0.08, 1).astype(np.float32)


def _say(scene: Scene, rng: np.random.Generator) -> str:
    colours = join(scene.colours, rng)
    hue = f"{colours} " if colours else pick(rng, "", "", "colorful ", "colored ", "tiny ")
    noun = {
        "bacteria": ("bacteria", "bacteria", "germs"),
        "amoebas": ("amoebas", "amoebae", "single cells"),
        "": ("microorganisms", "microorganisms", "microbes", "microscopic organisms", "cells"),
    }[scene.detail]
    things = hue + pick(rng, *noun)
    return pick(
        rng,
        things,
        things,
        f"{things} under a microscope",
        f"{things} seen through a microscope",
        f"a group of {things}",
        f"many {things}",
        f"{things} in a drop of water",
        f"{things} in a petri dish",
    )


def _sample(rng: np.random.Generator) -> Scene:
    colours = some_colours(rng, BRIGHT, (0.5, 0.25, 0.25))
    return Scene("microbes", colours, detail=pick(rng, "", "", "bacteria", "amoebas"))


FAMILIES = {"microbes": Family(_sample, _say, _microbes, 1.1)}
