"""Samplers whose steps a gradient pulls, such as that of CLIP's agreement with the prompt.

They take the steps of ``samplers``, with one more term each (Dhariwal and Nichol 2021,
arXiv:2105.05233): the ancestral sampler's mean moves by variance times gradient (its algorithm 1);
the others, which have no variance, take the gradient off the noise (its algorithm 2). Without a
pull they paint what those do.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bigart.sampling.candidates import Candidates
from bigart.sampling.samplers import Denoiser, Noise, State
from bigart.sampling.schedule import STEPS, Schedule

Pull = Callable[[Tensor, int], Tensor | None]
"""(x (B,3,n,n), timestep) -> gradient (B,3,n,n) of a log probability, or None for no pull."""

# The noisiest step of the cosine schedule has a picture's share of 2e-9. The noise would be divided
# by its root, and so would the gradient. No step pulls farther than the noisiest linear one.
_LEAST_SHARE = float(Schedule.create("linear").alphas_cumprod[-1])
# A solver that looks back at the step before would take too far a pull there for a trend.
_LEAST_SHARE_LOOKING_BACK = 1e-3


def pulled(
    gradient: Callable[[Tensor, int], Tensor], scale: float, interval: tuple[float, float]
) -> Pull:
    """Return a pull of some strength, over a part of the process.

    Args:
        gradient: Of what is to grow.
        scale: How many times it counts.
        interval: Where it begins and ends on the way from noise (0) to picture (1), as in
            ``samplers.guided``.
    """
    begin, end = interval

    def pull(x: Tensor, timestep: int) -> Tensor | None:
        if not scale or not begin <= 1 - timestep / (STEPS - 1) <= end:
            return None
        return scale * gradient(x, timestep)

    return pull


@dataclass(frozen=True)
class Expected:
    """What is expected at a step.

    Attributes:
        x0: (B, 3, n, n), the picture, in [-1, 1].
        variance: (B, 3, n, n), as a place in [-1, 1].
        pull: (B, 3, n, n), the gradient, or None.
    """

    x0: Tensor
    variance: Tensor
    pull: Tensor | None


Expect = Callable[[Tensor, int], Expected]
"""(x (B,3,n,n), index of the schedule) -> what is expected there."""


def expect(denoiser: Denoiser, schedule: Schedule, pull: Pull) -> Expect:
    """Return what a network and a pull expect at each step."""

    def expected(x: Tensor, i: int) -> Expected:
        timestep, share = schedule.timesteps[i], float(schedule.alphas_cumprod[i])
        eps, variance = denoiser(x, timestep)
        x0 = x * math.sqrt(1 / share) - eps * math.sqrt(1 / share - 1)
        return Expected(x0.clamp(-1, 1), variance, pull(x, timestep))

    return expected


def ancestral(expect: Expect, schedule: Schedule, state: State, noise: Noise) -> Iterator[State]:
    """Sample as ``samplers.ancestral``; the mean moves by variance times gradient.

    Args:
        expect: See ``expect``.
        schedule: The process.
        state: ``State(0, draw 0)``, or a state to go on from.
        noise: Draws for the steps; step i takes draw i + 1.

    Yields:
        The state after each step that is left.
    """
    x = state.x
    for step in range(state.step, len(schedule)):
        i = len(schedule) - 1 - step
        found = expect(x, i)
        smallest = float(schedule.posterior_log_variance_clipped[i])
        place = (found.variance + 1) / 2
        log_variance = place * math.log(schedule.betas[i]) + (1 - place) * smallest
        mean_x0, mean_xt = schedule.posterior_mean_x0[i], schedule.posterior_mean_xt[i]
        x = float(mean_x0) * found.x0 + float(mean_xt) * x
        if found.pull is not None:
            x = x + torch.exp(log_variance) * found.pull
        if i > 0:
            x = x + torch.exp(0.5 * log_variance) * noise(step + 1)
        yield State(step + 1, x)


def _moved(found: Expected, share: float, least: float = _LEAST_SHARE) -> Tensor:
    """Return the picture that is expected once the gradient is taken off the noise.

    The noise becomes ``eps - sqrt(1 - share) * pull``; the picture is not clipped again.
    """
    if found.pull is None:
        return found.x0
    return found.x0 + (1 - share) / math.sqrt(max(share, least)) * found.pull


def ddim(expect: Expect, schedule: Schedule, state: State, noise: Noise) -> Iterator[State]:
    """Sample as ``samplers.ddim``, the gradient taken off the noise.

    Arguments and yield as in ``ancestral``; ``noise`` is not used.
    """
    x = state.x
    for step in range(state.step, len(schedule)):
        i = len(schedule) - 1 - step
        share, next_share = (
            float(a[i]) for a in (schedule.alphas_cumprod, schedule.alphas_cumprod_prev)
        )
        x0 = _moved(expect(x, i), share)
        eps = (x * math.sqrt(1 / share) - x0) / math.sqrt(1 / share - 1)
        x = math.sqrt(next_share) * x0 + math.sqrt(1 - next_share) * eps
        yield State(step + 1, x)


def dpm_solver_pp(
    expect: Expect, schedule: Schedule, state: State, noise: Noise, stochastic: bool = False
) -> Iterator[State]:
    """Sample as ``samplers.dpm_solver_pp``, the gradient taken off the noise.

    Arguments and yield as in ``ancestral``; without ``stochastic``, ``noise`` is not used.
    """
    alphas = [math.sqrt(a) for a in schedule.alphas_cumprod]
    sigmas = [math.sqrt(1 - a) for a in schedule.alphas_cumprod]
    lambdas = [math.log(a / s) for a, s in zip(alphas, sigmas, strict=True)]
    x, previous = state.x, state.x0
    for step in range(state.step, len(schedule)):
        i = len(schedule) - 1 - step
        share = float(schedule.alphas_cumprod[i])
        x0 = _moved(expect(x, i), share, _LEAST_SHARE_LOOKING_BACK)
        if i == 0:
            x = x0
        else:
            h = lambdas[i - 1] - lambdas[i]
            data = x0
            if previous is not None:
                r = (lambdas[i] - lambdas[i + 1]) / h
                data = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * previous
            if stochastic:
                fresh = -math.expm1(-2 * h)
                x = sigmas[i - 1] / sigmas[i] * math.exp(-h) * x + alphas[i - 1] * fresh * data
                x = x + sigmas[i - 1] * math.sqrt(fresh) * noise(step + 1)
            else:
                x = sigmas[i - 1] / sigmas[i] * x - alphas[i - 1] * math.expm1(-h) * data
        previous = x0
        yield State(step + 1, x, x0)


SAMPLERS: dict[str, Callable[[Expect, Schedule, State, Noise], Iterator[State]]] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "dpm++": dpm_solver_pp,
    "dpm++sde": partial(dpm_solver_pp, stochastic=True),
}


@dataclass(frozen=True)
class SteeredCandidates(Candidates):
    """Candidates whose steps something pulls.

    Attributes:
        pull: What.
    """

    pull: Pull

    def steps(self, batch: range, state: State) -> Iterator[State]:
        """Sample some candidates at once, as ``Candidates.steps``."""
        expected = expect(self.denoiser(slice(batch.start, batch.stop)), self.schedule, self.pull)
        return SAMPLERS[self.sampler](
            expected, self.schedule, state, lambda draw: self._draw(batch, draw)
        )
