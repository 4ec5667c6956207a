"""Noised CLIP as its authors wrote it: glide_text2im.clip."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bigart.networks.clip_options import ClipImageOptions, ClipTextOptions
from bigart.networks.upstream.network import UpstreamNetwork
from bigart.running.engines import PACKAGES, Package

# Its layers take a device each and keep tensors that are no weights, so it is built on this one
_BUILT_ON = torch.device("cpu")


class _UpstreamEncoder(UpstreamNetwork):
    """What the two encoders share."""

    original: Any

    @property
    def package(self) -> Package:
        """The original package, which is that of GLIDE."""
        return PACKAGES["clip-image"]

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights, strictly and without a copy."""
        self.original.load_state_dict(weights, strict=True, assign=True)
        device = next(iter(weights.values())).device
        for name, block in self.original.blocks.items():
            if name.startswith("block_"):
                mask = block.f_attn.attn_fn
                mask.pytorch_attn_bias = mask.pytorch_attn_bias.to(device)

    def _unit(self, vectors: Tensor) -> Tensor:
        return vectors / (torch.linalg.norm(vectors, dim=-1, keepdim=True) + 1e-12)


class UpstreamClipText(_UpstreamEncoder):
    """The original text encoder; same methods as ``native.clip.ClipText``.

    Raises:
        PackageError: The package is missing.
    """

    architecture = "clip-text"
    Options = ClipTextOptions
    options: ClipTextOptions

    def __init__(self, options: ClipTextOptions) -> None:
        super().__init__(options)
        with self.imported("clip.encoders") as [encoders]:
            self.original = encoders.TextEncoder(
                n_bpe_vocab=options.vocab,
                max_text_len=options.text_ctx,
                n_embd=options.embedding,
                n_head=options.heads,
                n_xf_blocks=options.layers,
                n_head_state=options.width // options.heads,
                device=_BUILT_ON,
            )

    def embed(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the unit vectors of prompts; see ``ClipText.embed``."""
        with torch.autocast(tokens.device.type, enabled=False):
            return self._unit(self.original(tokens, lengths))


class UpstreamClipImage(_UpstreamEncoder):
    """The original image encoder; same methods as ``native.clip.ClipImage``.

    Raises:
        PackageError: The package is missing.
    """

    architecture = "clip-image"
    Options = ClipImageOptions
    options: ClipImageOptions

    def __init__(self, options: ClipImageOptions) -> None:
        super().__init__(options)
        with self.imported("clip.encoders") as [encoders]:
            self.original = encoders.ImageEncoder(
                image_size=options.image_size,
                patch_size=options.patch_size,
                n_embd=options.embedding,
                n_head=options.heads,
                n_xf_blocks=options.layers,
                n_head_state=options.width // options.heads,
                n_timestep=options.timesteps,
                device=_BUILT_ON,
            )

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights, strictly and without a copy."""
        super().load(weights)
        first = self.original.blocks["input"]
        for name in ("channel_means", "channel_stds"):
            setattr(first, name, getattr(first, name).to(first.w_pos.device))

    def embed(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Return the unit vectors of noisy pictures; see ``ClipImage.embed``."""
        with torch.autocast(x.device.type, enabled=False):
            return self._unit(self.original((x.float() + 1) * 127.5, timesteps))
