"""Look at what the embedded networks do: three contact sheets, from the weights files as they are.

    python training/look.py --out training/runs/look

thumbnails.png: the article's prompts, several candidates each, with guidance; upsampled.png: the
same at 256 px; finish.png: crops of painter pictures, degraded, enlarged four times, and the round
trip through the codebook, next to the originals.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import common
from bigart.checkpoints import open_network
from bigart.glide.diffusion import Schedule
from bigart.glide.model import Text2ImUNet
from bigart.glide.samplers import SAMPLERS, conditioned, guided
from common import HELD_OUT, picture_at
from degrade import degrade
from train_base import read_vocabulary, tokenized

PROMPTS = (
    "an abstract painting with colored circles",
    "an abstract painting with orange triangles",
    "a splatter of thin yellow and black lines",
    "color blocks of purple and green squares",
    "a painting of an italian villa",
    "sunset over a lake",
    "snowy mountains",
    "a painting of rolling farmland",
    "a seascape with crashing waves",
    "boston city skyline at night",
    "a still life painting of blue and red glass bottles",
    "a bowl of fruit",
    "goldfish in a glass bowl",
)


def sample(
    network: Text2ImUNet,
    prompt: str,
    count: int,
    steps: str,
    guidance: float,
    sampler: str,
    low: Tensor | None = None,
) -> Tensor:
    """Return pictures (count, 3, n, n) in [-1, 1]."""
    tokens, mask = tokenized([prompt, ""], read_vocabulary(), network.options.text_ctx)
    side = network.options.image_size
    generator = torch.Generator().manual_seed(1)

    def noise(draw: int) -> Tensor:
        return torch.randn(count, 3, side, side, generator=generator)

    with torch.inference_mode():
        text = network.encode_text(tokens[:1], mask[:1])
        nothing = network.encode_text(tokens[1:], mask[1:])
        if low is None:
            denoiser = guided(network, text, nothing, guidance)
        else:
            denoiser = conditioned(network, text, low)
        schedule = Schedule.create(network.options.noise_schedule, steps)
        *_, out = SAMPLERS[sampler](denoiser, schedule, noise(0), noise)
    return out.clamp(-1, 1)


def sheet(rows: list[Tensor], path: Path) -> None:
    """Write rows of pictures, each (n, 3, h, w) in [-1, 1]."""
    picture = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    pixels = ((picture.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    print(path, flush=True)


def finish(weights: Path, path: Path) -> None:
    """Write crops: original, degraded, bicubic, enlarged, round trip."""
    enlarger, _ = open_network(weights / "enlarger.safetensors", dtype=torch.float32)
    detailer, _ = open_network(weights / "detailer.safetensors", dtype=torch.float32)
    rng = np.random.default_rng(0)
    rows = []
    for index in range(HELD_OUT + 40, HELD_OUT + 44):
        high = picture_at(index, 1024)[384:640, 384:640]
        low = degrade(high, 4, rng)
        with torch.inference_mode():
            larger = enlarger(_tensor(low) / 2 + 0.5) * 2 - 1
            again = detailer(_tensor(high))
        plain = Image.fromarray(low).resize((256, 256), Image.Resampling.BICUBIC)
        rows.append(torch.cat([_tensor(high), _tensor(np.asarray(plain)), larger, again]))
    sheet(rows, path)


def _tensor(picture: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 127.5 - 1


def main() -> None:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=Path("models/embedded"))
    parser.add_argument("--out", type=Path, default=common.RUNS / "look")
    parser.add_argument("--sheets", default="thumbnails,upsampled,finish")
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--steps", default="40")
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--sampler", choices=SAMPLERS, default="ddim")
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    a.out.mkdir(parents=True, exist_ok=True)
    if "thumbnails" in a.sheets or "upsampled" in a.sheets:
        base, _ = open_network(a.weights / "base.safetensors", dtype=torch.float32)
        assert isinstance(base, Text2ImUNet)
        rows = [sample(base, p, a.candidates, a.steps, a.guidance, a.sampler) for p in PROMPTS]
        sheet(rows, a.out / "thumbnails.png")
    if "upsampled" in a.sheets:
        up, _ = open_network(a.weights / "upsampler.safetensors", dtype=torch.float32)
        assert isinstance(up, Text2ImUNet)
        rows = [
            sample(up, prompt, len(row), "fast27", 1.0, "ddim", row)
            for prompt, row in zip(PROMPTS, rows, strict=True)
        ]
        sheet(rows, a.out / "upsampled.png")
    if "finish" in a.sheets:
        finish(a.weights, a.out / "finish.png")


if __name__ == "__main__":
    main()
