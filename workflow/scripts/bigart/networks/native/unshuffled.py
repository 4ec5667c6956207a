"""RRDBNet with pixel-unshuffle: RealESRGAN_x2plus, which enlarges two times.

Source: Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic
Data" (2021, arXiv:2107.10833, section 3.2): blocks of pixels become channels, and a network that
enlarges four times reads them.
"""

from collections.abc import Callable
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from bigart.networks.native.rrdbnet import EXACT, RRDBNet
from bigart.networks.network import Network
from bigart.networks.options import PICTURE_CHANNELS, RRDBNetOptions

INNER_SCALE = 4


class UnshuffledRRDBNet(Network):
    """An RRDBNet of scale 4 behind a pixel-unshuffle by 4 / ``options.scale``."""

    architecture = "rrdbnet-unshuffled"
    Options = RRDBNetOptions
    exact = EXACT
    options: RRDBNetOptions

    def __init__(self, options: RRDBNetOptions) -> None:
        super().__init__(options)
        self.side = INNER_SCALE // options.scale
        inner = RRDBNet(replace(options, scale=INNER_SCALE))
        inner.conv_first = nn.Conv2d(
            PICTURE_CHANNELS * self.side**2, options.features, 3, padding=1
        )
        # its layers are this network's, under the published names; in a list it is no layer itself
        for name, layer in inner.named_children():
            self.add_module(name, layer)
        self._inner = [inner]

    def _unshuffled(self, x: Tensor) -> Tensor:
        """Return blocks of pixels as channels; edges are mirrored to whole blocks."""
        below, right = (-size % self.side for size in x.shape[2:])
        mode = "reflect" if min(x.shape[2:]) > 1 else "replicate"
        return F.pixel_unshuffle(F.pad(x, (0, right, 0, below), mode), self.side)

    def _cropped(self, y: Tensor, x: Tensor) -> Tensor:
        height, width = (self.options.scale * size for size in x.shape[2:])
        return y[:, :, :height, :width]

    def forward(self, x: Tensor) -> Tensor:
        """Map RGB (B, 3, H, W) in [0, 1] to (B, 3, scale * H, scale * W), not clipped."""
        return self._cropped(self._inner[0](self._unshuffled(x)), x)

    def enlarge(
        self, x: Tensor, strip: int = 256, progress: Callable[[int, int], None] | None = None
    ) -> Tensor:
        """Run the network in little memory; see ``RRDBNet.enlarge``."""
        return self._cropped(self._inner[0].enlarge(self._unshuffled(x), strip, progress), x)
