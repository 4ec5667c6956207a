"""The parts of GLIDE's U-Net: residual blocks, attention over picture and text, time embedding.

The U-Net is the one of Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis"
(2021, arXiv:2105.05233, section 3): residual blocks that take the timestep as a scale and shift
of their second normalisation and do the down- and upsampling themselves. GLIDE (2021,
arXiv:2112.10741, section 4) adds keys and values of the text to every attention layer.

Module names and indices are those of the published checkpoints.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigart.networks.native.cpu.group_norm import GroupNorm
from bigart.networks.native.cpu.winograd import Conv3x3
from bigart.networks.network import repeated


def timestep_embedding(timesteps: Tensor, dim: int) -> Tensor:
    """Return sinusoids of the timesteps, cosines first (Vaswani et al. 2017, section 3.5).

    Args:
        timesteps: (B,), of the 1000-step process; fractions are allowed.
        dim: Even number of channels.

    Returns:
        (B, dim), float32, in [-1, 1]. The longest period is 10,000 timesteps.
    """
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float32, device=timesteps.device) / half
    angles = timesteps.float()[:, None] * torch.exp(-math.log(10_000) * exponents)[None]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class ResBlock(nn.Module):
    """Residual block with the timestep as scale and shift, and optional resampling by two.

    Args:
        channels: Channels of the input.
        embedding: Channels of the time embedding.
        out_channels: Channels of the output.
        resample: "up" (nearest), "down" (average) or None, applied to both branches.
        groups: Groups of the normalisations.
    """

    def __init__(
        self, channels: int, embedding: int, out_channels: int, resample: str | None, groups: int
    ) -> None:
        super().__init__()
        self.resample = resample
        self.in_layers = nn.Sequential(
            GroupNorm(groups, channels), nn.SiLU(), Conv3x3(channels, out_channels)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * out_channels))
        self.out_layers = nn.Sequential(
            GroupNorm(groups, out_channels),
            nn.SiLU(),
            nn.Identity(),  # dropout in training; the index belongs to the published names
            Conv3x3(out_channels, out_channels),
        )
        self.skip_connection = (
            nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map (B, channels, H, W) and (B, embedding) to (B, out_channels, H', W')."""
        in_place = not torch.is_grad_enabled()
        norm_in, _, conv_in = self.in_layers
        h = conv_in(self._resized(F.silu(norm_in(x), inplace=in_place)))
        scale, shift = self.emb_layers(embedding)[:, :, None, None].chunk(2, dim=1)
        norm_out, _, _, conv_out = self.out_layers
        assert isinstance(norm_out, GroupNorm)
        h = conv_out(F.silu(norm_out.modulated(h, scale, shift), inplace=in_place))
        return self.skip_connection(self._resized(x)) + h

    def _resized(self, x: Tensor) -> Tensor:
        if self.resample == "up":
            return F.interpolate(x, scale_factor=2.0, mode="nearest")
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        return x


KeysValues = tuple[Tensor, Tensor]
"""Keys and values of T texts for one attention layer, each (T, heads, L, C)."""


class AttentionBlock(nn.Module):
    """Self-attention over the pixels, whose keys and values include those of the text.

    Args:
        channels: Channels of the input; a multiple of ``head_channels``.
        head_channels: Channels of one head.
        text_channels: Channels of the text transformer's output.
        groups: Groups of the normalisation.
    """

    def __init__(self, channels: int, head_channels: int, text_channels: int, groups: int) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.norm = GroupNorm(groups, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.encoder_kv = nn.Conv1d(text_channels, 2 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def read(self, text: Tensor) -> KeysValues:
        """Return the keys and values of texts (T, text_channels, L), the same for every step."""
        keys, values = self._heads(self.encoder_kv, text.transpose(1, 2), 2)
        return keys.contiguous(), values.contiguous()

    def forward(self, x: Tensor, text: KeysValues) -> Tensor:
        """Map (B, channels, H, W) to the same shape; each of T texts is for B / T pictures."""
        batch, channels, height, width = x.shape
        pixels = self.norm(x).permute(0, 2, 3, 1).reshape(batch, -1, channels)
        q, *of_pixels = self._heads(self.qkv, pixels, 3)
        # contiguous: otherwise torch stores the whole attention matrix
        q = q.contiguous()
        k, v = (
            torch.cat([repeated(read, batch), part], dim=2)
            for read, part in zip(text, of_pixels, strict=True)
        )
        h = F.scaled_dot_product_attention(q, k, v)
        h = _pointwise(self.proj_out, h.transpose(1, 2).reshape(batch, -1, channels))
        return x + h.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def _heads(self, layer: nn.Conv1d, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Split a layer's output for (B, N, channels) into ``parts`` tensors (B, heads, N, C)."""
        batch, length, _ = x.shape
        per_head = _pointwise(layer, x).view(batch, length, self.heads, parts, -1)
        return per_head.permute(3, 0, 2, 1, 4).unbind()


def _pointwise(layer: nn.Conv1d, x: Tensor) -> Tensor:
    """Run a convolution of width 1 over (B, N, channels), channels last."""
    return F.linear(x, layer.weight[:, :, 0], layer.bias)


class TimestepSequential(nn.Sequential):
    """Layers in sequence; residual blocks also take the time embedding, attention the text."""

    def forward(self, x: Tensor, embedding: Tensor, text: Iterator[KeysValues]) -> Tensor:  # type: ignore[override]
        """Map (B, C, H, W) through the layers; each attention layer takes its own of ``text``."""
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, embedding)
            elif isinstance(layer, AttentionBlock):
                x = layer(x, next(text))
            else:
                x = layer(x)
        return x
