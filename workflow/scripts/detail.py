"""Invent fine detail: write the picture in a VQGAN's codebook and read it back."""

import argparse
import logging

import torch
import torch.nn.functional as F

from bigart.commands import command, network_command
from bigart.metadata import picture_file, recipe
from bigart.networks.upstream.vqgan import UpstreamVQGAN
from bigart.networks.vqgan import VQGAN
from bigart.pictures import images
from bigart.running.progress import Progress

log = logging.getLogger("bigart")

STAGE = "detailed"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="the network, converted to safetensors")
    parser.add_argument("--image", required=True, help="the picture to detail")
    parser.add_argument("--out", required=True, help="the PNG to write")
    network_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write the detailed picture, of the same size."""
    network, device, made_with = network_command.open_network(
        arguments, arguments.model, VQGAN, UpstreamVQGAN
    )
    picture = images.read_rgb(arguments.image)
    height, width = picture.shape[:2]
    x = torch.from_numpy(images.to_float(picture))[None].to(device.device) * 2 - 1
    factor = network.options.factor
    x = F.pad(x, (0, -width % factor, 0, -height % factor), mode="replicate")
    log.info("detailed: one pass over the whole picture")
    with device.locked():
        progress = Progress(STAGE, 1)
        codes = network.indices(network.encode(x))
        del network.encoder  # its weights are mapped apart from the others: 0.1 GB less
        y = network.decode(codes)[0, :, :height, :width]
    progress.advance()
    made = recipe.extend(picture_file.recipe_so_far(arguments.image), STAGE, **made_with)
    picture_file.write_png(
        arguments.out, images.to_uint8(((y.float() + 1) / 2).cpu().numpy()), made
    )


if __name__ == "__main__":
    main()
