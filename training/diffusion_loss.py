"""The training loss of both diffusion networks.

Sources: Nichol and Dhariwal 2021 (arXiv:2102.09672, section 3.1) for the hybrid loss: the noise by
mean squares, the variance by the variational bound at a thousandth of the weight, with the mean
held fixed. Hang et al. 2023 (arXiv:2303.09556) for the weight min(SNR, 5) / SNR of a timestep,
which for so short a training is worth several times the steps.
"""

import math

import numpy as np
import torch
from torch import Tensor

import common  # noqa: F401  (finds the library)
from bigart.glide.diffusion import Schedule

SNR_LIMIT = 5.0
VLB_WEIGHT = 0.001


class Process:
    """The 1000-step process as tensors, each (1000,) float32."""

    def __init__(self, betas: str, device: str, layout: float = 0.0) -> None:
        """Prepare the process of a named schedule.

        Args:
            betas: "linear" or "squaredcos_cap_v2".
            device: Of the tensors.
            layout: 0 weights timesteps by min(SNR, 5) / SNR. More than 0 weights them by
                SNR ** -layout between 0.3 and 6: where noise prevails, a small error in it is a
                large one in the picture, and the upsampler knows there what the picture is.
        """
        schedule = Schedule.create(betas)

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
        weight = np.minimum(snr, SNR_LIMIT) / snr
        if layout:
            weight = np.clip(snr**-layout, 0.3, 6.0)
        self.weight = tensor(weight / weight.mean())

    def noisy(self, x0: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """Return pictures (B, 3, n, n) in [-1, 1] with the noise of their timesteps (B,)."""
        return _at(self.signal, times) * x0 + _at(self.noise, times) * noise

    def loss(
        self, out: Tensor, x0: Tensor, xt: Tensor, noise: Tensor, times: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
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
            "simple": float(simple.detach()),
            "mse": float(squares.detach().mean()),
            "vlb": float(vlb.detach()),
        }


def _at(values: Tensor, times: Tensor) -> Tensor:
    return values[times][:, None, None, None]
