"""Convolutions of three by three pixels, with a quarter of the multiplications on a CPU.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016,
arXiv:1509.09308, section 4): Winograd's F(4x4, 3x3). Every tile of 4x4 results is made from 6x6
inputs by 36 products per pair of channels instead of 144. GPU libraries choose it by themselves;
torch's CPU library does not.
"""

from functools import cache

import torch
from torch import Tensor, nn

KERNEL = 3
TILE = 4
REACH = TILE + KERNEL - 1  # inputs along one side of a tile

#: Fewer channels than this are quicker the plain way (docs/performance.md).
CHANNELS = 128
#: Tiles worked on at once: what they take stays in the processor's cache.
CHUNK = 128


class Conv3x3(nn.Conv2d):
    """A convolution of 3x3 pixels with a frame of zeros, ``nn.Conv2d(c, d, 3, padding=1)``.

    Without gradients on a CPU in float32 it takes the quick way where that is quicker.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, 3, padding=1)
        self.quick = min(channels, out_channels) >= CHANNELS

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, out_channels, H, W)."""
        trained = torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)
        elsewhere = x.device.type != "cpu"
        reduced = x.dtype != torch.float32 or torch.is_autocast_enabled(x.device.type)
        if not self.quick or trained or elsewhere or reduced:
            return super().forward(x)
        assert self.bias is not None
        return winograd(x, self.weight, self.bias)


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
    from_inputs, from_weights, to_outputs = _transforms()
    batch, channels, height, width = x.shape
    made = len(weight)
    down, across = -(-height // TILE), -(-width // TILE)
    kernels = from_weights @ weight.contiguous().view(-1, KERNEL**2).T
    kernels = kernels.view(REACH**2, made, channels).transpose(1, 2)
    framed = _framed(x.permute(0, 2, 3, 1), down * TILE + 2, across * TILE + 2)
    of_batch, of_row, of_pixel, of_channel = framed.stride()
    tiles = framed.as_strided(
        (REACH, REACH, batch, down, across, channels),
        (of_row, of_pixel, of_batch, TILE * of_row, TILE * of_pixel, of_channel),
    )
    out = x.new_empty(batch, down, TILE, across, TILE, made)
    rows = min(down, max(1, chunk // across))
    pictures = max(1, chunk // (rows * across)) if rows == down else 1
    for first in range(0, batch, pictures):
        for top in range(0, down, rows):
            part = tiles[:, :, first : first + pictures, top : top + rows]
            count = part.shape[2] * part.shape[3] * across
            inputs = (from_inputs @ part.reshape(REACH**2, -1)).view(-1, count, channels)
            products = torch.bmm(inputs, kernels).view(REACH**2, -1)
            results = (to_outputs @ products).view(TILE, TILE, *part.shape[2:5], made)
            out[first : first + pictures, top : top + rows] = results.permute(2, 3, 0, 4, 1, 5)
    out = out.view(batch, down * TILE, across * TILE, made)[:, :height, :width]
    return (out + bias if out.shape[1:3] != (height, width) else out.add_(bias)).permute(0, 3, 1, 2)


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
