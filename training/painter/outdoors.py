"""Out of doors: sky, light, weather and seasons, trees and hills, and the words for them."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from painter.canvas import (
    HORIZONTAL,
    Canvas,
    Mask,
    along,
    around,
    below,
    box,
    ellipse,
    ribbon,
    ridge,
    straight,
)
from painter.colours import BLACK, WHITE, Colour, mix, rgb
from painter.scene import Scene, pick

XS = np.linspace(0, 1, 160)


class Light(NamedTuple):
    """The sky from the zenith to the horizon, then tint and strength of the light on the land."""

    stops: list[Colour]
    tint: Colour
    strength: float


TIMES = {
    "": Light(
        [rgb(0.22, 0.46, 0.80), rgb(0.48, 0.69, 0.90), rgb(0.83, 0.90, 0.93)],
        rgb(1, 1, 0.96),
        1.0,
    ),
    "sunset": Light(
        [rgb(0.28, 0.26, 0.50), rgb(0.80, 0.42, 0.42), rgb(0.98, 0.66, 0.28), rgb(1.0, 0.85, 0.50)],
        rgb(1.1, 0.82, 0.66),
        0.78,
    ),
    "dawn": Light(
        [rgb(0.52, 0.62, 0.82), rgb(0.86, 0.72, 0.80), rgb(0.99, 0.86, 0.72)],
        rgb(1.05, 0.95, 0.92),
        0.9,
    ),
    "night": Light(
        [rgb(0.03, 0.05, 0.15), rgb(0.07, 0.12, 0.28), rgb(0.16, 0.24, 0.42)],
        rgb(0.55, 0.66, 1.0),
        0.42,
    ),
}
_CLOUDED = Light(
    [rgb(0.26, 0.29, 0.34), rgb(0.42, 0.46, 0.50), rgb(0.66, 0.69, 0.69)],
    rgb(0.86, 0.92, 0.98),
    0.72,
)
#: How much of the sky's own colours the clouds take.
WEATHERS = {"": 0.0, "storm": 1.0, "rain": 0.85, "fog": 0.6, "snow": 0.7}
SEASONS = ("", "spring", "summer", "autumn", "winter")

_WORDS = {
    "": ("on a sunny day", "under a blue sky", "in the afternoon", "in daylight", "at noon"),
    "sunset": ("at sunset", "at sunset", "at dusk", "in the evening light", "in the evening"),
    "dawn": ("at dawn", "at sunrise", "in the morning", "in the early morning light"),
    "night": ("at night", "at night", "by moonlight", "under the stars", "at midnight"),
    "storm": ("on a cloudy day", "under a gray sky", "before a storm", "on a stormy day"),
    "rain": ("in the rain", "in the rain", "on a rainy day", "in heavy rain"),
    "fog": ("in the fog", "in the mist", "on a foggy day", "on a misty day"),
    "snow": ("in falling snow", "in a snowstorm", "on a snowy day", "while snow is falling"),
    "spring": ("in spring", "in spring", "in springtime"),
    "summer": ("in summer", "in summer", "on a summer day"),
    "autumn": ("in autumn", "in autumn", "in the fall"),
    "winter": ("in winter", "in winter", "in wintertime"),
}
_TAGS = {"": "daylight", "storm": "stormy", "fog": "foggy", "rain": "rainy", "snow": "snowfall"}


def when(scene: Scene, rng: np.random.Generator) -> str:
    """Return the words for time, weather and season, to stand behind a subject, or nothing."""
    said = [part for part in (scene.weather, scene.season) if part]
    if scene.time or (not scene.weather and rng.random() < 0.35):
        said.append(scene.time)
    rng.shuffle(said)
    if rng.random() < 0.15:
        return "".join(f", {_TAGS.get(part, part)}" for part in said)
    return "".join(" " + pick(rng, *_WORDS[part]) for part in said)


def outdoors(
    scene: Scene,
    rng: np.random.Generator,
    *times: float,
    storm: float = 1.0,
    seasons: tuple[str, ...] = SEASONS,
) -> Scene:
    """Return a scene with a time of day, weather and season.

    Args:
        scene: Without any of these.
        rng: Decides.
        times: Weights of day, sunset, dawn and night.
        storm: Weight of clouds, next to 8 for fair weather and 1.5 for rain, fog and snow.
        seasons: Those that the scene can show.
    """
    time = str(rng.choice(list(TIMES), p=np.array(times) / sum(times)))
    weights = np.array((8, storm, 0.55, 0.55, 0.4))
    sky_is = str(rng.choice(list(WEATHERS), p=weights / weights.sum()))
    season = pick(rng, *seasons) if rng.random() < 0.5 else ""
    if sky_is == "snow" and season != "winter":
        season = ""
    return replace(scene, time=time, weather=sky_is, season=season)


def light(scene: Scene) -> Light:
    """Return the light of the scene's time and weather."""
    bright = TIMES[scene.time]
    share = WEATHERS[scene.weather] * (0.6 if scene.time else 1.0)
    dim = 0.35 if scene.time == "night" else 1.0
    clouds = [c * dim for c in _CLOUDED.stops[:2]] + [_CLOUDED.stops[2] * dim] * 2
    return Light(
        [mix(c, cloud, share) for c, cloud in zip(bright.stops, clouds, strict=False)],
        mix(bright.tint, _CLOUDED.tint, share),
        bright.strength * (1 - share * (1 - _CLOUDED.strength)),
    )


