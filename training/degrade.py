"""Degradation of pictures in random order, after BSRGAN.

Source: Zhang et al. 2021 (arXiv:2103.14006, section 3): blur, shrinking, noise and JPEG, shuffled,
with random kinds and strengths: here noise of about as much and JPEG of the same qualities, but
milder blur, for the pictures of the earlier stages are not out of focus.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

Array = NDArray[np.float32]
_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX)


def _blurred(picture: Array, rng: np.random.Generator, scale: float) -> Array:
    sigma = rng.uniform(0.1, 0.75, 2) * scale
    if rng.random() < 0.6:
        sigma[1] = sigma[0]
    return ndimage.gaussian_filter(picture, (*sigma, 0), mode="nearest")


def _resized(picture: Array, side: int, rng: np.random.Generator) -> Array:
    image = Image.fromarray(_bytes(picture))
    how = _FILTERS[int(rng.integers(len(_FILTERS)))]
    return np.asarray(image.resize((side, side), how), np.float32)


def _noisy(picture: Array, rng: np.random.Generator) -> Array:
    strength = abs(rng.normal(0, 10.0))
    channels = 1 if rng.random() < 0.5 else 3
    return (picture + rng.normal(0, strength, (*picture.shape[:2], channels))).astype(np.float32)


def _jpeg(picture: Array, rng: np.random.Generator) -> Array:
    buffer = io.BytesIO()
    Image.fromarray(_bytes(picture)).save(buffer, "JPEG", quality=int(rng.integers(30, 96)))
    return np.asarray(Image.open(buffer), np.float32)


def _bytes(picture: Array) -> NDArray[np.uint8]:
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def shrink(picture: NDArray[np.uint8], scale: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture (n, n, 3) ``scale`` times smaller and no worse otherwise."""
    return _bytes(_resized(picture.astype(np.float32), picture.shape[0] // scale, rng))


def jag(picture: NDArray[np.uint8], scale: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture (n, n, 3) ``scale`` times smaller, its edges jagged as an upsampler's.

    Each pixel, or each small block of them, shows the picture from a little beside its place.
    """
    side = picture.shape[0] // scale
    block = int(rng.choice([1, 2, 4]))
    blocks = -(-side // block)
    offsets = rng.normal(0, rng.uniform(0.1, 0.8) * scale, (2, blocks, blocks))
    offsets = offsets.repeat(block, 1).repeat(block, 2)[:, :side, :side]
    at = np.mgrid[:side, :side] * scale + scale // 2 + offsets.round().astype(int)
    rows, columns = at.clip(0, picture.shape[0] - 1)
    smooth = ndimage.uniform_filter(picture.astype(np.float32), (scale, scale, 1), mode="nearest")
    return _bytes(smooth[rows, columns])


def degrade(picture: NDArray[np.uint8], scale: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture (n, n, 3) as a worse one ``scale`` times smaller, (n / scale, ..., 3)."""
    side = picture.shape[0] // scale
    now = picture.astype(np.float32)
    steps = ["blur", "shrink"]
    steps += [
        step
        for step, chance in (("blur", 0.3), ("noise", 0.8), ("jpeg", 0.7))
        if rng.random() < chance
    ]
    rng.shuffle(steps)
    for step in steps:
        larger = now.shape[0] / side
        if step == "blur":
            now = _blurred(now, rng, larger)
        elif step == "shrink":
            now = _resized(now, int(side * rng.choice([1, 1, 2])), rng)
        elif step == "noise":
            now = _noisy(now, rng)
        else:
            now = _jpeg(now, rng)
    if now.shape[0] != side:
        now = _resized(now, side, rng)
    return _bytes(now)
