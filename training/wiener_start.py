"""Let the untrained upsampler begin as a Wiener filter, and spend its training on the details.

The linear estimate of a picture x0 from its enlargement b and from x_t = sqrt(a) x0 + sqrt(1-a) e
is b + g (x_t / sqrt(a) - b) with g = v snr / (1 + v snr), where v is the mean square of x0 - b.
As a prediction of the noise that is

    e = A(t) x_t - C(t) b,   A(t) = 1 / (sqrt(1 - a) (1 + v snr)),   C(t) = sqrt(a) A(t)

which goes through the network like this: the first convolution copies x_t and b, the last residual
block scales them by what the timestep says, and the last convolution sums up. Every value travels
as two channels, one negated, for SiLU(x) - SiLU(-x) = x; and every group that is normalised on
the way holds two constants much larger than the values, so that the normalisation divides by
nearly the same number in every picture.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.glide.unet import ResBlock, timestep_embedding
from bigart.networks.options import PICTURE_CHANNELS
from diffusion_loss import Process

#: Mean square of the difference between the painter's pictures and their enlargements, in [-1, 1].
DETAIL = 0.016
#: The constants that steady the normalisations.
STEADY = 8.0
#: Mean squares of a noisy picture and of a small one, about.
SQUARES = (1.0, 0.25)
COLOURS = range(PICTURE_CHANNELS)


def gains(process: Process, times: Tensor) -> Tensor:
    """Return A and C of the timesteps (B,), (B, 2)."""
    signal, noise = process.signal[times], process.noise[times]
    gain = 1 / (noise * (1 + DETAIL * (signal / noise) ** 2))
    return torch.stack([gain, signal * gain], 1)


def start_as_wiener_filter(
    network: Text2ImUNet, process: Process, text: Tensor, steps: int = 3000
) -> None:
    """Set the weights along the way.

    Args:
        network: An upsampler of 32 channels and 8 groups; changed.
        process: Its noise schedule.
        text: Summaries of some captions, (B, 4 * channels): the gains are not to depend on them.
        steps: Of fitting the gains.
    """
    options = network.options
    if (options.channels, options.groups, options.super_res) != (32, 8, True):
        raise ValueError("the path is laid out for an upsampler of 32 channels and 8 groups")
    _lay_path(network)
    _fit_gains(network, process, text, steps)


def _last_block(network: Text2ImUNet) -> ResBlock:
    stage: Any = network.output_blocks[-1]
    assert isinstance(stage[0], ResBlock)
    return stage[0]


def _pair(weight: Tensor, to: int, source: tuple[int, ...], sign: float = 1.0) -> None:
    """Let channel ``to`` be the sum of the sources, plus, minus, ...; ``to + 1`` minus it."""
    for k, channel in enumerate(source):
        value = sign * (-1) ** k
        weight[to, channel, 1, 1] = value
        weight[to + 1, channel, 1, 1] = -value


def _steady(bias: Tensor, channel: int) -> None:
    bias[channel], bias[channel + 1] = STEADY, -STEADY


@torch.no_grad()
def _lay_path(network: Text2ImUNet) -> None:
    block: Any = _last_block(network)
    first: Any = network.input_blocks[0]
    head: Any = network.out
    first, film, skip = first[0], block.emb_layers[1], block.skip_connection
    norm_in, _, conv_in = block.in_layers
    norm_out, _, _, conv_out = block.out_layers
    width = network.options.channels
    behind = norm_in.num_channels - width  # where the first convolution's output is appended

    first.weight[:16], first.bias[:16] = 0, 0
    conv_in.weight[:24], conv_in.bias[:24] = 0, 0
    conv_out.weight.zero_(), conv_out.bias.zero_()
    for part, square in enumerate(SQUARES):
        start = 8 * part  # r, -r, g, -g, b, -b, constant, -constant
        _steady(first.bias, start + 6)
        norm_in.weight[behind + start : behind + start + 8] = (
            (6 * square + 2 * STEADY**2) / 8
        ) ** 0.5
        for colour in COLOURS:
            plus = start + 2 * colour
            _pair(first.weight, plus, (PICTURE_CHANNELS * part + colour,))
            group = 4 * (PICTURE_CHANNELS * part + colour)  # value, -value, constant, -constant
            _pair(conv_in.weight, group, (behind + plus, behind + plus + 1))
            _steady(conv_in.bias, group + 2)
            norm_out.weight[group : group + 4] = ((2 * square + 2 * STEADY**2) / 4) ** 0.5
            _pair(conv_out.weight, 4 * colour, (group, group + 1), sign=1 - 2 * part)
    for values in (film.weight, film.bias):
        values[:24], values[width : width + 24] = 0, 0

    skip.weight[:12], skip.bias[:12] = 0, 0
    head[2].weight.zero_(), head[2].bias.zero_()
    head[0].weight[:12] = ((2 + 2 * STEADY**2) / 4) ** 0.5
    for colour in COLOURS:
        _steady(skip.bias, 4 * colour + 2)
        head[2].weight[colour, 4 * colour, 1, 1] = 1
        head[2].weight[colour, 4 * colour + 1, 1, 1] = -1
        # the noisy picture itself, so that the block need only add (A - 1) x_t
        skip.weight[4 * colour, behind + 2 * colour] = 1
        skip.weight[4 * colour + 1, behind + 2 * colour] = -1


def _fit_gains(network: Text2ImUNet, process: Process, text: Tensor, steps: int) -> None:
    """Fit what the timestep says to the last block, by descent and at last by least squares.

    The time embedding is fitted too. An error in a gain counts for what it does to the noise or
    to the estimated picture, whichever is more.
    """
    block, width = _last_block(network), network.options.channels
    film: Any = block.emb_layers[1]
    optimizer = torch.optim.Adam([*network.time_embed.parameters(), *film.parameters()], 3e-3)
    snr = (process.signal / process.noise) ** 2
    importance = (1 / snr).clamp(1, 1e4)

    rows = [*range(24), *range(width, width + 24)]  # scales and shifts of the path's channels

    def sample(count: int) -> tuple[Tensor, Tensor, Tensor]:
        times = torch.randint(0, len(snr), (count,))
        embedding = network.time_embed(timestep_embedding(times, width))
        embedding = embedding + text[torch.randint(0, len(text), (count,))]
        # x_t itself comes by the shortcut, and the block multiplies by 1 + scale
        scale = (gains(process, times) - torch.tensor([2.0, 1.0])).repeat_interleave(12, 1)
        return embedding, F.pad(scale, (0, 24)), importance[times]

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps) ** 1.5 + 1e-6
        embedding, wanted, weight = sample(256)
        errors = (block.emb_layers(embedding)[:, rows] - wanted).square().mean(1)
        optimizer.zero_grad()
        (errors * weight).mean().backward()
        optimizer.step()
    with torch.no_grad():
        embedding, wanted, weight = (part.double() for part in sample(20_000))
        known = F.pad(F.silu(embedding), (0, 1), value=1.0) * weight[:, None].sqrt()
        solved = torch.linalg.lstsq(known, wanted * weight[:, None].sqrt()).solution.float()
        film.weight[rows], film.bias[rows] = solved[:-1].T, solved[-1]
