"""3x3 convolutions with a quarter of the multiplications, for CPUs.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016,
arXiv:1509.09308, section 4): Winograd's F(4x4, 3x3). A tile of 4x4 outputs is computed from 6x6
inputs with 36 products per pair of channels instead of 144. GPU libraries use it by themselves;
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

#: Whether the fast path is used at all (benchmarks turn it off).
FAST_PATH = True
#: With fewer channels torch's convolution is faster (docs/speed.md).
CHANNELS = 128
#: Tiles computed at once: their data stays in the processor's cache.
CHUNK, CHUNK_DENSE = 128, 256


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution with zero padding, ``nn.Conv2d(c, d, 3, padding=1)``.

    On a CPU in float32 without gradients it takes the fast path where that is faster.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, 3, padding=1)
        self.fast = min(channels, out_channels) >= CHANNELS

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, out_channels, H, W)."""
        if not (self.fast and use_fast_path(x, self.weight)):
            return super().forward(x)
        assert self.bias is not None
        return winograd(x, self.weight, self.bias)


class UpsamplingConv3x3(nn.Conv2d):
    """A 3x3 convolution of a picture upsampled by two (nearest).

    Each output pixel depends on only 2x2 pixels of the small picture. The fast path therefore is
    four 2x2 convolutions, with four ninths of the multiplications. It is built as
    ``nn.Conv2d(c, d, 3, padding=1)``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, out_channels, 2 H, 2 W)."""
        if not use_fast_path(x, self.weight, reduced=True):
            return super().forward(F.interpolate(x, scale_factor=2.0))
        batch, _, height, width = x.shape
        bias = self.bias if self.bias is None else self.bias.to(x.dtype)
        out = x.new_empty(batch, 2 * height, 2 * width, self.out_channels).permute(0, 3, 1, 2)
        for down in (0, 1):
            for right in (0, 1):
                # the first two or the last two of three rows are one row of the small picture
                weight = torch.stack(_summed(self.weight, 2, down), 2)
                weight = torch.stack(_summed(weight, 3, right), 3).to(x.dtype)
                padded = F.pad(x, (1 - right, right, 1 - down, down))
                made = F.conv2d(padded, weight, bias)
                out[:, :, down::2, right::2] = made
        return out


def _summed(weight: Tensor, dim: int, second: int) -> tuple[Tensor, Tensor]:
    """Reduce three weights to two, for the first or second output pixel of each input pixel."""
    first, middle, last = weight.unbind(dim)
    return (first + middle, last) if second else (first, middle + last)


