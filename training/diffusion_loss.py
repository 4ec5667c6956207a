"""The training loss of both diffusion networks.

Sources: Nichol and Dhariwal 2021 (arXiv:2102.09672, section 3.1) for the hybrid loss: the noise by
mean squares, the variance by the variational bound at a thousandth of the weight, with the mean
held fixed. Timesteps are weighted by a power of the SNR, for which Salimans and Ho 2022
(arXiv:2202.00512, section 4) give the reasons: where noise prevails a small error in it is a large
one in the picture, and that is where a prompt, or the picture to enlarge, has its say.
"""

import math

import numpy as np
import torch
from torch import Tensor

from bigart.sampling.schedule import Schedule
from common import Figures

VLB_WEIGHT = 0.001


class Process:
    """The 1000-step process as tensors, each (1000,) float32."""

    def __init__(
        self,
        betas: str,
        device: str,
        shrink: int = 1,
        power: float = -0.5,
        bounds: tuple[float, float] = (0.3, 30.0),
    ) -> None:
        """Prepare the process of a schedule.

        Args:
            betas: "linear" or "squaredcos_cap_v2".
            device: Where the tensors are to be.
            shrink: For pictures this many times smaller than the ones to be sampled: the noise
                that is left of a larger picture's when it is averaged down, at each timestep.
            power: Of the SNR, for the weight of a timestep: 0 counts errors in the noise alike,
                -1 errors in the picture.
            bounds: Least and greatest weight.
        """
        schedule = Schedule.create(betas)
        if shrink > 1:
            snr = shrink**2 * schedule.alphas_cumprod / (1 - schedule.alphas_cumprod)
            schedule = Schedule(schedule.timesteps, snr / (1 + snr))

        def tensor(values: np.ndarray) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        alphas = schedule.alphas_cumprod
        self.signal, self.noise = tensor(np.sqrt(alphas)), tensor(np.sqrt(1 - alphas))
        self.mean_x0, self.mean_xt = (
            tensor(schedule.posterior_mean_x0),
            tensor(schedule.posterior_mean_xt),
        )
        self.smallest = tensor(schedule.posterior_log_variance_clipped)
        self.largest = tensor(np.log(schedule.betas))
        snr = alphas / (1 - alphas)
        weight = np.clip(snr**power, *bounds)
        self.weight = tensor(weight / weight.mean())

    def noisy(self, x0: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """Return pictures (B, 3, n, n) in [-1, 1] with the noise of their timesteps (B,)."""
        return _at(self.signal, times) * x0 + _at(self.noise, times) * noise

    def loss(
        self, out: Tensor, x0: Tensor, xt: Tensor, noise: Tensor, times: Tensor
    ) -> tuple[Tensor, Figures]:
        """Return the hybrid loss and its parts.

        Args:
            out: (B, 6, n, n), of the network.
            x0: (B, 3, n, n), the pictures.
            xt: (B, 3, n, n), with noise.
            noise: (B, 3, n, n), the noise in them.
            times: (B,), timesteps.
        """
        eps, place = out.float().chunk(2, dim=1)
        squares = (eps - noise).square().mean((1, 2, 3))
        simple = (squares * self.weight[times]).mean()
        guess = ((xt - _at(self.noise, times) * eps.detach()) / _at(self.signal, times)).clamp(
            -1, 1
        )
        true_mean = _at(self.mean_x0, times) * x0 + _at(self.mean_xt, times) * xt
        mean = _at(self.mean_x0, times) * guess + _at(self.mean_xt, times) * xt
        smallest, largest = _at(self.smallest, times), _at(self.largest, times)
        share = (place + 1) / 2
        log_variance = share * largest + (1 - share) * smallest
        divergence = 0.5 * (
            -1 + log_variance - smallest + torch.exp(smallest - log_variance)
            + (true_mean - mean).square() * torch.exp(-log_variance)
        )  # fmt: skip
        bits = divergence.mean((1, 2, 3)) / math.log(2)
        bits = torch.where(times == 0, torch.zeros_like(bits), bits).clamp(max=50)
        vlb = bits.mean() * 1000 * VLB_WEIGHT
        return simple + vlb, {
            "simple": simple.detach(),
            "mse": squares.detach().mean(),
            "vlb": vlb.detach(),
        }


def _at(values: Tensor, times: Tensor) -> Tensor:
    return values[times][:, None, None, None]
