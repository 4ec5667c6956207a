"""The published code, opened from checkouts that are not part of this repository.

Each function returns what runs one piece of work on full-size networks as its authors wrote it, in
fp32 with plain attention, given the weights of our network of the same names.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from bigart.glide.model import GlideOptions
from bigart.vqgan import VQGANOptions

Weights = dict[str, Tensor]


def _load(checkout: Path, module: str) -> Any:
    sys.path.insert(0, str(checkout))
    return importlib.import_module(module)


def _filled(network: nn.Module, weights: Weights) -> nn.Module:
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def glide(checkout: Path, options: GlideOptions, weights: Weights) -> Callable[..., Tensor]:
    """Return (x, times, tokens, mask[, low_res]) -> noise and variance; the text is read each time.

    Args:
        checkout: Of github.com/openai/glide-text2im, with its requirements installed.
        options: Base's or upsampler's.
        weights: By the published names.
    """
    models = _load(checkout, "glide_text2im.text2im_model")
    kind = models.SuperResText2ImUNet if options.super_res else models.Text2ImUNet
    network = kind(
        text_ctx=options.text_ctx,
        xf_width=options.text_width,
        xf_layers=options.text_layers,
        xf_heads=options.text_heads,
        xf_final_ln=True,
        xf_padding=True,
        tokenizer=SimpleNamespace(n_vocab=options.vocab),
        in_channels=3,
        model_channels=options.channels,
        out_channels=6,
        num_res_blocks=options.res_blocks,
        attention_resolutions=tuple(options.image_size // s for s in options.attention_resolutions),
        dropout=0.1,
        channel_mult=options.channel_mult,
        use_fp16=False,
        num_heads=1,
        num_head_channels=options.head_channels,
        num_heads_upsample=-1,
        use_scale_shift_norm=True,
        resblock_updown=True,
    )
    network = _filled(network, weights)

    def run(x: Tensor, times: Tensor, tokens: Tensor, mask: Tensor, **more: Tensor) -> Tensor:
        return network(x, times, tokens=tokens, mask=mask, **more)

    return run


def rrdbnet(checkout: Path, weights: Weights) -> Callable[[Tensor], Tensor]:
    """Return picture -> enlarged picture, the whole frame at once; of github.com/cszn/BSRGAN."""
    network = _load(checkout, "models.network_rrdbnet").RRDBNet(3, 3, 64, 23, gc=32, sf=4)
    return _filled(network, weights)


def vqgan(checkout: Path, options: VQGANOptions, weights: Weights) -> Callable[[Tensor], Tensor]:
    """Return picture -> round trip; of github.com/CompVis/taming-transformers (and einops).

    Its VQModel wants lightning; these are the same modules in the same order.
    """
    parts = _load(checkout, "taming.modules.diffusionmodules.model")
    quantizer = _load(checkout, "taming.modules.vqvae.quantize")
    sizes = {
        "ch": options.channels,
        "out_ch": 3,
        "ch_mult": options.channel_mult,
        "num_res_blocks": options.res_blocks,
        "attn_resolutions": options.attention_resolutions,
        "in_channels": 3,
        "resolution": options.resolution,
        "z_channels": options.z_channels,
    }
    network = nn.Module()
    network.encoder = parts.Encoder(double_z=False, **sizes)
    network.decoder = parts.Decoder(**sizes)
    network.quantize = quantizer.VectorQuantizer2(options.codes, options.embed_dim, beta=0.25)
    network.quant_conv = nn.Conv2d(options.z_channels, options.embed_dim, 1)
    network.post_quant_conv = nn.Conv2d(options.embed_dim, options.z_channels, 1)
    whole: Any = _filled(network, weights)

    def run(x: Tensor) -> Tensor:
        codes, _, _ = whole.quantize(whole.quant_conv(whole.encoder(x)))
        return whole.decoder(whole.post_quant_conv(codes))

    return torch.inference_mode()(run)
