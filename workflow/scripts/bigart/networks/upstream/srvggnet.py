"""SRVGGNetCompact as basicsr has it (github.com/XPixelGroup/BasicSR)."""

from collections.abc import Callable, Mapping

from torch import Tensor

from bigart.networks.options import PICTURE_CHANNELS
from bigart.networks.srvggnet_options import SRVGGNetOptions
from bigart.networks.upstream.network import UpstreamNetwork
from bigart.running.engines import PACKAGES, Package


class UpstreamSRVGGNet(UpstreamNetwork):
    """The original network; same methods as ``srvggnet.SRVGGNet``.

    Raises:
        PackageError: The package is missing.
    """

    architecture = "srvggnet"
    Options = SRVGGNetOptions
    options: SRVGGNetOptions

    def __init__(self, options: SRVGGNetOptions) -> None:
        super().__init__(options)
        with self.imported("archs.srvgg_arch") as [networks]:
            self.original = networks.SRVGGNetCompact(
                num_in_ch=PICTURE_CHANNELS,
                num_out_ch=PICTURE_CHANNELS,
                num_feat=options.features,
                num_conv=options.convolutions,
                upscale=options.scale,
                act_type="prelu",
            )

    @property
    def package(self) -> Package:
        """The original package: that of the RRDBNet."""
        return PACKAGES["rrdbnet"]

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights, strictly and without a copy."""
        self.original.load_state_dict(weights, strict=True, assign=True)

    def enlarge(
        self, x: Tensor, strip: int = 0, progress: Callable[[int, int], None] | None = None
    ) -> Tensor:
        """Map RGB (1, 3, H, W) in [0, 1] to (1, 3, scale * H, scale * W), not clipped.

        The original computes the whole frame at once. ``progress`` is called once, at the end.
        """
        y = self.original(x)
        if progress:
            progress(1, 1)
        return y
