"""RRDBNet, the network of ESRGAN, BSRGAN and BSRNet: a picture made four (or two) times larger.

Sources: Wang et al., "ESRGAN" (2018, arXiv:1809.00219, section 3.1) for the network, Zhang et
al., "Designing a Practical Degradation Model for Deep Blind Image Super-Resolution" (2021,
arXiv:2103.14006) for the published weights. Module names are those of the published checkpoints.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigart.networks import Network

SLOPE = 0.2
RESIDUAL = 0.2

# Rows of context that an exact result needs on either side of a strip: one per 3x3 convolution
# in a row. An RRDB has three dense blocks of five; the tail reaches two rows of its input.
RRDB_HALO = 15
TAIL_HALO = 2


@dataclass(frozen=True)
class RRDBNetOptions:
    """What fixes the shapes of an RRDBNet. The defaults are BSRGAN's.

    Attributes:
        scale: 4 or 2.
        features: Channels of the trunk.
        blocks: Residual-in-residual dense blocks.
        growth: Channels that each convolution of a dense block adds.
    """

    scale: int = 4
    features: int = 64
    blocks: int = 23
    growth: int = 32


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the results of all before it."""

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
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat([seen, F.leaky_relu(conv(seen), SLOPE)], dim=1)
        return x + RESIDUAL * self.conv5(seen)


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
        options: Sizes.
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
        self.upconv1 = nn.Conv2d(features, features, 3, padding=1)
        if options.scale == 4:
            self.upconv2 = nn.Conv2d(features, features, 3, padding=1)
        self.HRconv = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)

    def tail(self, x: Tensor) -> Tensor:
        """Map features (B, features, H, W) to the picture (B, 3, scale * H, scale * W)."""
        x = F.leaky_relu(self.upconv1(F.interpolate(x, scale_factor=2.0)), SLOPE)
        if self.options.scale == 4:
            x = F.leaky_relu(self.upconv2(F.interpolate(x, scale_factor=2.0)), SLOPE)
        return self.conv_last(F.leaky_relu(self.HRconv(x), SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        """Map RGB (B, 3, H, W) in [0, 1] to (B, 3, scale * H, scale * W), not clipped."""
        first = self.conv_first(x)
        return self.tail(first + self.trunk_conv(self.RRDB_trunk(first)))


@torch.inference_mode()
def enlarge(
    network: RRDBNet, x: Tensor, strip: int = 64, progress: Callable[[int, int], None] | None = None
) -> Tensor:
    """Run the network in little memory, with the result of the whole frame.

    Each block runs over horizontal strips that carry as many rows of context as its
    convolutions reach, so every pixel is computed from the same numbers as in one piece;
    nothing is blended. At the picture's edge a strip ends where the picture ends, and the
    convolutions pad there as they do for the whole. Three whole frames of features are held,
    and one strip of everything else.

    Args:
        network: In evaluation mode, on the device of ``x``.
        x: RGB (1, 3, H, W) in [0, 1].
        strip: Rows of the input in a strip. Fewer take less memory and more time.
        progress: Called with (rows done, rows in all), in rows of one pass over the picture.

    Returns:
        (1, 3, scale * H, scale * W), not clipped, in the dtype of ``x``.
    """
    if strip < 1:
        raise ValueError(f"strip is {strip}; it must be at least 1")
    passes = len(network.RRDB_trunk) + 1
    height = x.shape[2]
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        if progress:
            progress(done, passes * height)

    first = network.conv_first(x)
    h, spare = first, torch.empty_like(first)
    for block in network.RRDB_trunk:
        for source, inner, rows in _strips(height, strip, RRDB_HALO):
            spare[:, :, rows] = block(h[:, :, source])[:, :, inner]
            advance(rows.stop - rows.start)
        # the first features stay whole for the long shortcut; the others take turns
        h, spare = spare, (torch.empty_like(first) if h is first else h)
    for source, inner, rows in _strips(height, strip, 1):
        spare[:, :, rows] = first[:, :, rows] + network.trunk_conv(h[:, :, source])[:, :, inner]
    features = spare
    del first, h, spare

    scale = network.options.scale
    out = x.new_empty(1, 3, scale * height, scale * x.shape[3])
    tail_strip = max(1, strip // 8)
    for source, inner, rows in _strips(height, tail_strip, TAIL_HALO):
        enlarged = network.tail(features[:, :, source])
        out[:, :, _times(rows, scale)] = enlarged[:, :, _times(inner, scale)]
        advance(rows.stop - rows.start)
    return out


def _strips(height: int, strip: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield for each strip: rows to read, the good rows within them, rows to write."""
    for start in range(0, height, strip):
        stop = min(start + strip, height)
        low, high = max(0, start - halo), min(height, stop + halo)
        yield slice(low, high), slice(start - low, stop - low), slice(start, stop)


def _times(rows: slice, scale: int) -> slice:
    return slice(rows.start * scale, rows.stop * scale)
