"""The embedded models do what training/README.md says of them; here on a few pictures.

``training/evaluate.py`` takes the whole figures. These bounds lie below them: they find a network
that was broken, not one that was trained a little less.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bigart.weights.conversion import open_network
from common import HELD_OUT, picture_at
from degrade import degrade
from sampling import Clip, sample
from train_detailer import blur_of_psnr
from train_enlarger import gradients, psnr

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "models" / "embedded"


def network(name: str) -> torch.nn.Module:
    return open_network(EMBEDDED / f"{name}.safetensors", dtype=torch.float32)[0]


def tensor(picture: np.ndarray) -> Tensor:
    return torch.tensor(picture).permute(2, 0, 1)[None] / 255


def test_they_take_40_megabytes_at_most() -> None:
    assert sum(file.stat().st_size for file in EMBEDDED.iterdir()) < 40e6


@pytest.mark.parametrize("name", ["base", "upsampler", "enlarger", "detailer"])
def test_how_each_was_trained_is_recorded(name: str) -> None:
    figures = json.loads((EMBEDDED / "figures.json").read_text())[name]
    assert figures["runs"]
    for run in figures["runs"]:
        assert {"seed", "rate", "batch", "device", "steps", "minutes"} <= run.keys()
    weights = EMBEDDED / f"{name}.safetensors"
    assert figures["bytes"] == weights.stat().st_size
    assert figures["parameters"] == sum(p.numel() for p in network(name).parameters())


def test_the_enlarger_beats_bicubic_and_is_sharper() -> None:
    rng = np.random.default_rng(1)
    enlarger = network("enlarger")
    gains, mine, plain = [], 0.0, 0.0
    for index in range(HELD_OUT + 20, HELD_OUT + 26):
        high = picture_at(index, 1024)[384:640, 384:640]
        low, target = tensor(degrade(high, 4, rng)), tensor(high)
        with torch.inference_mode():
            out = enlarger(low).clamp(0, 1)
        bicubic = F.interpolate(low, scale_factor=4, mode="bicubic").clamp(0, 1)
        gains.append(psnr(out, target) - psnr(bicubic, target))
        mine += float(gradients(out).abs().mean())
        plain += float(gradients(bicubic).abs().mean())
    assert np.mean(gains) > 0.5
    assert mine > plain


def test_the_detailer_keeps_a_picture_and_its_edges() -> None:
    picture = tensor(picture_at(HELD_OUT + 5, 1024)[256:768, 256:768])
    with torch.inference_mode():
        out = (network("detailer")(picture * 2 - 1) / 2 + 0.5).clamp(0, 1)
    quality = psnr(out, picture)
    assert quality > 22.5
    blurred = blur_of_psnr(picture, quality)
    assert gradients(out).square().mean() > gradients(blurred).square().mean()


@pytest.mark.parametrize(("name", "side"), [("enlarger", 64), ("detailer", 256)])
def test_bf16_changes_half_a_step_of_8_bits_on_average(name: str, side: int) -> None:
    picture = tensor(picture_at(HELD_OUT + 30, 256)[:side, :side])
    x, steps = (picture, 255) if name == "enlarger" else (picture * 2 - 1, 127.5)
    with torch.inference_mode():
        exact = network(name)(x)
        with torch.autocast("cpu", torch.bfloat16):
            reduced = network(name)(x)
    apart = ((reduced - exact).abs() * steps).flatten()
    assert 0 < apart.mean() < 0.5
    assert apart.quantile(0.999) < 3


def test_the_judge_leads_the_base_towards_its_prompts() -> None:
    prompts = ["an abstract painting with blue circles", "a painting of a carpenter's workshop"]
    base, clip = network("base"), Clip(EMBEDDED)

    def agreement(scale: float | None) -> Tensor:
        pull = None if scale is None else clip.pull(prompts, scale)
        made = sample(base, prompts, "8", 3.5, "ancestral", pull=pull)
        return clip.agreement(made, prompts)[:, 0]

    assert (agreement(10.0) > agreement(None) + 0.02).all()
    assert torch.equal(agreement(0.0), agreement(None))
