"""VQGAN: a picture encoded as entries of a codebook and decoded, which invents fine detail.

Source: Esser, Rombach and Ommer, "Taming Transformers for High-Resolution Image Synthesis" (2021,
arXiv:2012.09841, section 3.1); encoder and decoder are those of Ho et al. 2020 without time.
Module names are those of the published checkpoints, whose 343 inference tensors load strictly.
"""

from collections import OrderedDict
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigart.networks.native.cpu.group_norm import GroupNorm
from bigart.networks.native.cpu.strips import strips, times
from bigart.networks.native.cpu.winograd import TILE, Conv3x3, use_fast_path, winograd_into
from bigart.networks.network import Network, in_float32
from bigart.networks.options import PICTURE_CHANNELS, VQGANOptions

#: Size of one strip of a picture's features; a few strips are in memory at once.
STRIP_BYTES = 2**23


def _norm(channels: int, groups: int) -> GroupNorm:
    return GroupNorm(groups, channels, eps=1e-6)


def _strip(x: Tensor) -> int:
    """Return the rows of a strip: even, and whole tiles with a halo; on a GPU all rows."""
    if x.device.type != "cpu":
        return 2 * x.shape[2]
    return 4 * max(1, STRIP_BYTES // (4 * x[:, :, :1].numel() * x.element_size())) + 2


def _joined(parts: Iterable[Tensor], height: int) -> Tensor:
    """Join strips to a picture of ``height`` rows."""
    whole, done = None, 0
    for part in parts:
        batch, channels, rows, width = part.shape
        if rows == height:
            return part
        if whole is None:
            whole = part.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)
        whole[:, :, done : done + rows] = part
        done += rows
    assert whole is not None
    return whole


def _convolved(norm: GroupNorm, conv: nn.Module, x: Tensor, add_to: Tensor | None = None) -> Tensor:
    """Return ``conv(silu(norm(x)))``, or ``add_to`` plus that (in place if ``x`` is large).

    A large picture is computed in strips, with the statistics of the whole. Memory holds ``x``, the
    result, and one strip of everything else.
    """
    strip = _strip(x)
    if torch.is_grad_enabled() or x.shape[2] <= strip:
        out = conv(F.silu(norm(x)))
        return out if add_to is None else add_to + out
    scale, shift = norm.scale_and_shift(x)
    whole_tiles = x.shape[2] % TILE == x.shape[3] % TILE == 0
    if whole_tiles and isinstance(conv, Conv3x3) and conv.fast and use_fast_path(x, conv.weight):
        return _convolved_in_tiles(scale, shift, conv, x, add_to)

    def computed(source: slice, inner: slice) -> Tensor:
        normalised = torch.addcmul(shift, x[:, :, source], scale)
        return conv(F.silu(normalised, inplace=True))[:, :, inner]

    parts = strips(x.shape[2], strip, halo=1)
    if add_to is None:
        return _joined((computed(source, inner) for source, inner, _ in parts), x.shape[2])
    for source, inner, rows in parts:
        add_to[:, :, rows] += computed(source, inner)
    return add_to


def _convolved_in_tiles(
    scale: Tensor, shift: Tensor, conv: Conv3x3, x: Tensor, add_to: Tensor | None
) -> Tensor:
    """Compute ``_convolved`` without a copy between normalisation, convolution and result."""
    batch, channels, height, width = x.shape
    assert conv.bias is not None
    out = add_to
    if out is None:
        out = x.new_empty(batch, height, width, conv.out_channels).permute(0, 3, 1, 2)
    buffer = x.new_zeros(batch, _strip(x), width + 2, channels)
    for source, _, rows in strips(height, _strip(x) - 2, halo=1):
        padded = buffer[:, : rows.stop - rows.start + 2]
        first = source.start - (rows.start - 1)
        inner = padded[:, first : first + source.stop - source.start, 1:-1].permute(0, 3, 1, 2)
        torch.addcmul(shift, x[:, :, source], scale, out=inner)
        F.silu(inner, inplace=True)
        if rows.stop == height:
            padded[:, -1] = 0
        winograd_into(
            out[:, :, rows].permute(0, 2, 3, 1), padded, conv.weight, conv.bias,
            add=add_to is not None,
        )  # fmt: skip
    return out


