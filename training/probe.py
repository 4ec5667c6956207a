"""The probe: a small classifier that says what is on a picture, to measure the painting networks.

It learns from the painter's pictures at 64 px and nothing else: which family a picture is of, which
colours its caption names, and how many things. Larger pictures are averaged down to 64 px first.
"""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common  # noqa: F401  (finds the library)
from common import RUNS, Pool, Run, draw, prepared, scene_at
from painter import FAMILIES, Scene, abstract
from painter.colours import NAMED

SIDE = 64
FAMILY_NAMES, COLOUR_NAMES = list(FAMILIES), list(NAMED)
COUNTS = 6  # a caption counts up to five things, and 0 is none counted


class Probe(nn.Module):
    """Four convolutions, the mean and the maximum of each channel, and two linear layers."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        for i, (channels, out) in enumerate(itertools.pairwise(widths)):
            size, stride = (5, 2) if i == 0 else (3, 1)
            layers += [
                nn.Conv2d(channels, out, size, stride, size // 2), nn.BatchNorm2d(out), nn.ReLU(),
            ]  # fmt: skip
            if i in (1, 2):
                layers.append(nn.MaxPool2d(2))
        self.convolutions = nn.Sequential(*layers)
        self.family = nn.Linear(2 * widths[-1], len(FAMILY_NAMES))
        self.colours = nn.Linear(2 * widths[-1], len(COLOUR_NAMES))
        self.counts = nn.Linear(2 * widths[-1], COUNTS)

    def features(self, pictures: Tensor) -> Tensor:
        """Map pictures (B, 3, n, n) in [-1, 1], n a multiple of 64, to (B, 8 * width)."""
        x = self.convolutions(F.avg_pool2d(pictures, pictures.shape[-1] // SIDE))
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits of the families (B, F), each colour (B, C) and the counts (B, COUNTS)."""
        features = self.features(pictures)
        return self.family(features), self.colours(features), self.counts(features)


def labels(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the families' numbers (B,), zeros and ones for the colours (B, C), counts (B,)."""
    families = torch.tensor([FAMILY_NAMES.index(scene.family) for scene in scenes])
    colours = [[float(name in scene.colours) for name in COLOUR_NAMES] for scene in scenes]
    return families, torch.tensor(colours), torch.tensor([scene.count for scene in scenes])


def scores(probe: Probe, pictures: Tensor, scenes: Sequence[Scene]) -> dict[str, float | None]:
    """Return how much of what the captions say the probe finds on the pictures.

    "family" is the share of pictures whose family it names, "shape" the same for the families of
    shapes and lines, "colours" the share of the colours said that are among the likeliest: of a
    caption with two colours, the two likeliest. "counts" is the share of pictures that show as many
    things as their captions count, where these count. "all" counts everything said.
    """
    with torch.inference_mode():
        said, shown, many = probe(pictures)
    families, colours, counts = labels(scenes)
    right = said.argmax(1) == families
    shapes = [i for i, s in enumerate(scenes) if s.family in abstract.FAMILIES]
    counted = counts > 0
    as_many = (many[:, 1:].argmax(1) + 1 == counts)[counted]
    found = total = 0
    for i, scene in enumerate(scenes):
        likeliest = shown[i].topk(len(scene.colours)).indices if scene.colours else []
        found += int(sum(colours[i][j] for j in likeliest))
        total += len(scene.colours)
    everything = int(right.sum()) + found + int(as_many.sum())
    return {
        "pictures": len(scenes),
        "family": round(float(right.float().mean()), 3),
        "shape": round(float(right[shapes].float().mean()), 3) if shapes else None,
        "colours": round(found / max(total, 1), 3),
        "counts": round(float(as_many.float().mean()), 3) if len(as_many) else None,
        "all": round(everything / (len(scenes) + total + len(as_many)), 3),
    }


def train_probe(
    folder: Path = RUNS, device: str = "cpu", steps: int = 3000, seed: int = 0
) -> Probe:
    """Return the probe on the CPU, trained on ``device`` when it is not in ``folder`` yet."""
    torch.manual_seed(seed)
    probe = Probe()
    pool = Pool(folder / "pictures", SIDE, 40_000, first=12_000)
    path = folder / f"probe-{pool.stem.name}.pt"
    if path.exists():
        probe.load_state_dict(torch.load(path, weights_only=True))
        return probe.eval()
    cores = len(os.sched_getaffinity(0))
    draw([pool], cores)
    pool.wait(pool.first)

    def make(rng: np.random.Generator) -> tuple[Tensor, ...]:
        indices = pool.some(rng, 64)
        return pool.crops(rng, indices, SIDE), *labels([scene_at(int(i)) for i in indices])

    stream = prepared(Run(folder, device=device, cores=cores, seed=seed), make, 6)
    probe.to(device)
    optimizer = torch.optim.AdamW(probe.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        pictures, families, colours, counts = (part.to(device) for part in next(stream))
        pictures = pictures.float() / 127.5 - 1
        # a little blur and noise: it must not live on the grain of the paint
        if step % 2:
            pictures = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
        pictures = pictures + 0.1 * float(torch.rand(())) * torch.randn_like(pictures)
        said, shown, many = probe(pictures)
        loss = F.cross_entropy(said, families)
        loss = loss + 2 * F.binary_cross_entropy_with_logits(shown, colours)
        loss = loss + F.cross_entropy(many, counts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            right = (said.argmax(1) == families).float().mean()
            print(f"probe: step {step + 1}, loss {loss:.3f}, families {right:.2f}", flush=True)
    probe.cpu()
    torch.save(probe.state_dict(), path)
    return probe.eval()
