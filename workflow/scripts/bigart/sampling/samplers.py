"""Samplers: from noise to a picture.

Each sampler is a generator that yields its state after every step, so that the caller can show
progress, stop, or save the state and resume from it later.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from bigart.networks.options import PICTURE_CHANNELS
from bigart.sampling.schedule import STEPS, Schedule

Denoiser = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""(x (B,3,n,n), timestep) -> noise (B,3,n,n) and variance (B,3,n,n) as a place in [-1, 1]."""

Noise = Callable[[int], Tensor]
"""Draw number -> standard normal (B,3,n,n). Draw 0 starts the process, step i takes draw i+1."""


class Text(Protocol):
    """What a network has read of one prompt or several."""

    def beside(self, other: Any) -> Any:
        """Return these prompts followed by as many of another text."""


class Network(Protocol):
    """What a sampler needs of a network: ``model.Text2ImUNet`` or the original."""

    def denoise(
        self, x: Tensor, timesteps: Tensor, text: Any, low_res: Tensor | None = None
    ) -> Tensor:
        """Predict noise and variance, (B, 6, n, n)."""


@dataclass(frozen=True)
class State:
    """All that a sampler knows after a step: it goes on from here as if it had never stopped.

    Attributes:
        step: Steps taken.
        x: (B, 3, n, n), draw 0 before the first step, the picture in [-1, 1] after the last one.
        x0: (B, 3, n, n), the picture that the last step expected, where the sampler looks back
            at it; else None.
    """

    step: int
    x: Tensor
    x0: Tensor | None = None


def conditioned(network: Network, text: Text, low_res: Tensor | None = None) -> Denoiser:
    """Wrap a network that follows the prompt, or one for each picture, without guidance.

    The upsampler needs ``low_res``, (B, 3, m, m) in [-1, 1].
    """

    def denoise(x: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        times = torch.full((len(x),), timestep, device=x.device)
        out = network.denoise(x, times, text, low_res).float()
        return out[:, :PICTURE_CHANNELS], out[:, PICTURE_CHANNELS:]

    return denoise


def guided(
    network: Network,
    text: Text,
    away: Text,
    guidance: float,
    interval: tuple[float, float] = (0.0, 1.0),
    low_res: Tensor | None = None,
) -> Denoiser:
    """Wrap a network for classifier-free guidance (Ho and Salimans 2022; GLIDE, equation 8).

    The noise is ``away + guidance * (prompt - away)``; the variance is the prompt's. Outside the
    interval the network follows the prompt without guidance, which is half the work
    (Kynkaanniemi et al. 2024, arXiv:2404.07724).

    Args:
        network: Base or upsampler.
        text: One prompt, or one for each picture.
        away: The text to lead away from: no tokens, or a negative prompt.
        guidance: 1 follows the prompt as trained, more follows it harder.
        interval: Where the guidance begins and ends on the way from noise (0) to picture (1), in
            timesteps of the whole process; both ends count.
        low_res: What the upsampler enlarges, (B, 3, m, m) in [-1, 1].
    """
    unguided = conditioned(network, text, low_res)
    if guidance == 1.0:
        return unguided
    both = text.beside(away)
    low_res_twice = None if low_res is None else torch.cat([low_res, low_res])
    begin, end = interval

    def denoise(x: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        if not begin <= 1 - timestep / (STEPS - 1) <= end:
            return unguided(x, timestep)
        batch = len(x)
        times = torch.full((2 * batch,), timestep, device=x.device)
        out = network.denoise(torch.cat([x, x]), times, both, low_res_twice).float()
        prompt, other = out[:, :PICTURE_CHANNELS].chunk(2)
        return other + guidance * (prompt - other), out[:batch, PICTURE_CHANNELS:]

    return denoise


def _predict_x0(x: Tensor, eps: Tensor, alpha_cumprod: float) -> Tensor:
    """Return the picture that ``x`` and its noise imply, clipped to [-1, 1]."""
    x0 = x * math.sqrt(1 / alpha_cumprod) - eps * math.sqrt(1 / alpha_cumprod - 1)
    return x0.clamp(-1, 1)


def ancestral(
    denoiser: Denoiser, schedule: Schedule, state: State, noise: Noise
) -> Iterator[State]:
    """Sample with the learned variance (Nichol and Dhariwal 2021, equation 15).

    Args:
        denoiser: The network.
        schedule: The process; its steps are taken from the last to the first.
        state: ``State(0, draw 0)``, or a state to go on from.
        noise: Draws for the steps; step i takes draw i + 1.

    Yields:
        The state after each step that is left.
    """
    x = state.x
    for step in range(state.step, len(schedule)):
        i = len(schedule) - 1 - step
        eps, variance = denoiser(x, schedule.timesteps[i])
        x0 = _predict_x0(x, eps, schedule.alphas_cumprod[i])
        mean = float(schedule.posterior_mean_x0[i]) * x0 + float(schedule.posterior_mean_xt[i]) * x
        if i == 0:
            x = mean
        else:
            smallest = float(schedule.posterior_log_variance_clipped[i])
            largest = math.log(schedule.betas[i])
            place = (variance + 1) / 2
            log_variance = place * largest + (1 - place) * smallest
            x = mean + torch.exp(0.5 * log_variance) * noise(step + 1)
        yield State(step + 1, x)


def ddim(denoiser: Denoiser, schedule: Schedule, state: State, noise: Noise) -> Iterator[State]:
    """Sample without noise between the steps (DDIM, Song et al. 2020, equation 12 with eta 0).

    Arguments and yield as in ``ancestral``; ``noise`` is not used.
    """
    x = state.x
    for step in range(state.step, len(schedule)):
        i = len(schedule) - 1 - step
        alpha, alpha_prev = schedule.alphas_cumprod[i], schedule.alphas_cumprod_prev[i]
        eps, _ = denoiser(x, schedule.timesteps[i])
        x0 = _predict_x0(x, eps, alpha)
        eps = (x * math.sqrt(1 / alpha) - x0) / math.sqrt(1 / alpha - 1)
        x = math.sqrt(alpha_prev) * x0 + math.sqrt(1 - alpha_prev) * eps
        yield State(step + 1, x)


def dpm_solver_pp(
    denoiser: Denoiser, schedule: Schedule, state: State, noise: Noise, stochastic: bool = False
) -> Iterator[State]:
    """Sample with DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095, algorithm 2).

    A second-order multistep solver of the same differential equation as DDIM, in the picture
    (not the noise) and in the half log signal-to-noise ratio. The first and the last step are of
    first order, as the paper advises for few steps.

    Arguments and yield as in ``ancestral``. With ``stochastic`` (SDE-DPM-Solver++(2M), appendix
    B.3) it solves the equation that ``ancestral`` follows: new noise at each step corrects what
    the network got wrong at those before. Without, ``noise`` is not used.
    """
    alphas = [math.sqrt(a) for a in schedule.alphas_cumprod]
    sigmas = [math.sqrt(1 - a) for a in schedule.alphas_cumprod]
    lambdas = [math.log(a / s) for a, s in zip(alphas, sigmas, strict=True)]
    x, previous = state.x, state.x0
    for step in range(state.step, len(schedule)):
        i = len(schedule) - 1 - step
        eps, _ = denoiser(x, schedule.timesteps[i])
        x0 = _predict_x0(x, eps, schedule.alphas_cumprod[i])
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


SAMPLERS: dict[str, Callable[[Denoiser, Schedule, State, Noise], Iterator[State]]] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "dpm++": dpm_solver_pp,
    "dpm++sde": partial(dpm_solver_pp, stochastic=True),
}
