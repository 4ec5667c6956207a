"""Reconstruction of a picture by a VQGAN of either engine, which invents fine detail."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor


def as_input(x: Tensor, factor: int) -> Tensor:
    """Return RGB (B, 3, H, W) in [0, 1] as the input of ``encode``: in [-1, 1].

    The last pixels are repeated, on the right and below, up to multiples of ``factor``.
    """
    height, width = x.shape[2:]
    return F.pad(x * 2 - 1, (0, -width % factor, 0, -height % factor), mode="replicate")


def reconstruct(network: Any, x: Tensor) -> Tensor:
    """Encode and decode RGB (B, 3, H, W) in [0, 1] to the same shape, float32, about [0, 1].

    The encoder of the ``VQGAN`` or ``UpstreamVQGAN`` is removed after its use: its weights are
    mapped apart from the others, so that this frees 0.1 GB.
    """
    height, width = x.shape[2:]
    codes = network.indices(network.encode(as_input(x, network.options.factor)))
    del network.encoder
    return (network.decode(codes)[:, :, :height, :width].float() + 1) / 2
