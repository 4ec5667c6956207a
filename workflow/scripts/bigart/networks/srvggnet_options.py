"""Options that fix the shapes of SRVGGNetCompact, the compact Real-ESRGAN; for both engines."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SRVGGNetOptions:
    """What fixes the shapes of an SRVGGNetCompact. The defaults are realesr-general-x4v3's.

    Attributes:
        scale: 4 or 2.
        features: Channels between the convolutions.
        convolutions: Those between the first and the last one.
    """

    scale: int = 4
    features: int = 64
    convolutions: int = 32
