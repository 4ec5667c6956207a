"""A critic of patches, which says whether what a network makes looks painted.

Sources: Isola et al. 2017 (arXiv:1611.07004, section 3.2.2) for the patches, with the hinge loss;
Esser et al. 2021 (arXiv:2012.09841, equations 6 and 7) for its weight next to that of the pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import Run, Stateful, blurred, on_device


class Critic(nn.Module):
    """Says of each patch of 46 px how painted it looks, (B, 3, H, W) -> (B, 1, H/8 - 1, W/8 - 1).

    It is shown what is finer than a few pixels: colours and layout are not its business.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for given, made in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(given, made, 4, 2, 1), nn.GroupNorm(8, made), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 4, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return high values for pictures in [0, 1] that look painted."""
        return self.layers(5 * (pictures - blurred(pictures, 3.0)))


class Criticism:
    """A critic that learns beside a network, and the loss that comes of it.

    Args:
        run: Where.
        rate: Learning rate of the network; the critic's is half of it.
        last: Weight of the network's last layer, where the critic's gradient is made as strong as
            that of the pixels.
    """

    def __init__(self, run: Run, rate: float, last: Tensor) -> None:
        self.critic, self.last = on_device(Critic(), run.device), last
        self.learn = torch.optim.Adam(self.critic.parameters(), rate * run.rate / 2, (0.5, 0.9))

    def state(self) -> dict[str, Stateful]:
        """Return what is kept to go on from, by name."""
        return {"critic": self.critic, "learn": self.learn}

    def loss(self, out: Tensor, target: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Teach the critic, then return a loss with its gradient, and its own loss.

        Args:
            out: (B, 3, H, W) in [0, 1], of the network.
            target: (B, 3, H, W) in [0, 1], paintings.
            pixels: Loss of the pixels, which the first result is made as strong as.
        """
        real, made = self.critic(torch.cat([target, out.detach()])).chunk(2)
        own = F.relu(1 - real).mean() + F.relu(1 + made).mean()
        self.learn.zero_grad(set_to_none=True)
        own.backward()
        self.learn.step()
        leaf = out.detach().requires_grad_()
        (push,) = torch.autograd.grad(-self.critic(leaf).mean(), leaf)
        unpainted = (out * push).sum()
        (one,) = torch.autograd.grad(pixels, self.last, retain_graph=True)
        (other,) = torch.autograd.grad(unpainted, self.last, retain_graph=True)
        weight = (one.norm() / (other.norm() + 1e-4)).clamp(0, 100)
        return weight * unpainted, own.detach()
