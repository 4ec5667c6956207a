"""GLIDE's networks as its authors wrote them: github.com/openai/glide-text2im."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor

from bigart.errors import UserError
from bigart.networks.network import repeated
from bigart.networks.options import PICTURE_CHANNELS, GlideOptions
from bigart.networks.upstream.network import UpstreamNetwork


class Text(NamedTuple):
    """The original's encoding of T prompts (its ``cache``), under its own names."""

    tokens: Tensor  # (T, text_ctx)
    xf_proj: Tensor  # (T, 4 * channels), added to the time embedding
    xf_out: Tensor  # (T, text_width, text_ctx), the input of each attention layer

    def beside(self, other: "Text") -> "Text":
        """Return these prompts followed by another text, repeated to the same number."""
        pairs = zip(self, other, strict=True)
        return Text(*(torch.cat([mine, repeated(theirs, len(mine))]) for mine, theirs in pairs))


class UpstreamText2ImUNet(UpstreamNetwork):
    """The original base network or upsampler; same methods as ``glide.model.Text2ImUNet``.

    Raises:
        PackageError: The package is missing.
        UserError: It is an inpainting network.
    """

    architecture = "glide"
    Options = GlideOptions
    options: GlideOptions

    def __init__(self, options: GlideOptions) -> None:
        super().__init__(options)
        if options.inpaint:
            raise UserError("engine: upstream has no inpainting networks")
        sides = options.attention_resolutions
        with self.imported("text2im_model") as [models]:
            build = models.SuperResText2ImUNet if options.super_res else models.Text2ImUNet
            self.original = build(
                text_ctx=options.text_ctx,
                xf_width=options.text_width,
                xf_layers=options.text_layers,
                xf_heads=options.text_heads,
                xf_final_ln=True,
                xf_padding=True,
                tokenizer=SimpleNamespace(n_vocab=options.vocab),
                cache_text_emb=True,
                in_channels=PICTURE_CHANNELS,
                out_channels=2 * PICTURE_CHANNELS,
                model_channels=options.channels,
                channel_mult=options.channel_mult,
                num_res_blocks=options.res_blocks,
                attention_resolutions=tuple(options.image_size // side for side in sides),
                num_head_channels=options.head_channels,
                dropout=0.0,
                use_scale_shift_norm=True,
                resblock_updown=True,
            )

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights, strictly and without a copy."""
        self.original.load_state_dict(weights, strict=True, assign=True)

    def encode_text(self, tokens: Tensor, mask: Tensor) -> Text:
        """Encode prompts: tokens (T, text_ctx), and the mask of those that are not padding."""
        self.original.del_cache()
        read = self.original.get_text_emb(tokens, mask)
        return Text(tokens, read["xf_proj"], read["xf_out"])

    def denoise(
        self, x: Tensor, timesteps: Tensor, text: Text, low_res: Tensor | None = None
    ) -> Tensor:
        """Predict noise and variance, (B, 6, n, n); see ``Text2ImUNet.denoise``."""
        text = Text(*(repeated(part, len(x)) for part in text))
        self.original.cache = text._asdict()
        inputs = {"low_res": low_res} if self.options.super_res else {}
        return self.original(x, timesteps, tokens=text.tokens, **inputs)
