"""The published code, opened from checkouts that are not part of this repository.

Each function returns what runs one piece of work on full-size networks as its authors wrote it,
with plain attention, given the weights of our network of the same names: in fp32, or in 16 bits as
on their GPUs.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bigart.networks.network import Kind, on_meta
from bigart.networks.options import GlideOptions, RRDBNetOptions, VQGANOptions
from bigart.networks.upstream.glide import UpstreamText2ImUNet
from bigart.networks.upstream.vqgan import UpstreamVQGAN

Weights = Mapping[str, Tensor]


def _loaded(kind: type[Kind], options: Any, weights: Weights, checkout: Path) -> Kind:
    sys.path.insert(0, str(checkout))
    network = on_meta(kind, options)
    network.load(weights)
    return network.eval().requires_grad_(False)


def glide(
    checkout: Path, options: GlideOptions, weights: Weights, dtype: torch.dtype = torch.float32
) -> Callable[..., Tensor]:
    """Return (x, times, tokens, mask[, low_res]) -> noise and variance; the text is read each time.

    Args:
        checkout: Of github.com/openai/glide-text2im, with its requirements installed.
        options: Base's or upsampler's.
        weights: By the published names.
        dtype: float32, or float16 as its notebooks have it.
    """
    network = _loaded(UpstreamText2ImUNet, options, weights, checkout).original
    network.cache_text_emb = False
    if dtype == torch.float16:
        network.dtype = dtype  # what its option `use_fp16` sets
        network.convert_to_fp16()

    def run(x: Tensor, times: Tensor, tokens: Tensor, mask: Tensor, **more: Tensor) -> Tensor:
        return network(x, times, tokens=tokens, mask=mask, **more)

    return run


def rrdbnet(
    checkout: Path,
    weights: Weights,
    dtype: torch.dtype = torch.float32,
    options: RRDBNetOptions | None = None,
) -> Callable[[Tensor], Tensor]:
    """Return picture -> enlarged picture, the whole frame at once; of github.com/cszn/BSRGAN.

    Not basicsr's, which has the same network: it cannot be imported beside this torch.
    """
    sys.path.insert(0, str(checkout))
    o = options or RRDBNetOptions()
    kind = importlib.import_module("models.network_rrdbnet").RRDBNet
    network = kind(3, 3, o.features, o.blocks, gc=o.growth, sf=o.scale)
    network.load_state_dict(weights, assign=True)
    network.eval().requires_grad_(False).to(dtype)
    return lambda x: network(x.to(dtype))


def vqgan(
    checkout: Path, options: VQGANOptions, weights: Weights, dtype: torch.dtype = torch.float32
) -> Callable[[Tensor], Tensor]:
    """Return picture -> round trip; of github.com/CompVis/taming-transformers (and einops)."""
    network = _loaded(UpstreamVQGAN, options, weights, checkout).to(dtype)
    network.quantize.float()

    def run(x: Tensor) -> Tensor:
        z = network.quant_conv(network.encoder(x.to(dtype)))
        indices = network.indices(z)
        shape = (*indices.shape, options.embed_dim)
        vectors = network.quantize.get_codebook_entry(indices.flatten(), shape)
        return network.decoder(network.post_quant_conv(vectors.to(dtype)))

    return torch.inference_mode()(run)
