"""Figures of prints at 1:1: the energy of each octave, whether edges fit, what repeats, blocks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]
from torch import nn

import common  # noqa: F401  (finds the library)
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.pictures import images
from bigart.pictures.texture import texture_picture
from common import HELD_OUT, Picture, painter_version, picture_at, tensor
from textures import steps

SMALL, LARGE = 256, 4096
TILE = 512  # side of what one spectrum is taken of
OCTAVES = 3
#: Between the lowest frequency that a peak is looked for at, in cycles a tile, and the highest.
PEAKS_FROM = 16
AROUND = 9  # side of the surroundings of a peak, in frequencies
#: Sides of the blocks that are made of a pixel of 1024 px and of one of the detailer's codes.
BLOCKS = (4, 32)
SQUARE = 128  # side of the squares in which steps are compared
GRAIN, GRAIN_SIZE = 0.037, 3  # the workflow's defaults at 1024 px

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Print:
    """Figures of one picture, or of many.

    Attributes:
        power: (TILE, TILE), mean power of its tiles' frequencies, the lowest in the middle.
        edges: Strength of its gradients, (LARGE / 4, LARGE / 4).
        steps: How strong differences between pixels are at each place of the largest block, along
            x and along y, 1 on average, (2, BLOCKS[-1]).
    """

    power: NDArray[np.float64]
    edges: Plane
    steps: Plane


def measured(picture: Picture) -> Print:
    """Measure a picture (LARGE, LARGE, 3)."""
    grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    count = len(grey) // TILE
    tiles = grey.reshape(count, TILE, count, TILE).swapaxes(1, 2)
    window = np.outer(*2 * [np.hanning(TILE).astype(np.float32)])
    flat = tiles - tiles.mean((2, 3), keepdims=True)
    power = (np.abs(np.fft.fft2(flat * window)) ** 2).mean((0, 1))
    coarse = ndimage.uniform_filter(grey, 4)[2::4, 2::4]
    edges = np.hypot(ndimage.sobel(coarse, 0), ndimage.sobel(coarse, 1))
    level = tensor(picture) / 2 + 0.5
    ways = [steps(way, BLOCKS[-1], SQUARE).numpy() for way in (level, level.mT)]
    return Print(np.fft.fftshift(power), edges, np.stack(ways))


def painters(index: int, folder: Path) -> Print:
    """Measure the painter's picture ``index``, or read what was measured before, of ``folder``."""
    path = folder / f"{painter_version()}-print-{index}.npz"
    if path.exists():
        with np.load(path) as kept:
            return Print(kept["power"], kept["edges"], kept["steps"])
    found = measured(picture_at(index, LARGE))
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(path, power=found.power, edges=found.edges, steps=found.steps)
    return found


def octaves(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the energy in the highest octaves, the highest first, (OCTAVES,)."""
    along = np.abs(np.arange(TILE) - TILE // 2) / TILE  # cycles a pixel
    highest = np.maximum.outer(along, along)
    tops = 0.5 / 2 ** np.arange(OCTAVES)
    return np.array([power[(highest > top / 2) & (highest <= top)].sum() for top in tops])


def peak(power: NDArray[np.float64]) -> float:
    """Return how far a frequency stands out of the median of its surroundings, as a factor."""
    fine = np.hypot(*np.indices(power.shape) - TILE // 2) >= PEAKS_FROM
    return float((power / ndimage.median_filter(power, AROUND, mode="wrap"))[fine].max())


def blocking(along: Plane) -> list[float]:
    """Return how much steps (2, BLOCKS[-1]) differ between the places of a block, for each size."""
    places = [along.reshape(2, -1, size).mean(1) for size in BLOCKS]
    return [round(float(place.std()), 3) for place in places]


@torch.inference_mode()
def finished(picture: Picture, enlarger: RRDBNet, detailer: nn.Module, seed: int) -> Picture:
    """Return what the workflow makes of a picture of 256 px, before the last grain."""

    def enlarged(small: Picture) -> Picture:
        x = torch.from_numpy(images.to_float(small))[None]
        return images.to_uint8(enlarger.enlarge(x)[0].float().numpy())

    rng = np.random.default_rng(seed)
    large = enlarged(picture)
    noise = rng.standard_normal(large.shape[:2]).astype(np.float32)
    grained = texture_picture(large, lambda draw: noise, GRAIN, GRAIN_SIZE, colour=False)
    x = torch.from_numpy(images.to_float(grained))[None]
    detailed = images.to_uint8((detailer(2 * x - 1)[0] / 2 + 0.5).clamp(0, 1).numpy())
    return enlarged(detailed)


def evaluate(enlarger: RRDBNet, detailer: nn.Module, count: int, folder: Path) -> dict[str, object]:
    """Return the figures of held-out scenes, next to the painter's own pictures of 4096 px.

    Args:
        enlarger: Of the set.
        detailer: Of the set.
        count: How many scenes.
        folder: Where what was measured of the painter's pictures is kept.

    Returns:
        ``octaves``: the energy in each of the highest octaves as a part of the painter's, the
        highest first; ``edges``: the mean correlation of the strengths of edges over 4 px;
        ``peak``, ``painters_peak``: the factor by which a frequency stands out in all of them;
        ``blocking``, ``painters_blocking``: of the smallest blocks first, the standard deviation
        of the strength of steps between the places of a block, next to their mean.
    """
    powers, energies, correlations, places = [], [], [], []
    for index in range(HELD_OUT, HELD_OUT + count):
        theirs = painters(index, folder)
        ours = measured(finished(picture_at(index, SMALL), enlarger, detailer, index))
        powers.append((ours.power, theirs.power))
        places.append((ours.steps, theirs.steps))
        energies.append(octaves(ours.power) / octaves(theirs.power))
        correlations.append(np.corrcoef(ours.edges.ravel(), theirs.edges.ravel())[0, 1])
        print(
            f"at full size: {len(powers)} of {count}, octaves {energies[-1].round(2)}", flush=True
        )
    ours_mean, theirs_mean = np.mean(powers, 0)
    ours_steps, theirs_steps = np.mean(places, 0)
    return {
        "scenes": count,
        "octaves": [round(float(e), 3) for e in np.mean(energies, 0)],
        "edges": round(float(np.mean(correlations)), 3),
        "peak": round(peak(ours_mean), 2),
        "painters_peak": round(peak(theirs_mean), 2),
        "blocking": blocking(ours_steps),
        "painters_blocking": blocking(theirs_steps),
    }