def horizon_colour(scene: Scene) -> Colour:
    """Return the colour of the sky where it meets the land."""
    return light(scene).stops[-1]


def lit(colour: Colour, scene: Scene) -> Colour:
    """Return a colour in the light of the scene."""
    _, tint, strength = light(scene)
    return np.clip(colour * tint * strength, 0, 1).astype(np.float32)


def is_white(scene: Scene) -> bool:
    """Tell whether snow lies."""
    return scene.season == "winter" or scene.weather == "snow"


def meadow(colour: Colour, scene: Scene) -> Colour:
    """Return the colour of grass or fields in the scene's season, before the light."""
    if is_white(scene):
        return mix(colour, rgb(0.93, 0.95, 1.0), 0.86)
    turned = {"spring": rgb(0.50, 0.72, 0.26), "autumn": rgb(0.66, 0.48, 0.20)}
    return mix(colour, turned.get(scene.season, colour), 0.5)


def foliage(colour: Colour, scene: Scene, rng: np.random.Generator) -> Colour:
    """Return the colour of a tree's leaves in the scene's season, before the light."""
    if is_white(scene):
        return mix(rgb(0.40, 0.38, 0.38), rgb(0.93, 0.95, 1.0), rng.uniform(0.3, 0.8))
    if scene.season == "spring":
        blossom = rgb(0.96, 0.74, 0.80) if rng.random() < 0.5 else rgb(0.56, 0.74, 0.30)
        return mix(colour, blossom, 0.8)
    if scene.season == "autumn":
        reds = (rgb(0.80, 0.26, 0.10), rgb(0.90, 0.52, 0.12), rgb(0.88, 0.70, 0.16))
        return mix(colour, reds[int(rng.integers(3))], 0.85)
    return colour


def weather(scene: Scene, canvas: Canvas) -> None:
    """Paint rain, fog or falling snow over a finished scene."""
    rng, n = canvas.rng, canvas.n
    air = mix(horizon_colour(scene), lit(WHITE, scene), 0.4)
    if scene.weather == "fog":
        y = canvas.axis[:, None]
        thick = np.exp(-(((y - rng.uniform(0.42, 0.58)) / 0.32) ** 2))
        alpha = np.broadcast_to(0.14 + 0.42 * thick, (n, n)).astype(np.float32)
        everywhere = Mask(alpha, slice(0, n), slice(0, n), soft=True)
        canvas.fill(everywhere, air, HORIZONTAL, scale=2.0, vary=0.04, relief=0.5)
    elif scene.weather == "rain":
        canvas.fill(canvas.everything(), air, straight(1.3), opacity=0.16, relief=0.3)
        lean, streaks = rng.uniform(0.05, 0.22) * rng.choice((-1, 1)), []
        for x, y, s in rng.uniform((-0.1, -0.1, 0.03), (1.1, 1.0, 0.09), (170, 3)):
            line = np.array([(x, y), (x + lean * s, y + s)])
            streaks.append(ribbon(line, 0.0012 + 0.025 * s))
        pale = mix(air, WHITE, 0.5)
        canvas.fill(canvas.shape(*streaks), pale, straight(1.5), opacity=0.5, relief=0.4)
    elif scene.weather == "snow":
        canvas.fill(canvas.everything(), air, HORIZONTAL, opacity=0.14, relief=0.3)
        sizes = 0.002 + rng.exponential(0.0028, 190)
        places = rng.uniform(0, 1, (190, 2))
        flakes = [ellipse(x, y, r, r * 0.9) for (x, y), r in zip(places, sizes, strict=True)]
        canvas.fill(canvas.shape(*flakes), mix(lit(WHITE, scene), WHITE, 0.5), opacity=0.9)


