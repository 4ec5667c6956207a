"""What earlier stages hand over to enlarger and detailer, made of the painter's pictures."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common import Pool, blurred

MAX_GRAIN = 0.06
MAX_SPECKLE = 0.02


def soften(pictures: Tensor, enlarger: Callable[[Tensor], Tensor]) -> Tensor:
    """Return pictures (B, 3, H, W) in [0, 1] as the stages before would hand them over."""
    batch, device = len(pictures), pictures.device
    small = F.interpolate(pictures, scale_factor=0.25, mode="area")
    with torch.no_grad():
        large = enlarger(speckled(small)).float().clamp(0, 1)
    # the texture of the workflow: monochrome, a quarter of it raw and the rest blurred
    noise = torch.randn(batch, 1, *pictures.shape[2:], device=device).expand_as(large)
    grain = MAX_GRAIN * torch.rand(batch, 1, 1, 1, device=device)
    return (large + grain * (0.25 * noise + 0.75 * blurred(noise, 1.0))).clamp(0, 1)


def speckled(pictures: Tensor) -> Tensor:
    """Return pictures (B, 3, H, W) in [0, 1] with up to as much noise as the upsampler leaves."""
    strength = MAX_SPECKLE * torch.rand(len(pictures), 1, 1, 1, device=pictures.device)
    return pictures + strength * torch.randn_like(pictures)


def mosaics(pool: Pool, rng: np.random.Generator, batch: int, side: int) -> Tensor:
    """Return (batch, 3, side, side) uint8, each put together from four pictures' crops.

    The detailer's normalisations see whole pictures in use, of many colours; a single crop is often
    all sky.
    """
    half = side // 2
    crops = pool.crops(rng, pool.some(rng, 4 * batch), half)
    grid = crops.reshape(batch, 2, 2, 3, half, half).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(batch, 3, side, side)
