"""Enlarge a picture as often as a print of some size needs: row by row, without seams."""

import argparse
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from bigart.commands import command, network_command, upscaler_command
from bigart.commands.upscaler_command import Native
from bigart.config import print_size
from bigart.errors import UserError
from bigart.metadata import picture_file, print_file, recipe
from bigart.networks.native import rolling
from bigart.networks.native.srvggnet import SRVGGNet
from bigart.networks.upstream.network import UpstreamNetwork
from bigart.pictures import frame, images, print_rows
from bigart.pictures.images import Picture
from bigart.running.allocator import keep_freed_memory
from bigart.running.device import Device
from bigart.running.engines import UPSTREAM
from bigart.running.progress import Progress

STAGE = "enlarged-print"
#: Bytes of the largest array that comes from the heap: rows of many heights would fragment it.
HEAP = 2**22


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="the picture to enlarge")
    parser.add_argument("--out", required=True, help="the PNG to write")
    parser.add_argument("--size", required=True, help="of the print, as in the table of artworks")
    parser.add_argument("--dpi", type=float, default=300, help="pixels per inch (default: 300)")
    parser.add_argument(
        "--model_x2", help="another network, which enlarges two times: used where that is enough"
    )
    network_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write the enlarged picture."""
    if arguments.engine == UPSTREAM:
        raise UserError("engine: upstream cannot enlarge for a print; use --engine native")
    so_far = picture_file.recipe_so_far(arguments.image)
    networks, device, made_with = _opened(arguments)
    if device.device.type == "cpu":
        keep_freed_memory(HEAP)
    with print_rows.opened_large(arguments.image) as image:
        target = print_size.pixels(arguments.size, arguments.dpi) or image.size
        factors = frame.factors(image.size, target, networks)
        scale = math.prod(factors)
        made_with["models"] = dict(made_with["models"][factor] for factor in factors)
        made = recipe.extend(so_far, STAGE, scale=scale, **made_with)
        strips, height = print_rows.rows(image, arguments.image), image.height
        for factor in factors:
            strips = _enlarged(networks[factor], strips, height, device)
            height *= factor
        with device.locked():
            counted = _counted(strips, Progress(STAGE, height))
            print_file.write(arguments.out, (scale * image.width, height), counted, made)


def _opened(arguments: argparse.Namespace) -> tuple[dict[int, Native], Device, dict[str, Any]]:
    """Open the networks; return them by their scale, the device, and what the recipe says."""
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


def _enlarged(
    network: Native, strips: Iterable[Picture], height: int, device: Device
) -> Iterator[Picture]:
    rows = (torch.from_numpy(images.to_float(strip))[None].to(device.device) for strip in strips)
    if isinstance(network, SRVGGNet):
        enlarged = network.rows(rows, height)
    else:
        enlarged = rolling.enlarge(network, rows, height)
    for made in enlarged:
        yield images.to_uint8(made[0].float().cpu().numpy())


def _counted(strips: Iterable[Picture], progress: Progress) -> Iterator[Picture]:
    for strip in strips:
        yield np.ascontiguousarray(strip)
        progress.advance(len(strip))


if __name__ == "__main__":
    main()
