"""RRDBNet as basicsr has it (github.com/XPixelGroup/BasicSR), under its own parameter names."""

from collections.abc import Callable, Mapping

from torch import Tensor

from bigart.errors import UserError
from bigart.networks.options import RRDBNetOptions, published_name
from bigart.networks.upstream.network import UpstreamNetwork


class UpstreamRRDBNet(UpstreamNetwork):
    """The original network; same methods as ``rrdbnet.RRDBNet``.

    Raises:
        PackageError: The package is missing.
        UserError: The scale is not 4: basicsr's network of scale 2 is another one than BSRGANx2.
    """

    architecture = "rrdbnet"
    Options = RRDBNetOptions
    options: RRDBNetOptions

    def __init__(self, options: RRDBNetOptions) -> None:
        super().__init__(options)
        if options.scale != 4:
            raise UserError(
                f"engine: upstream cannot enlarge {options.scale} times: basicsr's RRDBNet of that "
                "scale is another network; use engine: native, or a model that enlarges 4 times"
            )
        with self.imported("archs.rrdbnet_arch") as [networks]:
            self.original = networks.RRDBNet(
                num_in_ch=3,
                num_out_ch=3,
                scale=options.scale,
                num_feat=options.features,
                num_block=options.blocks,
                num_grow_ch=options.growth,
            )

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights by BSRGAN's names, strictly and without a copy."""
        published = {published_name(name): name for name in self.original.state_dict()}
        state = {published.get(name, name): tensor for name, tensor in weights.items()}
        self.original.load_state_dict(state, strict=True, assign=True)

    def enlarge(
        self, x: Tensor, strip: int = 0, progress: Callable[[int, int], None] | None = None
    ) -> Tensor:
        """Map RGB (1, 3, H, W) in [0, 1] to (1, 3, 4 H, 4 W), not clipped.

        The original computes the whole frame at once, without strips: 14 GB for BSRGAN at
        1024 x 1024. ``progress`` is called once, at the end.
        """
        y = self.original(x)
        if progress:
            progress(1, 1)
        return y
