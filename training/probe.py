"""The probe: a small classifier that says what is on a picture, to measure the painting networks.

It learns from the painter's pictures at 64 px and nothing else: which family a picture is of, and
which colours its caption names. Larger pictures are averaged down to 64 px first.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common  # noqa: F401  (finds the library)
from common import RUNS, Pool, scene_at
from painter import FAMILIES, Scene, abstract
from painter.colours import NAMED

SIDE = 64
FAMILY_NAMES, COLOUR_NAMES = list(FAMILIES), list(NAMED)


class Probe(nn.Module):
    """Four convolutions, the mean and the maximum of each channel, and two linear layers."""

    def __init__(self, width: int = 24) -> None:
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

    def features(self, pictures: Tensor) -> Tensor:
        """Map pictures (B, 3, n, n) in [-1, 1], n a multiple of 64, to (B, 192)."""
        x = self.convolutions(F.avg_pool2d(pictures, pictures.shape[-1] // SIDE))
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of the families (B, F) and of each colour (B, C)."""
        features = self.features(pictures)
        return self.family(features), self.colours(features)


def labels(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor]:
    """Return the families' numbers (B,) and zeros and ones for the colours (B, C)."""
    families = torch.tensor([FAMILY_NAMES.index(scene.family) for scene in scenes])
    colours = [[float(name in scene.colours) for name in COLOUR_NAMES] for scene in scenes]
    return families, torch.tensor(colours)


def scores(probe: Probe, pictures: Tensor, scenes: Sequence[Scene]) -> dict[str, float | None]:
    """Return how much of what the captions say the probe finds on the pictures.

    "family" is the share of pictures whose family it names, "shape" the same for the families of
    shapes and lines, "colours" the share of the colours said that are among the likeliest: of a
    caption with two colours, the two likeliest. "all" counts every family and colour said.
    """
    with torch.inference_mode():
        said, shown = probe(pictures)
    families, colours = labels(scenes)
    right = said.argmax(1) == families
    shapes = [i for i, s in enumerate(scenes) if s.family in abstract.FAMILIES]
    found = total = 0
    for i, scene in enumerate(scenes):
        likeliest = shown[i].topk(len(scene.colours)).indices if scene.colours else []
        found += int(sum(colours[i][j] for j in likeliest))
        total += len(scene.colours)
    return {
        "pictures": len(scenes),
        "family": round(float(right.float().mean()), 3),
        "shape": round(float(right[shapes].float().mean()), 3) if shapes else None,
        "colours": round(found / max(total, 1), 3),
        "all": round((int(right.sum()) + found) / (len(scenes) + total), 3),
    }


def train_probe(steps: int = 1500, seed: int = 0) -> Probe:
    """Return the probe, trained when it is not in training/runs/ yet; three minutes."""
    torch.manual_seed(seed)
    probe = Probe()
    path = RUNS / "probe.pt"
    if path.exists():
        probe.load_state_dict(torch.load(path, weights_only=True))
        return probe.eval()
    pool = Pool(SIDE, 12_000, first=12_000)
    scenes = [scene_at(i) for i in range(pool.count)]
    rng = np.random.default_rng((seed, 6))
    optimizer = torch.optim.AdamW(probe.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        crops, indices = pool.crops(rng, 64, SIDE)
        pictures = crops.float() / 127.5 - 1
        # a little blur and noise: it must not live on the grain of the paint
        if step % 2:
            pictures = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
        pictures = pictures + float(rng.uniform(0, 0.1)) * torch.randn_like(pictures)
        said, shown = probe(pictures)
        families, colours = labels([scenes[i] for i in indices])
        loss = F.cross_entropy(said, families)
        loss = loss + 2 * F.binary_cross_entropy_with_logits(shown, colours)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            right = (said.argmax(1) == families).float().mean()
            print(f"probe: step {step + 1}, loss {loss:.3f}, families {right:.2f}", flush=True)
    torch.save(probe.state_dict(), path)
    return probe.eval()
