"""Options that fix the shapes of the two encoders of noised CLIP, for both engines.

They are apart from ``options``, which all other networks read: what is new here repaints nothing.
"""

from dataclasses import dataclass

HEAD_WIDTH = 64  # channels of a head of the published encoders


@dataclass(frozen=True)
class ClipTextOptions:
    """What fixes the shapes of a text encoder. The defaults are the published one's.

    Attributes:
        vocab: Number of tokens.
        text_ctx: Tokens of a prompt at most, its start and its end among them.
        width: Channels of the transformer.
        layers: Its layers.
        heads: Heads of its attention.
        embedding: Numbers of the vector that a prompt becomes.
    """

    vocab: int = 65536
    text_ctx: int = 77
    width: int = 512
    layers: int = 12
    heads: int = 8
    embedding: int = 512


@dataclass(frozen=True)
class ClipImageOptions:
    """What fixes the shapes of an image encoder. The defaults are the published one's.

    Attributes:
        image_size: Side of the picture in pixels.
        patch_size: Side of a patch in pixels, of which one token is made.
        timesteps: Of the diffusion process that it knows, one token each.
        width: Channels of the transformer.
        layers: Its layers.
        heads: Heads of its attention.
        embedding: Numbers of the vector that a picture becomes.
        logit_scale: Factor of the cosines with prompts, as it was trained.
    """

    image_size: int = 64
    patch_size: int = 4
    timesteps: int = 1000
    width: int = 768
    layers: int = 12
    heads: int = 12
    embedding: int = 512
    logit_scale: float = 100.0