def sky(scene: Scene, canvas: Canvas, horizon: float, stops: list[Colour] | None = None) -> None:
    """Paint the sky down to ``horizon``, with clouds, and the moon and stars at night."""
    rng = canvas.rng
    stops = stops or light(scene).stops
    stops = [
        np.clip(c * rng.uniform(0.94, 1.06) + rng.normal(0, 0.015, 3), 0, 1).astype(np.float32)
        for c in stops
    ]
    canvas.fill(
        canvas.everything(),
        stops,
        straight(rng.normal(0, 0.12)),
        scale=2.0,
        vary=0.045,
        span=(0, horizon),
    )
    if scene.time == "night" and not scene.weather:
        spots = [
            ellipse(x, y, r, r)
            for x, y, r in zip(
                rng.uniform(0, 1, 40),
                rng.uniform(0, horizon, 40),
                rng.uniform(0.001, 0.004, 40),
                strict=True,
            )
        ]
        canvas.fill(canvas.shape(*spots), rgb(0.95, 0.93, 0.8), vary=0.02)
        x, y, r = (
            rng.uniform(0.15, 0.85),
            rng.uniform(0.08, horizon * 0.4),
            rng.uniform(0.03, 0.055),
        )
        canvas.fill(
            canvas.shape(ellipse(x, y, r * 2, r * 2), soft=r * 0.8),
            rgb(0.6, 0.66, 0.75),
            around(x, y),
            opacity=0.35,
        )
        canvas.fill(
            canvas.shape(ellipse(x, y, r, r)), rgb(0.97, 0.95, 0.85), around(x, y), scale=0.7
        )
        return
    clouded = WEATHERS[scene.weather] > 0.5
    bright = mix(stops[-1], WHITE, 0.15 if clouded else 0.7)
    for _ in range(int(rng.integers(2, 6)) + 3 * clouded):
        x, y = rng.uniform(0, 1), rng.uniform(0.04, horizon * 0.75)
        w = rng.uniform(0.10, 0.26)
        puffs = [
            ellipse(
                x + dx * w, y + dy * w * 0.16 - abs(1 - abs(dx)) * w * 0.12, w * s, w * s * 0.42
            )
            for dx, dy, s in zip(
                rng.uniform(-1, 1, 9), rng.normal(0, 1, 9), rng.uniform(0.2, 0.42, 9), strict=True
            )
        ]
        shade = mix(bright, stops[0], 0.45)
        canvas.fill(
            canvas.shape(*(p + np.array([0, 0.012]) for p in puffs), soft=0.008),
            shade,
            HORIZONTAL,
            opacity=0.7,
            scale=1.3,
        )
        canvas.fill(
            canvas.shape(*(p - np.array([0, 0.006]) for p in puffs), soft=0.008),
            bright,
            straight(0.2),
            opacity=0.8,
            scale=1.3,
        )


def tree(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    """Paint a round tree that stands at (x, y)."""
    rng = canvas.rng
    canvas.fill(
        canvas.shape(box(x - size * 0.05, y - size * 0.5, x + size * 0.05, y)),
        mix(colour, BLACK, 0.6),
    )
    turn, away = rng.uniform(0, 2 * np.pi, 26), np.sqrt(rng.uniform(0, 1, 26))
    blobs = [
        ellipse(
            x + away[i] * np.cos(turn[i]) * size * 0.38,
            y - size * 0.66 + away[i] * np.sin(turn[i]) * size * 0.28,
            r,
            r * 0.8,
        )
        for i, r in enumerate(size * rng.uniform(0.07, 0.15, 26))
    ]
    canvas.shaded(
        canvas.shape(*blobs),
        colour,
        (x - size * 0.25, y - size * 0.95),
        size * 1.05,
        0.4,
        straight(0.9),
        scale=0.5,
        vary=0.2,
    )


def cypress(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    """Paint a cypress that stands at (x, y)."""
    t = np.linspace(0, 1, 14)
    half = size * 0.11 * np.sin(np.pi * np.clip(t, 0.02, 0.96)) ** 0.6 * (0.25 + 0.75 * t)
    outline = np.concatenate(
        [
            np.stack([x - half, y - size * (1 - t)], -1),
            np.stack([x + half, y - size * (1 - t)], -1)[::-1],
        ]
    )
    mask = canvas.shape(canvas.wobble(outline, size * 0.012))
    canvas.shaded(
        mask,
        colour,
        (x - size * 0.12, y - size * 0.6),
        size * 0.5,
        0.5,
        straight(1.45),
        scale=0.5,
        vary=0.2,
    )


def hills(scene: Scene, canvas: Canvas, horizon: float, colours: list[Colour], far: Colour) -> None:
    """Paint layers of hills from the horizon to the bottom edge."""
    rng = canvas.rng
    for k, colour in enumerate(colours):
        depth = (k + 1) / len(colours)
        y = horizon + (1 - horizon) * (k / len(colours)) ** 1.25
        line = y + ridge(rng, 3, 0.35, 2) * (0.025 + 0.045 * depth)
        tone = mix(colour, far, 0.6 * (1 - depth) ** 1.5)
        canvas.fill(
            canvas.shape(below(line)),
            [mix(tone, WHITE, 0.12), tone, mix(tone, BLACK, 0.22)],
            along(XS, line * 1.0),
            scale=0.7 + 0.7 * depth,
            vary=0.11,
        )