class ResBlock(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = _norm(channels, groups)
        self.conv1 = Conv3x3(channels, out_channels)
        self.norm2 = _norm(out_channels, groups)
        self.conv2 = Conv3x3(out_channels, out_channels)
        if channels != out_channels:
            self.nin_shortcut = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, out_channels, H, W); a large ``x`` is overwritten."""
        h = _convolved(self.norm1, self.conv1, x)
        if hasattr(self, "nin_shortcut"):
            x = self.nin_shortcut(x)
        return _convolved(self.norm2, self.conv2, h, add_to=x)


class AttentionBlock(nn.Module):
    """Self-attention over all pixels, one head."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = _norm(channels, groups)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        h = self.norm(x)
        # contiguous: otherwise torch stores the whole N x N matrix, 1 GB at 128 x 128
        q, k, v = (
            layer(h).flatten(2).transpose(1, 2).contiguous()[:, None]
            for layer in (self.q, self.k, self.v)
        )
        h = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(h[:, 0].transpose(1, 2).reshape(x.shape))


def _middle(channels: int, groups: int) -> nn.Sequential:
    """Return residual block, attention, residual block: the smallest size's layers."""
    return nn.Sequential(
        OrderedDict(
            block_1=ResBlock(channels, channels, groups),
            attn_1=AttentionBlock(channels, groups),
            block_2=ResBlock(channels, channels, groups),
        )
    )


