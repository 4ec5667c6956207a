"""RRDBNet, the upscaler of ESRGAN, BSRGAN and BSRNet: pictures four (or two) times larger.

Sources: Wang et al., "ESRGAN" (2018, arXiv:1809.00219, section 3.1) for the network, Zhang et
al., "Designing a Practical Degradation Model for Deep Blind Image Super-Resolution" (2021,
arXiv:2103.14006) for the published weights. Module names are those of the published checkpoints.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigart.networks.native.cpu.strips import strips, times
from bigart.networks.native.cpu.winograd import DenseWinograd, UpsamplingConv3x3, use_fast_path
from bigart.networks.network import Network, in_float32, reduced_dtype, with_weights_in
from bigart.networks.options import RRDBNetOptions

SLOPE = 0.2
RESIDUAL = 0.2

#: With fewer features a dense block is faster without ``DenseWinograd`` (docs/speed.md).
CHANNELS = 48

#: In float32: the first and the last layer, and weights that are summed before they are rounded.
EXACT = ("conv_first", "upconv", "conv_last")

# Rows of context that an exact result needs above and below a strip: one for each 3x3 convolution
# in sequence. A dense block has five; the tail needs two rows of its input.
DENSE_HALO = 5
TAIL_HALO = 2


class DenseBlock(nn.Module):
    """Five densely connected convolutions: each reads the block's input and all outputs before."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        for i, made in enumerate([growth] * 4 + [features]):
            conv = nn.Conv2d(features + i * growth, made, 3, padding=1)
            self.add_module(f"conv{i + 1}", conv)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, features, H, W) to the same shape."""
        seen = x
        *convolutions, last = self.children()
        for conv in convolutions:
            made = F.leaky_relu(conv(seen), SLOPE, inplace=True)
            seen = torch.cat([seen.to(made.dtype), made], dim=1)
        return x + last(seen).mul_(RESIDUAL)


class RRDB(nn.Sequential):
    """Residual in residual: three dense blocks and a shortcut around them."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        for i in (1, 2, 3):
            self.add_module(f"RDB{i}", DenseBlock(features, growth))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, features, H, W) to the same shape."""
        return x + RESIDUAL * super().forward(x)


class RRDBNet(Network):
    """The whole network: first convolution, trunk of RRDBs, upsampling tail."""

    architecture = "rrdbnet"
    Options = RRDBNetOptions
    exact = EXACT
    options: RRDBNetOptions

    def __init__(self, options: RRDBNetOptions) -> None:
        super().__init__(options)
        if options.scale not in (2, 4):
            raise ValueError(f"scale is {options.scale}; 2 and 4 are possible")
        features = options.features
        self.conv_first = nn.Conv2d(3, features, 3, padding=1)
        self.RRDB_trunk = nn.Sequential(
            *(RRDB(features, options.growth) for _ in range(options.blocks))
        )
        self.trunk_conv = nn.Conv2d(features, features, 3, padding=1)
        self.upconv1 = UpsamplingConv3x3(features, features, 3, padding=1)
        if options.scale == 4:
            self.upconv2 = UpsamplingConv3x3(features, features, 3, padding=1)
        self.HRconv = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)

    def tail(self, x: Tensor) -> Tensor:
        """Map features (B, features, H, W) to the picture (B, 3, scale * H, scale * W)."""
        x = x.to(reduced_dtype(x))
        x = F.leaky_relu(self.upconv1(x), SLOPE, inplace=True)
        if self.options.scale == 4:
            x = F.leaky_relu(self.upconv2(x), SLOPE, inplace=True)
        # bfloat16 has fewer levels than a picture
        return in_float32(self.conv_last, F.leaky_relu(self.HRconv(x), SLOPE, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map RGB (B, 3, H, W) in [0, 1] to (B, 3, scale * H, scale * W), not clipped."""
        first = in_float32(self.conv_first, x)
        return self.tail(first + self.trunk_conv(self.RRDB_trunk(first)))

    @torch.inference_mode()
    def enlarge(
        self, x: Tensor, strip: int = 256, progress: Callable[[int, int], None] | None = None
    ) -> Tensor:
        """Run the network in little memory, with the result of the whole frame.

        Each layer runs over horizontal strips with as many rows of context as its convolutions
        read, so every pixel is computed from the same numbers as in one piece. Memory holds two
        whole frames of features, and one strip of everything else. On a CPU in float32 the dense
        blocks of a large network run in ``DenseWinograd`` instead, which holds a frame of each
        convolution's output (for BSRGAN as much as the two frames).

        Args:
            x: RGB (1, 3, H, W) in [0, 1].
            strip: Rows of the input in a strip, at least 1. Fewer take less memory and more time;
                with ``DenseWinograd`` this concerns the tail alone.
            progress: Called with (rows done, rows in all), in rows of one pass over the picture.

        Returns:
            (1, 3, scale * H, scale * W), not clipped, in the dtype of ``x``.
        """
        passes = 3 * len(self.RRDB_trunk) + 2
        height = x.shape[2]
        done = 0

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            if progress:
                progress(done, passes * height)

        # not contiguous(): it takes a permuted picture as it is, and layers then take its layout
        x = x.clone(memory_format=torch.channels_last)
        features = in_float32(self.conv_first, x)
        dtype = reduced_dtype(features)
        dense = None
        if self.options.features >= CHANNELS and use_fast_path(x, self.conv_first.weight):
            dense = DenseWinograd(features, 4 * [self.options.growth], SLOPE, RESIDUAL)
        h = dense.x if dense else torch.empty_like(features, dtype=dtype)
        for rrdb in self.RRDB_trunk:
            h.copy_(features)
            for block in rrdb.children():
                if dense:
                    dense.run([conv for conv in block.children() if isinstance(conv, nn.Conv2d)])
                    advance(height)
                else:
                    _run_in_place(with_weights_in(block, dtype), h, strip, DENSE_HALO, advance)
            features.add_(h, alpha=RESIDUAL)
        del h, dense
        _run_in_place(self.trunk_conv, features, strip, 1, advance)
        features += in_float32(self.conv_first, x)

        scale = self.options.scale
        out = x.new_empty(1, 3, scale * height, scale * x.shape[3])
        of_tail = max(1, strip // 8 if dtype.itemsize == 2 else strip // 16)
        for source, inner, rows in strips(height, of_tail, TAIL_HALO):
            enlarged = self.tail(features[:, :, source])
            out[:, :, times(rows, scale)] = enlarged[:, :, times(inner, scale)]
            advance(rows.stop - rows.start)
        return out


def _run_in_place(
    layer: nn.Module, x: Tensor, strip: int, halo: int, advance: Callable[[int], None]
) -> None:
    """Replace ``x`` by a layer's result for it, strip by strip."""
    above = None
    for source, inner, rows in strips(x.shape[2], strip, halo):
        read = x[:, :, rows.start : source.stop]
        if above is not None:
            read = torch.cat([above, read], dim=2)
        context = slice(max(0, rows.stop - halo) - source.start, rows.stop - source.start)
        above = read[:, :, context].clone()
        x[:, :, rows] = layer(read)[:, :, inner]
        advance(rows.stop - rows.start)
