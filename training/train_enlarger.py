"""How the embedded enlarger is trained: an RRDBNet, four times larger, sharp.

Learns from the painter's pictures at 1024 and 2048 px, and from dead leaves for everything that
no one painted, and what ``degrade`` makes of them. The loss is L1, L1 of the gradients, and the
strength of the gradients over small windows: the last wants brush marks as crisp as the original's
without asking for the very same pixels.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common  # noqa: F401  (finds the library)
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.options import RRDBNetOptions
from common import (
    HELD_OUT,
    Job,
    Picture,
    Pool,
    Run,
    autocast,
    on_device,
    picture_at,
    pictures_at,
    prepared,
    start_from,
)
from dead_leaves import dead_leaves
from degrade import degrade, jag, shrink

#: What is done to the pictures, and to which share of them; some are only made smaller, for what is
#: good is not to be made worse.
FAULTS = (degrade, shrink, jag)
SHARES = (0.5, 0.2, 0.3)


def start_as_nearest(network: RRDBNet) -> None:
    """Let the untrained network be a nearest-neighbour enlargement, and learn from there."""
    for name, parameter in network.named_parameters():
        if "RRDB_trunk" in name:
            parameter.data.mul_(0.5)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            parameter.data.mul_(0.5)
            if name.startswith("trunk_conv"):
                nn.init.zeros_(parameter)
                continue
            parameter.data[:3] = 0
            if name.startswith("conv_last"):
                parameter.data.zero_()
            for channel in range(3):
                parameter.data[channel, channel, 1, 1] = 1


def gradients(picture: Tensor) -> Tensor:
    """Return differences along x and y, (B, 6, H - 1, W - 1)."""
    dx = picture[..., :-1, 1:] - picture[..., :-1, :-1]
    dy = picture[..., 1:, :-1] - picture[..., :-1, :-1]
    return torch.cat([dx, dy], 1)


def picture_loss(
    out: Tensor, target: Tensor, edges: float, strength: float
) -> tuple[Tensor, dict[str, float]]:
    """Return L1 + edges * L1 of gradients + strength * L1 of local gradient strength."""
    l1 = (out - target).abs().mean()
    mine, theirs = gradients(out), gradients(target)
    edge = (mine - theirs).abs().mean()
    local = (F.avg_pool2d(mine.abs(), 8, 4) - F.avg_pool2d(theirs.abs(), 8, 4)).abs().mean()
    return l1 + edges * edge + strength * local, {
        "l1": float(l1.detach()),
        "edge": float(edge.detach()),
        "local": float(local.detach()),
    }


def psnr(out: Tensor, target: Tensor) -> float:
    """Return the PSNR in dB of pictures in [0, 1]."""
    return float(-10 * torch.log10((out.clamp(0, 1) - target).square().mean((1, 2, 3))).mean())


def leaves_at(index: int, size: int) -> Picture:
    """Return picture ``index`` of dead leaves, (size, size, 3)."""
    return dead_leaves(np.random.default_rng((11, index)), size)


def evaluate(network: nn.Module, count: int = 12, size: int = 1024) -> dict[str, float]:
    """Return PSNR over bicubic and sharpness on crops of ``count`` degraded held-out pictures."""
    rng, side = np.random.default_rng(9), size * 3 // 8
    device = next(network.parameters()).device
    pairs = []
    for picture in pictures_at(range(HELD_OUT, HELD_OUT + count), size):
        top, left = rng.integers(0, size - side, 2)
        high = picture[top : top + side, left : left + side]
        pairs.append((degrade(high, 4, rng), high))
    lows, highs = (
        torch.from_numpy(np.stack(part)).permute(0, 3, 1, 2).float() / 255
        for part in zip(*pairs, strict=True)
    )
    with torch.inference_mode():
        out = network(lows.to(device)).cpu().clamp(0, 1)
    plain = F.interpolate(lows, scale_factor=4, mode="bicubic").clamp(0, 1)
    sharp = [float(gradients(part).abs().mean()) for part in (out, plain, highs)]
    return {
        "psnr": round(psnr(out, highs), 2),
        "bicubic_psnr": round(psnr(plain, highs), 2),
        "sharpness": round(sharp[0] / sharp[2], 3),
        "bicubic_sharpness": round(sharp[1] / sharp[2], 3),
    }


def pools(run: Run) -> list[Pool]:
    """Return the pools of pictures that the enlarger is trained on, the painter's first."""
    if run.tiny:
        sizes = [(256, 2, 1), (256, 2, 1), (256, 2, 1)]
    else:
        sizes = [(1024, 160, 48), (2048, 32, 16), (512, 200, 48)]
    kinds = [(picture_at, ""), (picture_at, ""), (leaves_at, "leaves-")]
    return [
        Pool(run.pictures, size, count, first, make, kind)
        for (size, count, first), (make, kind) in zip(sizes, kinds, strict=True)
    ]


def job(run: Run, drawn: list[Pool]) -> Job:
    """Return how the enlarger is trained."""
    features, blocks, growth = (8, 1, 4) if run.tiny else (32, 4, 16)
    network = RRDBNet(RRDBNetOptions(scale=4, features=features, blocks=blocks, growth=growth))
    if not start_from(run, network, "enlarger"):
        start_as_nearest(network)
    network, batch = on_device(network, run.device), run.batch(8, 64)

    def make(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        pool = drawn[int(rng.choice(3, p=(0.45, 0.3, 0.25)))]
        crops = pool.crops(rng, pool.some(rng, batch), 128)
        high = crops.permute(0, 2, 3, 1).numpy()
        how = rng.choice(len(FAULTS), len(high), p=SHARES)
        low = np.stack([FAULTS[i](p, 4, rng) for i, p in zip(how, high, strict=True)])
        return torch.from_numpy(low).permute(0, 3, 1, 2), crops

    stream = prepared(run, make, 2)

    def step(number: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        low, high = (part.to(run.device).float() / 255 for part in next(stream))
        with autocast(run.device, features):
            out = network(low.contiguous(memory_format=torch.channels_last))
        return picture_loss(out.float(), high, edges=0.5, strength=0.4)

    def figures(average: nn.Module) -> dict[str, float]:
        return evaluate(average, 1, 256) if run.tiny else evaluate(average)

    return Job("enlarger", "rrdbnet", network, 6e-4, batch, step, figures, decay=0.995)
