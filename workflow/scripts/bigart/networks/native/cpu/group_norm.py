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
#: The same for 16 bits: its copy in float32 stays in the cache, and its memory is reused.
REDUCED_PART_BYTES = 2**21


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
        size = PART_BYTES if x.dtype == torch.float32 else REDUCED_PART_BYTES
        rows = max(1, size // (x[:, :, 0].numel() * x.element_size()))
        means, squares = torch.zeros(2, batch, channels, dtype=torch.float64)
        for part in x.split(rows, dim=2):
            precise = part.float()
            mean = precise.mean(dim=(2, 3), keepdim=True)
            variance = (precise - mean).square_().mean(dim=(2, 3)).double()
            mean, share = mean[:, :, 0, 0].double(), part.shape[2] / height
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
