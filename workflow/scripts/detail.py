"""Invent fine detail: encode the picture with a VQGAN's codebook and decode it."""

import argparse
import logging

import torch

from bigart.commands import command, network_command
from bigart.metadata import picture_file, recipe
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.reconstruction import reconstruct
from bigart.networks.upstream.vqgan import UpstreamVQGAN
from bigart.pictures import images
from bigart.running.progress import Progress

log = logging.getLogger("bigart")

STAGE = "detailed"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="the picture to detail")
    parser.add_argument("--out", required=True, help="the PNG to write")
    network_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write the detailed picture, of the same size."""
    network, device, made_with = network_command.open_network(arguments, VQGAN, UpstreamVQGAN)
    x = torch.from_numpy(images.to_float(images.read_rgb(arguments.image)))[None]
    x = x.to(device.device)
    log.info("detailed: one pass over the whole picture")
    with device.locked():
        progress = Progress(STAGE, 1)
        y = reconstruct(network, x)[0]
    progress.advance()
    made = recipe.extend(picture_file.recipe_so_far(arguments.image), STAGE, **made_with)
    picture_file.write_picture(arguments.out, images.to_uint8(y.cpu().numpy()), made)


if __name__ == "__main__":
    main()
