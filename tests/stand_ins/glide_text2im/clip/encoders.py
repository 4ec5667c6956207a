from types import SimpleNamespace

import torch
from torch import nn

from bigart.networks.clip_options import ClipImageOptions, ClipTextOptions
from bigart.networks.native.clip import ClipImage, ClipText


class _Encoder(nn.Module):
    def __init__(self, native):
        super().__init__()
        self.native, self.blocks = native, native.blocks
        for name, block in self.blocks.items():
            if name.startswith("block_"):
                block.f_attn.attn_fn = SimpleNamespace(
                    pytorch_attn_bias=torch.zeros(1, device="cpu")
                )

    def load_state_dict(self, state, strict, assign):
        return self.native.load_state_dict(state, strict=strict, assign=assign)


class TextEncoder(_Encoder):
    def __init__(
        self, n_bpe_vocab, max_text_len, n_embd, n_head, n_xf_blocks, n_head_state, device
    ):
        width = n_head * n_head_state
        super().__init__(
            ClipText(ClipTextOptions(n_bpe_vocab, max_text_len, width, n_xf_blocks, n_head, n_embd))
        )

    def forward(self, text, text_len):
        return self.native.embed(text, text_len)


class ImageEncoder(_Encoder):
    def __init__(
        self, image_size, patch_size, n_embd, n_head, n_xf_blocks, n_head_state, n_timestep, device
    ):
        width = n_head * n_head_state
        super().__init__(
            ClipImage(
                ClipImageOptions(
                    image_size, patch_size, n_timestep, width, n_xf_blocks, n_head, n_embd
                )
            )
        )
        for name in ("channel_means", "channel_stds"):
            setattr(self.blocks["input"], name, torch.zeros(1, device="cpu"))

    def forward(self, image, timesteps):
        return self.native.embed(image / 127.5 - 1, timesteps)