def use_fast_path(x: Tensor, weight: Tensor, reduced: bool = False) -> bool:
    """Return whether a layer may take its fast path: on a CPU, without gradients.

    Args:
        x: What the layer reads.
        weight: Of the layer.
        reduced: Whether it has a fast path for bfloat16 too; otherwise for float32 alone.
    """
    if not FAST_PATH or x.device.type != "cpu":
        return False
    trained = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if trained or (reduced and x.dtype == torch.bfloat16):
        return not trained
    return x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def winograd(x: Tensor, weight: Tensor, bias: Tensor, chunk: int = CHUNK) -> Tensor:
    """Convolve with 3x3 weights and one pixel of zero padding.

    Args:
        x: (B, C, H, W), float32; channels last is fastest.
        weight: (D, C, 3, 3).
        bias: (D,).
        chunk: Tiles computed at once.

    Returns:
        (B, D, H, W), channels last.
    """
    batch, _, height, width = x.shape
    down, across = -(-height // TILE) * TILE, -(-width // TILE) * TILE
    padded = _padded(x.permute(0, 2, 3, 1), down + 2, across + 2)
    out = x.new_empty(batch, down, across, len(weight))
    winograd_into(out, padded, weight, bias, chunk)
    return out[:, :height, :width].contiguous().permute(0, 3, 1, 2)


def winograd_into(
    out: Tensor,
    padded: Tensor,
    weight: Tensor,
    bias: Tensor,
    chunk: int = CHUNK,
    add: bool = False,
) -> None:
    """Convolve padded pictures, and write the results into a given tensor.

    Args:
        out: (B, H, W, D), float32, may be a view; H and W are multiples of 4.
        padded: (B, H + 2, W + 2, C): on each side one pixel, of zeros or of a larger picture.
        weight: (D, C, 3, 3).
        bias: (D,).
        chunk: Tiles computed at once.
        add: Add the results to the values in ``out`` instead of replacing them.
    """
    from_inputs, _, to_outputs = _transforms()
    kernels, tiles = _kernels(weight), _tiles(padded)
    out = out.unflatten(1, (-1, TILE)).unflatten(3, (-1, TILE))
    batch, down, _, across, _, out_channels = out.shape
    rows = min(down, max(1, chunk // across))
    pictures = max(1, chunk // (rows * across)) if rows == down else 1
    for first in range(0, batch, pictures):
        for top in range(0, down, rows):
            part = tiles[:, :, first : first + pictures, top : top + rows]
            count = part.shape[2] * part.shape[3] * across
            inputs = (from_inputs @ part.reshape(REACH**2, -1)).view(REACH**2, count, -1)
            products = torch.bmm(inputs, kernels).view(REACH**2, -1)
            results = (to_outputs @ products).view(TILE, TILE, *part.shape[2:5], out_channels)
            results = results.add_(bias).permute(2, 3, 0, 4, 1, 5)
            place = out[first : first + pictures, top : top + rows]
            if add:
                place += results
            else:
                place.copy_(results)


class DenseWinograd:
    """Run densely connected 3x3 convolutions in place, reusing each input transform.

    A feature is transformed once for all convolutions that read it, and nothing is concatenated.
    The picture is computed in steps of some rows of tiles. Each convolution runs one step behind
    the one before it, so that the transforms they share are still in the processor's cache.

    Args:
        x: (1, C, H, W), float32: gives the size of the input of all blocks.
        growth: Output channels of each convolution but the last, at least one; the last has C.
        slope: Of the leaky ReLU after each convolution but the last.
        residual: Factor of the last convolution's output, which is added to the block's input.
        chunk: Tiles in a step; at least one row of tiles.
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
        padded = self.steps * self.down * TILE + 2, self.across * TILE + 2
        self.planes = [x.new_zeros(1, *padded, width) for width in (channels, *growth)]
        self.in_channels = list(accumulate((channels, *growth)))
        # a step's transforms are read by each convolution in turn, and then replaced
        self.inputs = x.new_empty(
            len(self.in_channels), REACH**2, self.down * self.across, self.in_channels[-1]
        )

    @property
    def x(self) -> Tensor:
        """Input of the next block, output of the last, (1, C, H, W); fill it before the first."""
        return self.planes[0][:, 1 : self.height + 1, 1 : self.width + 1].permute(0, 3, 1, 2)

    def run(self, convolutions: Sequence[nn.Conv2d]) -> None:
        """Replace x by x + residual * block(x); the convolutions have 3x3 weights."""
        kernels = [_kernels(conv.weight) for conv in convolutions]
        sources = [_tiles(plane)[:, :, 0] for plane in self.planes]
        outputs = [
            plane[0, 1:-1, 1:-1].unflatten(0, (-1, TILE)).unflatten(2, (-1, TILE))
            for plane in self.planes[1:] + self.planes[:1]
        ]
        last = len(convolutions) - 1
        for time in range(self.steps + last):
            for index, conv in enumerate(convolutions):
                step = time - index
                if not 0 <= step < self.steps:
                    continue
                rows = slice(step * self.down, (step + 1) * self.down)
                result = self._convolve(sources[index][:, :, rows], step, index, kernels[index])
                assert conv.bias is not None
                result += conv.bias
                if index < last:
                    outputs[index][rows] = F.leaky_relu(result, self.slope, inplace=True)
                else:
                    outputs[index][rows] += result.mul_(self.residual)
                self._clear_padding(0 if index == last else index + 1, step)

    def _convolve(self, new: Tensor, step: int, index: int, kernels: Tensor) -> Tensor:
        """Convolve a step to (h, 4, w, 4, D); ``new`` has the inputs of no convolution before."""
        from_inputs, _, to_outputs = _transforms()
        inputs = self.inputs[step % len(self.inputs), :, :, : self.in_channels[index]]
        transformed = (from_inputs @ new.reshape(REACH**2, -1)).view(*inputs.shape[:2], -1)
        inputs[:, :, -transformed.shape[2] :] = transformed
        products = torch.bmm(inputs, kernels).view(REACH**2, -1)
        results = (to_outputs @ products).view(TILE, TILE, self.down, self.across, -1)
        return results.permute(2, 0, 3, 1, 4)

    def _clear_padding(self, plane: int, step: int) -> None:
        """Write zeros again where the tiles of a step reach over the picture's edge."""
        padded, top = self.planes[plane][0], 1 + step * self.down * TILE
        padded[top : top + self.down * TILE, self.width + 1 :] = 0
        if step == self.steps - 1:
            padded[self.height + 1 :] = 0


def _kernels(weight: Tensor) -> Tensor:
    """Transform weights (D, C, 3, 3) to (36, C, D)."""
    _, from_weights, _ = _transforms()
    out_channels, channels = weight.shape[:2]
    transformed = from_weights @ weight.contiguous().view(-1, KERNEL**2).T
    return transformed.view(REACH**2, out_channels, channels).transpose(1, 2)


def _tiles(padded: Tensor) -> Tensor:
    """Return a view of (B, 4 H + 2, 4 W + 2, C) as tiles that overlap, (6, 6, B, H, W, C)."""
    batch, height, width, channels = padded.shape
    of_batch, of_row, of_pixel, of_channel = padded.stride()
    return padded.as_strided(
        (REACH, REACH, batch, height // TILE, width // TILE, channels),
        (of_row, of_pixel, of_batch, TILE * of_row, TILE * of_pixel, of_channel),
    )


def _padded(x: Tensor, height: int, width: int) -> Tensor:
    """Pad (B, H, W, C) with zeros: one row above, one column before, the rest after."""
    batch, rows, columns, channels = x.shape
    padded = x.new_empty(batch, height, width, channels)
    padded[:, 0] = 0
    padded[:, rows + 1 :] = 0
    padded[:, :, 0] = 0
    padded[:, :, columns + 1 :] = 0
    padded[:, 1 : rows + 1, 1 : columns + 1] = x
    return padded


@cache
def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Return the transforms of inputs, weights and outputs: (36, 36), (36, 9) and (16, 36).

    They are the paper's B^T, G and A^T as Kronecker products with themselves. Toom and Cook:
    polynomials are multiplied by their values at six points, one of them infinity (section 3;
    Winograd 1980). With these points the error is a half to a quarter of that with the usual 0, 1,
    -1, 2, -2: some 1e-5 of the outputs' standard deviation at 192 channels.
    """
    points = torch.tensor([0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)], dtype=torch.float64)

    def values(coefficients: int) -> Tensor:
        """Return the matrix from a polynomial's coefficients to its values at the points."""
        highest = torch.eye(coefficients, dtype=torch.float64)[-1:]
        return torch.cat([torch.vander(points, coefficients, increasing=True), highest])

    one_side = values(REACH).inverse().T, values(KERNEL), values(TILE).T
    of_inputs, of_weights, of_outputs = (torch.kron(side, side).float() for side in one_side)
    return of_inputs, of_weights, of_outputs
