"""The canvas: layers of brushed paint in unit coordinates, the same picture at any resolution.

Everything random is drawn from the scene's generator in an order that does not depend on the
size, all geometry lives in the unit square (x to the right, y down), and brush marks are read
from one periodic tile of strokes with a pyramid of resolutions. So a 64 px picture is what a
2048 px picture looks like from afar.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage  # type: ignore[import-untyped]

from painter.colours import Colour, rgb

Array = NDArray[np.floating[Any]]
Points = NDArray[np.float64]
#: Maps picture coordinates (x, y) to brush coordinates: (along the stroke, across it).
Field = Callable[[Array, Array], tuple[Array, Array]]

TILE = 2048  # samples of the brush tile along one side; it covers the unit square once
BRUSH_SEED = 20220901


@functools.cache
def brush_tile() -> list[Array]:
    """Return the pyramid of the brush tile, each (n, n, 4), n = 2048, 1024, ... 64.

    Channels: two independent values per stroke (mean 0, about unit deviation), the height of
    the paint, and fine grain. Strokes run along x. Drawn once per process, in about a second.
    """
    rng = np.random.default_rng(BRUSH_SEED)
    strokes = _strokes(rng, TILE)
    pyramid: list[Array] = [_brushed(strokes, *_noises(rng))]
    while pyramid[-1].shape[0] > 64:
        t = pyramid[-1]
        pyramid.append((t[::2, ::2] + t[1::2, ::2] + t[::2, 1::2] + t[1::2, 1::2]) / 4)
    return pyramid


@functools.cache
def fine_brush_tile() -> Array:
    """Return the same tile in twice the size, with smooth edges, for the largest pictures.

    Drawn in about five seconds; a quarter of a gigabyte.
    """
    rng = np.random.default_rng(BRUSH_SEED)
    strokes = np.asarray(Image.fromarray(_strokes(rng, 4 * TILE)).reduce(2))
    noises = (
        ndimage.zoom(noise, 2, order=1, mode="grid-wrap", grid_mode=True) for noise in _noises(rng)
    )
    return _brushed(strokes, *noises)


def _strokes(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Return a tile of strokes, (size, size, 3): their two values and the height of the paint."""
    count = 5200
    image = Image.new("RGB", (size, size), (128, 128, 90))
    draw = ImageDraw.Draw(image)
    x, y = rng.uniform(0, size, (2, count))
    length = rng.uniform(0.03, 0.085, count) * size
    width = rng.uniform(0.004, 0.0095, count) * size
    angle = rng.normal(0, 0.10, count)
    value = np.clip(rng.normal(128, 52, (count, 2)), 0, 255).astype(int)
    outline = np.array(
        [
            (-1, -0.25),
            (-0.9, -0.8),
            (-0.3, -1),
            (0.6, -0.9),
            (1, -0.3),
            (0.93, 0.45),
            (0.5, 0.95),
            (-0.4, 1),
            (-0.94, 0.7),
        ]
    )
    for i in range(count):
        turn = np.array(
            [[np.cos(angle[i]), np.sin(angle[i])], [-np.sin(angle[i]), np.cos(angle[i])]]
        )
        for scale, high in ((1.0, 95), (0.72, 150), (0.4, 185)):
            shape = outline * (length[i] / 2 * (0.94 + 0.06 * scale), width[i] * scale) @ turn
            colour = (int(value[i, 0]), int(value[i, 1]), high)
            for dx in (-size, 0, size):
                if not -length[i] < x[i] + dx < size + length[i]:
                    continue
                for dy in (-size, 0, size):
                    if -length[i] < y[i] + dy < size + length[i]:
                        moved = shape + np.array([x[i] + dx, y[i] + dy])
                        draw.polygon([tuple(p) for p in moved.tolist()], fill=colour)
    return np.asarray(image)


