"""A wood shop: a workbench, tools on the wall, planks, shavings on the floor."""

import numpy as np

from painter.canvas import (
    HORIZONTAL,
    Canvas,
    Points,
    around,
    box,
    ellipse,
    ribbon,
    smooth,
    straight,
)
from painter.colours import BLACK, WHITE, Colour, mix, rgb
from painter.scene import Family, Scene, pick

WOODS = (
    rgb(0.72, 0.50, 0.28),
    rgb(0.62, 0.40, 0.22),
    rgb(0.82, 0.64, 0.40),
    rgb(0.50, 0.31, 0.18),
    rgb(0.88, 0.74, 0.52),
)
STEEL = rgb(0.66, 0.69, 0.72)


def _wood(rng: np.random.Generator, shade: float = 0.0) -> Colour:
    wood = WOODS[int(rng.integers(len(WOODS)))] * rng.uniform(0.9, 1.08)
    return mix(np.clip(wood, 0, 1).astype(np.float32), BLACK, shade)


def _plank(canvas: Canvas, corners: Points, colour: Colour, angle: float) -> None:
    """Paint a board with its grain."""
    canvas.fill(
        canvas.shape(canvas.wobble(corners, 0.0012)),
        [mix(colour, WHITE, 0.10), colour],
        straight(angle),
        scale=0.9,
        vary=0.16,
    )
    start, end = (corners[0] + corners[3]) / 2, (corners[1] + corners[2]) / 2
    side = corners[3] - corners[0]
    grain = []
    for f in (-0.3, -0.05, 0.22):
        t = np.linspace(0.03, 0.97, 12)[:, None]
        grain.append(
            ribbon(start + (end - start) * t + side * (f + 0.05 * np.sin(6 * t + 9 * f)), 0.0022)
        )
    canvas.fill(canvas.shape(*grain), mix(colour, BLACK, 0.4), straight(angle), opacity=0.5)


