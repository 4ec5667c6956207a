"""VQGAN as its authors wrote it: github.com/CompVis/taming-transformers."""

import torch
from torch import Tensor, nn

from bigart.networks.network import in_float32
from bigart.networks.options import PICTURE_CHANNELS, VQGANOptions
from bigart.networks.upstream.network import UpstreamNetwork


class UpstreamVQGAN(UpstreamNetwork):
    """The original encoder, quantiser and decoder; same methods as ``vqgan.VQGAN``.

    They are joined as in the package's ``VQModel``, which itself would need lightning.

    Raises:
        PackageError: The package is missing.
    """

    architecture = "vqgan"
    Options = VQGANOptions
    options: VQGANOptions
    heap_threshold = 2**23  # reusing the memory of whole frames is no faster

    def __init__(self, options: VQGANOptions) -> None:
        super().__init__(options)
        sizes = {
            "ch": options.channels,
            "out_ch": PICTURE_CHANNELS,
            "ch_mult": options.channel_mult,
            "num_res_blocks": options.res_blocks,
            "attn_resolutions": options.attention_resolutions,
            "in_channels": PICTURE_CHANNELS,
            "resolution": options.resolution,
            "z_channels": options.z_channels,
        }
        names = "modules.diffusionmodules.model", "modules.vqvae.quantize"
        with self.imported(*names) as [model, quantisers]:
            self.encoder = model.Encoder(double_z=False, **sizes)
            self.decoder = model.Decoder(**sizes)
            self.quantize = quantisers.VectorQuantizer(options.codes, options.embed_dim, beta=0.25)
        self.quant_conv = nn.Conv2d(options.z_channels, options.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(options.embed_dim, options.z_channels, 1)

    def encode(self, x: Tensor) -> Tensor:
        """Map RGB in [-1, 1] to vectors; see ``VQGAN.encode``."""
        return in_float32(lambda x: self.quant_conv(self.encoder(x)), x)

    def indices(self, z: Tensor) -> Tensor:
        """Map vectors (B, embed_dim, h, w) to the nearest codes, (B, h, w), int64."""
        batch, _, height, width = z.shape
        with torch.autocast(z.device.type, enabled=False):
            _, _, (_, _, indices) = self.quantize(z.float())
        return indices.view(batch, height, width)

    def decode(self, indices: Tensor) -> Tensor:
        """Map codes (B, h, w) to RGB (B, 3, factor * h, factor * w), about [-1, 1]."""
        shape = (*indices.shape, self.options.embed_dim)
        vectors = self.quantize.get_codebook_entry(indices.flatten(), shape)
        return self.decoder(self.post_quant_conv(vectors))
