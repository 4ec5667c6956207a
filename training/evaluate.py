"""Print the figures of the embedded set, on captions, seeds and pictures never trained on.

    python training/evaluate.py --photographs FOLDER

What it measures of the shipped weights, without their judge, goes into
``training/figures/embedded.json``. The probe
(``probe.py``) tells what base and upsampler paint for captions of the grammar, and, apart from
that, for combinations of family and colours that training never showed. Variety is the mean
distance of the probe's features between seven candidates of a caption, next to that between seven
of the painter's pictures of it. The enlarger is measured on degraded pictures of the painter's and
on any folder of photographs.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import at_full_size
import train_detailer
import train_enlarger
import train_upsampler
from bigart.config.options import interval
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.running.device import PRECISIONS, Device
from common import FIGURES, HELD_OUT, RUNS, SHIPPED, held_out, scene_at, tensor, write_figures
from degrade import degrade
from painter import Scene, caption, paint, sample_scene
from probe import SIDE, Probe, scores, train_probe
from sampling import Clip, opened, sample
from train_enlarger import gradients, psnr

BATCH = {"cpu": 16, "cuda": 128}
PARTS = ("probe", "variety", "upsampler", "enlarger", "detailer", "at-full-size")


def judged(a: argparse.Namespace) -> bool:
    """Return whether the set's judge has a say in what is painted."""
    return bool(a.clip_scale) or a.candidates > 1


class Painters:
    """Base and upsampler, and how to sample them."""

    def __init__(self, a: argparse.Namespace) -> None:
        self.device = Device.choose(a.device, a.precision)
        names = ("base", "upsampler")
        self.base, self.upsampler = (self._opened(a.weights, name) for name in names)
        self.options = a
        self.clip = Clip(a.weights, self.device.device) if judged(a) else None

    def _opened(self, weights: Path, name: str) -> Text2ImUNet:
        network = opened(weights, name)
        assert isinstance(network, Text2ImUNet)
        if self.device.precision != "fp32":
            network.reduce(PRECISIONS[self.device.precision])
        return network.to(self.device.device)

    def paint(self, captions: Sequence[str], candidates: int = 1) -> Tensor:
        """Return what they paint for the captions, (B, 3, n, n) in [-1, 1].

        Args:
            captions: B of them.
            candidates: How many thumbnails of each, of which the judge chooses one.
        """
        pictures = []
        batch = BATCH[self.device.device.type]
        for first in range(0, len(captions), batch):
            with self.device.autocast():
                pictures.append(self._batch(captions[first : first + batch], candidates, first))
            print(f"painted {first + len(pictures[-1])} of {len(captions)}", flush=True)
        return torch.cat(pictures)

    def _batch(self, captions: Sequence[str], candidates: int, seed: int) -> Tensor:
        a, within = self.options, interval(self.options.guidance_interval)
        asked = [prompt for prompt in captions for _ in range(candidates)]
        pull = self.clip.pull(asked, a.clip_scale, within) if self.clip else None
        made = sample(
            self.base, asked, a.steps, a.guidance, a.sampler, seed=seed, interval=within, pull=pull
        )
        if self.clip and candidates > 1:
            best = self.clip.agreement(made, captions).argmax(1)
            made = made.unflatten(0, (len(captions), -1))[range(len(captions)), best]
        if a.upsample_steps == "none":
            return made
        return sample(self.upsampler, captions, a.upsample_steps, 1.0, "ddim", made, seed=seed + 1)


