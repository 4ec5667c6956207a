"""How the embedded detailer is trained: a small VQGAN, f8.

L1, gradients and gradient strength at two scales, the commitment loss of VQ-VAE (van den Oord et
al. 2017, arXiv:1711.00937), gradients straight through the codebook. The codes follow the vectors
by moving averages (there, appendix A.1); a code that nothing uses is moved to a vector of the
present batch. For the first steps there are no codes, only noise on the vectors that lets through
about as many bits; then the codes are born among the vectors by k-means.

In use the detailer is given pictures that were enlarged and grained, and is to add what a painting
has there. So from ``SOFT_FROM`` steps on every other picture is softened in that way, and what
comes out is to have the textures of the painting (``textures.py``), and no blocks.
"""

import math
from collections import deque
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common  # noqa: F401  (finds the library)
import train_enlarger
from bigart.networks.native.vqgan import VQGAN, Codebook
from bigart.networks.options import VQGANOptions
from bigart.weights.conversion import open_network
from common import (
    Figures,
    Job,
    Pool,
    Run,
    autocast,
    blurred,
    held_out,
    on_device,
    prepared,
    start_from,
)
from pipeline import mosaics, soften
from textures import Textures, blocking, grid
from train_enlarger import gradients, picture_loss, psnr

COMMITMENT = 0.25
SIDE = 192  # of a mosaic
BIRTH = 400  # steps before the codes are born
BANK = 120  # of the last of them give their vectors for it
NOISE = 0.5  # on vectors of about [-2, 2] before that: 8 channels with it hold 12 bits
SCALE = 1.5  # of the vectors in the beginning
REVIVED = 32  # unused codes at most, per step
SOFT_FROM = 3000  # steps before it is given soft pictures
TEXTURES_WEIGHT, WINDOW, SCALES = {"sharp": 0.03, "soft": 0.2}, 48, (1.0, 1.0)
GRID_WEIGHT, PERIOD, GRID_SIDE = 2.0, 8, 96  # of marks that come back with each code
BLOCKING_WEIGHT = 0.1  # of blocks as large as what is made of a code
PIXELS_WEIGHT = {"sharp": 1.0, "soft": 0.3}  # of the finer scale: what is soft has lost its pixels


