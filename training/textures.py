"""Whether what a network makes has the texture of a painting, window by window.

A texture is what filters answer together, wherever they answer it: strokes need not lie where the
painter put them, and yet must be as many, as long, as sharp and as slanted.

Sources: Gatys et al. 2015 (arXiv:1505.07376, equation 1) for the products of filters' answers (Gram
matrices); Ustyuzhaninov et al. 2016 (arXiv:1606.00021) for one layer of random filters at several
scales; Sajjadi et al. 2017 (arXiv:1612.07919, section 4.2.3) for windows, as a loss of an enlarger.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import autocast, blurred

FILTERS, SIDE = 32, 7
FINE = 2.0  # sigma in pixels: what is coarser is left to the next scale, or to the loss of pixels
FAINT = 1e-3  # energy that is next to none


class Textures(nn.Module):
    """Compares the textures of pictures (B, 3, H, W) in [0, 1], in windows at several scales.

    Args:
        window: Side of a window in pixels, the same at each scale; H and W are multiples of it.
        weights: Of the scales, the finest first; each is half as large as the one before. A scale
            where a picture is smaller than a window is left out.
    """

    filters: Tensor

    def __init__(self, window: int, weights: Sequence[float]) -> None:
        super().__init__()
        self.window, self.weights = window, weights
        generator = torch.Generator().manual_seed(0)
        grey = torch.randn(FILTERS, 1, SIDE, SIDE, generator=generator).expand(-1, 3, -1, -1)
        filters = torch.randn(FILTERS, 3, SIDE, SIDE, generator=generator)
        filters[FILTERS // 3 :] = grey[FILTERS // 3 :]  # most of a texture is brightness
        filters = filters - filters.mean((1, 2, 3), keepdim=True)
        norms = filters.square().sum((1, 2, 3), keepdim=True).sqrt()
        self.register_buffer("filters", filters / norms)

    def forward(self, out: Tensor, target: Tensor) -> Tensor:
        """Return the mean difference of the products next to the target's energy, a scalar."""
        with torch.no_grad():
            wanted = self.products(target)
        unlike = torch.zeros((), device=out.device)
        for weight, mine, theirs in zip(self.weights, self.products(out), wanted, strict=False):
            energy = theirs.diagonal(dim1=1, dim2=2).mean(1) + FAINT
            unlike = unlike + weight * ((mine - theirs).abs().mean((1, 2)) / energy).mean()
        return unlike

    def products(self, pictures: Tensor) -> list[Tensor]:
        """Return the products of the answers in each window, per scale (N, FILTERS, FILTERS)."""
        found: list[Tensor] = []
        while len(found) < len(self.weights) and min(pictures.shape[2:]) >= self.window:
            fine = pictures - blurred(pictures, FINE)
            with autocast(str(pictures.device), FILTERS):
                answers = F.relu(F.conv2d(fine, self.filters, padding=SIDE // 2)).float()
            windows = cells(answers, self.window).permute(0, 2, 3, 4, 5, 1)
            windows = windows.reshape(-1, self.window**2, FILTERS)
            found.append(windows.mT @ windows / self.window**2)
            pictures = F.avg_pool2d(pictures, 2)
        return found


def grid(out: Tensor, target: Tensor, period: int, side: int) -> Tensor:
    """Return how much of the fine differences comes back every ``period`` pixels, a scalar.

    A network that enlarges can tell its pixels apart by where they lie between those that it is
    given, and makes of a wanted texture the same mark at the same place of each.

    Args:
        out: (B, 3, H, W) in [0, 1].
        target: (B, 3, H, W) in [0, 1].
        period: In pixels.
        side: Of the squares that are looked at, in pixels, a multiple of ``period``.
    """
    fine = out - target
    fine = cells(fine - blurred(fine, FINE), side)  # (B, 3, n, m, side, side)
    marks = cells(fine.flatten(1, 3), period).mean((2, 3)).unflatten(1, fine.shape[1:4])
    return (marks.square().mean((1, 4, 5)) + 1e-10).sqrt().mean()


def blocking(out: Tensor, target: Tensor, period: int, side: int) -> Tensor:
    """Return how unevenly the steps between pixels are spread over blocks, a scalar.

    What is made of one pixel or code that is given often breaks off where the next begins. Such
    blocks differ each time, and ``grid``, which takes their mean, does not see them. Measured as
    by Wang, Bovik and Evans 2000 (Blind measurement of blocking artifacts in images), by the
    strength of the differences at the borders of blocks next to that elsewhere.

    Args:
        out: (B, 3, H, W) in [0, 1].
        target: (B, 3, H, W) in [0, 1], whose own unevenness costs nothing.
        period: Side of a block in pixels.
        side: Of the squares that count alike, strong or faint, in pixels, a multiple of ``period``.
    """
    uneven = torch.zeros((), device=out.device)
    for mine, theirs in ((out, target), (out.mT, target.mT)):
        difference = steps(mine, period, side) - steps(theirs, period, side)
        uneven = uneven + (difference.square().mean() + 1e-8).sqrt()
    return uneven


def steps(pictures: Tensor, period: int, side: int) -> Tensor:
    """Return how strong differences along x are at each place of a block, (period,), mean 1."""
    strengths = F.pad(pictures, (0, 1, 0, 0), mode="reflect").diff(dim=3).abs()
    strengths = strengths.mean(1, keepdim=True)
    places = cells(strengths, side).mean(4).unflatten(-1, (-1, period)).mean(-2)
    return (places / (places.mean(-1, keepdim=True) + FAINT)).mean((0, 1, 2, 3))


def cells(pictures: Tensor, side: int) -> Tensor:
    """Return squares of pictures (B, C, H, W), (B, C, H / side, W / side, side, side)."""
    return pictures.unfold(2, side, side).unfold(3, side, side)
