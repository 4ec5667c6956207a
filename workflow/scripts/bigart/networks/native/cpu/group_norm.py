"""Group normalisation (Wu and He 2018, arXiv:1803.08494) with exact statistics on CPUs.

For tensors with channels last, torch's CPU kernel sums the squares of a whole picture in float32.
Where a group's mean is far from zero, as in flat pictures, its variance is wrong. Where the mean is
a hundred times the standard deviation, the outputs have a mean relative error of 0.4 % (64
channels, 128 px).
"""

import torch
from torch import Tensor, nn

from bigart.networks.native.cpu.winograd import use_fast_path

#: Size of the parts that a picture's statistics are computed from, and of the largest temporary.
PART_BYTES = 2**24


class GroupNorm(nn.GroupNorm):
    """``nn.GroupNorm``, with exact statistics on a CPU without gradients."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        if not use_fast_path(x, self.weight):
            return super().forward(x)
        scale, shift = self.scale_and_shift(x)
        return torch.addcmul(shift, x, scale)

    def modulated(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Return ``self(x) * (1 + scale) + shift``; both are (B, channels, 1, 1)."""
        if not use_fast_path(x, self.weight):
            return torch.addcmul(shift, super().forward(x), 1 + scale)
        own_scale, own_shift = self.scale_and_shift(x)
        return torch.addcmul(torch.addcmul(shift, own_shift, 1 + scale), x, own_scale * (1 + scale))

    def scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the normalisation of a picture as a scale and a shift: ``x * scale + shift``.

        Args:
            x: (B, channels, H, W).

        Returns:
            Scale and shift, each (B, channels, 1, 1), in the dtype of ``x``.
        """
        batch, channels, height, _ = x.shape
        rows = max(1, PART_BYTES // (x[:, :, 0].numel() * x.element_size()))
        means, squares = torch.zeros(2, batch, channels, dtype=torch.float64)
        for part in x.split(rows, dim=2):
            mean, variance = _statistics(part)
            share = part.shape[2] / height
            means += share * mean
            squares += share * (variance + mean.square())

        def of_groups(of_channels: Tensor) -> Tensor:
            of_groups = of_channels.view(batch, self.num_groups, -1).mean(dim=2)
            return of_groups.repeat_interleave(channels // self.num_groups, dim=1)

        mean = of_groups(means)
        variance = of_groups(squares) - mean.square()
        scale = self.weight / (variance + self.eps).sqrt()
        shift = self.bias - mean * scale
        return scale[:, :, None, None].to(x.dtype), shift[:, :, None, None].to(x.dtype)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel, both (B, channels), float64."""
    if x.dtype == torch.float32:
        mean = x.mean(dim=(2, 3), keepdim=True)
        variance = (x - mean).square_().mean(dim=(2, 3))
        return mean[:, :, 0, 0].double(), variance.double()
    # what batch normalisation trains with reads 16 bits without a copy, five times as fast
    unused, other = torch.zeros(2, x.shape[1])
    found = [torch.batch_norm_update_stats(one, unused, other, 0.0) for one in x.split(1)]
    mean, variance = (torch.stack(of_each).double() for of_each in zip(*found, strict=True))
    return mean, variance
