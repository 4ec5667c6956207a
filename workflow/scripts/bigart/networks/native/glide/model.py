"""GLIDE's two networks, base (64 px) and upsampler (256 px), with their inpainting variants.

Source: Nichol et al., "GLIDE: Towards Photorealistic Image Generation and Editing with
Text-Guided Diffusion Models" (2021, arXiv:2112.10741), sections 4.1 and 4.2. With the published
options a state dict of the published names and shapes loads strictly.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigart.networks.native.cpu.group_norm import GroupNorm
from bigart.networks.native.glide.text import Transformer
from bigart.networks.native.glide.unet import (
    AttentionBlock,
    KeysValues,
    ResBlock,
    TimestepSequential,
    timestep_embedding,
)
from bigart.networks.network import Network, in_float32, repeated
from bigart.networks.options import PICTURE_CHANNELS, GlideOptions


class Text(NamedTuple):
    """The encoding of T prompts, which every step of a sampling uses.

    Attributes:
        proj: (T, 4 * channels), added to the time embedding.
        attention: Keys and values for each attention layer, from the first to the last.
    """

    proj: Tensor
    attention: tuple[KeysValues, ...]

    def beside(self, other: "Text") -> "Text":
        """Return these prompts followed by another text, repeated to the same number."""

        def both(mine: Tensor, theirs: Tensor) -> Tensor:
            return torch.cat([mine, repeated(theirs, len(mine))])

        layers = zip(self.attention, other.attention, strict=True)
        attention = tuple((both(k, k2), both(v, v2)) for (k, v), (k2, v2) in layers)
        return Text(both(self.proj, other.proj), attention)


class Text2ImUNet(Network):
    """The network that predicts the noise in a picture, given the prompt."""

    architecture = "glide"
    Options = GlideOptions
    exact = ("out.",)
    options: GlideOptions

    def __init__(self, options: GlideOptions) -> None:
        super().__init__(options)
        o, embedding = options, 4 * options.channels
        self.transformer = Transformer(o.text_width, o.text_layers, o.text_heads)
        self.final_ln = nn.LayerNorm(o.text_width)
        self.token_embedding = nn.Embedding(o.vocab, o.text_width)
        self.positional_embedding = nn.Parameter(torch.empty(o.text_ctx, o.text_width))
        self.padding_embedding = nn.Parameter(torch.empty(o.text_ctx, o.text_width))
        self.transformer_proj = nn.Linear(o.text_width, embedding)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.padding_embedding, std=0.01)

        self.time_embed = nn.Sequential(
            nn.Linear(o.channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )

        def block(channels: int, out: int, resample: str | None = None) -> ResBlock:
            return ResBlock(channels, embedding, out, resample, o.groups)

        def attention(channels: int) -> AttentionBlock:
            return AttentionBlock(channels, o.head_channels, o.text_width, o.groups)

        def residual(channels: int, out: int, side: int) -> list[nn.Module]:
            layers: list[nn.Module] = [block(channels, out)]
            if side in o.attention_resolutions:
                layers.append(attention(out))
            return layers

        in_channels = PICTURE_CHANNELS * (1 + o.super_res) + (PICTURE_CHANNELS + 1) * o.inpaint
        widths = [o.channels * multiple for multiple in o.channel_mult]
        channels, side = widths[0], o.image_size
        skips = [channels]
        self.input_blocks = nn.ModuleList(
            [TimestepSequential(nn.Conv2d(in_channels, channels, 3, padding=1))]
        )
        for level, width in enumerate(widths):
            for _ in range(o.res_blocks):
                self.input_blocks.append(TimestepSequential(*residual(channels, width, side)))
                channels = width
                skips.append(channels)
            if level < len(widths) - 1:
                self.input_blocks.append(TimestepSequential(block(channels, channels, "down")))
                skips.append(channels)
                side //= 2

        self.middle_block = TimestepSequential(
            block(channels, channels), attention(channels), block(channels, channels)
        )

        self.output_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for position in range(o.res_blocks + 1):
                layers = residual(channels + skips.pop(), width, side)
                channels = width
                if level > 0 and position == o.res_blocks:
                    layers.append(block(channels, channels, "up"))
                    side *= 2
                self.output_blocks.append(TimestepSequential(*layers))

        self.out = nn.Sequential(
            GroupNorm(o.groups, channels),
            nn.SiLU(),
            nn.Conv2d(channels, 2 * PICTURE_CHANNELS, 3, padding=1),
        )

    def text_features(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Run the text transformer.

        Args:
            tokens: (T, text_ctx), int64; values where ``mask`` is false have no effect.
            mask: (T, text_ctx), bool, true where there is a token.

        Returns:
            (T, text_width, text_ctx).
        """
        x = self.token_embedding(tokens) + self.positional_embedding
        x = torch.where(mask[..., None], x, self.padding_embedding)
        return self.final_ln(self.transformer(x)).transpose(1, 2)

    def encode_text(self, tokens: Tensor, mask: Tensor) -> Text:
        """Encode prompts; arguments as of ``text_features``."""
        features = self.text_features(tokens, mask)
        layers = (layer for layer in self.modules() if isinstance(layer, AttentionBlock))
        attention = tuple(layer.read(features) for layer in layers)
        return Text(self.transformer_proj(features[:, :, -1]), attention)

    def denoise(
        self,
        x: Tensor,
        timesteps: Tensor,
        text: Text,
        low_res: Tensor | None = None,
        inpaint_image: Tensor | None = None,
        inpaint_mask: Tensor | None = None,
    ) -> Tensor:
        """Predict the noise in ``x`` and its variance.

        Args:
            x: (B, 3, n, n), the noisy picture, about [-1, 1] plus noise.
            timesteps: (B,), of the 1000-step process (also with fewer steps).
            text: From ``encode_text``; each of its T prompts is for B / T pictures in sequence.
            low_res: (B, 3, m, m) in [-1, 1], needed when ``super_res``.
            inpaint_image: (B, 3, n, n) in [-1, 1], needed when ``inpaint``.
            inpaint_mask: (B, 1, n, n), 1 where ``inpaint_image`` is to be kept.

        Returns:
            (B, 6, n, n): the noise, then the variance as a place between the smallest (-1) and
            the largest (1) possible log variance (Nichol and Dhariwal 2021, equation 15).
        """
        inputs = [x]
        if self.options.inpaint:
            assert inpaint_image is not None
            assert inpaint_mask is not None
            inputs += [inpaint_image * inpaint_mask, inpaint_mask.to(x.dtype)]
        if self.options.super_res:
            assert low_res is not None
            inputs.append(F.interpolate(low_res, x.shape[2:], mode="bilinear", align_corners=False))
        h = torch.cat(inputs, dim=1) if len(inputs) > 1 else x

        times = timestep_embedding(timesteps, self.options.channels).to(text.proj.dtype)
        embedding = self.time_embed(times) + repeated(text.proj, len(x))
        h = h.contiguous(memory_format=torch.channels_last)
        attention = iter(text.attention)
        skips = []
        for block in self.input_blocks:
            h = block(h, embedding, attention)
            skips.append(h)
        h = self.middle_block(h, embedding, attention)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), embedding, attention)
        return in_float32(self.out, h)

    def forward(
        self, x: Tensor, timesteps: Tensor, tokens: Tensor, mask: Tensor, **pictures: Tensor
    ) -> Tensor:
        """Encode the prompt and predict the noise; see ``encode_text`` and ``denoise``."""
        return self.denoise(x, timesteps, self.encode_text(tokens, mask), **pictures)
