import os

from torch import nn

from bigart.networks.native import vqgan

WRONG = os.environ.get("STAND_IN_FAULT") == "taming-transformers"


def options(ch, ch_mult, num_res_blocks, attn_resolutions, resolution, z_channels, **fixed):
    assert fixed.items() >= {"out_ch": 3, "in_channels": 3}.items()
    return vqgan.VQGANOptions(
        channels=ch,
        channel_mult=ch_mult,
        res_blocks=num_res_blocks,
        attention_resolutions=attn_resolutions,
        resolution=resolution,
        z_channels=z_channels,
        groups=nn.GroupNorm(32, 32).num_groups,
    )


class Encoder(vqgan.Encoder):
    def __init__(self, *, double_z, **sizes):
        super().__init__(options(**sizes))


class Decoder(vqgan.Decoder):
    def __init__(self, **sizes):
        super().__init__(options(**sizes))

    def forward(self, z):
        return super().forward(z) + (0.1 if WRONG else 0)
