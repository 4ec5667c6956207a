"""SRVGGNetCompact, the small upscaler of Real-ESRGAN: a chain of convolutions, then the pixels.

Source: Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic
Data" (2021, arXiv:2107.10833), whose authors published the network later (realesr-general-x4v3,
realesr-animevideov3). It adds what it computes to the enlarged input. Module names are those of the
published checkpoints.
"""

from collections import deque
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigart.networks.native.rolling import VALUES, Rows, rolled, taken
from bigart.networks.network import Network, in_float32, reduced_dtype
from bigart.networks.options import PICTURE_CHANNELS
from bigart.networks.srvggnet_options import SRVGGNetOptions

HALO = 1  # rows of context of each convolution


class SRVGGNet(Network):
    """Convolutions with a PReLU after each but the last, whose channels become pixels."""

    architecture = "srvggnet"
    Options = SRVGGNetOptions
    options: SRVGGNetOptions

    def __init__(self, options: SRVGGNetOptions) -> None:
        super().__init__(options)
        if options.scale not in (2, 4):
            raise ValueError(f"scale is {options.scale}; 2 and 4 are possible")
        layers: list[nn.Module] = []
        for channels in [PICTURE_CHANNELS] + options.convolutions * [options.features]:
            layers += [
                nn.Conv2d(channels, options.features, 3, padding=1),
                nn.PReLU(options.features),
            ]
        pixels = PICTURE_CHANNELS * options.scale**2
        self.body = nn.Sequential(*layers, nn.Conv2d(options.features, pixels, 3, padding=1))

    def reduce(self, dtype: torch.dtype) -> None:
        """Keep weights in the dtype to which autocast would cast them, but for both ends."""
        for convolution in list(self.body)[2:-1:2]:
            convolution.to(dtype)

    def steps(self) -> Iterator[Callable[[Tensor], Tensor]]:
        """Yield the parts of the network, each with one convolution: the last one enlarges.

        Both ends compute in float32: bfloat16 has fewer levels than a picture.
        """
        *layers, last = self.body

        def activated(
            convolution: nn.Module, activation: nn.Module, exact: bool
        ) -> Callable[[Tensor], Tensor]:
            def step(x: Tensor) -> Tensor:
                made = in_float32(convolution, x) if exact else convolution(x)
                assert isinstance(activation, nn.PReLU)
                made = F.prelu(made, activation.weight.to(made.dtype))
                return made.to(reduced_dtype(made))

            return step

        for index in range(0, len(layers), 2):
            yield activated(layers[index], layers[index + 1], exact=index == 0)
        yield lambda x: F.pixel_shuffle(in_float32(last, x), self.options.scale)

    def forward(self, x: Tensor) -> Tensor:
        """Map RGB (B, 3, H, W) in [0, 1] to (B, 3, scale * H, scale * W), not clipped."""
        made = x
        for step in self.steps():
            made = step(made)
        return made + F.interpolate(x, scale_factor=float(self.options.scale))

    def rows(self, rows: Rows, height: int) -> Iterator[Tensor]:
        """Run the network on a picture that arrives row by row, without seams.

        Each convolution keeps the two rows that it still needs, so every pixel is computed once,
        from the same numbers as in one piece.

        Args:
            rows: The picture from its top, each (1, 3, any number of rows, W), RGB in [0, 1].
            height: Of the whole picture.

        Yields:
            (1, 3, rows, scale * W), not clipped, from the top.
        """
        waiting: deque[Tensor] = deque()  # rows of the picture that the network has not answered

        def read() -> Iterator[Tensor]:
            for part in rows:
                # not contiguous(): it takes a permuted picture as it is, and layers its layout
                waiting.append(part.clone(memory_format=torch.channels_last))
                yield waiting[-1]

        *inner, last = self.steps()
        scale, features = self.options.scale, read()
        for step in inner:
            features = rolled(step, HALO, height, features)
        for made in rolled(last, HALO, height, features, scale, VALUES * scale**2):
            picture = taken(waiting, made.shape[2] // scale)
            yield made + F.interpolate(picture, scale_factor=float(scale))

    @torch.inference_mode()
    def enlarge(
        self, x: Tensor, strip: int = 256, progress: Callable[[int, int], None] | None = None
    ) -> Tensor:
        """Run the network in little memory, with the result of the whole frame.

        Args:
            x: RGB (1, 3, H, W) in [0, 1].
            strip: Rows of the input that enter at once, at least 1.
            progress: Called with (rows done, rows in all), of the input.

        Returns:
            (1, 3, scale * H, scale * W), not clipped, in the dtype of ``x``.
        """
        scale, (height, width) = self.options.scale, x.shape[2:]
        out = x.new_empty(1, PICTURE_CHANNELS, scale * height, scale * width)
        done = 0
        for made in self.rows(x.split(strip, dim=2), height):
            out[:, :, done : done + made.shape[2]] = made
            done += made.shape[2]
            if progress:
                progress(done // scale, height)
        return out
