"""Train the embedded upsampler: a 64 px picture and its caption to 256 px.

    python training/train_upsampler.py --minutes 75

Linear schedule, learned variance. It learns on crops of 64 px, then of 128; the network is
convolutional but for one attention layer at its smallest level. What it is given is the crop,
four times smaller, rounded to 8 bits and often blurred a little, since the base network's pictures
are softer than the painter's.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common  # noqa: F401  (finds the library)
from bigart.glide.diffusion import Schedule
from bigart.glide.model import GlideOptions, Text2ImUNet
from bigart.glide.samplers import ddim
from common import (
    HELD_OUT,
    Pool,
    autocast,
    batches,
    command,
    compiled,
    goes_on,
    parse,
    picture_at,
    scene_at,
    train,
)
from diffusion_loss import Process
from train_base import (
    caption_of,
    read_vocabulary,
    start_well,
    start_with_noise_passed_on,
    teach_words,
    tokenized,
)
from train_enlarger import psnr

CROP = 128
CAST = 0.5  # greatest strength of a colour cast, next to noise of strength 1
WORD_STEPS = 300


def shrunk(pictures: Tensor, blur: float = 0.0) -> Tensor:
    """Return pictures (B, 3, n, n) in [-1, 1] four times smaller, in 8-bit steps.

    Args:
        pictures: In [-1, 1].
        blur: Sigma in pixels of the small picture, 0 for none.
    """
    low = F.avg_pool2d(pictures, 4)
    if blur > 0.05:
        taps = torch.exp(-0.5 * (torch.arange(-2, 3, device=low.device) / blur) ** 2)
        taps = taps / taps.sum()
        kernel = (taps[:, None] * taps[None]).expand(3, 1, 5, 5)
        low = F.conv2d(F.pad(low, (2, 2, 2, 2), mode="replicate"), kernel, groups=3)
    return (((low + 1) * 127.5).round() / 127.5 - 1).clamp(-1, 1)


def evaluate(network: nn.Module) -> dict[str, float]:
    """Return the PSNR of fast27 DDIM on held-out pictures, next to bicubic's."""
    assert isinstance(network, Text2ImUNet)
    device = next(network.parameters()).device
    indices = range(HELD_OUT, HELD_OUT + 8)
    high = (
        torch.from_numpy(np.stack([picture_at(i, 256) for i in indices])).permute(0, 3, 1, 2)
        / 127.5
        - 1
    )
    low = shrunk(high)
    rng = np.random.default_rng(3)
    captions = [scene_at(i).caption(rng) for i in indices]
    tokens, mask = tokenized(captions, read_vocabulary(), network.options.text_ctx)
    noise = torch.randn(high.shape, generator=torch.Generator().manual_seed(3)) * 0.997
    with torch.inference_mode():
        text = network.encode_text(tokens.to(device), mask.to(device))

        def denoiser(x: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
            times = torch.full((len(x),), timestep, device=device)
            with autocast(str(device)):
                out = network.denoise(x, times, text, low.to(device)).float()
            return out[:, :3], out[:, 3:]

        *_, out = ddim(
            denoiser, Schedule.create("linear", "fast27"), noise.to(device), lambda i: noise
        )
    plain = F.interpolate(low, scale_factor=4, mode="bicubic").clamp(-1, 1)
    return {
        "psnr": round(psnr(out.cpu() / 2 + 0.5, high / 2 + 0.5), 2),
        "bicubic_psnr": round(psnr(plain / 2 + 0.5, high / 2 + 0.5), 2),
    }


def noise_with_casts(shape: torch.Size) -> Tensor:
    """Return noise that often has a colour cast, over all of a picture or in large patches.

    The network then takes what is coarse from the small picture, which knows, and not from the
    noisy one: early errors in brightness are mended instead of carried on to the end.
    """
    batch, channels, *_ = shape
    noise = torch.randn(shape)
    for side in (1, 4):
        coarse = torch.randn(batch, channels, side, side) * torch.rand(batch, 1, 1, 1) * CAST
        noise += F.interpolate(coarse, shape[2:], mode="bilinear")
    return noise


def main() -> None:
    """Train."""
    parser = command("upsampler", minutes=75, rate=1e-3, batch=4)
    parser.add_argument("--small", type=float, default=0.6, help="share of the run on 64 px crops")
    arguments = parse(parser)
    vocabulary = read_vocabulary()
    options = GlideOptions(
        image_size=256, channels=32, res_blocks=1, channel_mult=(1, 1, 2, 4), head_channels=32,
        attention_resolutions=(), text_ctx=64, text_width=128, text_layers=1, text_heads=4,
        vocab=len(vocabulary.encoder), super_res=True, noise_schedule="linear", groups=8,
    )  # fmt: skip
    network = Text2ImUNet(options)
    start_well(network)
    start_with_noise_passed_on(network)
    if not goes_on(arguments):
        teach_words(network, vocabulary, WORD_STEPS, arguments.seed)
    network = network.to(arguments.device)
    fast = compiled(network, arguments.device)
    # the error in the noise or in the picture, whichever is larger (Salimans and Ho's truncated
    # SNR); beyond 300 the normalisations' own jitter would have the last word
    process = Process(options.noise_schedule, arguments.device, power=-1.0, bounds=(1.0, 300.0))
    pool = Pool(256, arguments.pictures or 3000, first=300)
    rng = np.random.default_rng((arguments.seed, 4))
    progress_now = 0.0

    def make() -> tuple[Tensor, Tensor, Tensor]:
        small = progress_now < arguments.small
        pictures, indices = pool.crops(rng, arguments.batch * (4 if small else 1), CROP >> small)
        tokens, mask = tokenized(
            [caption_of(i, rng) for i in indices], vocabulary, options.text_ctx
        )
        return pictures, tokens, mask

    stream = batches(make)

    def step(number: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        nonlocal progress_now
        progress_now = progress
        pictures, tokens, mask = (part.to(arguments.device) for part in next(stream))
        x0 = pictures.float() / 127.5 - 1
        low = shrunk(x0, float(max(0.0, rng.uniform(-0.4, 0.8))))
        times = torch.randint(0, 1000, (len(x0),), device=x0.device)
        noise = noise_with_casts(x0.shape).to(x0.device)
        xt = process.noisy(x0, times, noise)
        with autocast(arguments.device):
            out = fast(xt, times, tokens, mask, low)
        return process.loss(out, x0, xt, noise, times)

    train(arguments, network, "glide", step, evaluate)


if __name__ == "__main__":
    main()
