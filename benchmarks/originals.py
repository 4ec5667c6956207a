"""The published code, opened from checkouts that are not part of this repository.

Each function returns what runs one piece of work on full-size networks as its authors wrote it, in
fp32 with plain attention, given the weights of our network of the same names.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bigart.networks.network import Kind, on_meta
from bigart.networks.options import GlideOptions, VQGANOptions
from bigart.networks.upstream.glide import UpstreamText2ImUNet
from bigart.networks.upstream.vqgan import UpstreamVQGAN

Weights = Mapping[str, Tensor]


def _loaded(kind: type[Kind], options: Any, weights: Weights, checkout: Path) -> Kind:
    sys.path.insert(0, str(checkout))
    network = on_meta(kind, options)
    network.load(weights)
    return network.eval().requires_grad_(False)


def glide(checkout: Path, options: GlideOptions, weights: Weights) -> Callable[..., Tensor]:
    """Return (x, times, tokens, mask[, low_res]) -> noise and variance; the text is read each time.

    Args:
        checkout: Of github.com/openai/glide-text2im, with its requirements installed.
        options: Base's or upsampler's.
        weights: By the published names.
    """
    network = _loaded(UpstreamText2ImUNet, options, weights, checkout).original
    network.cache_text_emb = False

    def run(x: Tensor, times: Tensor, tokens: Tensor, mask: Tensor, **more: Tensor) -> Tensor:
        return network(x, times, tokens=tokens, mask=mask, **more)

    return run


def rrdbnet(checkout: Path, weights: Weights) -> Callable[[Tensor], Tensor]:
    """Return picture -> enlarged picture, the whole frame at once; of github.com/cszn/BSRGAN.

    Not basicsr's, which has the same network: it cannot be imported beside this torch.
    """
    sys.path.insert(0, str(checkout))
    network = importlib.import_module("models.network_rrdbnet").RRDBNet(3, 3, 64, 23, gc=32, sf=4)
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def vqgan(checkout: Path, options: VQGANOptions, weights: Weights) -> Callable[[Tensor], Tensor]:
    """Return picture -> round trip; of github.com/CompVis/taming-transformers (and einops)."""
    network = _loaded(UpstreamVQGAN, options, weights, checkout)

    def run(x: Tensor) -> Tensor:
        return network.decode(network.indices(network.encode(x)))

    return torch.inference_mode()(run)
