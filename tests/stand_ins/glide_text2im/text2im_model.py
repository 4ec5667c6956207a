import os

from torch import nn

from bigart.networks.native.glide.model import Text
from bigart.networks.native.glide.model import Text2ImUNet as Native
from bigart.networks.native.glide.unet import AttentionBlock
from bigart.networks.options import GlideOptions

WRONG = os.environ.get("STAND_IN_FAULT") == "glide-text2im"


class Text2ImUNet(nn.Module):
    SUPER_RES = False

    def __init__(
        self, *, text_ctx, xf_width, xf_layers, xf_heads, xf_final_ln, xf_padding, tokenizer,
        cache_text_emb, in_channels, out_channels, model_channels, channel_mult, num_res_blocks,
        attention_resolutions, num_head_channels, dropout, use_scale_shift_norm, resblock_updown,
    ):  # fmt: skip
        super().__init__()
        groups = nn.GroupNorm(32, 32).num_groups
        size = {False: 16, True: 64}[self.SUPER_RES]
        options = GlideOptions(
            image_size=size,
            channels=model_channels,
            res_blocks=num_res_blocks,
            channel_mult=channel_mult,
            head_channels=num_head_channels,
            attention_resolutions=tuple(size // each for each in attention_resolutions),
            text_ctx=text_ctx,
            text_width=xf_width,
            text_layers=xf_layers,
            text_heads=xf_heads,
            vocab=tokenizer.n_vocab,
            super_res=self.SUPER_RES,
            groups=groups,
        )
        self.native = Native(options)
        self.cache = None

    def load_state_dict(self, state, strict, assign):
        return self.native.load_state_dict(state, strict=strict, assign=assign)

    def del_cache(self):
        self.cache = None

    def get_text_emb(self, tokens, mask):
        features = self.native.text_features(tokens, mask)
        proj = self.native.transformer_proj(features[:, :, -1])
        return {"xf_proj": proj, "xf_out": features}

    def forward(self, x, timesteps, tokens, low_res=None):
        layers = (layer for layer in self.native.modules() if isinstance(layer, AttentionBlock))
        attention = tuple(layer.read(self.cache["xf_out"]) for layer in layers)
        text = Text(self.cache["xf_proj"], attention)
        return self.native.denoise(x, timesteps, text, low_res) * (1.1 if WRONG else 1)


class SuperResText2ImUNet(Text2ImUNet):
    SUPER_RES = True
