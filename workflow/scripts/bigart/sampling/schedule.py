"""The diffusion process: noise schedules and the choice of timesteps.

Sources: Ho et al. 2020 (arXiv:2006.11239) for the linear schedule and the posterior, Nichol and
Dhariwal 2021 (arXiv:2102.09672) for the cosine schedule (equation 17) and for leaving steps out
(section 4). Everything here is float64; the samplers use it in the picture's precision.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

STEPS = 1000

Array = NDArray[np.float64]

_COSINE = np.cos((np.arange(STEPS + 1) / STEPS + 0.008) / 1.008 * math.pi / 2) ** 2

#: Variance of the noise that each of the 1000 steps adds, by the name of the schedule.
BETAS = {
    "linear": np.linspace(0.0001, 0.02, STEPS),
    "squaredcos_cap_v2": np.minimum(1 - _COSINE[1:] / _COSINE[:-1], 0.999),
}


def spaced_timesteps(respacing: str | int) -> list[int]:
    """Choose the timesteps that a shortened process keeps.

    Args:
        respacing: A count ("400"), "ddimN" (a whole-number stride, as in Song et al. 2020),
            "fast27", or "" for all.

    Returns:
        The kept timesteps, rising.

    Raises:
        ValueError: The process cannot be shortened so.
    """
    text = str(respacing)
    if not text:
        return list(range(STEPS))
    if text == "fast27":
        # GLIDE's hand-tuned upsampling: more steps where the noise is weak, the last moved by two
        counts = [10, 10, 3, 2, 2]
        kept = [200 * i + step for i, count in enumerate(counts) for step in _evenly(count, 200)]
        return [*kept[:-1], STEPS - 3]
    if text.startswith("ddim"):
        wanted = int(text.removeprefix("ddim"))
        for stride in range(1, STEPS):
            kept = list(range(0, STEPS, stride))
            if len(kept) == wanted:
                return kept
        raise ValueError(f"no whole-number stride keeps {wanted} of {STEPS} timesteps")
    return _evenly(int(text), STEPS)


def _evenly(count: int, length: int) -> list[int]:
    """Return at least two of ``length`` timesteps, the first and the last among them."""
    return [round(i * ((length - 1) / (count - 1))) for i in range(count)]


@dataclass(frozen=True)
class Schedule:
    """A diffusion process, perhaps shortened. Index 0 is the step with the least noise.

    Attributes:
        timesteps: (T,), the timesteps of the 1000-step process that are kept, rising.
        alphas_cumprod: (T,), the share of the picture's variance left at each of them.
    """

    timesteps: list[int]
    alphas_cumprod: Array

    @classmethod
    def create(cls, betas: str, respacing: str | int = "") -> "Schedule":
        """Make the process of a schedule of ``BETAS``, shortened as ``spaced_timesteps`` says."""
        timesteps = spaced_timesteps(respacing)
        return cls(timesteps, np.cumprod(1 - BETAS[betas])[timesteps])

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.timesteps)

    @cached_property
    def alphas_cumprod_prev(self) -> Array:
        """(T,), ``alphas_cumprod`` one step nearer to the picture, where it ends in 1."""
        return np.append(1.0, self.alphas_cumprod[:-1])

    @cached_property
    def betas(self) -> Array:
        """(T,), the variance of the noise that each kept step adds."""
        return 1 - self.alphas_cumprod / self.alphas_cumprod_prev

    @cached_property
    def posterior_log_variance_clipped(self) -> Array:
        """(T,), log variance of a step back when the picture is known (Ho et al., equation 7).

        The first, -inf, is replaced by the second.
        """
        variance = self.betas * (1 - self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)
        return np.log(np.append(variance[1], variance[1:]))

    @cached_property
    def posterior_mean_x0(self) -> Array:
        """(T,), weight of the picture in the mean of a step back (equation 7)."""
        return self.betas * np.sqrt(self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)

    @cached_property
    def posterior_mean_xt(self) -> Array:
        """(T,), weight of the noisy picture in the mean of a step back (equation 7)."""
        weight = (1 - self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)
        return np.sqrt(1 - self.betas) * weight
