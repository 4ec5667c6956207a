"""Convolutions of three by three pixels, with a quarter of the multiplications on a CPU.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016,
arXiv:1509.09308, section 4): Winograd's F(4x4, 3x3). Every tile of 4x4 results is made from 6x6
inputs by 36 products per pair of channels instead of 144. GPU libraries choose it by themselves;
torch's CPU library does not.
"""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL = 3
TILE = 4
REACH = TILE + KERNEL - 1  # inputs along one side of a tile

#: Whether there is a quick way at all (benchmarks turn it off).
QUICK = True
#: Fewer channels than this are quicker the plain way (docs/performance.md).
CHANNELS = 128
#: Tiles worked on at once: what they take stays in the processor's cache.
CHUNK, CHUNK_DENSE = 128, 256


class Conv3x3(nn.Conv2d):
    """A convolution of 3x3 pixels with a frame of zeros, ``nn.Conv2d(c, d, 3, padding=1)``.

    Without gradients on a CPU in float32 it takes the quick way where that is quicker.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, 3, padding=1)
        self.quick = min(channels, out_channels) >= CHANNELS

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, out_channels, H, W)."""
        if not (self.quick and may_go_quick(x, self.weight)):
            return super().forward(x)
        assert self.bias is not None
        return winograd(x, self.weight, self.bias)


class EnlargingConv3x3(nn.Conv2d):
    """A convolution of 3x3 pixels of a picture that is made twice as large, nearest pixel first.

    Each pixel of the result sees only 2x2 pixels of the small picture, so four convolutions of 2x2
    do the same with four ninths of the multiplications: the quick way.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, out_channels, 2 H, 2 W)."""
        if not may_go_quick(x, self.weight):
            return super().forward(F.interpolate(x, scale_factor=2.0))
        batch, _, height, width = x.shape
        out = x.new_empty(batch, 2 * height, 2 * width, self.out_channels).permute(0, 3, 1, 2)
        for down in (0, 1):
            for right in (0, 1):
                # of three rows, the first two or the last two lie in one row of the small picture
                weight = torch.stack(_added(self.weight, 2, down), 2)
                weight = torch.stack(_added(weight, 3, right), 3)
                framed = F.pad(x, (1 - right, right, 1 - down, down))
                out[:, :, down::2, right::2] = F.conv2d(framed, weight, self.bias)
        return out


def _added(weight: Tensor, dim: int, later: int) -> tuple[Tensor, Tensor]:
    """Return the two sums of three weights that the pixels of an enlarged pair need."""
    first, middle, last = weight.unbind(dim)
    return (first + middle, last) if later else (first, middle + last)


def may_go_quick(x: Tensor, weight: Tensor) -> bool:
    """Return whether these may go the quick way: on a CPU, in float32, without gradients."""
    if not QUICK or x.device.type != "cpu":
        return False
    trained = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    return x.dtype == torch.float32 and not trained and not torch.is_autocast_enabled("cpu")


