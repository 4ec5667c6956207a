"""Begin a wider GLIDE network from a narrower one's weights.

The old channels come first in each layer and go on as they were: what they read of new channels
is zero in the beginning. New channels begin at random, and learn. Nearly the same picture comes
out at first; not quite, for groups of channels are normalised together that were not before.
"""

from typing import Any

import torch
from torch import Tensor

from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.glide.unet import timestep_embedding


def _joined(network: Text2ImUNet) -> dict[str, int]:
    """Return the channels that come from below, of each block that takes a skip connection too."""
    stages: Any = network.output_blocks
    middle: Any = network.middle_block
    blocks = [middle[2], *(stage[0] for stage in stages)]
    widths = [block.out_layers[3].weight.shape[0] for block in blocks]
    return {f"output_blocks.{k}.0.": width for k, width in enumerate(widths[:-1])}


def _places(name: str, axis: int, old: int, new: int, joined: tuple[int, int]) -> Tensor:
    """Return where the ``old`` channels of an axis are among the ``new``, (old,)."""
    places = torch.arange(old)
    if joined[0] and (axis == 1 or "in_layers.0" in name):
        places[joined[0] :] += joined[1] - joined[0]
    elif "emb_layers" in name and axis == 0:  # scales, then shifts
        places[old // 2 :] += (new - old) // 2
    return places


@torch.no_grad()
def widen(network: Text2ImUNet, narrow: Text2ImUNet) -> None:
    """Set the weights of ``network`` from those of ``narrow``, whose levels are the same.

    Args:
        network: As it begins without this; changed.
        narrow: Has no layer that is wider.
    """
    state, joined = narrow.state_dict(), (_joined(narrow), _joined(network))
    for name, parameter in network.named_parameters():
        old = state[name]
        if name == "time_embed.0.weight":
            times = torch.arange(1000)
            known = timestep_embedding(times, network.options.channels).double()
            wanted = timestep_embedding(times, narrow.options.channels).double() @ old.double().T
            parameter[: len(old)] = torch.linalg.lstsq(known, wanted).solution.T.float()
            continue
        where = ".".join(name.split(".")[:3]) + "."
        reads_both = "in_layers.0" in name or "in_layers.2.weight" in name
        reads_both |= "skip_connection.weight" in name
        mine, theirs = (part.get(where, 0) if reads_both else 0 for part in joined)
        rows, *columns = (
            _places(name, axis, old.shape[axis], parameter.shape[axis], (mine, theirs))
            for axis in range(min(2, old.dim()))
        )
        if columns:
            parameter[rows] = 0  # of new channels
            parameter[rows[:, None], columns[0][None]] = old
        else:
            parameter[rows] = old
