"""How the embedded enlarger is trained: an RRDBNet, four times larger, sharp.

A step has two parts. Of crops of the painter's pictures, and of dead leaves for everything that no
one painted, it is given what ``degrade`` and others make of them. Of mosaics of the painter's
pictures at 2048 and 4096 px it is given what its second use will be: what the first use and the
detailer make of the picture sixteen times smaller. The loss is L1, L1 of the gradients, and the
strength of the gradients over small windows, which wants brush marks as crisp as the original's
without asking for the very same pixels; and the textures (``textures.py``), most of all in the
second part, where what was there is lost and only its like can be put in its place. Marks that
come back with each pixel cost, and so do blocks.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common  # noqa: F401  (finds the library)
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.options import RRDBNetOptions
from bigart.weights.conversion import open_network
from common import (
    HELD_OUT,
    Figures,
    Job,
    Picture,
    Pool,
    Run,
    autocast,
    on_device,
    pictures_at,
    prepared,
    scene_at,
    start_from,
)
from dead_leaves import dead_leaves
from degrade import degrade, jag, shrink
from painter import paint
from pipeline import mosaics, soften, speckled
from textures import Textures, blocking, grid

#: What is done to the pictures, and to which share of them; some are only made smaller, for what is
#: good is not to be made worse.
FAULTS = (degrade, shrink, jag)
SHARES = (0.5, 0.2, 0.3)
KINDS = (0.35, 0.25, 0.15, 0.25)  # of 1024, 2048, 4096 px and of dead leaves
KIND_OF_LEAVES = 3
SIDE = 384  # of a mosaic
PIXELS_WEIGHT = {"crop": 2.0, "mosaic": 0.6}
TEXTURES_WEIGHT, WINDOW, SCALES = 0.15, 48, (0.5, 1.0)  # from half the print's size on
GRID_WEIGHT, PERIOD, GRID_SIDE = 30.0, 4, 48  # of marks that come back with each pixel given
#: Of blocks as large as what is made of a pixel and of one of the detailer's codes.
BLOCKING_WEIGHT, BLOCKS = 0.05, {"crop": ((PERIOD, 64),), "mosaic": ((PERIOD, 96), (32, 96))}


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
) -> tuple[Tensor, Figures]:
    """Return L1 + edges * L1 of gradients + strength * L1 of local gradient strength."""
    l1 = (out - target).abs().mean()
    mine, theirs = gradients(out), gradients(target)
    edge = (mine - theirs).abs().mean()
    local = (F.avg_pool2d(mine.abs(), 8, 4) - F.avg_pool2d(theirs.abs(), 8, 4)).abs().mean()
    return l1 + edges * edge + strength * local, {
        "l1": l1.detach(),
        "edge": edge.detach(),
        "local": local.detach(),
    }


def psnr(out: Tensor, target: Tensor) -> float:
    """Return the PSNR in dB of pictures in [0, 1]."""
    return float(-10 * torch.log10((out.clamp(0, 1) - target).square().mean((1, 2, 3))).mean())


def bare_at(index: int, size: int) -> Picture:
    """Return picture ``index`` without the threads of its canvas, (size, size, 3).

    A network that learns to paint threads paints a grid on everything.
    """
    return paint(scene_at(index), size, index, weave=False)


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
        sizes = [(256, 2, 1), (256, 2, 1), (512, 2, 1), (256, 2, 1)]
    else:
        sizes = [(1024, 240, 48), (2048, 64, 16), (4096, 24, 8), (512, 200, 48)]
    kinds = [(bare_at, "bare-")] * 3 + [(leaves_at, "leaves-")]
    return [
        Pool(run.pictures, size, count, first, make, kind)
        for (size, count, first), (make, kind) in zip(sizes, kinds, strict=True)
    ]


def job(run: Run, drawn: list[Pool]) -> Job:
    """Return how the enlarger is trained."""
    features, blocks, growth = (8, 1, 4) if run.tiny else (32, 4, 16)
    network = RRDBNet(RRDBNetOptions(scale=4, features=features, blocks=blocks, growth=growth))
    started = start_from(run, network, "enlarger")
    if not started:
        start_as_nearest(network)
    network = on_device(network, run.device)
    crops_at_once, mosaics_at_once = run.batch(8, 32), run.batch(1, 6)
    detailer = on_device(open_network(run.weights("detailer"), dtype=torch.float32)[0], run.device)
    side = 128 if run.tiny else SIDE
    textures = Textures(WINDOW, SCALES).to(run.device)

    def make(rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        kind = int(rng.choice(len(drawn), p=KINDS))
        crops = drawn[kind].crops(rng, drawn[kind].some(rng, crops_at_once), 128)
        high = crops.permute(0, 2, 3, 1).numpy()
        how = rng.choice(len(FAULTS), len(high), p=SHARES)
        low = np.stack([FAULTS[i](p, 4, rng) for i, p in zip(how, high, strict=True)])
        large = mosaics(drawn[int(rng.choice([1, 2]))], rng, mosaics_at_once, side)
        painted = torch.from_numpy((how != FAULTS.index(degrade)) & (kind != KIND_OF_LEAVES))
        return torch.from_numpy(low).permute(0, 3, 1, 2), crops, painted, large

    stream = prepared(run, make, 2)

    def enlarged(low: Tensor) -> Tensor:
        with autocast(run.device, features):
            return network(low.contiguous(memory_format=torch.channels_last)).float()

    @torch.no_grad()
    def handed_over(large: Tensor) -> Tensor:
        """Return what the stages before the last make of pictures, four times smaller."""
        soft = soften(F.avg_pool2d(large, 4), enlarged)
        with autocast(run.device, features):
            return (detailer(soft * 2 - 1).float() / 2 + 0.5).clamp(0, 1)

    def step(number: int, progress: float) -> tuple[Tensor, Figures]:
        low, crops, painted, large = (
            part.to(run.device, non_blocking=True) for part in next(stream)
        )
        low, crops, large = (part.float() / 255 for part in (low, crops, large))
        low = torch.where(painted[:, None, None, None], speckled(low), low)
        loss, figures = torch.zeros((), device=run.device), Figures()
        for kind, given, target in (("crop", low, crops), ("mosaic", handed_over(large), large)):
            out = enlarged(given)
            pixels, of_pixels = picture_loss(out, target, edges=0.5, strength=0.4)
            repeated = grid(out, target, PERIOD, GRID_SIDE)
            loss = loss + PIXELS_WEIGHT[kind] * pixels + GRID_WEIGHT * repeated
            figures |= {f"{name}_{kind}": value for name, value in of_pixels.items()}
            figures[f"grid_{kind}"] = repeated.detach()
            for period, square in BLOCKS[kind]:
                blocks = blocking(out, target, period, square)
                loss = loss + BLOCKING_WEIGHT * blocks
                figures[f"blocking_{kind}_{period}"] = blocks.detach()
            if kind == "mosaic":
                coarse, _ = picture_loss(F.avg_pool2d(out, 8), F.avg_pool2d(target, 8), 0.5, 0.0)
                texture = textures(F.avg_pool2d(out, 2), F.avg_pool2d(target, 2))
                loss = loss + 0.5 * coarse + TEXTURES_WEIGHT * texture
                figures["textures"] = texture.detach()
        return loss, figures

    def figures_of(average: nn.Module) -> dict[str, float]:
        return evaluate(average, 1, 256) if run.tiny else evaluate(average)

    return Job("enlarger", "rrdbnet", network, 6e-4, crops_at_once, step, figures_of, decay=0.995)
