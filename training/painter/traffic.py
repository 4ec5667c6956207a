"""A traffic jam: lanes of cars between the houses of a city, seen from above the road."""

import numpy as np

from painter.canvas import HORIZONTAL, Canvas, Points, box, ellipse, ribbon, smooth, straight
from painter.colours import BLACK, WHITE, Colour, mix, pigment, rgb
from painter.outdoors import horizon_colour, is_white, light, lit, outdoors, sky, when
from painter.scene import Family, Scene, pick, tint

PAINTS = ("red", "blue", "white", "gray", "black", "yellow", "green", "orange", "brown", "white")


class _Road:
    """The road in perspective: from (lane, depth) to the picture."""

    def __init__(self, horizon: float, vanish: float, lanes: int) -> None:
        self.horizon, self.vanish, self.lanes = horizon, vanish, lanes

    def scale(self, depth: float) -> float:
        """Return the width of a lane at a depth, 0 at the horizon and 1 at the lower edge."""
        return depth * 1.5 / self.lanes

    def at(self, lane: float, depth: float) -> tuple[float, float]:
        """Return the point of a lane's coordinate, 0 to ``lanes``, at a depth."""
        x = self.vanish + (0.5 - self.vanish) * depth + (lane - self.lanes / 2) * self.scale(depth)
        return x, self.horizon + (1.02 - self.horizon) * depth


def _car(
    canvas: Canvas,
    x: float,
    y: float,
    w: float,
    colour: Colour,
    scene: Scene,
    kind: str,
    away: bool,
) -> None:
    """Paint a car of width ``w`` whose wheels stand at (x, y), seen from behind or from before."""
    dim = scene.time in ("night", "sunset") or scene.weather in ("rain", "fog", "snow", "storm")
    h = w * {"car": 0.62, "bus": 1.15, "van": 0.86}[kind]
    half = w / 2
    shade = canvas.shape(ellipse(x, y, half * 1.12, w * 0.09), soft=w * 0.03)
    canvas.fill(shade, rgb(0.05, 0.05, 0.07), HORIZONTAL, opacity=0.6, relief=0.3)
    tyres = [
        box(x + s * half * 0.92 - w * 0.07, y - h * 0.22, x + s * half * 0.92 + w * 0.07, y)
        for s in (-0.86, 0.86)
    ]
    canvas.fill(canvas.shape(*tyres), rgb(0.07, 0.07, 0.08), straight(1.57), scale=0.5)

    def mirrored(*right: tuple[float, float]) -> Points:
        outline = np.array([*right, *((-across, up) for across, up in right[::-1])])
        return outline * (half, h) + np.array([x, y])

    if kind == "car":
        cabin = mirrored((0.42, -1.0), (0.60, -0.95), (0.80, -0.56))
        body = mirrored((0.80, -0.62), (0.97, -0.50), (1.0, -0.22), (0.94, -0.12))
        glass = mirrored((0.40, -0.93), (0.53, -0.90), (0.68, -0.60))
    else:
        cabin = mirrored((0.78, -1.0), (0.92, -0.95), (0.95, -0.5))
        body = mirrored((0.95, -0.56), (0.98, -0.45), (1.0, -0.15), (0.94, -0.09))
        glass = mirrored((0.72, -0.90), (0.80, -0.88), (0.82, -0.56))
    canvas.fill(
        canvas.shape(canvas.wobble(cabin, w * 0.006)),
        [mix(colour, WHITE, 0.28), colour],
        HORIZONTAL,
        scale=0.6,
    )
    canvas.fill(
        canvas.shape(canvas.wobble(smooth(body, 3), w * 0.004)),
        [mix(colour, WHITE, 0.16), colour, mix(colour, BLACK, 0.35)],
        HORIZONTAL,
        scale=0.6,
        vary=0.07,
    )
    pane = lit(rgb(0.36, 0.46, 0.54), scene)
    canvas.fill(
        canvas.shape(glass),
        [mix(pane, WHITE, 0.35), mix(pane, BLACK, 0.35)],
        straight(0.5),
        scale=0.5,
    )
    bumper = box(x - half * 0.9, y - h * 0.20, x + half * 0.9, y - h * 0.10)
    canvas.fill(canvas.shape(bumper), mix(colour, BLACK, 0.55), HORIZONTAL, scale=0.5)
    plate = box(x - half * 0.22, y - h * 0.32, x + half * 0.22, y - h * 0.21)
    canvas.fill(canvas.shape(plate), lit(rgb(0.92, 0.92, 0.86), scene), scale=0.5)
    lamp = rgb(0.92, 0.10, 0.08) if away else rgb(1.0, 0.95, 0.74)
    r = w * 0.085
    lamps = [
        ellipse(x + s * half * 0.76, y - h * 0.38, r, r * (0.62 if away else 0.85)) for s in (-1, 1)
    ]
    if dim:
        halo = [ellipse(x + s * half * 0.76, y - h * 0.36, r * 2.4, r * 2.1) for s in (-1, 1)]
        canvas.fill(canvas.shape(*halo, soft=w * 0.05), lamp, opacity=0.5, relief=0.3)
        shine = [
            box(a - r * 0.7, y + 0.01 * w, a + r * 0.7, y + w * 0.24)
            for a in (x - half * 0.76, x + half * 0.76)
        ]
        canvas.fill(
            canvas.shape(*shine, soft=w * 0.03), lamp, straight(1.57), opacity=0.35, relief=0.3
        )
    canvas.fill(canvas.shape(*lamps), mix(lamp, WHITE, 0.25 if dim else 0.0), scale=0.5, vary=0.04)