class Downsample(nn.Module):
    """Halve the sides with a strided convolution, padded on the right and below only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H / 2, W / 2)."""
        height = x.shape[2] // 2
        parts = (
            F.pad(x[:, :, 2 * rows.start : 2 * rows.stop + 1], (0, 1, 0, int(rows.stop == height)))
            for *_, rows in strips(height, _strip(x) // 2, halo=0)
        )
        return _joined((self.conv(part) for part in parts), height)


class Upsample(nn.Module):
    """Double the sides (nearest), then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, 2 H, 2 W)."""
        parts = (
            self.conv(F.interpolate(x[:, :, source], scale_factor=2.0))[:, :, times(inner, 2)]
            for source, inner, _ in strips(x.shape[2], _strip(x) // 2, halo=1)
        )
        return _joined(parts, 2 * x.shape[2])


class Level(nn.Module):
    """One size of the encoder or decoder: blocks, each perhaps with attention, then resampling.

    Args:
        options: Of the network.
        level: 0 for the largest size.
        channels: Channels of the input.
        blocks: Number of residual blocks.
        resample: "downsample", "upsample" or None.
    """

    def __init__(
        self, options: VQGANOptions, level: int, channels: int, blocks: int, resample: str | None
    ) -> None:
        super().__init__()
        width, groups = options.widths[level], options.groups
        self.block = nn.ModuleList(
            ResBlock(channels if i == 0 else width, width, groups) for i in range(blocks)
        )
        attention = options.resolution // 2**level in options.attention_resolutions
        self.attn = nn.ModuleList(AttentionBlock(width, groups) for _ in range(blocks * attention))
        self.resample = resample
        if resample:
            kind = Downsample if resample == "downsample" else Upsample
            self.add_module(resample, kind(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, width, H', W')."""
        for i, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        return self.get_submodule(self.resample)(x) if self.resample else x


class Encoder(nn.Module):
    """The encoder, from a picture to features."""

    def __init__(self, options: VQGANOptions) -> None:
        super().__init__()
        inputs = [options.channels, *options.widths]
        last = len(options.widths) - 1
        self.conv_in = Conv3x3(PICTURE_CHANNELS, options.channels)
        self.down = nn.ModuleList(
            Level(options, i, inputs[i], options.res_blocks, "downsample" if i < last else None)
            for i in range(last + 1)
        )
        self.mid = _middle(inputs[-1], options.groups)
        self.norm_out = _norm(inputs[-1], options.groups)
        self.conv_out = Conv3x3(inputs[-1], options.z_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, z_channels, H / factor, W / factor)."""
        x = self.conv_in(x.contiguous(memory_format=torch.channels_last))
        for level in self.down:
            x = level(x)
        return _convolved(self.norm_out, self.conv_out, self.mid(x))


class Decoder(nn.Module):
    """The decoder: the encoder's levels in reverse order, each with one more block."""

    def __init__(self, options: VQGANOptions) -> None:
        super().__init__()
        inputs = [*options.widths[1:], options.widths[-1]]
        self.conv_in = Conv3x3(options.z_channels, inputs[-1])
        self.mid = _middle(inputs[-1], options.groups)
        levels = [
            Level(options, i, inputs[i], options.res_blocks + 1, "upsample" if i > 0 else None)
            for i in reversed(range(len(inputs)))
        ]
        self.up = nn.ModuleList(reversed(levels))
        self.norm_out = _norm(options.widths[0], options.groups)
        self.conv_out = Conv3x3(options.widths[0], PICTURE_CHANNELS)

    def forward(self, z: Tensor) -> Tensor:
        """Map (B, z_channels, h, w) to (B, 3, factor * h, factor * w)."""
        x = self.mid(self.conv_in(z.contiguous(memory_format=torch.channels_last)))
        for level in reversed(self.up):
            x = level(x)
        # bfloat16 has fewer levels than a picture
        return in_float32(lambda x: _convolved(self.norm_out, self.conv_out, x), x)


class Codebook(nn.Module):
    """The codebook, and the search for the nearest code."""

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, dim)

    def nearest(self, z: Tensor, rows: int = 1024) -> Tensor:
        """Return the index of the code nearest to each vector, (N, dim) to (N,), int64.

        They are compared in float32, ``rows`` vectors at once to bound the memory.
        """
        # in bf16 the rounding of the distances alone would pick another code for every third vector
        with torch.autocast(z.device.type, enabled=False):
            codes = self.embedding.weight.float()
            # |z - e|^2 without |z|^2, which is the same for every code
            squares = codes.square().sum(dim=1)
            parts = [
                torch.addmm(squares, part, codes.T, alpha=-2).argmin(dim=1)
                for part in z.float().split(rows)
            ]
        return torch.cat(parts)


class VQGAN(Network):
    """The whole network."""

    architecture = "vqgan"
    Options = VQGANOptions
    options: VQGANOptions
    exact = ("encoder.", "quant_conv", "decoder.conv_out")
    heap_threshold = STRIP_BYTES  # reusing the memory of whole frames was no faster

    def __init__(self, options: VQGANOptions) -> None:
        super().__init__(options)
        self.encoder = Encoder(options)
        self.decoder = Decoder(options)
        self.quantize = Codebook(options.codes, options.embed_dim)
        self.quant_conv = nn.Conv2d(options.z_channels, options.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(options.embed_dim, options.z_channels, 1)

    def encode(self, x: Tensor) -> Tensor:
        """Map RGB (B, 3, H, W) in [-1, 1] to vectors (B, embed_dim, H / factor, W / factor)."""
        # a rounding error can choose another code, and so another detail
        return in_float32(lambda x: self.quant_conv(self.encoder(x)), x)

    def indices(self, z: Tensor) -> Tensor:
        """Map vectors (B, embed_dim, h, w) to the nearest codes, (B, h, w), int64."""
        batch, dim, height, width = z.shape
        flat = z.permute(0, 2, 3, 1).reshape(-1, dim)
        return self.quantize.nearest(flat).view(batch, height, width)

    def decode(self, indices: Tensor) -> Tensor:
        """Map codes (B, h, w) to RGB (B, 3, factor * h, factor * w), about [-1, 1]."""
        return self.decode_vectors(self.quantize.embedding(indices).permute(0, 3, 1, 2))

    def decode_vectors(self, z: Tensor) -> Tensor:
        """Map vectors (B, embed_dim, h, w) to RGB, about [-1, 1]; training starts from here."""
        return self.decoder(self.post_quant_conv(z))

    def forward(self, x: Tensor) -> Tensor:
        """Encode and decode RGB (B, 3, H, W) in [-1, 1]."""
        return self.decode(self.indices(self.encode(x)))
