"""How the embedded upsampler is trained: a 64 px picture and its caption to 256 px.

Linear schedule, learned variance. It learns on crops of 64 px, then of 128; the network is
convolutional but for one attention layer at its smallest level. What it is given is the crop,
four times smaller, rounded to 8 bits, and often with a little blur and grain, since the base
network's pictures are not as clean as the painter's.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common  # noqa: F401  (finds the library)
from bigart.networks.native.glide.model import Text2ImUNet
from common import (
    HELD_OUT,
    Figures,
    Job,
    Pool,
    Run,
    autocast,
    compiled,
    held_out,
    on_device,
    prepared,
    read_vocabulary,
    scene_at,
    start_from,
    tokenized,
)
from diffusion_loss import Process
from painter import caption, sample_scene
from sampling import sample
from train_base import NO_CAPTION, glide_options, start_well, teach_words
from train_enlarger import psnr
from wiener_start import start_as_wiener_filter

CROP = 128
CAST = 0.5  # greatest strength of a colour cast, next to noise of strength 1
WORD_STEPS = 300
SMALL = 0.4  # share of a run from nothing on crops of 64 px
BLURS = 7  # taps


def shrunk(pictures: Tensor) -> Tensor:
    """Return pictures (B, 3, n, n) in [-1, 1] four times smaller, in 8-bit steps."""
    return _rounded(F.avg_pool2d(pictures, 4))


def faulty(pictures: Tensor) -> Tensor:
    """Return pictures (B, 3, n, n) four times smaller, half with a blur, half with grain."""
    low = F.avg_pool2d(pictures, 4)
    batch, device = len(low), low.device
    sigma = (torch.rand(batch, 1, device=device) * 1.6 - 0.8).clamp(min=0.05)
    x = torch.arange(BLURS, device=device) - BLURS // 2
    taps = torch.exp(-0.5 * (x / sigma) ** 2)
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None, None]
    flat = F.pad(low.reshape(1, 3 * batch, *low.shape[2:]), (BLURS // 2,) * 4, mode="reflect")
    flat = F.conv2d(F.conv2d(flat, taps, groups=3 * batch), taps.mT, groups=3 * batch)
    grain = (torch.rand(batch, 1, 1, 1, device=device) * 0.1 - 0.05).clamp(min=0)
    return _rounded(flat.view_as(low) + grain * torch.randn_like(low))


def _rounded(pictures: Tensor) -> Tensor:
    return (((pictures + 1) * 127.5).round() / 127.5 - 1).clamp(-1, 1)


def evaluate(network: nn.Module, count: int = 8) -> dict[str, float]:
    """Return PSNR on held-out pictures: bicubic, DDIM with 27 and 4 steps, and one estimate."""
    assert isinstance(network, Text2ImUNet)
    high = held_out(count, network.options.image_size)
    low = shrunk(high)
    rng = np.random.default_rng(3)
    captions = [caption(scene_at(HELD_OUT + i), rng) for i in range(len(high))]
    made = {"bicubic": F.interpolate(low, scale_factor=4, mode="bicubic").clamp(-1, 1)}
    for steps in ("fast27", "4"):
        made[steps] = sample(network, captions, steps, 1.0, "ddim", low, seed=3)
    made["estimate"] = estimate(network, captions, low, high)
    return {
        f"psnr_{name}": round(psnr(out / 2 + 0.5, high / 2 + 0.5), 2) for name, out in made.items()
    }


@torch.inference_mode()
def estimate(network: nn.Module, captions: list[str], low: Tensor, high: Tensor) -> Tensor:
    """Return the pictures that the network sees in noisy ones of the middle of its schedule."""
    device = next(network.parameters()).device
    process = Process("linear", str(device))
    tokens, mask = (part.to(device) for part in tokenized(captions, read_vocabulary()))
    times = torch.full((len(high),), 500, device=device)
    noise = torch.randn(high.shape, generator=torch.Generator().manual_seed(3)).to(device)
    xt = process.noisy(high.to(device), times, noise)
    eps = network(xt, times, tokens, mask, low_res=low.to(device))[:, :3].float()
    return ((xt - process.noise[500] * eps) / process.signal[500]).clamp(-1, 1).cpu()


def quarters(pictures: Tensor) -> Tensor:
    """Cut pictures (B, 3, n, n) into four, (4B, 3, n / 2, n / 2), all first quarters first."""
    halves = [half for part in pictures.chunk(2, 2) for half in part.chunk(2, 3)]
    return torch.cat(halves)


def noise_with_casts(shape: torch.Size, device: str) -> Tensor:
    """Return noise that often has a colour cast, over all of a picture or in large patches.

    The network then takes what is coarse from the small picture, which knows, and not from the
    noisy one: early errors in brightness are corrected instead of carried on to the end.
    """
    batch, channels, *_ = shape
    noise = torch.randn(shape, device=device)
    for side in (1, 4):
        strength = torch.rand(batch, 1, 1, 1, device=device) * CAST
        coarse = torch.randn(batch, channels, side, side, device=device) * strength
        noise += F.interpolate(coarse, shape[2:], mode="bilinear")
    return noise


@torch.no_grad()
def summaries(network: Text2ImUNet) -> Tensor:
    """Weaken what the text says to the U-Net, and return it for some captions, (B, width)."""
    network.transformer_proj.weight.mul_(0.1)
    network.transformer_proj.bias.mul_(0.1)
    rng = np.random.default_rng(1)
    captions = [caption(sample_scene(rng), rng) for _ in range(256)]
    return network.encode_text(*tokenized(captions, read_vocabulary())).proj


def pools(run: Run) -> list[Pool]:
    """Return the pools of pictures that the upsampler is trained on."""
    return [Pool(run.pictures, 256, 4 if run.tiny else 6000, first=2 if run.tiny else 1200)]


def job(run: Run, drawn: list[Pool]) -> Job:
    """Return how the upsampler is trained."""
    (pool,) = drawn
    options = glide_options(
        run.tiny,
        image_size=64 if run.tiny else 256,
        attention_resolutions=(),
        super_res=True,
        noise_schedule="linear",
    )
    network = Text2ImUNet(options)
    started = start_from(run, network, "upsampler")
    if not started:
        start_well(network)
        teach_words(network, read_vocabulary(), 2 if run.tiny else WORD_STEPS, run.seed)
        if not run.tiny:
            texts = summaries(network)
            start_as_wiener_filter(network, Process(options.noise_schedule, "cpu"), texts)
    network = on_device(network, run.device)
    fast, batch = compiled(network, run), run.batch(4, 48)
    small = 0.0 if started else SMALL
    # the error in the noise or in the picture, whichever is larger (Salimans and Ho's truncated
    # SNR), up to where the noisy picture still says something; beyond, the optimizer's own jitter
    # would have the last word
    process = Process(options.noise_schedule, run.device, power=-1.0, bounds=(1.0, 30.0))

    def make(rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        indices = pool.some(rng, batch)
        return pool.crops(rng, indices, CROP), *pool.texts(rng, indices, NO_CAPTION)

    stream = prepared(run, make, 4)

    def step(number: int, progress: float) -> tuple[Tensor, Figures]:
        crops, tokens, mask = (part.to(run.device, non_blocking=True) for part in next(stream))
        x0 = crops.float() / 127.5 - 1
        low = faulty(x0)
        if progress < small:
            x0, low = quarters(x0), quarters(low)
            tokens, mask = tokens.repeat(4, 1), mask.repeat(4, 1)
        # most where the picture is decided: before there is only noise to see, after only grain
        times = (torch.rand(2, len(x0), device=x0.device).mean(0) * 1000).long()
        noise = noise_with_casts(x0.shape, run.device)
        xt = process.noisy(x0, times, noise)
        with autocast(run.device, options.channels):
            out = fast(xt, times, tokens, mask, low_res=low)
        return process.loss(out, x0, xt, noise, times)

    def figures(average: nn.Module) -> dict[str, float]:
        return evaluate(average, 1 if run.tiny else 8)

    return Job("upsampler", "glide", network, 6e-4, batch, step, figures)
