"""RRDBNet, the upscaler of ESRGAN, BSRGAN and BSRNet: pictures four (or two) times larger.

Sources: Wang et al., "ESRGAN" (2018, arXiv:1809.00219, section 3.1) for the network, Zhang et
al., "Designing a Practical Degradation Model for Deep Blind Image Super-Resolution" (2021,
arXiv:2103.14006) for the published weights. Module names are those of the published checkpoints.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigart.networks.native.cpu.strips import strips, times
from bigart.networks.native.cpu.winograd import DenseWinograd, UpsamplingConv3x3, use_fast_path
from bigart.networks.network import Network, in_float32
from bigart.networks.options import RRDBNetOptions

SLOPE = 0.2
RESIDUAL = 0.2

#: With fewer features a dense block is faster without ``DenseWinograd`` (docs/speed.md).
CHANNELS = 48

# Rows of context that an exact result needs above and below a strip: one for each 3x3 convolution
# in sequence. A dense block has five; the tail needs two rows of its input.
DENSE_HALO = 5
TAIL_HALO = 2


class DenseBlock(nn.Module):
    """Five densely connected convolutions: each reads the block's input and all outputs before."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(features + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(features + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(features + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(features + 4 * growth, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, features, H, W) to the same shape."""
        seen = x
        for conv in self.convolutions()[:-1]:
            made = F.leaky_relu(conv(seen), SLOPE, inplace=True)
            seen = torch.cat([seen.to(made.dtype), made], dim=1)
        return x + RESIDUAL * self.conv5(seen)

    def convolutions(self) -> list[nn.Conv2d]:
        """Return the convolutions in order; the last one outputs ``features`` channels."""
        return [self.conv1, self.conv2, self.conv3, self.conv4, self.conv5]


class RRDB(nn.Module):
    """Residual in residual: three dense blocks and a shortcut around them."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.RDB1 = DenseBlock(features, growth)
        self.RDB2 = DenseBlock(features, growth)
        self.RDB3 = DenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, features, H, W) to the same shape."""
        return x + RESIDUAL * self.RDB3(self.RDB2(self.RDB1(x)))


class RRDBNet(Network):
    """The whole network: first convolution, trunk of RRDBs, upsampling tail.

    Args:
        options: Shapes.
    """

    architecture = "rrdbnet"
    Options = RRDBNetOptions
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
        self.upconv1 = UpsamplingConv3x3(features, features)
        if options.scale == 4:
            self.upconv2 = UpsamplingConv3x3(features, features)
        self.HRconv = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)

    def tail(self, x: Tensor) -> Tensor:
        """Map features (B, features, H, W) to the picture (B, 3, scale * H, scale * W)."""
        x = F.leaky_relu(self.upconv1(x), SLOPE, inplace=True)
        if self.options.scale == 4:
            x = F.leaky_relu(self.upconv2(x), SLOPE, inplace=True)
        return self.conv_last(F.leaky_relu(self.HRconv(x), SLOPE, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map RGB (B, 3, H, W) in [0, 1] to (B, 3, scale * H, scale * W), not clipped."""
        # a thirteenth of the work, where reduced precision would be visible
        first = in_float32(self.conv_first, x)
        return in_float32(self.tail, first + self.trunk_conv(self.RRDB_trunk(first)))

    @torch.inference_mode()
    def enlarge(
        self,
        x: Tensor,
        strip: int = 256,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Run the network in little memory, with the result of the whole frame.

        Each layer runs over horizontal strips with as many rows of context as its convolutions
        read, so every pixel is computed from the same numbers as in one piece; nothing is blended.
        At the picture's edge a strip ends where the picture ends, and the convolutions pad there
        as they do for the whole. Memory holds two whole frames of features, and one strip of
        everything else.

        On a CPU in float32 the dense blocks of a large network run in ``DenseWinograd`` instead,
        which holds a frame of each convolution's output (for BSRGAN as much as the two frames).

        Args:
            x: RGB (1, 3, H, W) in [0, 1].
            strip: Rows of the input in a strip. Fewer take less memory and more time; with
                ``DenseWinograd`` this concerns the tail alone.
            progress: Called with (rows done, rows in all), in rows of one pass over the picture.

        Returns:
            (1, 3, scale * H, scale * W), not clipped, in the dtype of ``x``.
        """
        if strip < 1:
            raise ValueError(f"strip is {strip}; it must be at least 1")
        passes = 3 * len(self.RRDB_trunk) + 1
        height = x.shape[2]
        done = 0

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            if progress:
                progress(done, passes * height)

        x = x.contiguous(memory_format=torch.channels_last)
        features = in_float32(self.conv_first, x)
        dense = None
        if self.options.features >= CHANNELS and use_fast_path(x, self.conv_first.weight):
            dense = DenseWinograd(features, 4 * [self.options.growth], SLOPE, RESIDUAL)
        h = dense.x if dense else torch.empty_like(features)
        for rrdb in self.RRDB_trunk:
            h.copy_(features)
            for block in rrdb.children():
                assert isinstance(block, DenseBlock)
                if dense:
                    dense.run(block.convolutions())
                    advance(height)
                    continue
                for rows, result in _in_place(block, h, strip, DENSE_HALO):
                    h[:, :, rows] = result
                    advance(rows.stop - rows.start)
            features.add_(h, alpha=RESIDUAL)
        del h, dense
        for rows, result in _in_place(self.trunk_conv, features, strip, 1):
            features[:, :, rows] = result
        features += in_float32(self.conv_first, x)

        scale = self.options.scale
        out = x.new_empty(1, 3, scale * height, scale * x.shape[3])
        for source, inner, rows in strips(height, max(1, strip // 16), TAIL_HALO):
            enlarged = in_float32(self.tail, features[:, :, source])
            out[:, :, times(rows, scale)] = enlarged[:, :, times(inner, scale)]
            advance(rows.stop - rows.start)
        return out


def _in_place(layer: nn.Module, x: Tensor, strip: int, halo: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows and a layer's result for them; the caller may overwrite ``x`` there at once."""
    height = x.shape[2]
    above = x[:, :, :0]
    for source, inner, rows in strips(height, strip, halo):
        read = torch.cat([above, x[:, :, rows.start : source.stop]], dim=2)
        above = read[:, :, max(0, rows.stop - halo) - source.start : rows.stop - source.start]
        yield rows, layer(read)[:, :, inner]
