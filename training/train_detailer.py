"""Train the embedded detailer: a small VQGAN, f8.

    python training/train_detailer.py --minutes 30

L1, gradients and gradient strength at two scales, the commitment loss of VQ-VAE (van den Oord et
al. 2017, arXiv:1711.00937), gradients straight through the codebook. The codes follow the vectors
by moving averages (there, appendix A.1); a code that nothing uses is moved to a vector of the
present batch. For the first steps the vectors pass unquantised, so that the codes are born among
vectors that mean something.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common  # noqa: F401  (finds the library)
from bigart.vqgan import VQGAN, VQGANOptions
from common import (
    HELD_OUT,
    RUNS,
    Pool,
    autocast,
    batches,
    command,
    on_device,
    parse,
    picture_at,
    train,
)
from train_enlarger import gradients, picture_loss, psnr

COMMITMENT = 0.25
BIRTH = 60  # steps before the codes are born
CROP = 96


class Codes:
    """Moving averages of the vectors that each code stands for."""

    def __init__(self, weight: Tensor, decay: float = 0.98) -> None:
        self.weight, self.decay = weight, decay
        self.uses = torch.zeros(len(weight), device=weight.device)
        self.sums = torch.zeros_like(weight.data)

    @torch.no_grad()
    def born(self, vectors: Tensor) -> None:
        """Place the codes on random vectors (N, dim) of a batch."""
        choice = torch.randint(0, len(vectors), (len(self.weight),))
        self.weight.copy_(vectors[choice] + 0.02 * vectors.std() * torch.randn_like(self.weight))
        self.uses.fill_(1.0)
        self.sums.copy_(self.weight)

    @torch.no_grad()
    def follow(self, vectors: Tensor, indices: Tensor) -> None:
        """Move each code to the average of its vectors; revive the unused."""
        counts = torch.bincount(indices, minlength=len(self.weight)).float()
        self.uses.lerp_(counts, 1 - self.decay)
        sums = torch.zeros_like(self.sums).index_add_(0, indices, vectors)
        self.sums.lerp_(sums, 1 - self.decay)
        used = self.uses > 1e-3
        self.weight[used] = self.sums[used] / self.uses[used, None]
        dead = (self.uses < 0.02).nonzero()[:, 0][:64]
        if len(dead):
            choice = torch.randint(0, len(vectors), (len(dead),))
            self.weight[dead] = vectors[choice]
            self.uses[dead] = 0.3
            self.sums[dead] = vectors[choice] * 0.3


def mosaics(pool: Pool, rng: np.random.Generator, batch: int) -> Tensor:
    """Return (batch, 3, 2 * CROP, 2 * CROP) uint8, each put together from four pictures' crops.

    The normalisations see whole pictures later, of many colours; a single crop is often all sky.
    """
    crops, _ = pool.crops(rng, 4 * batch, CROP)
    grid = crops.reshape(batch, 2, 2, 3, CROP, CROP).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(batch, 3, 2 * CROP, 2 * CROP)


@torch.no_grad()
def start_as_mosaic(network: VQGAN) -> None:
    """Let the untrained network pass the picture on as a mosaic: one colour a code, drawn soft.

    Red, green and blue run along the shortcuts from end to end, and all residual branches begin
    at zero. Both last normalisations are in the way, so a colour comes with its negative: together
    they have no mean to lose, and SiLU(a) - SiLU(-a) = a. In the encoder a large constant in the
    same group fixes the scale; in the decoder, whose groups are of two channels, the scale is lost
    until training finds a way.
    """
    values = dict(network.named_parameters())
    for name, parameter in values.items():
        if name.endswith(("conv2.weight", "conv2.bias", "proj_out.weight", "proj_out.bias")):
            parameter.zero_()
    encoder, decoder = network.encoder, network.decoder
    half = torch.tensor([[0.25, 0.25, 0.0], [0.25, 0.25, 0.0], [0.0, 0.0, 0.0]])
    soft = torch.outer(torch.tensor([0.25, 0.5, 0.25]), torch.tensor([0.25, 0.5, 0.25]))
    plain = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])

    def passes(
        layer: nn.Conv2d, kernel: Tensor = plain, outs: tuple[int, ...] = (0, 1, 2), sign: float = 1
    ) -> None:
        for colour, out in enumerate(outs):
            layer.weight[out] = 0
            layer.weight[out, colour] = sign * (kernel if layer.kernel_size[0] == 3 else 1.0)
            assert layer.bias is not None
            layer.bias[out] = 0

    passes(encoder.conv_in)
    for level in [*encoder.down, *decoder.up]:
        for block in level.block:
            if hasattr(block, "nin_shortcut"):
                passes(block.nin_shortcut)
        if hasattr(level, "downsample"):
            passes(level.downsample.conv, half)
        if hasattr(level, "upsample"):
            passes(level.upsample.conv, soft)

    constant = 8.0
    last = encoder.down[-1].block[0].nin_shortcut  # type: ignore[union-attr, index]
    last.weight[:12] = 0
    last.bias[:12] = 0
    passes(last, outs=(0, 4, 8))
    passes(last, outs=(3, 7, 11), sign=-1)
    last.bias[[1, 5, 9]] = constant
    encoder.norm_out.bias[[0, 4, 8, 3, 7, 11]] = 0.577  # their share of the constant's mean
    encoder.conv_out.weight[:3] = 0
    values["encoder.conv_out.bias"][:3] = 0
    for colour in range(3):
        encoder.conv_out.weight[colour, 4 * colour, 1, 1] = 0.433 * constant
        encoder.conv_out.weight[colour, 4 * colour + 3, 1, 1] = -0.433 * constant
    for layer in (network.quant_conv, network.post_quant_conv, decoder.conv_in):
        passes(layer)

    first = decoder.up[0].block[0].nin_shortcut  # type: ignore[union-attr, index]
    passes(first, outs=(0, 2, 4))
    passes(first, outs=(1, 3, 5), sign=-1)
    decoder.conv_out.weight.mul_(0.3)
    values["decoder.conv_out.bias"].zero_()
    for colour in range(3):
        decoder.conv_out.weight[colour, :6] = 0
        decoder.conv_out.weight[colour, 2 * colour, 1, 1] = 0.5
        decoder.conv_out.weight[colour, 2 * colour + 1, 1, 1] = -0.5


def evaluate(network: nn.Module) -> dict[str, float]:
    """Return the PSNR of the round trip at 1024 px and its sharpness next to a blur's."""
    device = next(network.parameters()).device
    pictures = torch.from_numpy(
        np.stack([picture_at(HELD_OUT + i, 1024) for i in range(4)])
    ).permute(0, 3, 1, 2)
    target = pictures.float() / 255
    used: set[int] = set()
    outs = []
    with torch.inference_mode(), autocast(str(device)):
        for picture in target:
            indices = network.indices(network.encode(picture[None].to(device) * 2 - 1))  # type: ignore[operator]
            used |= set(indices.flatten().tolist())
            outs.append(network.decode(indices).float().cpu() / 2 + 0.5)  # type: ignore[operator]
    out = torch.cat(outs).clamp(0, 1)
    return {
        "psnr_1024": round(psnr(out, target), 2),
        "sharpness": round(float(gradients(out).abs().mean() / gradients(target).abs().mean()), 3),
        "codes_used": len(used),
    }


