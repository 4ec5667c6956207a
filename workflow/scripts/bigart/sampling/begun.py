"""Candidates that begin with a picture, to which noise of some strength is added.

Source: Meng et al., "SDEdit" (2021, arXiv:2108.01073), algorithm 1: the sampling begins in the
middle of the process, with the picture as it would look there.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass

from torch import Tensor

from bigart.sampling.candidates import Candidates
from bigart.sampling.samplers import State
from bigart.sampling.schedule import STEPS, Schedule


def rest(schedule: Schedule, strength: float) -> Schedule:
    """Return the last part of a process: the steps whose noise is no stronger than that.

    Args:
        schedule: The whole process.
        strength: The part of the 1000 timesteps that are left: 1 is all of them, 0 is none.
    """
    left = bisect_left(schedule.timesteps, strength * STEPS)
    return Schedule(schedule.timesteps[:left], schedule.alphas_cumprod[:left])


@dataclass(frozen=True)
class BegunCandidates(Candidates):
    """Candidates that begin with a picture.

    Attributes:
        picture: (1, 3, n, n), in [-1, 1].
    """

    picture: Tensor

    def start(self, batch: range) -> State:
        """Return the state before the first step of some candidates (numbers from 0)."""
        if not len(self.schedule):
            return State(0, self.picture.repeat(len(batch), 1, 1, 1))
        share = float(self.schedule.alphas_cumprod[-1])
        noise = self._draw(batch, 0)
        return State(0, math.sqrt(share) * self.picture + math.sqrt(1 - share) * noise)
