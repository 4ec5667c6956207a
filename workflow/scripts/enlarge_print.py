"""Enlarge a picture as often as a print of some size needs: row by row, without seams."""

import argparse
import math

import torch

from bigart.commands import command, enlarging, network_command
from bigart.config import print_size
from bigart.errors import UserError
from bigart.metadata import picture_file, print_file, recipe
from bigart.pictures import frame, print_rows
from bigart.running.allocator import keep_freed_memory
from bigart.running.engines import UPSTREAM
from bigart.running.progress import Progress

STAGE = "enlarged-print"


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
    networks, device, made_with = enlarging.open_upscalers(arguments)
    if device.device.type == "cpu":
        keep_freed_memory(enlarging.HEAP)
    with print_rows.opened_large(arguments.image) as image:
        target = print_size.pixels(arguments.size, arguments.dpi) or image.size
        factors = frame.factors(image.size, target, networks)
        scale = math.prod(factors)
        made_with["models"] = dict(made_with["models"][factor] for factor in factors)
        made = recipe.extend(so_far, STAGE, scale=scale, **made_with)
        strips, height = print_rows.rows(image, arguments.image), image.height
        for factor in factors:
            strips = enlarging.enlarged(networks[factor], strips, height, device)
            height *= factor
        with device.locked():
            counted = enlarging.counted(strips, Progress(STAGE, height))
            print_file.write(arguments.out, (scale * image.width, height), counted, made)


if __name__ == "__main__":
    main()
