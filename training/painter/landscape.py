"""Landscapes: farmland, an Italian villa, sunset over a lake, snowy mountains, the sea."""

import itertools
from dataclasses import replace

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
    ribbon,
    ridge,
    straight,
)
from painter.colours import BLACK, WHITE, mix, pigment, rgb
from painter.outdoors import (
    XS,
    cypress,
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
from painter.scene import Family, Scene, a, pick, tint

# -- farmland ------------------------------------------------------------------------------

_CROPS = {
    "green": (
        rgb(0.36, 0.55, 0.20),
        rgb(0.24, 0.46, 0.19),
        rgb(0.52, 0.64, 0.26),
        rgb(0.44, 0.58, 0.30),
    ),
    "yellow": (
        rgb(0.88, 0.74, 0.26),
        rgb(0.80, 0.62, 0.22),
        rgb(0.93, 0.82, 0.40),
        rgb(0.60, 0.60, 0.24),
    ),
    "": (
        rgb(0.40, 0.56, 0.22),
        rgb(0.84, 0.70, 0.28),
        rgb(0.28, 0.46, 0.20),
        rgb(0.58, 0.42, 0.26),
        rgb(0.66, 0.68, 0.34),
    ),
}


def _farmland(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    horizon = rng.uniform(0.28, 0.46)
    sky(scene, canvas, horizon)
    crops = _CROPS[scene.colours[0] if scene.colours else ""]
    far = mix(horizon_colour(scene), lit(rgb(0.4, 0.5, 0.6), scene), 0.5)
    layers = int(rng.integers(4, 7))
    tones = [lit(meadow(crops[int(rng.integers(len(crops)))], scene), scene) for _ in range(layers)]
    for k in range(layers):
        depth = (k + 1) / layers
        y = horizon + (1 - horizon) * (k / layers) ** 1.25
        line = y + ridge(rng, 2, 0.3, 2) * (0.02 + 0.05 * depth)
        tone = mix(tones[k], far, 0.6 * (1 - depth) ** 1.5)
        land = canvas.shape(below(line))
        canvas.fill(
            land,
            [mix(tone, WHITE, 0.15), tone, mix(tone, BLACK, 0.2)],
            along(XS, line),
            scale=0.8 + 0.6 * depth,
        )
        if k == 0:
            continue
        # fields: patches on the slope, ploughed towards a vanishing point
        edges = np.sort(rng.uniform(-0.1, 1.1, int(rng.integers(2, 4))))
        for left, right in itertools.pairwise(edges):
            crop = lit(meadow(crops[int(rng.integers(len(crops)))], scene), scene)
            crop = mix(crop, far, 0.5 * (1 - depth) ** 1.5)
            lean = rng.uniform(-0.25, 0.25) * depth
            xs = np.linspace(left, right, 24)
            top = np.interp(xs, XS, line)
            bottom = top + (0.05 + 0.16 * depth) * rng.uniform(0.8, 1.2)
            patch = np.concatenate(
                [np.stack([xs, top], -1), np.stack([xs + lean, bottom], -1)[::-1]]
            )
            canvas.fill(
                canvas.shape(canvas.wobble(patch, 0.002)),
                [crop, mix(crop, BLACK, 0.18)],
                along(XS, line),
            )
            furrows = []
            for f in np.linspace(0.04, 0.96, int(rng.integers(7, 13))):
                a = np.array(
                    [left + (right - left) * f, np.interp(left + (right - left) * f, XS, line)]
                )
                b = a + np.array([lean, (0.05 + 0.15 * depth) * 0.95])
                steps = np.linspace(0, 1, 8)[:, None]
                furrows.append(ribbon(a + (b - a) * steps, 0.002 + 0.006 * depth * steps[:, 0]))
            canvas.fill(canvas.shape(*furrows), mix(crop, BLACK, 0.4), straight(1.2), opacity=0.6)
        for x in rng.uniform(0, 1, int(rng.integers(0, 5))):
            leaf = lit(foliage(rgb(0.14, 0.30, 0.13), scene, rng), scene)
            leaf = mix(leaf, far, 0.5 * (1 - depth))
            tree(
                canvas,
                x,
                float(np.interp(x, XS, line)) + 0.006,
                (0.03 + 0.07 * depth) * rng.uniform(0.7, 1.2),
                leaf,
            )
        if k == layers // 2 and rng.random() < 0.6:
            _house(scene, canvas, rng.uniform(0.15, 0.8), line, 0.05 + 0.05 * depth)


def _house(scene: Scene, canvas: Canvas, x: float, line: Points, size: float) -> None:
    y = float(np.interp(x, XS, line)) + 0.01
    wall = lit(pigment(pick(canvas.rng, "white", "red", "white"), canvas.rng), scene)
    canvas.fill(canvas.shape(box(x, y - size * 0.55, x + size, y)), wall, scale=0.5)
    roof = np.array(
        [
            (x - size * 0.08, y - size * 0.5),
            (x + size * 0.3, y - size * 0.95),
            (x + size * 0.85, y - size * 0.95),
            (x + size * 1.08, y - size * 0.5),
        ]
    )
    canvas.fill(canvas.shape(roof), lit(rgb(0.50, 0.24, 0.16), scene), scale=0.5)
    dark = lit(rgb(0.15, 0.14, 0.16), scene) if scene.time != "night" else rgb(0.98, 0.80, 0.35)
    windows = [
        box(x + size * f, y - size * 0.38, x + size * (f + 0.13), y - size * 0.2)
        for f in (0.15, 0.45, 0.75)
    ]
    canvas.fill(canvas.shape(*windows), dark, scale=0.5)


# -- Italian villa -------------------------------------------------------------------------


def _villa(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    horizon = rng.uniform(0.42, 0.55)
    sky(scene, canvas, horizon)
    far = mix(horizon_colour(scene), lit(rgb(0.45, 0.52, 0.66), scene), 0.6)
    slopes = [
        lit(meadow(c, scene), scene)
        for c in (rgb(0.50, 0.58, 0.44), rgb(0.44, 0.54, 0.26), rgb(0.58, 0.60, 0.28))
    ]
    hills(scene, canvas, horizon, slopes, far)
    wall = {
        "yellow": rgb(0.93, 0.77, 0.42),
        "pink": rgb(0.91, 0.66, 0.56),
        "white": rgb(0.95, 0.92, 0.84),
        "orange": rgb(0.90, 0.60, 0.34),
    }[scene.colours[0] if scene.colours else pick(rng, "yellow", "yellow", "orange", "white")]
    wall = lit(wall, scene)
    shade, roof = (
        mix(wall, lit(rgb(0.35, 0.26, 0.34), scene), 0.42),
        lit(rgb(0.70, 0.33, 0.18), scene),
    )
    glass = lit(rgb(0.20, 0.24, 0.28), scene) if scene.time != "night" else rgb(1.0, 0.82, 0.38)
    shutter = lit(rgb(0.22, 0.40, 0.32), scene)
    cx, base, s = rng.uniform(0.36, 0.62), rng.uniform(0.70, 0.78), rng.uniform(0.85, 1.15)
    leaf = lit(rgb(0.13, 0.26, 0.13), scene)
    for x in rng.uniform(0.02, 0.98, 5):
        cypress(
            canvas, x, base - rng.uniform(0.0, 0.06), rng.uniform(0.16, 0.28), mix(leaf, far, 0.2)
        )

    def block(left: float, right: float, height: float, pitch: float) -> None:
        top = base - height
        canvas.fill(
            canvas.shape(canvas.wobble(box(left, top, right, base), 0.0015)),
            [mix(wall, WHITE, 0.08), wall],
            straight(1.5),
            scale=0.8,
        )
        side = right - (right - left) * 0.24
        canvas.fill(canvas.shape(box(side, top, right, base)), shade, straight(1.5), scale=0.8)
        eave = (right - left) * 0.06
        slant = np.array(
            [
                (left - eave, top),
                (left + eave * 2, top - pitch),
                (right - eave * 2, top - pitch),
                (right + eave, top),
            ]
        )
        canvas.fill(
            canvas.shape(canvas.wobble(slant, 0.0015)),
            [mix(roof, WHITE, 0.12), roof],
            straight(1.4),
            scale=0.5,
            vary=0.16,
        )
        canvas.fill(
            canvas.shape(box(left, top, right, top + 0.010)), mix(shade, BLACK, 0.35), opacity=0.7
        )
        columns = max(2, round((right - left) / 0.075))
        rows = max(1, round(height / 0.11))
        panes, blinds = [], []
        for i in range(columns):
            for j in range(rows):
                x = left + (right - left) * (i + 0.5) / columns
                y = top + height * (j + 0.55) / rows
                w, h = 0.010 * s, 0.021 * s
                panes += [box(x - w, y - h, x + w, y + h), ellipse(x, y - h, w, w)]
                blinds += [box(x - w * 2, y - h, x - w, y + h), box(x + w, y - h, x + w * 2, y + h)]
        canvas.fill(canvas.shape(*blinds), shutter, straight(1.5), scale=0.5)
        canvas.fill(canvas.shape(*panes), glass, straight(1.5), scale=0.5)

    width, tall = 0.20 * s, 0.20 * s
    if rng.random() < 0.7:
        tower = cx + rng.choice([-1, 1]) * width * rng.uniform(0.3, 0.8)
        block(tower - 0.05 * s, tower + 0.05 * s, tall * 1.65, 0.045 * s)
    wing = rng.choice([-1, 1])
    block(
        cx + wing * width * 0.95 - 0.10 * s,
        cx + wing * width * 0.95 + 0.10 * s,
        tall * 0.62,
        0.04 * s,
    )
    block(cx - width * 0.75, cx + width * 0.75, tall, 0.055 * s)
    arch = [
        np.concatenate([box(x - 0.018, base - 0.05, x + 0.018, base)])
        for x in np.linspace(cx - width * 0.5, cx + width * 0.5, 4)
    ]
    canvas.fill(
        canvas.shape(*arch, *(ellipse(a[0, 0] + 0.018, base - 0.05, 0.018, 0.018) for a in arch)),
        mix(shade, BLACK, 0.5),
        straight(1.5),
        scale=0.5,
    )
    # the garden, a path and trees in front
    lawn = base + 0.004 * ridge(rng)
    grass = lit(meadow(rgb(0.50, 0.56, 0.24), scene), scene)
    canvas.fill(
        canvas.shape(below(lawn)),
        [mix(grass, WHITE, 0.15), grass, mix(grass, BLACK, 0.35)],
        along(XS, lawn),
        scale=1.1,
        vary=0.16,
    )
    t = np.linspace(0, 1, 20)
    path = np.stack(
        [cx + (rng.uniform(-0.3, 0.3)) * t**2 + 0.05 * np.sin(t * 5), base + (1.02 - base) * t], -1
    )
    canvas.fill(
        canvas.shape(ribbon(path, 0.02 + 0.20 * t**1.5)),
        lit(rgb(0.88, 0.79, 0.62), scene),
        straight(0.1),
        scale=0.9,
    )
    flowers = [
        ellipse(x, y, 0.004 + 0.008 * (y - base), 0.003 + 0.006 * (y - base))
        for x, y in zip(
            rng.uniform(0, 1, 90), base + 0.03 + (0.97 - base) * rng.uniform(0, 1, 90), strict=True
        )
    ]
    canvas.fill(
        canvas.shape(*flowers),
        lit(pigment(pick(rng, "red", "purple", "pink", "white"), rng), scene),
        scale=0.5,
    )
    for x in rng.choice(
        [0.04, 0.12, 0.22, 0.80, 0.90, 0.97], int(rng.integers(2, 5)), replace=False
    ):
        cypress(
            canvas,
            x + rng.normal(0, 0.015),
            base + rng.uniform(0.03, 0.12),
            rng.uniform(0.30, 0.48),
            leaf,
        )


# -- sunset over a lake --------------------------------------------------------------------

_SUNSETS = {
    "orange": [
        rgb(0.30, 0.28, 0.48),
        rgb(0.86, 0.44, 0.30),
        rgb(0.98, 0.62, 0.22),
        rgb(1.0, 0.84, 0.45),
    ],
    "red": [
        rgb(0.30, 0.10, 0.20),
        rgb(0.68, 0.14, 0.16),
        rgb(0.90, 0.30, 0.16),
        rgb(0.99, 0.62, 0.30),
    ],
    "pink": [
        rgb(0.46, 0.46, 0.72),
        rgb(0.86, 0.55, 0.70),
        rgb(0.97, 0.68, 0.72),
        rgb(1.0, 0.86, 0.78),
    ],
    "purple": [
        rgb(0.20, 0.14, 0.40),
        rgb(0.42, 0.24, 0.58),
        rgb(0.72, 0.40, 0.64),
        rgb(0.97, 0.66, 0.58),
    ],
    "yellow": [
        rgb(0.52, 0.58, 0.68),
        rgb(0.90, 0.76, 0.48),
        rgb(0.98, 0.84, 0.38),
        rgb(1.0, 0.95, 0.66),
    ],
}


def _lake(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    horizon = rng.uniform(0.45, 0.58)
    stops = _SUNSETS[
        scene.colours[0] if scene.colours else pick(rng, "orange", "orange", "red", "pink")
    ]
    sky(scene, canvas, horizon, stops)
    sx, sy, sr = rng.uniform(0.2, 0.8), horizon - rng.uniform(0.03, 0.14), rng.uniform(0.035, 0.06)
    glow = mix(stops[-1], rgb(1, 0.97, 0.8), 0.5)
    canvas.fill(
        canvas.shape(ellipse(sx, sy, sr * 3, sr * 2.4), soft=sr),
        stops[-1],
        around(sx, sy),
        opacity=0.6,
        scale=1.5,
    )
    canvas.fill(canvas.shape(ellipse(sx, sy, sr, sr)), glow, around(sx, sy), vary=0.03)
    dark = mix(stops[0], BLACK, 0.45)
    water = canvas.shape(box(-0.01, horizon, 1.01, 1.01))
    for k in range(int(rng.integers(1, 4))):
        line = horizon - 0.02 - (0.055 - 0.018 * k) * (0.9 + ridge(rng, 4, 0.45, 3))
        tone = mix(mix(stops[1], stops[2], 0.3), dark, 0.35 + 0.25 * k)
        canvas.fill(canvas.shape(below(line, horizon + 0.01)), tone, along(XS, line), scale=0.8)
    canvas.fill(
        water, [mix(c, stops[0], 0.22) for c in stops[::-1]], HORIZONTAL, scale=1.3, vary=0.10
    )
    shore = canvas.shape(below(horizon + 0.05 + 0.03 * ridge(rng, 3, 0.4), horizon))
    canvas.fill(shore, mix(dark, stops[2], 0.25), HORIZONTAL, opacity=0.5)
    ripples = []
    for _ in range(120):
        depth = rng.uniform(0, 1) ** 1.6
        y = horizon + 0.004 + (1 - horizon) * depth
        x = sx + rng.normal(0, 0.018 + 0.10 * depth)
        ripples.append(
            ellipse(x, y, (0.012 + 0.05 * depth) * rng.uniform(0.5, 1.3), 0.0016 + 0.005 * depth)
        )
    canvas.fill(canvas.shape(*ripples), glow, HORIZONTAL, opacity=0.85, relief=1.5)
    waves = [
        ellipse(x, horizon + (1 - horizon) * d, 0.02 + 0.08 * d, 0.001 + 0.004 * d)
        for x, d in zip(rng.uniform(0, 1, 60), rng.uniform(0.02, 1, 60), strict=True)
    ]
    canvas.fill(canvas.shape(*waves), mix(stops[0], BLACK, 0.15), HORIZONTAL, opacity=0.45)
    kind = rng.random()
    if kind < 0.35:  # a boat
        x, y, s = (
            rng.uniform(0.2, 0.8),
            rng.uniform(horizon + 0.08, horizon + 0.22),
            rng.uniform(0.06, 0.11),
        )
        hull = np.array(
            [
                (x - s, y - 0.2 * s),
                (x + s, y - 0.2 * s),
                (x + 0.7 * s, y + 0.15 * s),
                (x - 0.7 * s, y + 0.15 * s),
            ]
        )
        sail = np.array([(x, y - 2.2 * s), (x + 0.9 * s, y - 0.35 * s), (x, y - 0.35 * s)])
        jib = np.array(
            [
                (x - 0.05 * s, y - 1.9 * s),
                (x - 0.05 * s, y - 0.35 * s),
                (x - 0.65 * s, y - 0.35 * s),
            ]
        )
        canvas.fill(canvas.shape(hull, sail, jib), mix(dark, BLACK, 0.4), scale=0.5)
    if kind > 0.25:  # reeds or a tree in front, against the light
        side = rng.choice([0.0, 1.0])
        bank = (
            1.0
            - np.clip(0.16 - 0.28 * np.abs(XS - side), -0.02, 1) * rng.uniform(0.8, 1.4)
            - 0.01 * ridge(rng, 5, 0.6)
        )
        night = mix(dark, BLACK, 0.55)
        canvas.fill(canvas.shape(below(bank)), night, along(XS, bank), vary=0.2)
        if kind > 0.6:
            tree(canvas, float(np.clip(side, 0.1, 0.9)), 0.92, rng.uniform(0.5, 0.7), night)
        else:
            reeds = []
            for x in np.abs(side - rng.exponential(0.13, 26)):
                t = np.linspace(0, 1, 8)
                reeds.append(
                    ribbon(
                        np.stack(
                            [x + rng.normal(0, 0.04) * t**2, 0.99 - rng.uniform(0.12, 0.30) * t], -1
                        ),
                        0.007 * (1 - t) + 0.001,
                    )
                )
            canvas.fill(canvas.shape(*reeds), night, straight(1.5))


# -- snowy mountains -----------------------------------------------------------------------


def _mountains(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    horizon = rng.uniform(0.62, 0.74)
    sky(scene, canvas, horizon)
    haze = mix(horizon_colour(scene), lit(rgb(0.55, 0.65, 0.80), scene), 0.6)
    far = horizon - 0.20 + ridge(rng, 5, 0.52, 4) * 0.10
    canvas.fill(canvas.shape(below(far)), [mix(haze, WHITE, 0.3), haze], along(XS, far))
    snow, shade, rock = (
        lit(rgb(0.98, 0.98, 1.0), scene),
        lit(rgb(0.48, 0.58, 0.78), scene),
        lit(rgb(0.34, 0.36, 0.42), scene),
    )
    peaks = sorted(
        (
            (rng.uniform(-0.05, 1.05), rng.uniform(0.12, 0.36))
            for _ in range(int(rng.integers(3, 6)))
        ),
        key=lambda p: -p[1],
    )
    peaks.sort(key=lambda p: p[1])
    if peaks:
        peaks[0] = (rng.uniform(0.25, 0.75), rng.uniform(0.10, 0.20))
    for px, top in sorted(peaks, key=lambda p: p[1]):
        foot = horizon + 0.06
        reach = (foot - top) * rng.uniform(0.62, 0.95)
        left = np.stack(
            [
                np.linspace(px - reach, px, 22),
                foot - (foot - top) * np.linspace(0, 1, 22) ** rng.uniform(1.0, 1.5),
            ],
            -1,
        )
        right = np.stack(
            [
                np.linspace(px, px + reach, 22),
                foot - (foot - top) * np.linspace(1, 0, 22) ** rng.uniform(1.0, 1.5),
            ],
            -1,
        )
        left[1:-1] += rng.normal(0, 0.008, (20, 2))
        right[1:-1] += rng.normal(0, 0.008, (20, 2))
        t = np.linspace(0, 1, 14)
        spine = np.stack([px + np.cumsum(rng.normal(0.006, 0.020, 14)), top + (foot - top) * t], -1)
        spine[0] = (px, top)
        sun = np.concatenate([left, spine])
        dark = np.concatenate([right, spine[::-1]])
        slope = np.arctan2(foot - top, reach)
        canvas.fill(
            canvas.shape(sun),
            [snow, snow, mix(snow, shade, 0.45), mix(snow, haze, 0.5)],
            straight(-slope),
            scale=0.9,
            vary=0.05,
        )
        canvas.fill(
            canvas.shape(dark),
            [mix(shade, snow, 0.25), shade, mix(shade, rock, 0.5), haze],
            straight(slope),
            scale=0.9,
            vary=0.10,
        )
        crags = []
        for _ in range(int(rng.integers(7, 13))):
            u, v = rng.uniform(0.25, 0.9), rng.uniform(-0.8, 0.8)
            x, y = px + v * reach * u, top + (foot - top) * u
            if abs(v) > 0.85 * u + 0.1:
                continue
            w, h, lean = (
                rng.uniform(0.006, 0.018),
                rng.uniform(0.03, 0.10) * u,
                (0.6 if v > 0 else -0.6),
            )
            crags.append(
                np.array(
                    [
                        (x, y),
                        (x + w, y + 0.3 * h),
                        (x + w + lean * h * 0.6, y + h),
                        (x + lean * h * 0.4, y + 0.6 * h),
                    ]
                )
            )
        if crags:
            canvas.fill(canvas.shape(*crags), rock, straight(1.0), opacity=0.75, vary=0.2)
    line = horizon + ridge(rng, 3, 0.4) * 0.02
    if scene.detail:  # a lake before the mountains
        canvas.fill(
            canvas.shape(below(line)),
            [
                mix(shade, snow, 0.5),
                lit(rgb(0.16, 0.33, 0.52), scene),
                lit(rgb(0.10, 0.22, 0.38), scene),
            ],
            HORIZONTAL,
            scale=1.2,
        )
        glints = [
            ellipse(x, y, 0.03, 0.0025)
            for x, y in zip(rng.uniform(0, 1, 30), rng.uniform(horizon + 0.03, 1, 30), strict=True)
        ]
        canvas.fill(canvas.shape(*glints), mix(snow, shade, 0.2), opacity=0.5)
    else:
        canvas.fill(
            canvas.shape(below(line)),
            [mix(snow, shade, 0.2), snow, mix(snow, shade, 0.4)],
            along(XS, line),
            scale=1.2,
        )
    pine = lit(rgb(0.10, 0.22, 0.18), scene)
    for depth in (0.25, 0.6, 1.0):
        firs = []
        for _ in range(int(rng.integers(4, 12))):
            x, y = rng.uniform(0, 1), horizon + 0.03 + (0.30 * depth) * rng.uniform(0.6, 1.0)
            if depth == 1.0 and 0.3 < x < 0.7:
                continue
            s = (0.05 + 0.16 * depth) * rng.uniform(0.7, 1.2)
            for k in range(4):
                w, y0 = s * (0.10 + 0.055 * k), y - s * (1 - 0.22 * k)
                firs.append(np.array([(x, y0), (x + w, y0 + s * 0.36), (x - w, y0 + s * 0.36)]))
        if firs:
            canvas.fill(
                canvas.shape(*firs),
                mix(pine, haze, 0.45 * (1 - depth)),
                straight(1.3),
                scale=0.6,
                vary=0.2,
            )


# -- seascape ------------------------------------------------------------------------------


def _sea(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    horizon = rng.uniform(0.30, 0.44)
    sky(scene, canvas, horizon)
    deep, clear = lit(rgb(0.05, 0.24, 0.42), scene), lit(rgb(0.16, 0.55, 0.60), scene)
    if scene.weather == "storm":
        deep, clear = rgb(0.14, 0.23, 0.28), rgb(0.34, 0.47, 0.48)
    foam = mix(lit(WHITE, scene), WHITE, 0.35 if scene.time != "night" else 0.1)
    canvas.fill(
        canvas.shape(box(-0.01, horizon, 1.01, 1.01)),
        [mix(deep, horizon_colour(scene), 0.35), deep, clear],
        HORIZONTAL,
        scale=1.2,
        vary=0.14,
    )
    if rng.random() < 0.35:
        line = (
            horizon
            + 0.005
            - np.clip(0.05 - 0.13 * np.abs(XS - rng.choice([0.0, 1.0])), -0.01, 1)
            * (1 + 0.3 * ridge(rng))
        )
        canvas.fill(
            canvas.shape(below(line, horizon + 0.005)), mix(deep, horizon_colour(scene), 0.4)
        )
    rows = int(rng.integers(4, 7))
    for k in range(rows):
        depth = (k + 0.6) / rows
        y = horizon + (0.92 - horizon) * depth**1.35
        swell = y + ridge(rng, 3, 0.45, 3 + 2 * (rows - k)) * (0.008 + 0.030 * depth)
        tall = 0.02 + 0.11 * depth
        face = np.concatenate([np.stack([XS, swell], -1), np.stack([XS, swell + tall], -1)[::-1]])
        canvas.fill(
            canvas.shape(face),
            [mix(clear, foam, 0.25), clear, deep],
            along(XS, swell),
            scale=0.7 + 0.5 * depth,
            vary=0.14,
        )
        crest = swell - 0.002 + 0.004 * ridge(rng, 5, 0.6)
        thick = np.clip((0.004 + 0.022 * depth) * (0.5 + ridge(rng, 4, 0.6, 4)), 0.0008, 1)
        canvas.fill(
            canvas.shape(ribbon(np.stack([XS, crest], -1), thick)),
            foam,
            along(XS, swell),
            scale=0.6,
            relief=1.6,
        )
        streaks = [
            ellipse(
                x,
                np.interp(x, XS, swell) + tall * d,
                0.012 + 0.05 * depth,
                0.0012 + 0.003 * depth,
                rng.normal(0, 0.08),
            )
            for x, d in zip(rng.uniform(0, 1, 16), rng.uniform(0.2, 1.0, 16), strict=True)
        ]
        canvas.fill(canvas.shape(*streaks), foam, along(XS, swell), opacity=0.6)
    # the crashing wave: a steep swell, its crest tumbling forward in foam
    cx, foot, s = rng.uniform(0.3, 0.7), rng.uniform(0.76, 0.86), rng.uniform(0.22, 0.32)
    way = rng.choice([-1.0, 1.0])
    t = np.linspace(0, 1, 40)
    xs = cx + way * s * (2.6 * t - 1.7)
    rise = np.where(
        t < 0.62,
        np.sin(np.pi / 2 * np.clip(t / 0.62, 0, 1)) ** 1.7,
        np.clip(1 - (t - 0.62) / 0.38, 0, 1) ** 0.55,
    )
    top = foot - s * rise * (1 + 0.04 * rng.normal(0, 1, 40).cumsum() / 6)
    face = np.concatenate(
        [np.stack([xs, top], -1), np.stack([xs, foot + 0.03 * np.sin(t * 3)], -1)[::-1]]
    )
    order = np.argsort(xs)
    canvas.fill(
        canvas.shape(canvas.wobble(face, 0.003)),
        [mix(clear, foam, 0.45), clear, mix(clear, deep, 0.6), deep],
        along(xs[order], top[order]),
        scale=0.9,
        vary=0.15,
    )
    veins = []
    for _ in range(16):
        k = int(rng.integers(12, 34))
        u = np.linspace(0, 1, 9)
        veins.append(
            ribbon(
                np.stack(
                    [
                        xs[k] - way * s * 0.25 * u**1.5,
                        top[k] + (foot - top[k]) * u * rng.uniform(0.4, 0.9),
                    ],
                    -1,
                ),
                0.006 * (1 - u) + 0.001,
            )
        )
    canvas.fill(canvas.shape(*veins), foam, straight(1.3), opacity=0.55)

    def clumps(k: int, x: Points, y: Points, r: Points) -> list[Points]:
        return [
            ellipse(a, b, c, c * f)
            for a, b, c, f in zip(x, y, r, rng.uniform(0.5, 0.9, k), strict=True)
        ]

    i = np.clip(rng.normal(25, 6, 90), 6, 39).astype(int)
    drop = rng.exponential(0.10, 90) * np.clip(i - 14, 0, 20) / 12
    crest = clumps(
        90,
        xs[i] + way * s * (0.05 + drop * 0.3) + rng.normal(0, 0.006, 90),
        top[i] + s * drop,
        s * rng.uniform(0.015, 0.05, 90),
    )
    canvas.fill(
        canvas.shape(*(c + np.array([0, 0.008]) for c in crest)),
        mix(foam, deep, 0.35),
        around(cx, foot),
        scale=0.5,
        relief=1.5,
    )
    canvas.fill(canvas.shape(*crest), foam, around(cx, foot), scale=0.5, relief=1.8)
    i = np.clip(rng.normal(26, 6, 110), 4, 39).astype(int)
    mist = clumps(
        110,
        xs[i] + rng.normal(0, 0.05, 110),
        top[i] - rng.exponential(0.05, 110),
        0.0015 + rng.exponential(0.0025, 110),
    )
    canvas.fill(
        canvas.shape(ellipse(xs[26], top[26], s * 0.55, s * 0.28), soft=0.05),
        foam,
        around(cx, foot),
        opacity=0.35,
        relief=0.5,
    )
    canvas.fill(canvas.shape(*mist), foam, around(cx, foot), scale=0.5, opacity=0.9)
    spread = rng.uniform(-0.7, 1.15, 80)
    surf = clumps(
        80,
        cx + way * s * spread,
        foot + s * rng.normal(0.02, 0.05, 80),
        s * rng.uniform(0.02, 0.10, 80),
    )
    surf = [c * (1, 0.5) + (0, foot * 0.5) for c in surf]
    canvas.fill(
        canvas.shape(*(c + np.array([0, 0.008]) for c in surf)),
        mix(foam, deep, 0.4),
        HORIZONTAL,
        scale=0.6,
    )
    canvas.fill(canvas.shape(*surf), foam, HORIZONTAL, scale=0.6, relief=1.6)
    if rng.random() < 0.6:
        rock = lit(rgb(0.26, 0.23, 0.22), scene)
        x0 = rng.choice([0.0, 1.0])
        for _ in range(int(rng.integers(2, 5))):
            x, y, r = (
                abs(x0 - abs(rng.normal(0.05, 0.13))),
                rng.uniform(0.78, 0.98),
                rng.uniform(0.07, 0.15),
            )
            a = np.linspace(0, 2 * np.pi, 11, endpoint=False)
            bumps = rng.uniform(0.82, 1.15, (2, 11))
            stone = np.stack(
                [x + np.cos(a) * r * bumps[0], y + np.sin(a) * r * 0.72 * bumps[1]], -1
            )
            canvas.shaded(
                canvas.shape(canvas.wobble(stone, 0.004)),
                rock,
                (x - r * 0.4, y - r * 0.6),
                r * 1.7,
                0.4,
                straight(0.6),
                scale=0.8,
                vary=0.2,
            )
            canvas.fill(
                canvas.shape(
                    *(
                        ellipse(x + dx * r, y + r * 0.62 + dy * r, r * 0.24, r * 0.07)
                        for dx, dy in rng.normal(0, (0.55, 0.07), (9, 2))
                    )
                ),
                foam,
                opacity=0.85,
            )


# -- words ---------------------------------------------------------------------------------


def _say_farmland(scene: Scene, rng: np.random.Generator) -> str:
    words = {"green": ("green ", "lush green "), "yellow": ("golden ", "yellow "), "": ("",)}
    hue = pick(rng, *words["".join(scene.colours)])
    return pick(
        rng,
        f"rolling {hue}farmland",
        f"a painting of rolling {hue}farmland",
        f"{hue}rolling farmland",
        f"{hue}fields and hills",
        f"a {hue}farm landscape",
        f"rolling {hue}hills with farms",
        f"a landscape with {hue}fields",
        f"{hue}farmland",
        f"{hue}countryside with fields",
        f"{a(hue + 'field')} in the country",
        f"a farm with {hue}fields",
        f"{hue}hills and trees",
    ) + when(scene, rng)


def _say_villa(scene: Scene, rng: np.random.Generator) -> str:
    hue = tint(scene, rng)
    return pick(
        rng,
        f"an italian villa with {hue}walls" if hue else "an italian villa",
        a(f"{hue}italian villa"),
        f"{a(hue + 'villa')} in tuscany",
        f"{a(hue + 'italian villa')} with cypress trees",
        f"{a(hue + 'villa')} in italy",
        f"{a(hue + 'house')} in tuscany",
        f"{a(hue + 'tuscan villa')} with a garden",
        f"{a(hue + 'country house')} in italy",
        f"{a(hue + 'mansion')} in the italian hills",
    ) + when(scene, rng)


def _say_lake(scene: Scene, rng: np.random.Generator) -> str:
    hue = tint(scene, rng)
    return pick(
        rng,
        f"{hue}sunset over a lake",
        f"{a(hue + 'sunset')} over a lake",
        f"{a(hue + 'sunset')} over the lake",
        f"a lake at sunset with {a(hue + 'sky')}" if hue else "a lake at sunset",
        f"{a(hue + 'sunset')} over the water",
        f"{hue}sunset at the lake",
        f"the sun setting over a lake, {hue}sky" if hue else "the sun setting over a lake",
        f"a lake under {a(hue + 'sunset')}",
        f"{a(hue + 'evening')} at a quiet lake",
        f"{a(hue + 'sunset')} reflected in a lake",
        f"{hue}sunsets over lakes",
    )


def _say_mountains(scene: Scene, rng: np.random.Generator) -> str:
    lake = pick(rng, " and a lake", " by a lake", " over a lake", " behind a lake")
    return (
        pick(
            rng,
            "snowy mountains",
            "snowy mountains",
            "snow covered mountains",
            "mountains with snow",
            "mountain peaks in the snow",
            "a mountain landscape with snow",
            "a snowy mountain range",
            "a snowy mountain",
            "a mountain with snow",
            "the alps in the snow",
            "snow capped peaks",
            "white mountains",
        )
        + (lake if scene.detail else "")
        + when(scene, rng)
    )


def _say_sea(scene: Scene, rng: np.random.Generator) -> str:
    return pick(
        rng,
        "a seascape with crashing waves",
        "a seascape with crashing waves",
        "crashing waves",
        "a crashing wave",
        "a stormy sea" if scene.weather == "storm" else "the sea with waves",
        "ocean waves",
        "waves crashing on the shore",
        "waves crashing on rocks",
        "a seascape",
        "waves at sea",
        "the ocean",
        "a big wave",
        "a beach with waves",
        "the coast with breaking waves",
    ) + when(scene, rng)


def _tinted(rng: np.random.Generator, chance: float, *names: str) -> tuple[str, ...]:
    return (pick(rng, *names),) if rng.random() < chance else ()


def _sample_farmland(rng: np.random.Generator) -> Scene:
    scene = outdoors(Scene("farmland"), rng, 5, 1.5, 1, 0.7)
    plain = scene.season in ("", "summer") and not is_white(scene)
    return replace(scene, colours=_tinted(rng, 0.45, "green", "yellow") if plain else ())


def _sample_villa(rng: np.random.Generator) -> Scene:
    colours = _tinted(rng, 0.5, "yellow", "pink", "white", "orange")
    return outdoors(Scene("villa", colours), rng, 5, 1.5, 1, 0.8, storm=0.6)


def _sample_mountains(rng: np.random.Generator) -> Scene:
    scene = Scene("mountains", detail=pick(rng, "lake", "", ""))
    return outdoors(scene, rng, 5, 1.6, 1.2, 1, seasons=("", "winter"))


def _sample_sea(rng: np.random.Generator) -> Scene:
    return outdoors(Scene("sea"), rng, 5, 1.4, 0.8, 0.8, storm=2, seasons=("",))


FAMILIES = {
    "farmland": Family(_sample_farmland, _say_farmland, _farmland),
    "villa": Family(_sample_villa, _say_villa, _villa),
    "lake": Family(
        lambda rng: Scene("lake", _tinted(rng, 0.6, *_SUNSETS), time="sunset"), _say_lake, _lake
    ),
    "mountains": Family(_sample_mountains, _say_mountains, _mountains),
    "sea": Family(_sample_sea, _say_sea, _sea),
}