def _bar(x: float, y: float, w: float, h: float) -> Points:
    return box(x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def _saw(canvas: Canvas, x: float, y: float, s: float) -> None:
    blade = [
        (x - 0.16 * s, y - 0.25 * s),
        (x + 0.16 * s, y - 0.25 * s),
        (x + 0.07 * s, y + 0.75 * s),
    ]
    blade += [(x - 0.05 * s, y + 0.75 * s)]
    steps = np.linspace(0, 1, 15)
    edge = np.stack([x + (0.16 - 0.09 * steps) * s, y + (steps - 0.25) * s], -1)
    edge[1::2, 0] += 0.025 * s
    outline = np.concatenate([np.array(blade[:1]), edge, np.array(blade[-1:])])
    canvas.fill(canvas.shape(outline), [mix(STEEL, WHITE, 0.3), STEEL], straight(1.5), scale=0.5)
    grip = smooth(
        [
            (x - 0.2 * s, y - 0.52 * s),
            (x + 0.2 * s, y - 0.50 * s),
            (x + 0.22 * s, y - 0.22 * s),
            (x - 0.18 * s, y - 0.2 * s),
        ]
    )
    canvas.fill(canvas.shape(grip), _wood(canvas.rng, 0.2), scale=0.5)
    hole = ellipse(x, y - 0.37 * s, 0.07 * s, 0.06 * s)
    canvas.fill(canvas.shape(hole), rgb(0.32, 0.26, 0.22), scale=0.5)


def _hammer(canvas: Canvas, x: float, y: float, s: float) -> None:
    canvas.fill(
        canvas.shape(_bar(x, y + 0.15 * s, 0.09 * s, 0.95 * s)),
        _wood(canvas.rng),
        straight(1.57),
        scale=0.5,
    )
    head = smooth(
        [
            (x - 0.26 * s, y - 0.48 * s),
            (x + 0.1 * s, y - 0.46 * s),
            (x + 0.34 * s, y - 0.36 * s),
            (x + 0.1 * s, y - 0.28 * s),
            (x - 0.26 * s, y - 0.26 * s),
        ],
        3,
    )
    canvas.fill(
        canvas.shape(head), [mix(STEEL, WHITE, 0.2), mix(STEEL, BLACK, 0.55)], HORIZONTAL, scale=0.5
    )


def _chisel(canvas: Canvas, x: float, y: float, s: float) -> None:
    grip = smooth(
        [
            (x - 0.08 * s, y - 0.5 * s),
            (x + 0.08 * s, y - 0.5 * s),
            (x + 0.06 * s, y - 0.05 * s),
            (x - 0.06 * s, y - 0.05 * s),
        ]
    )
    canvas.fill(
        canvas.shape(grip),
        mix(_wood(canvas.rng), rgb(0.8, 0.3, 0.1), 0.3),
        straight(1.57),
        scale=0.5,
    )
    canvas.fill(
        canvas.shape(_bar(x, y + 0.25 * s, 0.07 * s, 0.62 * s)),
        [mix(STEEL, BLACK, 0.2), mix(STEEL, WHITE, 0.4)],
        straight(1.57),
        scale=0.5,
    )


def _square(canvas: Canvas, x: float, y: float, s: float) -> None:
    canvas.fill(
        canvas.shape(_bar(x, y, 0.09 * s, 0.9 * s)),
        mix(STEEL, WHITE, 0.15),
        straight(1.57),
        scale=0.5,
    )
    canvas.fill(
        canvas.shape(_bar(x + 0.2 * s, y - 0.42 * s, 0.5 * s, 0.14 * s)),
        _wood(canvas.rng, 0.3),
        scale=0.5,
    )


def _clamp(canvas: Canvas, x: float, y: float, s: float) -> None:
    red = rgb(0.70, 0.20, 0.14)
    bars = [_bar(x, y, 0.07 * s, 1.0 * s), _bar(x + 0.16 * s, y - 0.44 * s, 0.34 * s, 0.11 * s)]
    canvas.fill(canvas.shape(*bars), mix(STEEL, BLACK, 0.35), straight(1.57), scale=0.5)
    jaw = [
        _bar(x + 0.17 * s, y + 0.16 * s, 0.34 * s, 0.12 * s),
        _bar(x + 0.29 * s, y + 0.32 * s, 0.09 * s, 0.36 * s),
    ]
    canvas.fill(canvas.shape(*jaw), red, scale=0.5)


TOOLS = (_saw, _hammer, _chisel, _square, _clamp)


def _window(canvas: Canvas, left: float, top: float, w: float, h: float, dark: bool) -> None:
    canvas.fill(
        canvas.shape(box(left - 0.02, top - 0.02, left + w + 0.02, top + h + 0.025)),
        _wood(canvas.rng, 0.3),
        straight(1.57),
        scale=0.6,
    )
    view = [rgb(0.80, 0.90, 0.97), rgb(0.95, 0.96, 0.90), rgb(0.66, 0.76, 0.52)]
    if dark:
        view = [rgb(0.10, 0.16, 0.38), rgb(0.16, 0.24, 0.46)]
    canvas.fill(canvas.shape(box(left, top, left + w, top + h)), view, HORIZONTAL, scale=1.0)
    bars = [_bar(left + w / 2, top + h / 2, 0.012, h), _bar(left + w / 2, top + h / 2, w, 0.012)]
    canvas.fill(canvas.shape(*bars), _wood(canvas.rng, 0.3), straight(1.57), scale=0.5)


def _bench(
    canvas: Canvas, left: float, right: float, top: float, foot: float, wood: Colour
) -> None:
    """Paint a workbench with its vise, a shelf and planks below."""
    rng = canvas.rng
    shadow = ellipse((left + right) / 2, foot, (right - left) * 0.56, 0.04)
    canvas.fill(canvas.shape(shadow, soft=0.012), rgb(0.10, 0.08, 0.06), opacity=0.55, relief=0.4)
    dark = mix(wood, BLACK, 0.35)
    gap = canvas.shape(box(left + 0.04, top, right - 0.04, foot - 0.05))
    canvas.fill(gap, mix(wood, BLACK, 0.72), HORIZONTAL, opacity=0.75)
    shelf = foot - 0.075
    for k in range(int(rng.integers(2, 5))):
        y = shelf - 0.026 * k
        a, b = left + 0.06 + rng.uniform(0, 0.1), right - 0.06 - rng.uniform(0, 0.14)
        _plank(canvas, box(a, y - 0.022, b, y), _wood(rng, 0.15), 0.0)
    _plank(canvas, box(left + 0.02, shelf, right - 0.02, shelf + 0.024), dark, 0.0)
    for x in (left + 0.05, right - 0.05):
        canvas.fill(
            canvas.shape(canvas.wobble(_bar(x, (top + foot) / 2, 0.055, foot - top), 0.0015)),
            [mix(wood, BLACK, 0.12), mix(wood, BLACK, 0.3)],
            straight(1.57),
            scale=0.8,
            vary=0.15,
        )
    _plank(
        canvas,
        box(left - 0.015, top - 0.012, right + 0.015, top + 0.05),
        mix(wood, BLACK, 0.14),
        0.0,
    )
    face = np.array(
        [
            (left + 0.02, top - 0.055),
            (right - 0.02, top - 0.055),
            (right + 0.02, top),
            (left - 0.02, top),
        ]
    )
    _plank(canvas, face, mix(wood, WHITE, 0.22), 0.0)
    x = right - 0.09 if rng.random() < 0.5 else left + 0.09
    canvas.fill(
        canvas.shape(_bar(x, top + 0.045, 0.12, 0.085)), _wood(rng, 0.1), straight(1.57), scale=0.6
    )
    canvas.fill(
        canvas.shape(ellipse(x, top + 0.05, 0.018, 0.018)), mix(STEEL, BLACK, 0.4), scale=0.5
    )
    canvas.fill(canvas.shape(_bar(x, top + 0.055, 0.012, 0.10)), mix(STEEL, BLACK, 0.2), scale=0.5)


def _on_bench(canvas: Canvas, left: float, right: float, top: float) -> None:
    """Paint what lies on the bench: a plane on a board, a mallet, shavings, a pot."""
    rng = canvas.rng
    x = rng.uniform(left + 0.10, right - 0.34)
    board = np.array(
        [
            (x, top - 0.045),
            (x + 0.26, top - 0.045),
            (x + 0.25, top - 0.012),
            (x - 0.01, top - 0.012),
        ]
    )
    _plank(canvas, board, WOODS[4], 0.0)
    px, py = x + rng.uniform(0.06, 0.16), top - 0.04
    body = smooth(
        [(px - 0.06, py), (px - 0.06, py - 0.035), (px + 0.05, py - 0.035), (px + 0.075, py)], 4
    )
    canvas.fill(
        canvas.shape(body), [mix(STEEL, WHITE, 0.1), mix(STEEL, BLACK, 0.5)], HORIZONTAL, scale=0.5
    )
    grips = [
        smooth(
            [
                (px - 0.05, py - 0.03),
                (px - 0.055, py - 0.07),
                (px - 0.03, py - 0.075),
                (px - 0.025, py - 0.03),
            ],
            4,
        ),
        ellipse(px + 0.04, py - 0.045, 0.015, 0.015),
    ]
    canvas.fill(canvas.shape(*grips), rgb(0.45, 0.22, 0.12), scale=0.5)
    _shavings(canvas, x - 0.03, x + 0.30, top - 0.03, top - 0.005, 16)
    mx = right - 0.16 if x < (left + right) / 2 - 0.1 else left + 0.10
    kind = rng.random()
    if kind < 0.5:
        canvas.shaded(
            canvas.shape(_bar(mx, top - 0.055, 0.09, 0.06)),
            _wood(rng),
            (mx - 0.03, top - 0.09),
            0.12,
            0.6,
            scale=0.5,
        )
        canvas.fill(
            canvas.shape(_bar(mx + 0.02, top - 0.115, 0.018, 0.075)),
            _wood(rng, 0.2),
            straight(1.57),
            scale=0.5,
        )
    else:
        hue = (rgb(0.30, 0.45, 0.60), rgb(0.72, 0.30, 0.20), rgb(0.36, 0.50, 0.32))[
            int(rng.integers(3))
        ]
        brushes = [
            ribbon(np.array([(mx + d, top - 0.08), (mx + 2.2 * d, top - 0.155)]), 0.012)
            for d in (-0.018, 0.0, 0.02)
        ]
        canvas.fill(canvas.shape(*brushes), _wood(rng), straight(1.57), scale=0.5)
        canvas.shaded(
            canvas.shape(_bar(mx, top - 0.055, 0.075, 0.08)),
            hue,
            (mx - 0.03, top - 0.09),
            0.12,
            0.5,
            straight(1.57),
            scale=0.5,
        )


def _shavings(
    canvas: Canvas, left: float, right: float, top: float, bottom: float, count: int
) -> None:
    """Paint curls of wood."""
    rng = canvas.rng
    curls = []
    for _ in range(count):
        x, y = rng.uniform((left, top), (right, bottom))
        r = rng.uniform(0.006, 0.014)
        t = np.linspace(rng.uniform(0, 6), rng.uniform(8, 11), 16)
        line = np.stack([x + np.cos(t) * r * t / 9, y + np.sin(t) * r * 0.6 * t / 9], -1)
        curls.append(ribbon(line, 0.0038))
    canvas.fill(canvas.shape(*curls), rgb(0.94, 0.82, 0.58), straight(0.5), scale=0.5, vary=0.14)


def _workshop(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    walls = (
        rgb(0.72, 0.62, 0.48),
        rgb(0.60, 0.56, 0.48),
        rgb(0.50, 0.42, 0.34),
        rgb(0.66, 0.70, 0.66),
    )
    wall = walls[int(rng.integers(len(walls)))]
    edge = rng.uniform(0.66, 0.72)
    x, y = canvas.axis[None, :], canvas.axis[:, None]
    window_left = bool(rng.random() < 0.5)
    lamp = np.exp(-((x - (0.15 if window_left else 0.85)) ** 2 + (y - 0.25) ** 2) / 0.4)[..., None]
    canvas.fill(
        canvas.everything(),
        (wall * (0.58 + 0.5 * lamp)).astype(np.float32),
        straight(1.57),
        scale=1.6,
        vary=0.08,
    )
    seams = [
        _bar(f, edge / 2, 0.004, edge)
        for f in np.arange(rng.uniform(0.02, 0.1), 1, rng.uniform(0.09, 0.13))
    ]
    canvas.fill(canvas.shape(*seams), mix(wall, BLACK, 0.5), straight(1.57), opacity=0.5)
    floor = canvas.shape(box(-0.01, edge, 1.01, 1.01))
    boards = _wood(rng, 0.30)
    canvas.fill(
        floor,
        [mix(boards, BLACK, 0.3), boards, mix(boards, WHITE, 0.12)],
        HORIZONTAL,
        scale=1.7,
        vary=0.14,
    )
    joints = [
        ribbon(np.array([(0.5 + (f - 0.5) * 0.6, edge), (0.5 + (f - 0.5) * 1.9, 1.02)]), 0.004)
        for f in np.linspace(-0.4, 1.4, 11)
    ]
    canvas.fill(canvas.shape(*joints), mix(boards, BLACK, 0.55), straight(1.2), opacity=0.5)
    # the wall: a window on one side, tools in a row on the other, a shelf below
    wl = rng.uniform(0.05, 0.12) if window_left else rng.uniform(0.60, 0.66)
    _window(
        canvas, wl, rng.uniform(0.08, 0.12), 0.28, rng.uniform(0.24, 0.30), scene.time == "night"
    )
    left, right = (0.44, 0.97) if window_left else (0.03, 0.56)
    panel = box(left, 0.06, right, 0.40)
    canvas.fill(
        canvas.shape(canvas.wobble(panel, 0.0015)), mix(WOODS[2], wall, 0.25), HORIZONTAL, scale=1.0
    )
    canvas.fill(canvas.shape(box(left, 0.395, right, 0.41)), _wood(rng, 0.4), scale=0.6)
    xs = np.linspace(left + 0.08, right - 0.10, int(rng.integers(4, 6)))
    order = rng.permutation(len(TOOLS))
    for k, tx in enumerate(xs):
        TOOLS[int(order[k % len(TOOLS)])](
            canvas, float(tx), rng.uniform(0.21, 0.25), rng.uniform(0.20, 0.25)
        )
    # planks lean against the wall
    side = 0.93 if window_left else 0.07
    for k in range(int(rng.integers(2, 5))):
        px, lean = side + 0.042 * (k - 1.5), rng.normal(0, 0.02)
        high = edge - rng.uniform(0.26, 0.40)
        corners = np.array(
            [
                (px + lean, high),
                (px, edge + 0.03),
                (px + 0.034, edge + 0.03),
                (px + 0.034 + lean, high),
            ]
        )
        _plank(canvas, corners, _wood(rng), 1.57)
    wood = _wood(rng)
    top, foot = rng.uniform(0.60, 0.64), rng.uniform(0.86, 0.91)
    bl, br = rng.uniform(0.10, 0.20), rng.uniform(0.78, 0.90)
    _bench(canvas, bl, br, top, foot, wood)
    _on_bench(canvas, bl, br, top - 0.01)
    _shavings(canvas, 0.05, 0.95, foot - 0.01, 0.98, int(rng.integers(20, 45)))
    if rng.random() < 0.5:  # a stool
        sx, sy = (
            (rng.uniform(0.06, 0.14) if window_left else rng.uniform(0.86, 0.94)),
            rng.uniform(0.92, 0.96),
        )
        legs = [
            ribbon(np.array([(sx + d * 0.6, sy - 0.20), (sx + d, sy)]), 0.014)
            for d in (-0.06, 0.0, 0.06)
        ]
        canvas.fill(canvas.shape(*legs), mix(wood, BLACK, 0.35), straight(1.5), scale=0.6)
        canvas.shaded(
            canvas.shape(ellipse(sx, sy - 0.205, 0.07, 0.02)),
            wood,
            (sx - 0.03, sy - 0.22),
            0.14,
            0.6,
            around(sx, sy),
            scale=0.6,
        )
    if scene.time == "night":  # a lamp over the bench
        glow = np.exp(-(((x - 0.5) / 0.45) ** 2 + ((y - 0.45) / 0.4) ** 2))[..., None]
        canvas.paint *= (0.34 + 0.72 * glow) * rgb(1.05, 0.94, 0.74)


def _say(scene: Scene, rng: np.random.Generator) -> str:
    place = pick(
        rng,
        "wood shop",
        "wood shop",
        "woodworking shop",
        "carpenter's workshop",
        "workshop",
        "woodshop",
    )
    subject = pick(
        rng,
        f"a {place}",
        f"a {place}",
        f"the inside of a {place}",
        f"a {place} with tools on the wall",
        f"a workbench in a {place}",
        f"a {place} with a workbench",
        f"a {place} with wood and tools",
        f"tools in a {place}",
        f"a {place} with planks and saws",
        f"{place}s",
    )
    return subject + (
        pick(rng, " at night", " by lamplight", " in the evening") if scene.time else ""
    )


FAMILIES = {
    "workshop": Family(
        lambda rng: Scene("workshop", time=pick(rng, "", "", "", "night")), _say, _workshop
    )
}
