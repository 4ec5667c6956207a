"""City skylines over water."""

import numpy as np

from painter.canvas import HORIZONTAL, Canvas, Points, box, ellipse, straight
from painter.colours import BLACK, WHITE, mix, rgb
from painter.outdoors import light, lit, outdoors, sky, when
from painter.scene import Family, Scene, pick

CITIES = ("boston", "boston", "new york", "chicago", "manhattan", "seattle", "", "")


def _tower(
    rng: np.random.Generator, x: float, w: float, top: float, base: float, kind: float
) -> list[Points]:
    """Return the outline of a building as polygons: slab, stepped, spired or pitched."""
    parts = [box(x, top, x + w, base)]
    if kind < 0.22:
        parts += [
            box(x + w * 0.2, top - w * 0.45, x + w * 0.8, top),
            box(x + w * 0.36, top - w * 0.8, x + w * 0.64, top),
        ]
    elif kind < 0.36:
        parts.append(np.array([(x, top), (x + w / 2, top - w * 1.1), (x + w, top)]))
    elif kind < 0.50:
        parts += [
            box(x + w * 0.25, top - w * 0.3, x + w * 0.75, top),
            box(x + w * 0.47, top - w * 1.5, x + w * 0.53, top),
        ]
    elif kind < 0.58:
        parts.append(ellipse(x + w / 2, top, w / 2, w * 0.4))
    elif kind < 0.68:
        parts.append(np.array([(x, top), (x + w, top - w * 0.6), (x + w, top)]))
    return parts


def _skyline(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    base = rng.uniform(0.64, 0.74)
    sky(scene, canvas, base)
    stops = light(scene).stops
    far = mix(stops[-1], lit(rgb(0.45, 0.50, 0.60), scene), 0.6)
    bodies = (
        rgb(0.62, 0.36, 0.28),
        rgb(0.72, 0.68, 0.62),
        rgb(0.42, 0.50, 0.60),
        rgb(0.56, 0.46, 0.40),
        rgb(0.34, 0.42, 0.52),
        rgb(0.80, 0.74, 0.64),
    )
    glowing = {"night": 0.75, "sunset": 0.4}.get(scene.time, 0.08)
    peak = rng.uniform(0.3, 0.7)
    reflections: list[tuple[Points, np.ndarray]] = []
    for layer, depth in enumerate((0.25, 0.6, 1.0)):
        x = -0.03
        while x < 1.0:
            w = rng.uniform(0.045, 0.095) * (0.8 + 0.35 * depth)
            rise = np.exp(-((x + w / 2 - peak) ** 2) / 0.09)
            height = (0.10 + rng.uniform(0.04, 0.34) * rise + rng.uniform(0, 0.07)) * (
                1.12 - 0.36 * depth
            )
            top = base - height
            tone = mix(lit(bodies[int(rng.integers(len(bodies)))], scene), far, 0.72 * (1 - depth))
            parts = [canvas.wobble(p, 0.0009) for p in _tower(rng, x, w, top, base, rng.random())]
            canvas.fill(
                canvas.shape(*parts),
                [mix(tone, WHITE, 0.10), mix(tone, far, 0.15)],
                straight(1.57),
                scale=0.8,
                vary=0.10,
            )
            canvas.fill(
                canvas.shape(box(x + w * 0.68, top, x + w, base)),
                mix(tone, BLACK, 0.35),
                straight(1.57),
                opacity=0.6,
                scale=0.8,
            )
            columns, rows = max(2, int(w / 0.014)), max(2, int(height / 0.020))
            on: list[Points] = []
            off: list[Points] = []
            lights = rng.random((columns, rows))
            for i in range(columns):
                for j in range(rows):
                    a, b = x + w * (i + 0.22) / columns, top + height * (j + 0.25) / rows
                    pane = box(a, b, a + w * 0.56 / columns, b + height * 0.5 / rows)
                    (on if lights[i, j] < glowing else off).append(pane)
            dark = mix(tone, lit(rgb(0.15, 0.20, 0.28), scene), 0.55)
            if off and layer:
                canvas.fill(
                    canvas.shape(*off), dark, straight(1.57), opacity=0.5 + 0.4 * depth, scale=0.5
                )
            if on:
                canvas.fill(
                    canvas.shape(*on),
                    mix(rgb(1.0, 0.85, 0.42), far, 0.3 * (1 - depth)),
                    straight(1.57),
                    scale=0.5,
                )
            reflections.append(
                (
                    np.array([x, w, height * (0.5 + 0.4 * depth)]),
                    mix(tone, rgb(1.0, 0.8, 0.4), 0.35 * (glowing > 0.3)),
                )
            )
            x += w * rng.uniform(0.75, 1.5) + (
                0.05 * rng.random() if layer < 2 else 0.02 * rng.random()
            )
    # the harbour, with the city in it
    water = mix(stops[min(1, len(stops) - 1)], lit(rgb(0.10, 0.22, 0.32), scene), 0.55)
    canvas.fill(
        canvas.shape(box(-0.01, base, 1.01, 1.01)),
        [mix(water, stops[-1], 0.4), water, mix(water, BLACK, 0.3)],
        HORIZONTAL,
        scale=1.2,
        vary=0.12,
    )
    for (x, w, height), tone in reflections:
        bars = []
        for d in np.linspace(0.03, 0.95, 9):
            slide = rng.normal(0, 0.012 * d)
            bars.append(
                box(x + slide, base + height * d, x + w + slide, base + height * (d + 0.05))
            )
        canvas.fill(canvas.shape(*bars), mix(tone, water, 0.35), HORIZONTAL, opacity=0.4, scale=0.7)
    glints = [
        ellipse(x, y, 0.008 + 0.06 * (y - base), 0.0015)
        for x, y in zip(
            rng.uniform(0, 1, 70), base + (1 - base) * rng.uniform(0.02, 1, 70), strict=True
        )
    ]
    canvas.fill(canvas.shape(*glints), mix(stops[-1], WHITE, 0.2), HORIZONTAL, opacity=0.5)
    canvas.fill(
        canvas.shape(box(-0.01, base - 0.006, 1.01, base + 0.008)),
        lit(rgb(0.20, 0.26, 0.20), scene),
        HORIZONTAL,
    )


def _say(scene: Scene, rng: np.random.Generator) -> str:
    name = scene.detail + " " if scene.detail else ""
    if name:
        subject = pick(
            rng,
            f"{name}city skyline",
            f"{name}city skyline",
            f"the {name}skyline",
            f"the skyline of {scene.detail}",
            f"{name}skyline over the water",
            f"{name}skyscrapers",
            f"downtown {scene.detail}",
            f"the city of {scene.detail}",
            f"{scene.detail} seen from the water",
        )
    else:
        subject = pick(
            rng,
            "city skyline",
            "a city skyline",
            "the skyline of a city",
            "a city by the water",
            "skyscrapers in the city",
            "tall buildings",
            "city skylines",
            "the towers of a big city",
            "a cityscape",
        )
    return subject + when(scene, rng)


def _sample(rng: np.random.Generator) -> Scene:
    scene = Scene("skyline", detail=pick(rng, *CITIES))
    return outdoors(scene, rng, 4, 2, 1, 2.5, seasons=("",))


FAMILIES = {"skyline": Family(_sample, _say, _skyline, 1.2)}