def _houses(scene: Scene, canvas: Canvas, road: _Road) -> None:
    """Paint the fronts of houses along both sides, towards the vanishing point."""
    rng = canvas.rng
    stones = (
        rgb(0.66, 0.40, 0.32),
        rgb(0.74, 0.70, 0.62),
        rgb(0.52, 0.56, 0.62),
        rgb(0.80, 0.72, 0.56),
        rgb(0.46, 0.42, 0.44),
    )
    glow = {"night": 0.7, "sunset": 0.35}.get(scene.time, 0.06)
    for side in (-1, 1):
        lane = -0.55 if side < 0 else road.lanes + 0.55
        depth = 0.07
        fronts = []
        while depth < 1.3:
            deep = depth * rng.uniform(1.35, 1.7)
            fronts.append((depth, deep, rng.uniform(1.6, 3.2)))
            depth = deep
        for near, far, tall in fronts:
            (xa, ya), (xb, yb) = road.at(lane, near), road.at(lane, far)
            ha, hb = tall * road.scale(near) * 1.35, tall * road.scale(far) * 1.35
            tone = lit(stones[int(rng.integers(len(stones)))], scene)
            tone = mix(tone, horizon_colour(scene), 0.45 * np.exp(-4 * near))
            wall = np.array([(xa, ya), (xb, yb), (xb, yb - hb), (xa, ya - ha)])
            canvas.fill(
                canvas.shape(wall),
                [mix(tone, WHITE, 0.1), tone],
                straight(1.57),
                scale=0.8,
                vary=0.12,
            )
            panes: dict[bool, list[Points]] = {True: [], False: []}
            columns, rows = int(rng.integers(2, 4)), max(2, int(tall * 1.6))
            for i in range(columns):
                for j in range(rows):
                    u = np.array([(i + 0.25) / columns, (i + 0.75) / columns])
                    v = np.array([(j + 0.3) / rows, (j + 0.75) / rows])
                    corner = [
                        (xa + (xb - xa) * p, (ya - ha * q) + ((yb - hb * q) - (ya - ha * q)) * p)
                        for p, q in ((u[0], v[0]), (u[1], v[0]), (u[1], v[1]), (u[0], v[1]))
                    ]
                    panes[bool(rng.random() < glow)].append(np.array(corner))
            if panes[False]:
                canvas.fill(
                    canvas.shape(*panes[False]),
                    mix(tone, lit(rgb(0.16, 0.2, 0.28), scene), 0.7),
                    scale=0.5,
                )
            if panes[True]:
                canvas.fill(canvas.shape(*panes[True]), rgb(1.0, 0.84, 0.44), scale=0.5)


