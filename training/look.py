r"""Look at what the embedded networks do: contact sheets, from the weights files as they are.

    python training/look.py --out training/runs/look

thumbnails: the article's prompts, several candidates each, with guidance; upsampled: the same at
256 px; finish: crops of painter pictures, degraded, enlarged four times, and the round trip through
the codebook, next to the originals; finals: finished artworks over crops of them at full size. The
pictures of docs/images are made so, after `make demo`:

    python training/look.py --sheets upsampled --prompts 8 --candidates 7 --format jpg \
        --steps 40 --upsample-steps 12
    python training/look.py --sheets finals --format jpg
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import common
from bigart.checkpoints import open_network
from bigart.glide.diffusion import Schedule
from bigart.glide.model import Text2ImUNet
from bigart.glide.samplers import SAMPLERS, conditioned, guided
from common import HELD_OUT, picture_at
from degrade import degrade
from train_base import read_vocabulary, tokenized

PROMPTS = (
    "an abstract painting with orange triangles",
    "color blocks of purple and green squares",
    "a painting of an italian villa",
    "sunset over a lake",
    "snowy mountains",
    "a seascape with crashing waves",
    "boston city skyline at night",
    "a still life painting of blue and red glass bottles",
    "an abstract painting with colored circles",
    "a splatter of thin yellow and black lines",
    "a painting of rolling farmland",
    "a bowl of fruit",
    "goldfish in a glass bowl",
)


def opened(weights: Path, name: str) -> nn.Module:
    """Return a network of the set, in float32."""
    return open_network(weights / f"{name}.safetensors", dtype=torch.float32)[0]


def sample(
    network: Text2ImUNet,
    prompts: Sequence[str],
    steps: str,
    guidance: float,
    sampler: str,
    low: Tensor | None = None,
    seed: int = 1,
) -> Tensor:
    """Return a picture for each prompt, (B, 3, n, n) in [-1, 1].

    Args:
        network: Base, or the upsampler when ``low`` is given.
        prompts: A prompt as often as pictures of it are wanted.
        steps: As ``Schedule.create`` takes them.
        guidance: Of the base.
        sampler: A key of ``SAMPLERS``.
        low: (B, 3, m, m) in [-1, 1], what to upsample.
        seed: Of the noise.
    """
    tokens, mask = tokenized([*prompts, ""], read_vocabulary(), network.options.text_ctx)
    side = network.options.image_size
    generator = torch.Generator().manual_seed(seed)

    def noise(draw: int) -> Tensor:
        return torch.randn(len(prompts), 3, side, side, generator=generator)

    with torch.inference_mode():
        text = network.encode_text(tokens[:-1], mask[:-1])
        if low is None:
            denoiser = guided(network, text, network.encode_text(tokens[-1:], mask[-1:]), guidance)
        else:
            denoiser = conditioned(network, text, low)
        schedule = Schedule.create(network.options.noise_schedule, steps)
        *_, out = SAMPLERS[sampler](denoiser, schedule, noise(0), noise)
    return ((out.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def sheet(rows: list[Tensor], path: Path) -> None:
    """Write rows of pictures, each (n, 3, h, w) in [-1, 1]."""
    picture = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    pixels = ((picture.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    save(Image.fromarray(pixels.astype(np.uint8)), path)


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture (a JPEG small enough for a repository) and say where."""
    for quality in (80, 65, 50, 35):
        picture.save(path, quality=quality)
        if path.suffix == ".png" or path.stat().st_size < 480_000:
            break
    print(path, flush=True)


def finals(results: Path, path: Path, side: int = 400, gap: int = 8) -> None:
    """Write the finished artworks of ``results``, made small, over crops of ``side`` pixels."""
    files = sorted(results.glob("*/final.*"))
    height = 2 * side + gap
    row = Image.new("RGB", (len(files) * (side + gap) - gap, height), "white")
    for i, file in enumerate(files):
        picture = Image.open(file).convert("RGB")
        left, top = (int(0.55 * length) - side // 2 for length in picture.size)
        crop = picture.crop((left, top, left + side, top + side))
        row.paste(picture.resize((side, side), Image.Resampling.LANCZOS), (i * (side + gap), 0))
        row.paste(crop, (i * (side + gap), side + gap))
    save(row, path)


def finish(weights: Path, path: Path) -> None:
    """Write crops: original, degraded, bicubic, enlarged, round trip."""
    enlarger, detailer = (opened(weights, name) for name in ("enlarger", "detailer"))
    rng = np.random.default_rng(0)
    rows = []
    for index in range(HELD_OUT + 40, HELD_OUT + 44):
        high = picture_at(index, 1024)[384:640, 384:640]
        low = degrade(high, 4, rng)
        with torch.inference_mode():
            larger = enlarger(tensor(low) / 2 + 0.5) * 2 - 1
            again = detailer(tensor(high))
        plain = Image.fromarray(low).resize((256, 256), Image.Resampling.BICUBIC)
        rows.append(torch.cat([tensor(high), tensor(np.asarray(plain)), larger, again]))
    sheet(rows, path)


def tensor(picture: NDArray[np.uint8]) -> Tensor:
    """Return a picture (n, n, 3) as (1, 3, n, n) in [-1, 1]."""
    return torch.tensor(picture).permute(2, 0, 1)[None] / 127.5 - 1


def main() -> None:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=Path("models/embedded"))
    parser.add_argument("--out", type=Path, default=common.RUNS / "look")
    parser.add_argument(
        "--sheets", default="thumbnails,upsampled,finish", help="some of these, or finals"
    )
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="only the first ones")
    parser.add_argument("--format", choices=("png", "jpg"), default="png")
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the finals")
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--steps", default="60")
    parser.add_argument("--upsample-steps", default="fast27")
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("--sampler", choices=SAMPLERS, default="ancestral")
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    a.out.mkdir(parents=True, exist_ok=True)
    prompts = PROMPTS[: a.prompts]
    if "thumbnails" in a.sheets or "upsampled" in a.sheets:
        base = opened(a.weights, "base")
        assert isinstance(base, Text2ImUNet)
        rows = [
            sample(base, [prompt] * a.candidates, a.steps, a.guidance, a.sampler)
            for prompt in prompts
        ]
        sheet(rows, a.out / f"thumbnails.{a.format}")
    if "upsampled" in a.sheets:
        up = opened(a.weights, "upsampler")
        assert isinstance(up, Text2ImUNet)
        rows = [
            sample(up, [prompt] * len(row), a.upsample_steps, 1.0, "ddim", row)
            for prompt, row in zip(prompts, rows, strict=True)
        ]
        sheet(rows, a.out / f"upsampled.{a.format}")
    if "finish" in a.sheets:
        finish(a.weights, a.out / f"finish.{a.format}")
    if "finals" in a.sheets:
        finals(a.results, a.out / f"finals.{a.format}")


if __name__ == "__main__":
    main()
