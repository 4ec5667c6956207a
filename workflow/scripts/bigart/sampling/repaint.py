"""Candidates of which a part is known and kept, while the rest is painted anew.

A network for inpainting sees the known part and the mask (Nichol et al., "GLIDE", 2021,
arXiv:2112.10741, section 4.3). With any other network the known part is put back at every step, as
noisy as the rest is there, and steps are taken again so that the two agree (Lugmayr et al.,
"RePaint", 2022, arXiv:2201.09865, algorithm 1 and section 4.2).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bigart.networks.native.glide.model import Text2ImUNet
from bigart.sampling.candidates import CandidateNoise, Candidates
from bigart.sampling.samplers import SAMPLERS, Denoiser, Noise, State
from bigart.sampling.schedule import Schedule

#: A jump goes back over this part of the steps (10 of 250 in the paper).
JUMP = 1 / 25
#: How often each part of the steps is taken, of thumbnails and of the upsampler, which has them.
TIMES, TIMES_ABOVE = 4, 2

#: Samplers that draw no noise: the known part keeps the noise that it began with.
_EVEN = ("ddim", "dpm++")


class Known(NamedTuple):
    """What is known.

    Attributes:
        picture: (1, 3, n, n), in [-1, 1].
        mask: (1, 1, n, n), bool, true where the picture is kept.
    """

    picture: Tensor
    mask: Tensor


class Move(NamedTuple):
    """A step of the schedule, and where it begins.

    Attributes:
        step: Index of the schedule; 0 is the step with the least noise.
        back: Index of the step before, where it is taken again: noise is added first.
    """

    step: int
    back: int | None


def moves(steps: int, times: int) -> list[Move]:
    """Return the steps of a sampling in their order, each part of them several times.

    Args:
        steps: Of the schedule.
        times: How often each part is taken. The end, without noise, is reached once.
    """
    jump = max(1, round(JUMP * steps))
    found: list[Move] = []
    for first in range(steps - 1, -1, -jump):
        last = max(0, first - jump + 1)
        part = range(first, last - 1, -1)
        for time in range(1 if last == 0 else times):
            found += [Move(step, last if time and step == first else None) for step in part]
    return found


@dataclass(frozen=True)
class RepaintedCandidates(Candidates):
    """Candidates of any network: the known part is put back at every step.

    Attributes:
        known: What is known.
        other: More noise of each candidate, beside that of the sampler.
        times: See ``moves``.
    """

    known: Known
    other: CandidateNoise
    times: int

    @property
    def moves(self) -> int:
        """How many states ``steps`` yields, from the start."""
        return len(moves(len(self.schedule), self.times))

    def steps(self, batch: range, state: State) -> Iterator[State]:
        """Sample some candidates at once, as ``Candidates.steps``; a state counts moves."""
        denoiser = self.denoiser(slice(batch.start, batch.stop))
        step_of, schedule = SAMPLERS[self.sampler], self.schedule
        kept = self._draw(batch, 0) if self.sampler in _EVEN else None
        for number, move in enumerate(moves(len(schedule), self.times)):
            if number < state.step:
                continue
            x, x0 = state.x, state.x0
            if move.back is not None:
                x, x0 = self._noisier(x, move, self._more(batch, 2 * number)), None
            before = State(len(schedule) - 1 - move.step, x, x0)
            after = next(step_of(denoiser, schedule, before, self._draws(batch, number + 1)))
            share = float(schedule.alphas_cumprod_prev[move.step])
            noise = self._more(batch, 2 * number + 1) if kept is None else kept
            known = math.sqrt(share) * self.known.picture + math.sqrt(1 - share) * noise
            state = State(number + 1, torch.where(self.known.mask, known, after.x), after.x0)
            yield state

    def _draws(self, batch: range, number: int) -> Noise:
        """Return the noise of a step that is taken several times, each time with its own."""
        return lambda _: self._draw(batch, number)

    def _noisier(self, x: Tensor, move: Move, noise: Tensor) -> Tensor:
        """Return a picture before a step, from the one after a later step."""
        assert move.back is not None
        shares = self.schedule.alphas_cumprod[move.step], self.schedule.alphas_cumprod_prev
        share = float(shares[0] / shares[1][move.back])
        return math.sqrt(share) * x + math.sqrt(1 - share) * noise

    def _more(self, batch: range, draw: int) -> Tensor:
        parts = [torch.from_numpy(self.other(candidate + 1, draw)) for candidate in batch]
        return torch.stack(parts).to(self.device)


class Inpainting:
    """A network for inpainting, which sees what is known.

    Args:
        network: One whose options say ``inpaint``.
        known: What is known.
    """

    def __init__(self, network: Text2ImUNet, known: Known) -> None:
        self.network, self.known = network, known

    def denoise(
        self, x: Tensor, timesteps: Tensor, text: Any, low_res: Tensor | None = None
    ) -> Tensor:
        """Predict noise and variance, (B, 6, n, n), as ``network.denoise`` does."""
        picture, mask = (part.expand(len(x), -1, -1, -1) for part in self.known)
        return self.network.denoise(x, timesteps, text, low_res, picture, mask)


def keeping(denoiser: Denoiser, known: Known, schedule: Schedule) -> Denoiser:
    """Return a denoiser that expects the known pixels where they are known.

    The noise is what leads there from ``x``, so that each sampler finds them.
    """
    shares = dict(zip(schedule.timesteps, map(float, schedule.alphas_cumprod), strict=True))

    def denoise(x: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        eps, variance = denoiser(x, timestep)
        share = shares[timestep]
        leading = (x * math.sqrt(1 / share) - known.picture) / math.sqrt(1 / share - 1)
        return torch.where(known.mask, leading, eps), variance

    return denoise


def first_scaled(noise: CandidateNoise, temperature: float) -> CandidateNoise:
    """Return noise of which the first draw, where the sampling starts, is scaled."""
    return lambda candidate, draw: noise(candidate, draw) * (1 if draw else temperature)
