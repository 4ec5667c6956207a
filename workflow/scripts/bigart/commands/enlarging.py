"""What the stages share that enlarge a picture of any size: row by row, as often as needed."""

import argparse
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from bigart.commands import upscaler_command
from bigart.commands.upscaler_command import Native
from bigart.networks.native import rolling
from bigart.networks.native.srvggnet import SRVGGNet
from bigart.networks.upstream.network import UpstreamNetwork
from bigart.pictures import images
from bigart.pictures.images import Picture
from bigart.running.device import Device
from bigart.running.progress import Progress

#: Bytes of the largest array that comes from the heap: rows of many heights would fragment it.
HEAP = 2**22


def open_upscalers(
    arguments: argparse.Namespace,
) -> tuple[dict[int, Native], Device, dict[str, Any]]:
    """Open the networks ``model`` and, where it is given, ``model_x2``.

    Returns:
        The networks by their scale, the device, and what the recipe says; ``models`` in it are
        name and SHA-256 by scale.
    """
    networks: dict[int, Native] = {}
    models: dict[int, tuple[str, str]] = {}
    for path in filter(None, [arguments.model, arguments.model_x2]):
        own = argparse.Namespace(**{**vars(arguments), "model": path})
        network, device, made_with = upscaler_command.open_upscaler(own)
        assert not isinstance(network, UpstreamNetwork)
        arguments.device = str(device.device)  # the same for both
        networks[network.options.scale] = network
        [models[network.options.scale]] = made_with["models"].items()
    return networks, device, {**made_with, "models": models}


def enlarged(
    network: Native, strips: Iterable[Picture], height: int, device: Device
) -> Iterator[Picture]:
    """Yield the strips of a picture, enlarged row by row and without seams.

    Args:
        network: The upscaler.
        strips: The picture, uint8 (rows, width, 3) from the top.
        height: Its rows.
        device: Where the network is.
    """
    rows = (torch.from_numpy(images.to_float(strip))[None].to(device.device) for strip in strips)
    if isinstance(network, SRVGGNet):
        made = network.rows(rows, height)
    else:
        made = rolling.enlarge(network, rows, height)
    for part in made:
        yield images.to_uint8(part[0].float().cpu().numpy())


def counted(strips: Iterable[Picture], progress: Progress) -> Iterator[Picture]:
    """Yield strips, and count their rows."""
    for strip in strips:
        yield np.ascontiguousarray(strip)
        progress.advance(len(strip))