def _traffic(scene: Scene, canvas: Canvas) -> None:
    rng = canvas.rng
    lanes = int(rng.integers(3, 6))
    road = _Road(rng.uniform(0.26, 0.36), rng.uniform(0.38, 0.62), lanes)
    sky(scene, canvas, road.horizon)
    ground = lit(rgb(0.90, 0.92, 0.96) if is_white(scene) else rgb(0.52, 0.50, 0.47), scene)
    canvas.fill(canvas.shape(box(-0.01, road.horizon, 1.01, 1.01)), ground, HORIZONTAL, scale=1.1)
    _houses(scene, canvas, road)
    asphalt = lit(rgb(0.34, 0.34, 0.37), scene)
    if scene.weather == "rain":
        asphalt = mix(asphalt, light(scene).stops[-1], 0.3)
    corners = np.array(
        [road.at(0, 0.01), road.at(lanes, 0.01), road.at(lanes, 1.05), road.at(0, 1.05)]
    )
    canvas.fill(
        canvas.shape(corners),
        [mix(asphalt, horizon_colour(scene), 0.4), asphalt, mix(asphalt, BLACK, 0.15)],
        HORIZONTAL,
        scale=1.1,
    )
    marks = [
        ribbon(np.array([road.at(lane, d), road.at(lane, d * 1.16)]), 0.002 + 0.010 * d)
        for lane in range(1, lanes)
        for d in np.geomspace(0.06, 0.9, 9)
    ]
    canvas.fill(canvas.shape(*marks), lit(WHITE, scene), straight(1.57), scale=0.5, opacity=0.85)
    oncoming = (
        int(rng.integers(0, lanes)) if rng.random() < 0.6 else 0
    )  # lanes that come towards us
    cars = []
    for lane in range(lanes):
        depth = 0.09 * rng.uniform(0.9, 1.3)
        while depth < 1.02:
            cars.append((depth, lane))
            depth *= rng.uniform(1.42, 1.62)
    for depth, lane in sorted(cars):
        x, y = road.at(lane + 0.5, depth)
        kind = str(rng.choice(("car", "van", "bus"), p=(0.78, 0.13, 0.09)))
        colour = pigment(scene.colours[0] if scene.colours else pick(rng, *PAINTS), rng)
        tone = mix(lit(colour, scene), horizon_colour(scene), 0.35 * np.exp(-7 * depth))
        _car(canvas, x, y, road.scale(depth) * 0.80, tone, scene, kind, lane >= oncoming)


def _say(scene: Scene, rng: np.random.Generator) -> str:
    hue = tint(scene, rng)
    if hue:
        subject = pick(
            rng,
            f"a traffic jam of {hue}cars",
            f"a street full of {hue}cars",
            f"{hue}cars in a traffic jam",
            f"many {hue}cars in the city",
        )
    else:
        subject = pick(
            rng,
            "a traffic jam",
            "a traffic jam",
            "a traffic jam in the city",
            "cars in a traffic jam",
            "a traffic jam with many cars",
            "rush hour traffic",
            "a street full of cars",
            "a busy street with cars",
            "cars on a crowded road",
            "heavy traffic on a highway",
            "bumper to bumper traffic",
            "traffic jams",
            "city traffic with cars and buses",
        )
    return subject + when(scene, rng)


def _sample(rng: np.random.Generator) -> Scene:
    colours = (pick(rng, "red", "blue", "yellow", "white", "black"),) if rng.random() < 0.25 else ()
    return outdoors(Scene("traffic", colours), rng, 4, 1.5, 0.8, 1.6, seasons=("", "winter"))


FAMILIES = {"traffic": Family(_sample, _say, _traffic, 1.2)}
