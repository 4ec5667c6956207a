"""Dead leaves: pictures of nothing, with the statistics of photographs.

Opaque shapes of every size, one over the other, as leaves on the ground: edges, corners and
occlusions at all scales, and spectra like those of nature (Lee, Mumford and Huang 2001, "Occlusion
Models for Natural Images"). Networks that restore photographs can be trained on them alone
(Achddou, Gousseau and Ladjal 2021, "Synthetic Images as a Regularity Prior for Image Restoration
Neural Networks"). They keep the enlarger honest on pictures that no one painted.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]
#: Painted this many times larger and averaged, for edges that are neither jagged nor blurred.
OVERSAMPLING = 2
SMALLEST, LARGEST = 8.0, 400.0


def _radius(rng: np.random.Generator) -> float:
    """Return a radius in pixels, its density falling with the cube."""
    u = rng.random()
    return float((SMALLEST**-2 + u * (LARGEST**-2 - SMALLEST**-2)) ** -0.5)


def _texture(rng: np.random.Generator, x: Array, y: Array, radius: float) -> Array:
    """Return the shading of a leaf, about zero: even, a gradient, stripes, or grain."""
    kind = rng.random()
    turn = rng.uniform(0, 2 * np.pi)
    along = (np.cos(turn) * x + np.sin(turn) * y).astype(np.float32)
    if kind < 0.3:
        return np.zeros_like(along)
    if kind < 0.65:
        return along * np.float32(rng.uniform(0.05, 0.25) / max(radius, 1.0))
    if kind < 0.85:
        wave = rng.uniform(3, 30)
        return (rng.uniform(0.02, 0.12) * np.sin(along * (2 * np.pi / wave))).astype(np.float32)
    grain = rng.normal(0, rng.uniform(0.03, 0.12), along.shape).astype(np.float32)
    return (grain + np.roll(grain, 1, 0) + np.roll(grain, 1, 1) + np.roll(grain, 1, (0, 1))) / 2


def dead_leaves(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Return a picture (size, size, 3) strewn with discs, ellipses and polygons."""
    side = size * OVERSAMPLING
    picture = np.empty((side, side, 3), np.float32)
    picture[:] = rng.random(3)
    count = side * side // 250
    radii = np.sort([_radius(rng) for _ in range(count)])[::-1]
    # mostly large ones first, so that the small are seen; and some the other way round
    order = np.argsort(np.arange(count) + rng.normal(0, count * 0.35, count))
    for radius in radii[order]:
        cx, cy = rng.uniform(-radius, side + radius, 2)
        left, right = int(max(0, cx - radius)), int(min(side, cx + radius + 1))
        top, bottom = int(max(0, cy - radius)), int(min(side, cy + radius + 1))
        if left >= right or top >= bottom:
            continue
        y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
        x, y = x - np.float32(cx), y - np.float32(cy)
        squash, turn = rng.uniform(1, 3), rng.uniform(0, 2 * np.pi)
        u, v = np.cos(turn) * x + np.sin(turn) * y, (np.cos(turn) * y - np.sin(turn) * x) * squash
        shape = rng.random()
        if shape < 0.4:
            inside = x * x + y * y <= radius * radius
        elif shape < 0.6:
            inside = u * u + v * v <= radius * radius
        elif shape < 0.8:
            inside = np.maximum(np.abs(u), np.abs(v)) <= 0.7 * radius
        else:
            inside = np.maximum(u, np.abs(v) * 1.2 - 0.5 * u) <= 0.5 * radius
        colour = np.clip(rng.random() + rng.normal(0, 0.15, 3), 0, 1).astype(np.float32)
        shade = _texture(rng, x, y, float(radius))
        picture[top:bottom, left:right][inside] = colour + shade[inside][:, None]
    image = Image.fromarray((picture.clip(0, 1) * 255 + 0.5).astype(np.uint8))
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))