def winograd(x: Tensor, weight: Tensor, bias: Tensor, chunk: int = CHUNK) -> Tensor:
    """Convolve with 3x3 weights, one pixel of zeros around the picture.

    Args:
        x: (B, C, H, W), float32; channels last is quickest.
        weight: (D, C, 3, 3).
        bias: (D,).
        chunk: Tiles worked on at once.

    Returns:
        (B, D, H, W), channels last.
    """
    batch, _, height, width = x.shape
    down, across = -(-height // TILE) * TILE, -(-width // TILE) * TILE
    framed = _framed(x.permute(0, 2, 3, 1), down + 2, across + 2)
    out = x.new_empty(batch, down, across, len(weight))
    winograd_into(out, framed, weight, bias, chunk)
    return out[:, :height, :width].contiguous().permute(0, 3, 1, 2)


def winograd_into(
    out: Tensor,
    framed: Tensor,
    weight: Tensor,
    bias: Tensor,
    chunk: int = CHUNK,
    add: bool = False,
) -> None:
    """Convolve pictures that have what lies around them, and write the results in place.

    Args:
        out: (B, H, W, D), float32, may be part of something larger; H and W are multiples of 4.
        framed: (B, H + 2, W + 2, C): a pixel of zeros, or of the rest of the picture, on each side.
        weight: (D, C, 3, 3).
        bias: (D,).
        chunk: Tiles worked on at once.
        add: Add to what is in ``out`` instead of writing over it.
    """
    from_inputs, _, to_outputs = _transforms()
    kernels, tiles = _kernels(weight), _tiles(framed)
    out = out.unflatten(1, (-1, TILE)).unflatten(3, (-1, TILE))
    batch, down, _, across, _, made = out.shape
    rows = min(down, max(1, chunk // across))
    pictures = max(1, chunk // (rows * across)) if rows == down else 1
    for first in range(0, batch, pictures):
        for top in range(0, down, rows):
            part = tiles[:, :, first : first + pictures, top : top + rows]
            count = part.shape[2] * part.shape[3] * across
            inputs = (from_inputs @ part.reshape(REACH**2, -1)).view(REACH**2, count, -1)
            products = torch.bmm(inputs, kernels).view(REACH**2, -1)
            results = (to_outputs @ products).view(TILE, TILE, *part.shape[2:5], made).add_(bias)
            results = results.permute(2, 3, 0, 4, 1, 5)
            place = out[first : first + pictures, top : top + rows]
            if add:
                place += results
            else:
                place.copy_(results)


class DenseWinograd:
    """Dense blocks in place: convolutions of what went in and of all results before.

    Every feature is taken to the products' factors once, for all the convolutions that read it, and
    nothing is concatenated. The convolutions follow each other down the picture, each a step behind
    the one before, so that the factors they share are still in the processor's cache.

    Args:
        x: (1, C, H, W), float32: the size of what all blocks work on.
        growth: Channels that each convolution but the last adds, at least one; the last makes C.
        slope: Of the leaky ReLU after each convolution but the last.
        residual: Times the last one's results, to add to what went in.
        chunk: Tiles in a step, if a row of them is not more.
    """

    def __init__(
        self,
        x: Tensor,
        growth: Sequence[int],
        slope: float,
        residual: float,
        chunk: int = CHUNK_DENSE,
    ) -> None:
        channels, self.height, self.width = x.shape[1:]
        self.slope, self.residual = slope, residual
        self.across = -(-self.width // TILE)
        self.down = max(1, chunk // self.across)
        self.steps = -(-self.height // (TILE * self.down))
        framed = self.steps * self.down * TILE + 2, self.across * TILE + 2
        self.planes = [x.new_zeros(1, *framed, made) for made in (channels, *growth)]
        self.read = list(accumulate((channels, *growth)))
        # a step's factors are read by each convolution in turn, and then written over
        self.factors = x.new_empty(len(self.read), REACH**2, self.down * self.across, self.read[-1])

    @property
    def x(self) -> Tensor:
        """What the next block changes, (1, C, H, W); to be filled before the first."""
        return self.planes[0][:, 1 : self.height + 1, 1 : self.width + 1].permute(0, 3, 1, 2)

    def run(self, convolutions: Sequence[nn.Conv2d]) -> None:
        """Make x + residual * block(x) of x; the convolutions have 3x3 weights."""
        kernels = [_kernels(conv.weight) for conv in convolutions]
        sources = [_tiles(plane)[:, :, 0] for plane in self.planes]
        results = [
            plane[0, 1:-1, 1:-1].unflatten(0, (-1, TILE)).unflatten(2, (-1, TILE))
            for plane in self.planes[1:] + self.planes[:1]
        ]
        last = len(convolutions) - 1
        for time in range(self.steps + last):
            for turn, conv in enumerate(convolutions):
                step = time - turn
                if not 0 <= step < self.steps:
                    continue
                rows = slice(step * self.down, (step + 1) * self.down)
                made = self._convolved(sources[turn][:, :, rows], step, turn, kernels[turn])
                assert conv.bias is not None
                made += conv.bias
                if turn < last:
                    results[turn][rows] = F.leaky_relu(made, self.slope, inplace=True)
                else:
                    results[turn][rows] += made.mul_(self.residual)
                self._clear_frame(0 if turn == last else turn + 1, step)

    def _convolved(self, tiles: Tensor, step: int, turn: int, kernels: Tensor) -> Tensor:
        """Convolve all that is known of a step, (6, 6, h, w, C) being new, to (h, 4, w, 4, D)."""
        from_inputs, _, to_outputs = _transforms()
        factors = self.factors[step % len(self.factors), :, :, : self.read[turn]]
        new = (from_inputs @ tiles.reshape(REACH**2, -1)).view(*factors.shape[:2], -1)
        factors[:, :, -new.shape[2] :] = new
        products = torch.bmm(factors, kernels).view(REACH**2, -1)
        results = (to_outputs @ products).view(TILE, TILE, self.down, self.across, -1)
        return results.permute(2, 0, 3, 1, 4)

    def _clear_frame(self, turn: int, step: int) -> None:
        """Put zeros back where tiles reach over the picture's edge."""
        plane, top = self.planes[turn][0], 1 + step * self.down * TILE
        plane[top : top + self.down * TILE, self.width + 1 :] = 0
        if step == self.steps - 1:
            plane[self.height + 1 :] = 0


def _kernels(weight: Tensor) -> Tensor:
    """Return the products' factors of weights (D, C, 3, 3) as (36, C, D)."""
    _, from_weights, _ = _transforms()
    made, channels = weight.shape[:2]
    factors = from_weights @ weight.contiguous().view(-1, KERNEL**2).T
    return factors.view(REACH**2, made, channels).transpose(1, 2)


def _tiles(framed: Tensor) -> Tensor:
    """Return a view of (B, 4 H + 2, 4 W + 2, C) as tiles that overlap, (6, 6, B, H, W, C)."""
    batch, height, width, channels = framed.shape
    of_batch, of_row, of_pixel, of_channel = framed.stride()
    return framed.as_strided(
        (REACH, REACH, batch, height // TILE, width // TILE, channels),
        (of_row, of_pixel, of_batch, TILE * of_row, TILE * of_pixel, of_channel),
    )


def _framed(x: Tensor, height: int, width: int) -> Tensor:
    """Return pictures (B, H, W, C) with zeros: a row above, a column before, the rest after."""
    batch, rows, columns, channels = x.shape
    framed = x.new_empty(batch, height, width, channels)
    framed[:, 0] = 0
    framed[:, rows + 1 :] = 0
    framed[:, :, 0] = 0
    framed[:, :, columns + 1 :] = 0
    framed[:, 1 : rows + 1, 1 : columns + 1] = x
    return framed


@cache
def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Return what makes 36 products' factors of 36 inputs and of 9 weights, and 16 results of them.

    Toom and Cook: polynomials are multiplied by their values at six points, one of them infinity
    (paper, section 3; Winograd 1980). With these points the error is a half to a quarter of that
    with the usual 0, 1, -1, 2, -2: some 1e-5 of the results' spread at 192 channels.
    """
    points = torch.tensor([0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)], dtype=torch.float64)

    def values(coefficients: int) -> Tensor:
        """Return what takes polynomials of so many coefficients to their values at the points."""
        highest = torch.eye(coefficients, dtype=torch.float64)[-1:]
        return torch.cat([torch.vander(points, coefficients, increasing=True), highest])

    sides = values(REACH).inverse().T, values(KERNEL), values(TILE).T
    of_inputs, of_weights, of_results = (torch.kron(side, side).float() for side in sides)
    return of_inputs, of_weights, of_results
