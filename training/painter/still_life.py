"""Still lifes: glass bottles, a bowl of fruit, goldfish in a glass bowl."""

import numpy as np

from painter.canvas import HORIZONTAL, Canvas, Points, around, below, ellipse, ribbon, straight
from painter.colours import BLACK, BRIGHT, WHITE, Colour, mix, pigment, rgb
from painter.scene import NUMBERS, Family, Scene, a, join, named, pick, some_colours, tint

WALLS = (
    rgb(0.62, 0.60, 0.54),
    rgb(0.36, 0.38, 0.40),
    rgb(0.74, 0.68, 0.56),
    rgb(0.40, 0.46, 0.50),
    rgb(0.54, 0.44, 0.38),
    rgb(0.80, 0.80, 0.76),
)
CLOTHS = (
    rgb(0.56, 0.38, 0.24),
    rgb(0.40, 0.26, 0.17),
    rgb(0.84, 0.80, 0.72),
    rgb(0.68, 0.52, 0.36),
    rgb(0.50, 0.52, 0.52),
)


def room(canvas: Canvas, wall: Colour | None = None) -> tuple[float, Colour]:
    """Paint a wall and a table; return the height of the table's far edge and its colour."""
    rng = canvas.rng
    wall = WALLS[int(rng.integers(len(WALLS)))] if wall is None else wall
    cloth = CLOTHS[int(rng.integers(len(CLOTHS)))]
    while np.abs(cloth - wall).max() < 0.14:
        cloth = CLOTHS[int(rng.integers(len(CLOTHS)))]
    x, y = canvas.axis[None, :], canvas.axis[:, None]
    lamp = np.exp(-((x - rng.uniform(0.05, 0.5)) ** 2 + (y - 0.2) ** 2) / 0.35)[..., None]
    canvas.fill(
        canvas.everything(),
        (wall * (0.66 + 0.46 * lamp)).astype(np.float32),
        straight(rng.uniform(0.5, 1.1)),
        scale=1.9,
        vary=0.07,
    )
    edge = rng.uniform(0.56, 0.68)
    table = canvas.shape(below(np.full(40, edge) + rng.normal(0, 0.0015, 40)))
    canvas.fill(
        table,
        [mix(cloth, WHITE, 0.16), cloth, mix(cloth, BLACK, 0.35)],
        HORIZONTAL,
        scale=1.7,
        vary=0.10,
    )
    return edge, cloth


def shadow(
    canvas: Canvas, x: float, y: float, w: float, cloth: Colour, tint: Colour | None = None
) -> None:
    """Paint the shadow a thing of width ``w`` throws on the table, light from the upper left."""
    tone = mix(cloth, BLACK, 0.72)
    canvas.fill(
        canvas.shape(ellipse(x + w * 0.55, y + 0.004, w * 1.05, w * 0.24, 0.10), soft=0.010),
        tone,
        HORIZONTAL,
        opacity=0.7,
        relief=0.4,
    )
    if tint is not None:
        canvas.fill(
            canvas.shape(ellipse(x + w * 0.6, y + 0.004, w * 0.5, w * 0.09, 0.10), soft=0.006),
            mix(tint, WHITE, 0.2),
            HORIZONTAL,
            opacity=0.6,
            relief=0.4,
        )


# -- bottles -------------------------------------------------------------------------------


def _profile(rng: np.random.Generator) -> Points:
    """Return half widths (k, 2) of a bottle: (height above the table 0-1, half width 0-1)."""
    neck, shoulder, waist = rng.uniform(0.16, 0.34), rng.uniform(0.46, 0.72), rng.uniform(0.85, 1.0)
    kind = rng.random()
    if kind < 0.5:
        knots = [
            (0, 0.93),
            (0.03, 1),
            (0.3, waist),
            (shoulder - 0.05, 1),
            (shoulder + 0.06, 0.72),
            (shoulder + 0.13, neck),
            (0.93, neck),
            (0.935, neck + 0.09),
            (0.985, neck + 0.09),
            (1, neck),
        ]
    elif kind < 0.8:
        knots = [
            (0, 0.7),
            (0.04, 0.85),
            (0.22, 1),
            (0.42, 0.92),
            (0.58, neck + 0.1),
            (0.66, neck),
            (0.93, neck),
            (0.94, neck + 0.10),
            (0.99, neck + 0.10),
            (1, neck),
        ]
    else:
        knots = [
            (0, 0.95),
            (0.03, 1),
            (0.70, 1),
            (0.76, 0.85),
            (0.80, 0.4),
            (0.86, 0.38),
            (0.87, 0.48),
            (0.98, 0.48),
            (1, 0.4),
        ]
    t = np.linspace(0, 1, 40)
    return np.stack([t, np.interp(t, *np.array(knots).T)], -1)