def probe_figures(probe: Probe, painters: Painters) -> dict[str, Any]:
    """Return the probe's scores of real pictures, of painted ones, and of unseen combinations."""
    count = painters.options.pictures
    scenes = [scene_at(HELD_OUT + i) for i in range(count)]
    rng = np.random.default_rng(12)
    unseen = [sample_scene(rng, held_out=True) for _ in range(count // 2)]
    real = [scene_at(HELD_OUT + i) for i in range(400)]
    figures: dict[str, dict[str, Any]] = {"real": scores(probe, held_out(len(real), SIDE), real)}
    for name, asked in (("painted", scenes), ("unseen_combinations", unseen)):
        pictures = painters.paint(
            [caption(scene, rng) for scene in asked], painters.options.candidates
        )
        figures[name] = {**scores(probe, pictures, asked)}
        print(name, figures[name], flush=True)
        figures[name]["families"] = by_family(probe, pictures, asked)
    return figures


def by_family(probe: Probe, pictures: Tensor, asked: Sequence[Scene]) -> dict[str, float | None]:
    """Return the share of all that is said which the probe finds, for each family."""
    found = {}
    for family in sorted({scene.family for scene in asked}):
        some = [i for i, scene in enumerate(asked) if scene.family == family]
        found[family] = scores(probe, pictures[some], [asked[i] for i in some])["all"]
    return found


def spread(probe: Probe, pictures: Tensor) -> float:
    """Return the mean distance of the features between pictures (B, 3, n, n)."""
    with torch.inference_mode():
        features = probe.features(pictures)
    return float(torch.pdist(features).mean())


def variety(probe: Probe, painters: Painters) -> dict[str, float]:
    """Return the spread of seven candidates and of seven real pictures, over a few scenes."""
    rng = np.random.default_rng(13)
    scenes: list[Scene] = [scene_at(HELD_OUT + 500 + i) for i in range(painters.options.scenes)]
    captions = [caption(scene, rng) for scene in scenes]
    pictures = painters.paint([c for c in captions for _ in range(7)])
    candidates = [spread(probe, seven) for seven in pictures.split(7)]
    real = [
        spread(probe, torch.cat([tensor(paint(scene, SIDE, HELD_OUT + k)) for k in range(7)]))
        for scene in scenes
    ]
    return {
        "candidates": round(float(np.mean(candidates)), 3),
        "painter": round(float(np.mean(real)), 3),
        "ratio": round(float(np.mean(candidates) / np.mean(real)), 3),
    }


def photographs(enlarger: torch.nn.Module, folder: Path) -> dict[str, Any]:
    """Return PSNR and sharpness of photographs that are shrunk cleanly or degraded, and enlarged.

    The sharpness is the mean strength of the gradients next to the photograph's.
    """
    rng = np.random.default_rng(14)
    sums: dict[str, list[float]] = {}

    def add(kind: str, out: Tensor, target: Tensor) -> None:
        strengths = [float(gradients(part).abs().mean()) for part in (out.clamp(0, 1), target)]
        sums.setdefault(kind, []).append(psnr(out, target))
        sums.setdefault(f"{kind}_sharpness", []).append(strengths[0] / strengths[1])

    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    for file in files:
        picture = np.asarray(Image.open(file).convert("RGB"))
        side = min(384, *(4 * (n // 4) for n in picture.shape[:2]))
        top, left = ((n - side) // 2 for n in picture.shape[:2])
        high = picture[top : top + side, left : left + side]
        clean = np.asarray(
            Image.fromarray(high).resize((side // 4, side // 4), Image.Resampling.BICUBIC)
        )
        target = tensor(high) / 2 + 0.5
        for kind, low in (("clean", clean), ("degraded", degrade(high, 4, rng))):
            small = tensor(low) / 2 + 0.5
            with torch.inference_mode():
                add(kind, enlarger(small), target)
            add(f"{kind}_bicubic", F.interpolate(small, scale_factor=4, mode="bicubic"), target)
    means = {kind: round(float(np.mean(values)), 2) for kind, values in sums.items()}
    return {"files": len(files), **means}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    parser.add_argument("--photographs", type=Path, help="a folder of photographs or scans")
    parser.add_argument("--pictures", type=int, default=256, help="captions to paint")
    parser.add_argument("--scenes", type=int, default=8, help="captions to take the variety of")
    parser.add_argument("--prints", type=int, default=20, help="scenes to look at in full size")
    parser.add_argument("--steps", default="60")
    parser.add_argument(
        "--upsample-steps", default="fast27", help="or none: probe the thumbnails, much quicker"
    )
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("--guidance-interval", default="0 to 1")
    parser.add_argument("--clip-scale", type=float, default=0.0, help="as with guide: both")
    parser.add_argument(
        "--candidates",
        type=int,
        default=1,
        help="for each caption of the probe; the judge chooses one",
    )
    parser.add_argument("--sampler", default="ancestral")
    parser.add_argument("--precision", default="fp32", help="of base and upsampler")
    parser.add_argument("--device", default="cpu", help="that base, upsampler and probe use")
    parser.add_argument(
        "--runs", type=Path, default=RUNS, help="folder of the probe and its pictures"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default=",".join(PARTS), help="some of these")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    only = set(a.only.split(","))
    if unknown := only - set(PARTS):
        parser.error(f"--only: {', '.join(unknown)} is none of {', '.join(PARTS)}")
    figures: dict[str, Any] = {}
    if only & {"probe", "variety"}:
        painters = Painters(a)
        figures["sampling"] = {
            "steps": a.steps, "sampler": a.sampler, "guidance": a.guidance,
            "guidance_interval": a.guidance_interval, "clip_scale": a.clip_scale,
            "candidates": a.candidates, "upsample_steps": a.upsample_steps,
            "precision": painters.device.precision,
        }  # fmt: skip
        probe = train_probe(a.runs, a.device)
    if "probe" in only:
        figures["probe"] = probe_figures(probe, painters)
    if "variety" in only:
        figures["variety"] = variety(probe, painters)
    if "upsampler" in only:
        figures["upsampler"] = train_upsampler.evaluate(opened(a.weights, "upsampler"))
    if "enlarger" in only:
        enlarger = opened(a.weights, "enlarger")
        figures["enlarger"] = train_enlarger.evaluate(enlarger)
        if a.photographs:
            figures["photographs"] = photographs(enlarger, a.photographs)
    if "detailer" in only:
        figures["detailer"] = train_detailer.evaluate(opened(a.weights, "detailer"))
    if "at-full-size" in only:
        enlarger, detailer = (opened(a.weights, name) for name in ("enlarger", "detailer"))
        assert isinstance(enlarger, RRDBNet)
        figures["at_full_size"] = at_full_size.evaluate(enlarger, detailer, a.prints, a.runs)
    print(json.dumps(figures, indent=2))
    if a.weights == SHIPPED and a.upsample_steps != "none" and not judged(a):
        path = FIGURES / "embedded.json"
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        write_figures(path, before | figures)


if __name__ == "__main__":
    main()
