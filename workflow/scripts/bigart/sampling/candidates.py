"""The candidates of an artwork, which are the same however many are sampled at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bigart.pictures.images import FloatImage, Picture, to_float, to_uint8
from bigart.sampling.noise import standard_normal
from bigart.sampling.samplers import SAMPLERS, Denoiser, State
from bigart.sampling.schedule import Schedule

CandidateNoise = Callable[[int, int], FloatImage]
"""(candidate from 1, draw) -> float32 (3, n, n)."""


def candidate_noise(seed: int, stage: str, side: int, scale: float = 1.0) -> CandidateNoise:
    """Return the noise of a stage; it depends on the seed, the candidate and the draw alone.

    Args:
        seed: The artwork's.
        stage: What the noise is for ("thumbnails").
        side: Of the picture, in pixels.
        scale: Standard deviation.
    """

    def noise(candidate: int, draw: int) -> FloatImage:
        return standard_normal(seed, stage, candidate, draw, (3, side, side)) * np.float32(scale)

    return noise


def as_low_res(pictures: Sequence[Picture], device: torch.device) -> Tensor:
    """Return what the upsampler reads: pictures, uint8 (n, n, 3), as (B, 3, n, n) in [-1, 1]."""
    stacked = np.stack([to_float(picture) for picture in pictures])
    return torch.from_numpy(stacked * 2 - 1).to(device)


@dataclass(frozen=True)
class Candidates:
    """How a stage samples its candidates.

    Attributes:
        schedule: The process.
        sampler: A key of ``SAMPLERS``.
        denoiser: Gives the network, wrapped, for some candidates (a slice that counts from 0).
        noise: Of each candidate.
        device: Where the network is.
    """

    schedule: Schedule
    sampler: str
    denoiser: Callable[[slice], Denoiser]
    noise: CandidateNoise
    device: torch.device

    @property
    def moves(self) -> int:
        """How many states ``steps`` yields, from the start."""
        return len(self.schedule)

    def start(self, batch: range) -> State:
        """Return the state before the first step of some candidates (numbers from 0)."""
        return State(0, self._draw(batch, 0))

    def steps(self, batch: range, state: State) -> Iterator[State]:
        """Sample some candidates at once.

        Args:
            batch: Their numbers, from 0.
            state: From ``start``, or the one to resume from.

        Yields:
            The state after each step.
        """
        denoiser = self.denoiser(slice(batch.start, batch.stop))
        return SAMPLERS[self.sampler](
            denoiser, self.schedule, state, lambda draw: self._draw(batch, draw)
        )

    def _draw(self, batch: range, draw: int) -> Tensor:
        stacked = np.stack([self.noise(candidate + 1, draw) for candidate in batch])
        return torch.from_numpy(stacked).to(self.device)


def finished(state: State) -> list[Picture]:
    """Return the pictures of a sampling's last state, uint8 (n, n, 3)."""
    return [to_uint8((x.numpy() + 1) / 2) for x in state.x.float().cpu()]
