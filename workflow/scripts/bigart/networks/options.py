"""Options that fix the shapes of the networks, and BSRGAN's names of parameters.

Both engines use them: a change of a native network's code leaves ``engine: upstream`` alone.
"""

import re
from dataclasses import dataclass

PICTURE_CHANNELS = 3
GROUPS = 32  # of the published networks' normalisations


@dataclass(frozen=True)
class GlideOptions:
    """What fixes the shapes of a GLIDE network. The defaults are the published base model's.

    Attributes:
        image_size: Side of the picture in pixels.
        channels: Channels of the first level; a multiple of ``groups``.
        res_blocks: Residual blocks per level.
        channel_mult: Channels of each level, as multiples of ``channels``.
        head_channels: Channels of one head of the picture's attention.
        attention_resolutions: Sides in pixels of the levels that have attention.
        text_ctx: Tokens of a prompt at most.
        text_width: Channels of the text transformer.
        text_layers: Layers of the text transformer.
        text_heads: Heads of the text transformer.
        vocab: Number of tokens.
        super_res: Also take a small picture (the upsampler).
        inpaint: Also take a picture and the mask of what to keep of it.
        noise_schedule: "squaredcos_cap_v2" or "linear", see ``sampling.schedule.Schedule``.
        groups: Groups of every normalisation; a group of one channel would lose its mean.
    """

    image_size: int = 64
    channels: int = 192
    res_blocks: int = 3
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    head_channels: int = 64
    attention_resolutions: tuple[int, ...] = (32, 16, 8)
    text_ctx: int = 128
    text_width: int = 512
    text_layers: int = 16
    text_heads: int = 8
    vocab: int = 50257
    super_res: bool = False
    inpaint: bool = False
    noise_schedule: str = "squaredcos_cap_v2"
    groups: int = GROUPS


BASE = GlideOptions()
UPSAMPLER = GlideOptions(
    image_size=256,
    res_blocks=2,
    channel_mult=(1, 1, 2, 2, 4, 4),
    super_res=True,
    noise_schedule="linear",
)


@dataclass(frozen=True)
class RRDBNetOptions:
    """What fixes the shapes of an RRDBNet. The defaults are BSRGAN's.

    Attributes:
        scale: 4 or 2.
        features: Channels of the trunk.
        blocks: Residual-in-residual dense blocks.
        growth: Channels that each convolution of a dense block adds.
    """

    scale: int = 4
    features: int = 64
    blocks: int = 23
    growth: int = 32


def published_name(name: str) -> str:
    """Return BSRGAN's name of a parameter of an RRDBNet, given that name or basicsr's."""
    for later, published in (
        (r"^body\.(\d+)\.rdb(\d)\.", r"RRDB_trunk.\1.RDB\2."),
        (r"^conv_body\.", "trunk_conv."),
        (r"^conv_up(\d)\.", r"upconv\1."),
        (r"^conv_hr\.", "HRconv."),
    ):
        name = re.sub(later, published, name)
    return name


@dataclass(frozen=True)
class VQGANOptions:
    """What fixes the shapes of a VQGAN. The defaults are those of ImageNet f16 with 16384 codes.

    Attributes:
        channels: Channels of the first level; a multiple of ``groups``.
        channel_mult: Channels of each level, as multiples of ``channels``. Each level but the
            last halves the picture: five levels make f16.
        res_blocks: Residual blocks per level (the decoder has one more).
        attention_resolutions: Sides in pixels, for pictures of side ``resolution``, of the
            levels that have attention.
        resolution: Side in pixels of the pictures of its training; other sizes work as well.
        z_channels: Channels between the convolutions and the codebook.
        embed_dim: Channels of a code.
        codes: Entries of the codebook.
        groups: Groups of every normalisation.
    """

    channels: int = 128
    channel_mult: tuple[int, ...] = (1, 1, 2, 2, 4)
    res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (16,)
    resolution: int = 256
    z_channels: int = 256
    embed_dim: int = 256
    codes: int = 16384
    groups: int = GROUPS

    @property
    def widths(self) -> list[int]:
        """Channels of each level."""
        return [self.channels * multiple for multiple in self.channel_mult]

    @property
    def factor(self) -> int:
        """Pixels per code along one side."""
        return 2 ** (len(self.channel_mult) - 1)
