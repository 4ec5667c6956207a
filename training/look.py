r"""Look at what the embedded networks do: contact sheets, from the weights files as they are.

    python training/look.py --out training/runs/look

thumbnails: the article's prompts, several candidates each, with guidance; upsampled: the same at
256 px; finish: crops of painter pictures, degraded, enlarged four times, and the round trip through
the codebook, next to the originals; finals: finished artworks over crops of them at full size. The
pictures of docs/images, candidates.jpg and demo.jpg, are the sheets made so after `make demo`:

    python training/look.py --sheets upsampled --prompts 8 --candidates 7 --format jpg \
        --steps 60 --upsample-steps 4
    python training/look.py --sheets finals --format jpg
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import common
from bigart.sampling.samplers import SAMPLERS
from common import HELD_OUT, picture_at, tensor
from degrade import degrade
from sampling import Clip, opened, sample

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
    "a corgi",
    "a tabby cat",
    "a wood shop",
    "microorganisms",
    "a traffic jam",
)


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
    """Write crops: original, degraded and enlarged by bicubic, by the enlarger, round trip."""
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
    parser.add_argument("--clip-scale", type=float, default=0.0, help="as with guide: both")
    parser.add_argument("--sampler", choices=SAMPLERS, default="ancestral")
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    a.out.mkdir(parents=True, exist_ok=True)
    prompts = PROMPTS[: a.prompts]
    if "thumbnails" in a.sheets or "upsampled" in a.sheets:
        base = opened(a.weights, "base")
        clip, rows = Clip(a.weights) if a.clip_scale else None, []
        for prompt in prompts:
            asked = [prompt] * a.candidates
            pull = clip.pull(asked, a.clip_scale) if clip else None
            rows.append(sample(base, asked, a.steps, a.guidance, a.sampler, pull=pull))
        sheet(rows, a.out / f"thumbnails.{a.format}")
    if "upsampled" in a.sheets:
        up = opened(a.weights, "upsampler")
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
