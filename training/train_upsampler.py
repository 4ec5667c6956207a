"""Train the embedded upsampler: a 64 px picture and its caption to 256 px.

    python training/train_upsampler.py --minutes 90

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
from bigart.networks.glide.model import GlideOptions, Text2ImUNet
from bigart.networks.glide.tokenizer import Tokenizer
from common import (
    HELD_OUT,
    Pool,
    autocast,
    batches,
    blurred,
    command,
    compiled,
    goes_on,
    held_out,
    parse,
    random_of,
    scene_at,
    train,
)
from diffusion_loss import Process
from painter import caption
from sampling import sample
from train_base import (
    caption_of,
    read_vocabulary,
    start_well,
    teach_words,
    tokenized,
)
from train_enlarger import psnr
from wiener_start import start_as_wiener_filter

CROP = 128
CAST = 0.5  # greatest strength of a colour cast, next to noise of strength 1
WORD_STEPS = 300


def shrunk(pictures: Tensor) -> Tensor:
    """Return pictures (B, 3, n, n) in [-1, 1] four times smaller, in 8-bit steps."""
    return _rounded(F.avg_pool2d(pictures, 4))


def faulty(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a picture (1, 3, n, n) four times smaller, every other with a blur, or with grain."""
    low = F.avg_pool2d(picture, 4)
    blur, grain = rng.uniform((-0.8, -0.05), (0.8, 0.05))
    if blur > 0.05:
        low = blurred(low, blur)
    if grain > 0:
        low = low + torch.from_numpy(rng.normal(0, grain, low.shape).astype(np.float32))
    return _rounded(low)


def _rounded(pictures: Tensor) -> Tensor:
    return (((pictures + 1) * 127.5).round() / 127.5 - 1).clamp(-1, 1)


def evaluate(network: nn.Module) -> dict[str, float]:
    """Return the PSNR of DDIM with 27 and 4 steps on held-out pictures, next to bicubic's."""
    high = held_out(8, CROP * 2)
    low = shrunk(high)
    rng = np.random.default_rng(3)
    captions = [caption(scene_at(HELD_OUT + i), rng) for i in range(len(high))]
    made = {"bicubic": F.interpolate(low, scale_factor=4, mode="bicubic").clamp(-1, 1)}
    for steps in ("fast27", "4"):
        made[steps] = sample(network, captions, steps, 1.0, "ddim", low, seed=3)
    return {
        f"psnr_{name}": round(psnr(out / 2 + 0.5, high / 2 + 0.5), 2) for name, out in made.items()
    }


def quarters(pictures: Tensor) -> Tensor:
    """Cut pictures (B, 3, n, n) into four, (4B, 3, n / 2, n / 2), all first quarters first."""
    halves = [half for part in pictures.chunk(2, 2) for half in part.chunk(2, 3)]
    return torch.cat(halves)


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


@torch.no_grad()
def summaries(network: Text2ImUNet, vocabulary: Tokenizer) -> Tensor:
    """Weaken what the text says to the U-Net, and return it for some captions, (B, width)."""
    network.transformer_proj.weight.mul_(0.1)
    network.transformer_proj.bias.mul_(0.1)
    rng = np.random.default_rng(1)
    captions = [caption_of(int(i), rng) for i in rng.integers(0, HELD_OUT, 256)]
    return network.encode_text(*tokenized(captions, vocabulary, network.options.text_ctx)).proj


def main() -> None:
    """Train."""
    parser = command("upsampler", minutes=90, rate=6e-4, batch=4)
    parser.add_argument("--small", type=float, default=0.5, help="share of the run on 64 px crops")
    arguments = parse(parser)
    vocabulary = read_vocabulary()
    options = GlideOptions(
        image_size=256, channels=32, res_blocks=1, channel_mult=(1, 1, 2, 4), head_channels=32,
        attention_resolutions=(), text_ctx=64, text_width=128, text_layers=1, text_heads=4,
        vocab=len(vocabulary.encoder), super_res=True, noise_schedule="linear", groups=8,
    )  # fmt: skip
    network = Text2ImUNet(options)
    if not goes_on(arguments):
        start_well(network)
        teach_words(network, vocabulary, WORD_STEPS, arguments.seed)
        start_as_wiener_filter(
            network, Process(options.noise_schedule, "cpu"), summaries(network, vocabulary)
        )
    network = network.to(arguments.device)
    fast = compiled(network, arguments.device)
    # the error in the noise or in the picture, whichever is larger (Salimans and Ho's truncated
    # SNR), up to where the noisy picture still says something; beyond, the optimizer's own jitter
    # would have the last word
    process = Process(options.noise_schedule, arguments.device, power=-1.0, bounds=(1.0, 30.0))
    pool = Pool(256, arguments.pictures or 3000, first=300)
    rng = random_of(arguments, 4)

    def make() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        crops, indices = pool.crops(rng, arguments.batch, CROP)
        pictures = crops.float() / 127.5 - 1
        low = torch.cat([faulty(picture, rng) for picture in pictures.split(1)])
        tokens, mask = tokenized(
            [caption_of(i, rng) for i in indices], vocabulary, options.text_ctx
        )
        return pictures, low, tokens, mask

    stream = batches(make)

    def step(number: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        x0, low, tokens, mask = (part.to(arguments.device) for part in next(stream))
        if progress < arguments.small:
            x0, low = quarters(x0), quarters(low)
            tokens, mask = tokens.repeat(4, 1), mask.repeat(4, 1)
        # most where the picture is decided: before there is only noise to see, after only grain
        times = (torch.rand(2, len(x0), device=x0.device).mean(0) * 1000).long()
        noise = noise_with_casts(x0.shape).to(x0.device)
        xt = process.noisy(x0, times, noise)
        with autocast(arguments.device):
            out = fast(xt, times, tokens, mask, low)
        return process.loss(out, x0, xt, noise, times)

    train(arguments, network, "glide", step, evaluate)


if __name__ == "__main__":
    main()