class Codes(nn.Module):
    """Moving averages of the vectors that each code stands for."""

    uses: Tensor
    sums: Tensor

    def __init__(self, codebook: Codebook, decay: float = 0.99) -> None:
        super().__init__()
        self.nearest = codebook.nearest
        self.weight = codebook.embedding.weight.data
        self.decay = decay
        self.register_buffer("uses", torch.zeros(len(self.weight), device=self.weight.device))
        self.register_buffer("sums", torch.zeros_like(self.weight))

    @torch.no_grad()
    def born(self, vectors: Tensor, rounds: int = 8) -> None:
        """Place the codes among vectors (N, dim) by k-means."""
        count = len(self.weight)
        order = torch.randperm(len(vectors)).repeat(-(-count // len(vectors)))
        self.weight.copy_(vectors[order[:count]])
        for _ in range(rounds):
            nearest = self.nearest(vectors)
            counts = torch.bincount(nearest, minlength=count).float()
            sums = torch.zeros_like(self.sums).index_add_(0, nearest, vectors)
            used = counts > 0
            self.weight[used] = sums[used] / counts[used, None]

    @torch.no_grad()
    def follow(self, vectors: Tensor, indices: Tensor) -> None:
        """Move each code to the average of its vectors; revive some of the unused."""
        if not self.uses.any():  # just born, or read from a file
            self.uses.fill_(len(vectors) / (1 - self.decay) / len(self.weight))
            self.sums.copy_(self.weight * self.uses[:, None])
        counts = torch.bincount(indices, minlength=len(self.weight)).float()
        self.uses.mul_(self.decay).add_(counts)
        self.sums.mul_(self.decay).index_add_(0, indices, vectors)
        used = self.uses > 0.05
        self.weight[used] = self.sums[used] / self.uses[used, None]
        dead = (~used).nonzero()[:, 0][:REVIVED]
        self.weight[dead] = vectors[torch.randint(0, len(vectors), (len(dead),))]
        self.uses[dead] = 1.0
        self.sums[dead] = self.weight[dead]


@torch.no_grad()
def start_as_mosaic(network: VQGAN) -> None:
    """Let the untrained network pass the picture on as a mosaic, one soft-edged colour a code.

    Red, green and blue run along the shortcuts from end to end, and all residual branches begin
    at zero. Both last normalisations are in the way, so in their groups a colour comes with its
    negative (together they have no mean to lose, and SiLU(a) - SiLU(-a) = a) and with a large
    constant and its negative, which fix the scale.
    """
    values = dict(network.named_parameters())
    for name, parameter in values.items():
        if name.endswith(("conv2.weight", "conv2.bias", "proj_out.weight", "proj_out.bias")):
            parameter.zero_()
    half = torch.tensor([[0.25, 0.25, 0.0], [0.25, 0.25, 0.0], [0.0, 0.0, 0.0]])
    soft = torch.outer(torch.tensor([0.25, 0.5, 0.25]), torch.tensor([0.25, 0.5, 0.25]))
    plain = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])

    def wire(layer: Any, weights: dict[tuple[int, int], float], kernel: Tensor = plain) -> None:
        """Let channels out be made of channels in, {(out, in): weight}, and of nothing else."""
        for out, _ in weights:
            layer.weight[out] = 0
            layer.bias[out] = 0
        for (out, channel), weight in weights.items():
            layer.weight[out, channel] = weight * (kernel if layer.kernel_size[0] == 3 else 1.0)

    def colours(gain: float = 1.0) -> dict[tuple[int, int], float]:
        return {(colour, colour): gain for colour in range(3)}

    def with_negatives(layer: Any, constant: float) -> None:
        """Make of three colours three groups of four: colour, negative, constant, negative."""
        layer.weight[:12] = 0
        layer.bias[:12] = 0
        for colour in range(3):
            layer.weight[4 * colour, colour] = 1
            layer.weight[4 * colour + 1, colour] = -1
            layer.bias[4 * colour + 2] = constant
            layer.bias[4 * colour + 3] = -constant

    def read_back(layer: Any, gain: float) -> None:
        pairs = {(colour, 4 * colour): gain for colour in range(3)}
        wire(layer, pairs | {(colour, 4 * colour + 1): -gain for colour in range(3)})

    encoder: Any = network.encoder
    decoder: Any = network.decoder
    wire(encoder.conv_in, colours())
    last_shortcut = encoder.down[-1].block[0].nin_shortcut
    for level in encoder.down:
        for block in level.block:
            if hasattr(block, "nin_shortcut"):
                wire(block.nin_shortcut, colours())
        if hasattr(level, "downsample"):
            wire(level.downsample.conv, colours(), half)
    constant = 6.0
    with_negatives(last_shortcut, constant)
    # twelve of the sixteen channels of the group are wired; half of these hold the constant
    read_back(encoder.conv_out, SCALE * constant * math.sqrt(6 / 16))
    wire(network.quant_conv, colours())
    wire(network.post_quant_conv, colours(1 / SCALE))
    wire(decoder.conv_in, colours())
    wired = False
    for level in reversed(decoder.up):
        for block in level.block:
            if hasattr(block, "nin_shortcut"):
                wired = block.nin_shortcut.out_channels == network.options.channels
                if wired:
                    with_negatives(block.nin_shortcut, constant)
                else:
                    wire(block.nin_shortcut, colours())
        if hasattr(level, "upsample"):
            passed = {(c, c): 1.0 for c in range(12)} if wired else colours()
            wire(level.upsample.conv, passed, plain if wired else soft)
    decoder.conv_out.weight.mul_(0.3)
    values["decoder.conv_out.bias"].zero_()
    read_back(decoder.conv_out, constant / math.sqrt(2))


def blur_of_psnr(picture: Tensor, wanted: float) -> Tensor:
    """Return a picture (1, 3, H, W) in [0, 1] blurred until its PSNR falls to ``wanted`` dB."""
    low, high = 0.1, 12.0
    for _ in range(12):
        middle = (low + high) / 2
        out = blurred(picture, middle)
        low, high = (middle, high) if psnr(out, picture) > wanted else (low, middle)
    return out


def evaluate(network: nn.Module, count: int = 8, size: int = 1024) -> dict[str, float]:
    """Return figures of the round trip of ``count`` pictures of ``size`` px.

    The sharpness is the energy of the gradients next to the original's, and next to it that of a
    plain blur with the same PSNR.
    """
    assert isinstance(network, VQGAN)
    device = next(network.parameters()).device
    used: set[int] = set()
    rows = []
    for picture in (held_out(count, size) / 2 + 0.5).split(1):
        with torch.inference_mode(), autocast(str(device), network.options.channels):
            indices = network.indices(network.encode(picture.to(device) * 2 - 1))
            out = (network.decode(indices).float().cpu() / 2 + 0.5).clamp(0, 1)
        used |= set(indices.flatten().tolist())
        quality = psnr(out, picture)
        energies = [
            float(gradients(part).square().mean())
            for part in (picture, out, blur_of_psnr(picture, quality))
        ]
        rows.append((quality, energies[1] / energies[0], energies[2] / energies[0]))
    quality, mine, blurs = np.mean(rows, 0)
    return {
        "psnr": round(float(quality), 2),
        "sharpness": round(float(mine), 3),
        "blur_sharpness": round(float(blurs), 3),
        "codes_used": len(used),
    }


