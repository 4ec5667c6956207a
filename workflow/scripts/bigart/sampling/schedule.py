"""The diffusion process: noise schedules and the choice of timesteps.

Sources: Ho et al. 2020 (arXiv:2006.11239) for the linear schedule and the posterior, Nichol and
Dhariwal 2021 (arXiv:2102.09672) for the cosine schedule and for leaving steps out (section 4).
Everything here is float64 and small; the samplers use it in the picture's precision.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

STEPS = 1000

Array = NDArray[np.float64]


def linear_betas(steps: int = STEPS) -> Array:
    """Return Ho et al.'s betas: evenly spaced from 0.0001 to 0.02 for 1000 steps."""
    scale = 1000 / steps
    return np.linspace(scale * 0.0001, scale * 0.02, steps)


def cosine_betas(steps: int = STEPS) -> Array:
    """Return Nichol and Dhariwal's cosine schedule (equation 17), betas at most 0.999."""
    times = np.arange(steps + 1) / steps
    alphas_cumprod = np.cos((times + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - alphas_cumprod[1:] / alphas_cumprod[:-1], 0.999)


BETAS = {"linear": linear_betas, "squaredcos_cap_v2": cosine_betas}

# GLIDE's hand-tuned upsampling schedule: more steps where the noise is weak (the counts are from
# the first to the last fifth of the process), and the last step moved inward by two
_FAST27 = "10,10,3,2,2"


def spaced_timesteps(respacing: str | int, steps: int = STEPS) -> list[int]:
    """Choose the timesteps that a shortened process keeps.

    Args:
        respacing: A count ("400"), counts for equal sections of the process ("10,10,3,2,2"),
            "ddimN" (a whole-number stride, as in Song et al. 2020), "fast27", or "" for all.
        steps: Timesteps of the whole process.

    Returns:
        The kept timesteps, rising.

    Raises:
        ValueError: The process cannot be shortened so.
    """
    text = str(respacing).strip()
    if not text:
        return list(range(steps))
    if text == "fast27":
        return [*spaced_timesteps(_FAST27, steps)[:-1], steps - 3]
    if text.startswith("ddim"):
        wanted = _count(text.removeprefix("ddim"))
        for stride in range(1, steps):
            if len(range(0, steps, stride)) == wanted:
                return list(range(0, steps, stride))
        raise ValueError(f"no whole-number stride keeps {wanted} of {steps} timesteps")
    counts = [_count(part) for part in text.split(",")]
    size, larger = divmod(steps, len(counts))
    kept: list[int] = []
    start = 0
    for section, count in enumerate(counts):
        length = size + (section < larger)
        if count > length:
            raise ValueError(f"cannot keep {count} of {length} timesteps")
        spacing = (length - 1) / (count - 1) if count > 1 else 1.0
        kept += [start + round(i * spacing) for i in range(count)]
        start += length
    return kept


def _count(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is no number of timesteps")
    return int(text)


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
        """Make the process of a named schedule ("linear", "squaredcos_cap_v2").

        Raises:
            ValueError: An unknown schedule or respacing.
        """
        if betas not in BETAS:
            raise ValueError(f"unknown noise schedule {betas!r}; known are {', '.join(BETAS)}")
        timesteps = spaced_timesteps(respacing)
        return cls(timesteps, np.cumprod(1 - BETAS[betas]())[timesteps])

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
    def posterior_variance(self) -> Array:
        """(T,), variance of a step back when the picture is known (Ho et al., equation 7)."""
        return self.betas * (1 - self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)

    @cached_property
    def posterior_log_variance_clipped(self) -> Array:
        """(T,), its logarithm, the first (which is -inf) replaced by the second."""
        variance = self.posterior_variance
        return np.log(np.append(variance[1], variance[1:]) if len(variance) > 1 else self.betas)

    @cached_property
    def posterior_mean_x0(self) -> Array:
        """(T,), weight of the picture in the mean of a step back (equation 7)."""
        return self.betas * np.sqrt(self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)

    @cached_property
    def posterior_mean_xt(self) -> Array:
        """(T,), weight of the noisy picture in the mean of a step back (equation 7)."""
        weight = (1 - self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)
        return np.sqrt(1 - self.betas) * weight