def _noises(rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the bristles and the grain of the tile, each (2048, 2048)."""
    return _smooth_noise(rng, (14.0, 1.6)), _smooth_noise(rng, (1.1, 1.1))


def _brushed(strokes: NDArray[np.uint8], bristles: Array, grain: Array) -> Array:
    """Put the tile together, (n, n, 4)."""
    values = strokes.astype(np.float32)
    return np.stack(
        [
            (values[..., 0] - 128) / 52 + 0.22 * bristles,
            (values[..., 1] - 128) / 52,
            (values[..., 2] - 140) / 40 + 0.45 * bristles,
            grain,
        ],
        axis=-1,
    ).astype(np.float32)


def _smooth_noise(rng: np.random.Generator, sigma: tuple[float, float]) -> Array:
    """Return periodic Gaussian noise of unit deviation; ``sigma`` in samples along x and y."""
    frequency = np.fft.fftfreq(TILE)
    kernel = np.exp(-2 * (np.pi * frequency * sigma[1]) ** 2)[:, None]
    kernel = kernel * np.exp(-2 * (np.pi * np.fft.rfftfreq(TILE) * sigma[0]) ** 2)
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(TILE, TILE))) * kernel, s=(TILE, TILE))
    return (noise / noise.std()).astype(np.float32)


def straight(angle: float) -> Field:
    """Return strokes in one direction, ``angle`` in radians from the x axis."""
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return lambda x, y: (x * c + y * s, y * c - x * s)


def around(cx: float, cy: float) -> Field:
    """Return strokes that run in circles around a point."""

    def field(x: Array, y: Array) -> tuple[Array, Array]:
        radius = np.hypot(x - cx, y - cy)
        return np.arctan2(y - cy, x - cx) * 0.16, radius

    return field


def along(xs: Points, ys: Points) -> Field:
    """Return strokes that follow the line ``ys`` over ``xs`` (both 1-d, ``xs`` ascending)."""
    return lambda x, y: (x, y - np.interp(x, xs, ys).astype(np.float32))


HORIZONTAL = straight(0.0)


@dataclass
class Mask:
    """Coverage of a shape: ``alpha`` (h, w) in [0, 1] within the rows and columns it touches."""

    alpha: Array
    rows: slice
    columns: slice
    soft: bool = False


class Canvas:
    """A square canvas that is painted in layers, from the back to the front."""

    def __init__(self, size: int, rng: np.random.Generator, medium: str) -> None:
        """Prepare a canvas of ``size`` pixels in "oil", "watercolor" or "pastel"."""
        self.rng = rng
        self.medium = medium
        self.over = 2 if size < 192 else 1
        self.n = size * self.over
        axis = (np.arange(self.n, dtype=np.float32) + 0.5) / self.n
        self.axis = axis
        self.paint = np.full((self.n, self.n, 3), 0.9, np.float32)
        self.height = np.zeros((self.n, self.n), np.float32)
        self.edge = np.zeros((self.n, self.n), np.float32)

    # -- masks ---------------------------------------------------------------------------

    def everything(self) -> Mask:
        """Return the mask of the whole canvas."""
        return Mask(np.ones((self.n, self.n), np.float32), slice(0, self.n), slice(0, self.n))

    def shape(self, *polygons: Points, soft: float = 0.0) -> Mask:
        """Return the union of polygons, each (k, 2); ``soft`` is a blur radius in unit length."""
        n = self.n
        stacked = np.concatenate(polygons)
        pad = 1 + int(3 * soft * n)
        low = np.clip(np.floor(stacked.min(0) * n).astype(int) - pad, 0, n - 1)
        high = np.clip(np.ceil(stacked.max(0) * n).astype(int) + pad, low + 1, n)
        fine = 4 if n <= 512 else 2
        w, h = high - low
        image = Image.new("L", (int(w) * fine, int(h) * fine))
        draw = ImageDraw.Draw(image)
        for polygon in polygons:
            points = (polygon * n - low) * fine - 0.5
            draw.polygon(points.ravel().tolist(), fill=255)
        image = image.reduce(fine)
        if soft:
            image = image.filter(ImageFilter.GaussianBlur(soft * n))
        alpha = np.asarray(image, np.float32) / 255
        rows, columns = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
        return Mask(alpha, rows, columns, soft > 0)

    def within(self, mask: Mask, *polygons: Points) -> Mask:
        """Return the union of polygons, each (k, 2), where ``mask`` covers."""
        inner = self.shape(*polygons)
        cover = np.zeros((self.n, self.n), np.float32)
        cover[mask.rows, mask.columns] = mask.alpha
        alpha = inner.alpha * cover[inner.rows, inner.columns]
        return Mask(alpha, inner.rows, inner.columns, mask.soft)

    def grid(self, mask: Mask) -> tuple[Array, Array]:
        """Return the unit coordinates x (1, w) and y (h, 1) of a mask's pixels."""
        return self.axis[None, mask.columns], self.axis[mask.rows, None]

    # -- paint ---------------------------------------------------------------------------

    def brush(self, x: Array, y: Array, field: Field, scale: float) -> Array:
        """Return the brush tile (h, w, 4) laid along a field, strokes ``scale`` times as big."""
        du, dv = self.rng.uniform(0, 1, 2)
        u, v = field(x, y)
        need = self.n * scale
        level = int(np.clip(np.floor(np.log2(TILE / need) + 0.5), -1, 5))
        tile = brush_tile()[level] if level >= 0 else fine_brush_tile()
        n = tile.shape[0]
        i, j = np.broadcast_arrays((v / scale + dv) * n, (u / scale + du) * n)
        return tile[i.astype(np.int32) % n, j.astype(np.int32) % n]

    def fill(
        self,
        mask: Mask,
        colour: Colour | Array | Sequence[Colour],
        field: Field = HORIZONTAL,
        *,
        scale: float = 1.0,
        vary: float = 0.09,
        opacity: float = 1.0,
        relief: float = 1.0,
        span: tuple[float, float] | None = None,
    ) -> None:
        """Paint a mask.

        Args:
            mask: Where.
            colour: One colour (3,), an array (h, w, 3) over the mask, or a list of colours:
                a gradient from the top of ``span`` to its bottom.
            field: The direction of the strokes.
            scale: Size of the strokes, 1 = 3-8 % of the picture long.
            vary: How much the strokes differ in tone.
            opacity: 1 covers.
            relief: Thickness of the paint, 1 = normal.
            span: Top and bottom y of the gradient; the mask's own when omitted.
        """
        x, y = self.grid(mask)
        touch = self.brush(x, y, field, scale)
        if isinstance(colour, np.ndarray):
            tone = colour
        else:
            top, bottom = span or (float(y[0, 0]), float(y[-1, 0]))
            t = (y - top) / max(bottom - top, 1e-3) + touch[..., 0] * 0.05
            t = np.clip(t, 0, 1) * (len(colour) - 1)
            k = np.minimum(t.astype(np.int32), len(colour) - 2)
            stops = np.stack(colour)
            tone = stops[k] + (stops[k + 1] - stops[k]) * (t - k)[..., None]
        if self.medium == "watercolor":
            vary, relief = vary * 0.45, 0.0
            tone = 1 - (1 - tone) * 0.86
        elif self.medium == "pastel":
            relief *= 0.25
        tone = tone * (1 + vary * touch[..., :1]) + (vary * 0.35) * touch[..., 1:2] * rgb(
            1, 0.1, -1
        )
        if self.medium == "pastel":
            tone = tone + 0.05 * touch[..., 3:4]
        alpha = mask.alpha * opacity
        area = (mask.rows, mask.columns)
        self.paint[area] += (tone - self.paint[area]) * alpha[..., None]
        self.height[area] += (touch[..., 2] * relief - self.height[area]) * alpha
        if self.medium == "watercolor" and not mask.soft and alpha.size < 0.9 * self.n**2:
            self.edge[area] = np.maximum(self.edge[area] * (1 - alpha), alpha * (1 - alpha) * 4)

    def shaded(
        self,
        mask: Mask,
        colour: Colour,
        light: tuple[float, float],
        reach: float,
        dark: float = 0.45,
        field: Field = HORIZONTAL,
        **options: float,
    ) -> None:
        """Paint a round thing: bright at the point ``light``, dark at distance ``reach``."""
        x, y = self.grid(mask)
        away = np.clip(np.hypot(x - light[0], y - light[1]) / reach, 0, 1)[..., None]
        tone = colour * (1.12 - (1.12 - dark) * away**1.4) + 0.10 * (1 - away) ** 3
        self.fill(mask, tone.astype(np.float32), field, **options)  # type: ignore[arg-type]

    def wobble(self, points: Sequence[tuple[float, float]] | Points, amount: float) -> Points:
        """Return a polygon as a hand draws it: denser, and off by about ``amount``."""
        p = np.asarray(points, float)
        following = np.roll(p, -1, 0)
        pieces = []
        for a, b in zip(p, following, strict=True):
            steps = max(1, int(np.hypot(*(b - a)) / 0.03))
            pieces.append(a + (b - a) * np.linspace(0, 1, steps, endpoint=False)[:, None])
        dense = np.concatenate(pieces)
        noise = self.rng.normal(0, 1, dense.shape)
        smooth = (noise + np.roll(noise, 1, 0) + np.roll(noise, 2, 0)) / 3
        return dense + smooth * amount

    # -- finish --------------------------------------------------------------------------

    def finish(self, woven: bool = True) -> NDArray[np.uint8]:
        """Return the picture, (size, size, 3) uint8: relief, light, canvas or paper, varnish."""
        rng, n = self.rng, self.n
        lean = rng.uniform(0, 2 * np.pi)
        x, y = self.axis[None, :], self.axis[:, None]
        glow = (x - 0.5) * np.float32(np.cos(lean)) + (y - 0.5) * np.float32(np.sin(lean))
        surface = self.brush(x, y, HORIZONTAL, 1.0)[..., 3]
        weave: Array | np.float32 = np.float32(0)
        visible = np.clip((n / 330 - 2.2) / 2, 0, 1)  # threads finer than the pixels are not seen
        if woven and visible > 0 and self.medium != "watercolor":
            turn = np.float32(2 * np.pi * 330)
            weave = np.sin(x * turn + surface * 0.5) * np.sin(y * turn) * np.float32(visible)
        light = 1 + 0.05 * glow
        if self.medium == "oil":
            shifted = np.roll(self.height, (1, 1), (0, 1))
            slope = (self.height - shifted) * min(1.0, n / 700)
            light = light + 0.05 * np.clip(slope, -2, 2) + 0.012 * weave
        elif self.medium == "pastel":
            light = light + 0.05 * surface + 0.03 * weave
        else:
            light = light + 0.022 * surface - 0.28 * self.edge * min(1.0, n / 256)
        picture = np.clip(self.paint * light[..., None], 0, 1)
        image = Image.fromarray((picture * 255 + 0.5).astype(np.uint8))
        return np.asarray(image.reduce(self.over) if self.over > 1 else image)


def ellipse(cx: float, cy: float, rx: float, ry: float, turn: float = 0.0) -> Points:
    """Return an ellipse as a polygon (48, 2); ``turn`` in radians."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    p = np.stack([np.cos(t) * rx, np.sin(t) * ry], -1)
    c, s = np.cos(turn), np.sin(turn)
    return p @ np.array([[c, s], [-s, c]]) + (cx, cy)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """Return a rectangle as a polygon (4, 2)."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


def ribbon(line: Points, width: Points | float) -> Points:
    """Return a line (k, 2) with a width (scalar or (k,)) as a polygon (2k, 2)."""
    direction = np.gradient(line, axis=0)
    normal = np.stack([-direction[:, 1], direction[:, 0]], -1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    half = np.broadcast_to(np.asarray(width) / 2, len(line))[:, None]
    return np.concatenate([line + normal * half, (line - normal * half)[::-1]])


def ridge(rng: np.random.Generator, octaves: int = 4, gain: float = 0.5, first: int = 3) -> Points:
    """Return a random line over [0, 1] at 160 points, about -1..1; more gain is more jagged."""
    xs = np.linspace(0, 1, 160)
    ys = np.zeros_like(xs)
    for octave in range(octaves):
        knots = first * 2**octave + 1
        values = rng.uniform(-1, 1, knots)
        at = np.linspace(0, knots - 1, 160)
        k = np.minimum(at.astype(int), knots - 2)
        t = at - k
        t = t * t * (3 - 2 * t) if gain < 0.55 else t
        ys += gain**octave * (values[k] * (1 - t) + values[k + 1] * t)
    return ys


def below(ys: Points, bottom: float = 1.02) -> Points:
    """Return the polygon below a line given at equal steps over [0, 1]."""
    xs = np.linspace(-0.01, 1.01, len(ys))
    return np.concatenate([np.stack([xs, ys], -1), [(1.01, bottom), (-0.01, bottom)]])


def smooth(knots: Sequence[tuple[float, float]] | Points, steps: int = 6) -> Points:
    """Return a closed curve through ``knots`` (k, 2), a Catmull-Rom spline, (k * steps, 2)."""
    p = np.asarray(knots, float)[:, None]
    before, after, last = (np.roll(p, shift, 0) for shift in (1, -1, -2))
    t = (np.arange(steps) / steps)[None, :, None]
    bend = 2 * before - 5 * p + 4 * after - last
    curve = 2 * p + (after - before) * t + bend * t**2 + (3 * (p - after) + last - before) * t**3
    return (curve / 2).reshape(-1, 2)


def evenly(outline: Points, step: float) -> Points:
    """Return a closed outline (k, 2) at points about ``step`` apart, at least 12 of them."""
    closed = np.concatenate([outline, outline[:1]])
    length = np.concatenate([[0], np.hypot(*np.diff(closed, axis=0).T).cumsum()])
    at = np.linspace(0, length[-1], max(12, int(length[-1] / step)), endpoint=False)
    return np.stack([np.interp(at, length, closed[:, k]) for k in (0, 1)], -1)