def pools(run: Run) -> list[Pool]:
    """Return the pools of pictures that the detailer is trained on: the enlarger's own."""
    return train_enlarger.pools(run)[:2]


def job(run: Run, drawn: list[Pool]) -> Job:
    """Return how the detailer is trained."""
    options = VQGANOptions(
        channels=32, channel_mult=(1, 1, 2, 4), res_blocks=1, attention_resolutions=(),
        resolution=256, z_channels=64, embed_dim=8, codes=32 if run.tiny else 8192, groups=8,
    )  # fmt: skip
    network = VQGAN(options)
    started = start_from(run, network, "detailer")
    if not started:
        start_as_mosaic(network)
    network, batch = on_device(network, run.device), run.batch(1, 8)
    network.quantize.embedding.weight.requires_grad_(False)
    codes = Codes(network.quantize)
    textures = Textures(WINDOW, SCALES).to(run.device)
    enlarger = on_device(open_network(run.weights("enlarger"), dtype=torch.float32)[0], run.device)
    birth, soft_from = (2, 3) if run.tiny else (BIRTH, SOFT_FROM)

    def make(rng: np.random.Generator) -> Tensor:
        return mosaics(drawn[int(rng.random() < 0.15)], rng, batch, SIDE)

    stream = prepared(run, make, 3)
    seen: deque[Tensor] = deque(maxlen=BANK)

    def quantized(z: Tensor, number: int) -> tuple[Tensor, Tensor, float]:
        """Return what the decoder is given for the vectors z, the commitment and the codes used."""
        vectors = z.detach().permute(0, 2, 3, 1).reshape(-1, z.shape[1])
        if number <= birth and not started:
            seen.append(vectors)
            if number < birth:
                return z + NOISE * torch.randn_like(z), 0.1 * F.relu(z.abs() - 2).mean(), 0.0
            codes.born(torch.cat(list(seen)))
        indices = network.quantize.nearest(vectors)
        chosen = network.quantize.embedding(indices).view(len(z), *z.shape[2:], -1)
        chosen = chosen.permute(0, 3, 1, 2)
        codes.follow(vectors, indices)
        commitment = COMMITMENT * (z - chosen.detach()).square().mean()
        return z + (chosen - z).detach(), commitment, float(indices.unique().numel())

    def step(number: int, progress: float) -> tuple[Tensor, Figures]:
        target = next(stream).to(run.device, non_blocking=True).float() / 255
        textured = started or number >= soft_from
        kind = "soft" if textured and number % 2 else "sharp"
        given = soften(target, enlarger) if kind == "soft" else target
        with autocast(run.device, options.channels):
            z = network.encode((given * 2 - 1).contiguous(memory_format=torch.channels_last))
        vectors, commitment, used = quantized(z.float(), number)
        with autocast(run.device, options.channels):
            out = network.decode_vectors(vectors)
        out = out.float() / 2 + 0.5
        loss, figures = picture_loss(out, target, edges=0.4, strength=0.2)
        small, figures_small = picture_loss(F.avg_pool2d(out, 4), F.avg_pool2d(target, 4), 0.5, 0.0)
        pixels = PIXELS_WEIGHT[kind] * loss + 0.5 * small
        figures |= {
            "l1_small": figures_small["l1"],
            "commitment": commitment.detach(),
            "codes": used,
            f"psnr_{kind}": psnr(out.detach(), target),
        }
        if textured:
            texture = textures(out, target)
            repeated = grid(out, target, PERIOD, GRID_SIDE)
            blocks = blocking(out, target, PERIOD, GRID_SIDE)
            pixels = pixels + TEXTURES_WEIGHT[kind] * texture
            pixels = pixels + GRID_WEIGHT * repeated + BLOCKING_WEIGHT * blocks
            figures |= {f"textures_{kind}": texture.detach(), "grid": repeated.detach()}
            figures[f"blocking_{kind}"] = blocks.detach()
        return pixels + commitment, figures

    def figures_of(average: nn.Module) -> dict[str, float]:
        return evaluate(average, 1, 256) if run.tiny else evaluate(average)

    return Job(
        "detailer", "vqgan", network, 8e-4, batch, step, figures_of, decay=0.995,
        beside={"codes": codes},
    )  # fmt: skip