def bottle(
    canvas: Canvas, x: float, y: float, height: float, width: float, colour: Colour, cloth: Colour
) -> None:
    """Paint a bottle of glass that stands at (x, y), ``width`` is half its thickness."""
    rng = canvas.rng
    shadow(canvas, x, y, width, cloth, colour)
    profile = _profile(rng)
    ys = y - profile[:, 0] * height
    half = profile[:, 1] * width
    outline = np.concatenate(
        [
            np.stack([x - half, ys], -1),
            ellipse(x, ys[-1], half[-1], half[-1] * 0.3)[24:36],
            np.stack([x + half, ys], -1)[::-1],
            ellipse(x, y, half[0], half[0] * 0.22)[:24],
        ]
    )
    mask = canvas.shape(canvas.wobble(outline, 0.0012))
    gx, gy = canvas.grid(mask)
    across = np.clip(np.abs(gx - x) / np.maximum(np.interp(gy, ys[::-1], half[::-1]), 1e-3), 0, 1)
    lift = np.clip((y - gy) / height, 0, 1)
    tone = colour * (1.0 - 0.55 * across[..., None] ** 3) + 0.22 * (
        1 - across[..., None]
    ) * WHITE * (0.35 + 0.4 * lift[..., None])
    canvas.fill(mask, tone.astype(np.float32), straight(1.57), scale=0.9, vary=0.12, opacity=0.93)
    level = rng.uniform(0.25, 0.6)
    inside = (profile[:, 0] < level) & (profile[:, 0] > 0.02)
    liquid = np.concatenate(
        [
            np.stack([x - half[inside] * 0.9, ys[inside]], -1),
            np.stack([x + half[inside] * 0.9, ys[inside]], -1)[::-1],
        ]
    )
    canvas.fill(canvas.shape(liquid), mix(colour, BLACK, 0.35), straight(1.57), opacity=0.5)
    body = (profile[:, 0] > 0.08) & (profile[:, 0] < 0.55)
    shine = np.stack([x - half[body] * 0.62, ys[body]], -1)
    thin = width * 0.13 * np.sin(np.linspace(0.2, np.pi - 0.2, len(shine)))
    canvas.fill(
        canvas.shape(ribbon(shine, thin)),
        mix(WHITE, colour, 0.12),
        straight(1.57),
        opacity=0.9,
        relief=1.6,
    )
    neck = (profile[:, 0] > 0.72) & (profile[:, 0] < 0.92)
    canvas.fill(
        canvas.shape(ribbon(np.stack([x - half[neck] * 0.45, ys[neck]], -1), width * 0.07)),
        WHITE,
        straight(1.57),
        opacity=0.75,
    )
    right = np.stack([x + half[body] * 0.72, ys[body]], -1)
    canvas.fill(
        canvas.shape(ribbon(right, width * 0.07)),
        mix(WHITE, colour, 0.55),
        straight(1.57),
        opacity=0.6,
    )


