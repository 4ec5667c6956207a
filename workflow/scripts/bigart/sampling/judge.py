"""How well pictures agree with a prompt, as noised CLIP sees it, and what would make them agree.

Source: Nichol et al., "GLIDE" (2021, arXiv:2112.10741), sections 2.4 and 4.4.
"""

from typing import Protocol

import torch
from torch import Tensor

from bigart.networks.clip_options import ClipImageOptions

# How many pictures a gradient is taken of at once: one takes about 0.1 GB at the published size
ON_CPU, ON_GPU = 1, 8


class ImageEncoder(Protocol):
    """What is needed of noised CLIP: ``native.clip.ClipImage`` or the original."""

    options: ClipImageOptions

    def embed(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Return the unit vectors (B, embedding) of noisy pictures (B, 3, n, n)."""


class Judge:
    """Compares noisy pictures with one prompt.

    Args:
        encoder: Its weights must not come from ``torch.inference_mode``, which allows no gradients.
        prompt: (1, embedding), the unit vector of the prompt.
    """

    def __init__(self, encoder: ImageEncoder, prompt: Tensor) -> None:
        self.encoder, self.prompt = encoder, prompt

    def agreement(self, x: Tensor, timestep: int) -> Tensor:
        """Return the cosine (B,) of the angle between each picture and the prompt.

        Args:
            x: (B, 3, n, n), about [-1, 1] plus noise.
            timestep: Of the 1000-step process, how strong the noise is.
        """
        times = torch.full((len(x),), timestep, device=x.device)
        return (self.encoder.embed(x, times) * self.prompt).sum(dim=1)

    def gradient(self, x: Tensor, timestep: int) -> Tensor:
        """Return the gradient (B, 3, n, n) to the pictures of the agreement times its factor.

        A few pictures at a time, so that memory does not grow with their number.
        """
        scale = self.encoder.options.logit_scale
        at_once = ON_CPU if x.device.type == "cpu" else ON_GPU
        parts = []
        with torch.inference_mode(False), torch.enable_grad():
            for part in x.split(at_once):
                part = part.detach().clone().float().requires_grad_(True)
                total = scale * self.agreement(part, timestep).sum()
                parts += torch.autograd.grad(total, part)
        return torch.cat(parts)