def main() -> None:
    """Train."""
    arguments = parse(command("detailer", minutes=30, rate=4e-4, batch=1))
    options = VQGANOptions(
        channels=32, channel_mult=(2, 1, 2, 4), res_blocks=1, attention_resolutions=(),
        resolution=256, z_channels=64, embed_dim=16, codes=1024,
    )  # fmt: skip
    network = VQGAN(options)
    start_as_mosaic(network)
    network = on_device(network, arguments.device)
    network.quantize.embedding.weight.requires_grad_(False)
    codes = Codes(network.quantize.embedding.weight)
    alive = (RUNS / arguments.run / "checkpoint.pt").exists()
    if alive:
        codes.uses.fill_(1.0)
    pools = [Pool(1024, 128, first=12), Pool(2048, 24, first=2)]
    rng = np.random.default_rng((arguments.seed, 3))
    stream = batches(lambda: mosaics(pools[int(rng.random() < 0.15)], rng, arguments.batch))

    def step(number: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        nonlocal alive
        target = next(stream).to(arguments.device).float() / 255
        with autocast(arguments.device):
            z = network.encode((target * 2 - 1).contiguous(memory_format=torch.channels_last))
        z = z.float()
        commitment, used = z.new_zeros(()), 0.0
        through = z
        if number >= BIRTH or alive:
            vectors = z.detach().permute(0, 2, 3, 1).reshape(-1, z.shape[1])
            if number == BIRTH:
                codes.born(vectors)
            if codes.sums.abs().sum() == 0:
                codes.sums.copy_(codes.weight)
            indices = network.quantize.nearest(vectors)
            chosen = (
                network.quantize.embedding(indices)
                .view(len(z), *z.shape[2:], -1)
                .permute(0, 3, 1, 2)
            )
            codes.follow(vectors, indices)
            commitment = (z - chosen.detach()).square().mean()
            through = z + (chosen - z).detach()
            used = float(indices.unique().numel())
        else:
            commitment = 0.1 * F.relu(z.abs() - 2).mean()
        with autocast(arguments.device):
            out = network.decode_vectors(through)
        out = out.float() / 2 + 0.5
        loss, figures = picture_loss(out, target, edges=0.5, strength=0.4)
        small, figures_small = picture_loss(F.avg_pool2d(out, 4), F.avg_pool2d(target, 4), 0.5, 0.0)
        return loss + 0.5 * small + COMMITMENT * commitment, figures | {
            "l1_small": figures_small["l1"],
            "commitment": float(commitment.detach()),
            "codes": used,
        }

    train(arguments, network, "vqgan", step, evaluate, decay=0.99, save_every=90)


if __name__ == "__main__":
    main()