def _bottles(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    edge, cloth = room(canvas)
    count = scene.count or int(rng.integers(4, 7))
    names = (
        [scene.colours[i % len(scene.colours)] for i in range(count)]
        if scene.colours
        else [str(c) for c in rng.choice(BRIGHT, count, replace=False)]
    )
    rng.shuffle(names)
    xs = (
        np.linspace(0.5 - 0.105 * count * 0.72, 0.5 + 0.105 * count * 0.72, count)
        if count > 1
        else np.array([0.5])
    )
    xs = np.clip(xs + rng.normal(0, 0.018, count), 0.10, 0.90)
    ys = edge + rng.uniform(0.08, 0.24, count)
    for i in np.argsort(ys):
        near = 0.9 + 0.7 * (ys[i] - edge)
        bottle(
            canvas,
            float(xs[i]),
            float(ys[i]),
            rng.uniform(0.34, 0.56) * near,
            rng.uniform(0.055, 0.080) * near * (1.25 if count < 3 else 1),
            pigment(names[i], rng),
            cloth,
        )


# -- fruit ---------------------------------------------------------------------------------

_FRUIT = {
    "apples": ("red", "green"),
    "oranges": ("orange",),
    "lemons": ("yellow",),
    "pears": ("green", "yellow"),
    "plums": ("purple",),
    "peaches": ("pink", "orange"),
}


def _piece(canvas: Canvas, kind: str, x: float, y: float, r: float) -> None:
    rng = canvas.rng
    colour = pigment(pick(rng, *_FRUIT[kind]), rng)
    if kind == "pears":
        colour = mix(colour, rgb(0.80, 0.76, 0.30), 0.55)
        turn = rng.normal(0, 0.25)
        top = np.array([x + r * np.sin(turn), y - r * 1.05 * np.cos(turn)])
        mask = canvas.shape(
            ellipse(x, y, r, r * 0.95),
            ellipse(top[0], top[1], r * 0.55, r * 0.62),
            np.array(
                [
                    (x - r * 0.93, y - r * 0.3),
                    (top[0] - r * 0.52, top[1]),
                    (top[0] + r * 0.52, top[1]),
                    (x + r * 0.93, y - r * 0.3),
                ]
            ),
        )
    elif kind == "lemons":
        turn = rng.uniform(-0.6, 0.6)
        mask = canvas.shape(
            ellipse(x, y, r * 1.12, r * 0.82, turn),
            ellipse(
                x + r * 1.08 * np.cos(turn), y + r * 1.08 * np.sin(turn), r * 0.2, r * 0.16, turn
            ),
        )
    else:
        mask = canvas.shape(canvas.wobble(ellipse(x, y, r, r * rng.uniform(0.93, 1.0)), r * 0.012))
    canvas.shaded(
        mask, colour, (x - r * 0.45, y - r * 0.5), r * 1.9, 0.38, around(x, y), scale=0.8, vary=0.12
    )
    canvas.fill(
        canvas.shape(ellipse(x - r * 0.4, y - r * 0.45, r * 0.20, r * 0.12, -0.7), soft=r * 0.03),
        WHITE,
        opacity=0.7,
    )
    if kind in ("apples", "pears", "plums"):
        up = y - r * (1.55 if kind == "pears" else 0.82)
        stem = np.stack(
            [x + r * np.array([0.0, 0.03, 0.12]), up + r * np.array([0.1, -0.15, -0.42])], -1
        )
        canvas.fill(canvas.shape(ribbon(stem, r * 0.09)), rgb(0.28, 0.19, 0.12))


def fruit_bowl(
    canvas: Canvas,
    cx: float,
    edge: float,
    w: float,
    cloth: Colour,
    detail: str = "",
    name: str = "",
) -> None:
    """Paint a bowl of fruit of half width ``w`` on the table behind whose ``edge`` the wall is.

    ``detail`` is a kind of fruit and ``name`` the bowl's colour; any where they are empty.
    """
    rng = canvas.rng
    kinds = [detail] if detail else [str(k) for k in rng.choice(list(_FRUIT), 4, replace=False)]
    rim = edge - rng.uniform(0.0, 0.05)
    foot = rim + w * rng.uniform(0.72, 0.85)
    bowl = pigment(name or pick(rng, "white", "blue", "brown", "white"), rng)
    shadow(canvas, cx, foot, w * 0.8, cloth)
    canvas.fill(canvas.shape(ellipse(cx, rim, w, w * 0.24)), mix(bowl, BLACK, 0.5), around(cx, rim))
    r = w * 0.31
    rows = ((5, 0.02, 0.72), (4, -0.34, 0.55), (2, -0.70, 0.24))
    for count, up, spread in rows:
        for dx in rng.permutation(np.linspace(-spread, spread, count)):
            _piece(
                canvas,
                pick(rng, *kinds),
                cx + dx * w + rng.normal(0, 0.008),
                rim + up * w + rng.normal(0, 0.008),
                r * rng.uniform(0.88, 1.06),
            )
    t = np.linspace(0, np.pi, 40)
    front = np.concatenate(
        [
            np.stack([cx + np.cos(t) * w, rim + np.sin(t) * w * 0.24], -1),
            np.stack(
                [
                    cx - np.cos(t) * w * np.clip(1.0 - 0.0 * t, 0, 1),
                    rim + np.sin(t) ** 0.62 * (foot - rim),
                ],
                -1,
            ),
        ]
    )
    canvas.shaded(
        canvas.shape(front),
        bowl,
        (cx - w * 0.5, rim + w * 0.2),
        w * 1.7,
        0.35,
        around(cx, rim - w * 0.4),
        scale=1.0,
        vary=0.09,
    )
    lip = np.stack([cx + np.cos(t) * w, rim + np.sin(t) * w * 0.24], -1)
    canvas.fill(canvas.shape(ribbon(lip, 0.012)), mix(bowl, WHITE, 0.4), HORIZONTAL, scale=0.6)
    canvas.fill(
        canvas.shape(ellipse(cx, foot, w * 0.42, w * 0.08)), mix(bowl, BLACK, 0.45), HORIZONTAL
    )
    if rng.random() < 0.6:
        x = cx + rng.choice([-1, 1]) * w * rng.uniform(0.95, 1.15)
        y = foot + rng.uniform(0.02, 0.06)
        shadow(canvas, x, y + r * 0.85, r * 0.9, cloth)
        _piece(canvas, pick(rng, *kinds), x, y, r)


def _fruit(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    edge, cloth = room(canvas)
    name = scene.colours[0] if scene.colours else ""
    cx, w = 0.5 + rng.normal(0, 0.03), rng.uniform(0.28, 0.33)
    fruit_bowl(canvas, cx, edge, w, cloth, scene.detail, name)


# -- goldfish ------------------------------------------------------------------------------


def _fish(canvas: Canvas, x: float, y: float, s: float, way: float, colour: Colour) -> None:
    rng = canvas.rng
    lift = rng.normal(0, 0.2)
    t = np.linspace(0, 1, 9)
    tail = np.array(
        [
            (x - way * s * 0.8, y),
            (x - way * s * 1.75, y - s * 0.62),
            (x - way * s * 1.45, y),
            (x - way * s * 1.8, y + s * 0.55),
        ]
    )
    fin = np.array(
        [
            (x + way * s * 0.3, y - s * 0.40),
            (x - way * s * 0.2, y - s * 0.85),
            (x - way * s * 0.6, y - s * 0.3),
        ]
    )
    canvas.fill(
        canvas.shape(canvas.wobble(tail, s * 0.02), fin),
        mix(colour, rgb(1, 0.85, 0.5), 0.3),
        straight(0.3 * way),
        scale=0.6,
        vary=0.16,
        opacity=0.9,
    )
    body = canvas.shape(ellipse(x, y, s, s * 0.50, lift * 0.2))
    canvas.shaded(
        body, colour, (x, y - s * 0.35), s * 1.25, 0.55, straight(0.1), scale=0.6, vary=0.13
    )
    belly = np.stack(
        [x + way * s * (0.6 - 1.2 * t), y + s * 0.28 * np.sin(np.pi * t) + s * 0.08], -1
    )
    canvas.fill(
        canvas.shape(ribbon(belly, s * 0.14 * np.sin(np.pi * t) + 0.001)),
        rgb(1.0, 0.86, 0.55),
        opacity=0.7,
    )
    eye = (x + way * s * 0.66, y - s * 0.10)
    canvas.fill(canvas.shape(ellipse(*eye, s * 0.10, s * 0.10)), WHITE)
    canvas.fill(canvas.shape(ellipse(*eye, s * 0.06, s * 0.06)), BLACK)


def fish_bowl(
    canvas: Canvas, cx: float, foot: float, r: float, cloth: Colour, count: int = 0
) -> None:
    """Paint a glass bowl of radius ``r`` with goldfish, two where ``count`` is 0."""
    rng = canvas.rng
    cy = foot - r
    shadow(canvas, cx, cy + r * 0.93, r * 0.85, cloth, rgb(0.6, 0.8, 0.85))
    globe = canvas.shape(ellipse(cx, cy, r, r * 0.95))
    canvas.fill(globe, rgb(0.84, 0.91, 0.92), around(cx, cy), opacity=0.35)
    t = np.linspace(0.12 * np.pi * -1, 1.12 * np.pi, 50)
    water = np.stack([cx + np.cos(t) * r * 0.97, cy + np.sin(t) * r * 0.92], -1)
    level = float(water[0, 1])
    clear = rgb(0.52, 0.76, 0.80)
    canvas.fill(
        canvas.shape(water),
        [mix(clear, WHITE, 0.3), clear, mix(clear, rgb(0.12, 0.36, 0.44), 0.6)],
        around(cx, cy),
        vary=0.08,
        opacity=0.86,
    )
    pebbles = [
        ellipse(cx + dx * r, cy + r * (0.78 + dy), r * 0.07, r * 0.045)
        for dx, dy in zip(rng.uniform(-0.5, 0.5, 34), rng.uniform(-0.06, 0.08, 34), strict=True)
    ]
    canvas.fill(canvas.shape(*pebbles), rgb(0.80, 0.72, 0.58), vary=0.3, scale=0.5)
    weed = []
    for x in rng.uniform(-0.5, 0.5, int(rng.integers(2, 6))):
        s = np.linspace(0, 1, 14)
        weed.append(
            ribbon(
                np.stack(
                    [
                        cx + r * (x + 0.06 * np.sin(s * 7 + x * 9)),
                        cy + r * (0.78 - s * rng.uniform(0.5, 1.0)),
                    ],
                    -1,
                ),
                0.016 * (1 - s) + 0.002,
            )
        )
    canvas.fill(canvas.shape(*weed), rgb(0.16, 0.44, 0.22), straight(1.5), vary=0.2)
    count = count or 2
    spots = {
        1: [(0.0, 0.12)],
        2: [(-0.26, 0.32), (0.22, -0.06)],
        3: [(-0.34, 0.02), (0.30, 0.10), (-0.04, 0.45)],
        4: [(-0.38, 0.0), (0.36, 0.06), (-0.14, 0.47), (0.12, -0.14)],
    }[count]
    for dx, dy in spots:
        size = r * (0.40, 0.30, 0.25, 0.21)[count - 1] * rng.uniform(0.9, 1.1)
        _fish(
            canvas,
            cx + r * (dx + rng.normal(0, 0.05)),
            cy + r * (dy + rng.normal(0, 0.04)),
            size,
            float(rng.choice([-1, 1])),
            mix(pigment("orange", rng), rgb(0.93, 0.36, 0.08), rng.uniform(0, 0.8)),
        )
    half = float(np.abs(water[0, 0] - cx))
    canvas.fill(
        canvas.shape(ellipse(cx, level, half, half * 0.16)),
        mix(clear, WHITE, 0.6),
        HORIZONTAL,
        opacity=0.7,
    )
    a = np.linspace(0, 2 * np.pi, 60)
    canvas.fill(
        canvas.shape(
            ribbon(
                np.stack([cx + np.cos(a[22:69]) * r, cy + np.sin(a[22:69]) * r * 0.95], -1), 0.005
            )
        ),
        rgb(0.93, 0.97, 0.98),
        around(cx, cy),
        opacity=0.6,
    )
    top, mouth = cy - r * 0.80, r * 0.60
    canvas.fill(
        canvas.shape(
            ribbon(np.stack([cx + np.cos(a) * mouth, top + np.sin(a) * mouth * 0.22], -1), 0.010)
        ),
        rgb(0.95, 0.98, 0.98),
        HORIZONTAL,
        opacity=0.85,
        relief=1.4,
    )
    arc = np.linspace(np.pi * 1.02, np.pi * 1.38, 18)
    canvas.fill(
        canvas.shape(
            ribbon(
                np.stack([cx + np.cos(arc) * r * 0.80, cy + np.sin(arc) * r * 0.76], -1),
                0.022 * np.sin(np.linspace(0.1, np.pi - 0.1, 18)),
            )
        ),
        WHITE,
        around(cx, cy),
        opacity=0.85,
        relief=1.5,
    )
    canvas.fill(
        canvas.shape(
            *(
                ellipse(cx + r * dx, cy + r * dy, 0.007, 0.007)
                for dx, dy in rng.uniform(-0.3, 0.35, (6, 2))
            )
        ),
        rgb(0.9, 0.97, 0.98),
        opacity=0.6,
    )


def _goldfish(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    wall = mix(pigment(scene.colours[0], rng), WALLS[0], 0.25) if scene.colours else None
    edge, cloth = room(canvas, wall)
    cx, r = 0.5 + rng.normal(0, 0.03), rng.uniform(0.29, 0.34)
    fish_bowl(canvas, cx, edge + 0.14 + rng.uniform(0, 0.06), r, cloth, scene.count)


# -- words ---------------------------------------------------------------------------------


def _say_bottles(scene: Scene, rng: np.random.Generator) -> str:
    colours = join(scene.colours, rng) or pick(rng, "colored", "colored", "colorful")
    noun = pick(rng, "glass bottle", "glass bottle", "bottle", "wine bottle", "glass flask")
    if scene.count == 1:
        one = f"{colours} {noun}"
        things = pick(rng, a(one), f"one {one}", f"a single {one}")
    else:
        number = f"{NUMBERS[scene.count]} " if scene.count else pick(rng, "", "", "some ")
        things = pick(
            rng,
            f"{number}{colours} {noun}s",
            f"{number}{colours} {noun}s",
            f"{number}bottles of {colours} glass",
        )
    return pick(
        rng,
        f"a still life painting of {things}",
        f"a still life of {things}",
        things,
        f"{things} on a table",
        f"a still life with {things}",
    )


def _say_fruit(scene: Scene, rng: np.random.Generator) -> str:
    bowl = tint(scene, rng) + pick(rng, "bowl", "bowl", "bowl", "dish")
    what = scene.detail or pick(rng, "fruit", "fruit", "fruits", "fresh fruit")
    return pick(
        rng,
        f"{a(bowl)} of {what}",
        f"{a(bowl)} of {what}",
        f"{what} in {a(bowl)}",
        f"a still life with {a(bowl)} of {what}",
        f"a still life painting of {a(bowl)} of {what}",
        f"{a(bowl)} with {what} on a table",
        f"a still life of {what}" if not scene.colours else f"{a(bowl)} full of {what}",
        f"{a(bowl)} filled with {what}",
    )


def _say_goldfish(scene: Scene, rng: np.random.Generator) -> str:
    number = {0: pick(rng, "", "", "some "), 1: pick(rng, "a ", "one ")}
    where = pick(
        rng,
        "in a glass bowl",
        "in a glass bowl",
        "in a fish bowl",
        "in a bowl of water",
        "in a round aquarium",
        "swimming in a bowl",
    )
    behind = ""
    if scene.colours:
        hue = named(scene.colours[0], rng)
        behind = pick(
            rng,
            f" before {a(hue + ' wall')}",
            f" in front of {a(hue + ' wall')}",
            f" with {a(hue + ' background')}",
            f", {hue} background",
        )
    if not scene.count and rng.random() < 0.15:
        return f"a goldfish bowl{behind}"
    return f"{number.get(scene.count, NUMBERS[scene.count] + ' ')}goldfish {where}{behind}"


def _sample_bottles(rng: np.random.Generator) -> Scene:
    colours = some_colours(rng, BRIGHT, (0.25, 0.3, 0.3, 0.15))
    count = int(rng.integers(max(1, len(colours)), 6)) if rng.random() < 0.5 else 0
    return Scene("bottles", colours, count)


def _sample_fruit(rng: np.random.Generator) -> Scene:
    colours = (
        (pick(rng, "white", "blue", "brown", "red", "green", "yellow"),)
        if rng.random() < 0.35
        else ()
    )
    return Scene("fruit", colours, detail=pick(rng, *_FRUIT) if rng.random() < 0.45 else "")


def _sample_goldfish(rng: np.random.Generator) -> Scene:
    colours = (
        (pick(rng, "red", "green", "blue", "purple", "yellow", "pink", "gray"),)
        if rng.random() < 0.45
        else ()
    )
    return Scene("goldfish", colours, int(rng.integers(0, 5)))


FAMILIES = {
    "bottles": Family(_sample_bottles, _say_bottles, _bottles, 1.1),
    "fruit": Family(_sample_fruit, _say_fruit, _fruit),
    "goldfish": Family(_sample_goldfish, _say_goldfish, _goldfish),
}
