"""Sample the embedded networks as the workflow does, many prompts at once."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bigart.networks.native.clip import ClipImage, ClipText
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.sampling import steered
from bigart.sampling.judge import Judge
from bigart.sampling.samplers import SAMPLERS, State, conditioned, guided
from bigart.sampling.schedule import Schedule
from bigart.weights.conversion import open_network
from common import clip_vectors, read_vocabulary, tokenized

TEMPERATURE = 0.997  # of the upsampler's first noise, the workflow's default


def opened(weights: Path, name: str) -> nn.Module:
    """Return a network of the set, in float32."""
    return open_network(weights / f"{name}.safetensors", dtype=torch.float32)[0]


class Clip:
    """The judge of a set, which pulls towards prompts and chooses as the workflow lets it.

    Args:
        weights: Folder of the set.
        device: Where it computes.
    """

    def __init__(self, weights: Path, device: torch.device | str = "cpu") -> None:
        text, image = (opened(weights, f"judge-{part}").to(device) for part in ("text", "image"))
        assert isinstance(text, ClipText)
        assert isinstance(image, ClipImage)
        self.text, self.image = text, image

    def pull(
        self, prompts: Sequence[str], scale: float, interval: tuple[float, float] = (0.0, 1.0)
    ) -> steered.Pull:
        """Return the pull towards a prompt for each picture, as ``thumbnails_clip.py`` has it."""
        judges = self._judges(prompts)

        def gradient(x: Tensor, timestep: int) -> Tensor:
            each = zip(judges, x.split(1), strict=True)
            return torch.cat([judge.gradient(picture, timestep) for judge, picture in each])

        return steered.pulled(gradient, scale, interval)

    @torch.no_grad()
    def agreement(self, pictures: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return how well pictures agree with prompts, (P, K), K pictures of each in a row.

        Args:
            pictures: (P * K, 3, n, n) in [-1, 1].
            prompts: P of them.
        """
        parts = pictures.to(next(self.image.parameters()).device).chunk(len(prompts))
        each = zip(self._judges(prompts), parts, strict=True)
        return torch.stack([judge.agreement(part, 0) for judge, part in each]).cpu()

    def _judges(self, prompts: Sequence[str]) -> list[Judge]:
        return [Judge(self.image, vector[None]) for vector in clip_vectors(self.text, prompts)]


def sample(
    network: nn.Module,
    prompts: Sequence[str],
    steps: str,
    guidance: float,
    sampler: str,
    low: Tensor | None = None,
    seed: int = 1,
    interval: tuple[float, float] = (0.0, 1.0),
    pull: steered.Pull | None = None,
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
        interval: Where the guidance pulls, as ``guided`` takes it.
        pull: What pulls beside the network's own guidance.
    """
    assert isinstance(network, Text2ImUNet)
    device = next(network.parameters()).device
    tokens, mask = tokenized([*prompts, ""], read_vocabulary())
    tokens, mask = tokens.to(device), mask.to(device)
    side = network.options.image_size
    generator = torch.Generator().manual_seed(seed)

    def noise(draw: int) -> Tensor:
        return torch.randn(len(prompts), 3, side, side, generator=generator).to(device)

    with torch.no_grad():  # and not inference_mode, for a pull takes gradients
        text = network.encode_text(tokens[:-1], mask[:-1])
        if low is None:
            away = network.encode_text(tokens[-1:], mask[-1:])
            denoiser = guided(network, text, away, guidance, interval)
        else:
            denoiser = conditioned(network, text, low.to(device))
        schedule = Schedule.create(network.options.noise_schedule, steps)
        start = noise(0) * (1.0 if low is None else TEMPERATURE)
        if pull is None:
            *_, end = SAMPLERS[sampler](denoiser, schedule, State(0, start), noise)
        else:
            expect = steered.expect(denoiser, schedule, pull)
            *_, end = steered.SAMPLERS[sampler](expect, schedule, State(0, start), noise)
    return ((end.x.cpu().clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
