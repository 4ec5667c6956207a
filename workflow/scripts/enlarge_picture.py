"""Bring a picture of one's own to a size, in its shape: with upscalers where it is smaller.

The upscalers enlarge it as often as needed, and Lanczos' filter makes it exactly as large. Where
they would enlarge it far too much, that filter first makes it larger by half at most.
"""

import argparse
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from bigart.commands import command, enlarging, network_command
from bigart.config import print_size
from bigart.errors import UserError
from bigart.metadata import picture_file, print_file, recipe
from bigart.pictures import frame, own_picture, print_rows
from bigart.running.allocator import keep_freed_memory
from bigart.running.engines import UPSTREAM
from bigart.running.progress import Progress

#: The longer side without `size`, in pixels.
SIDE = 4096
#: By how much the filter may enlarge instead of a network.
_LITTLE = 1.5


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="the picture")
    parser.add_argument("--out", required=True, help="the PNG to write")
    parser.add_argument("--stage", default="enlarged", help="the stage's name in the recipe")
    parser.add_argument("--artwork", default="", help="the artwork's name, for the recipe")
    parser.add_argument("--prompt", default="", help="what it shows, for the recipe")
    parser.add_argument("--size", default=print_size.AUTO, help="of the print, as in the table")
    parser.add_argument("--dpi", type=float, default=300, help="pixels per inch (default: 300)")
    parser.add_argument(
        "--side", type=int, default=SIDE, help="the longer side without a size (default: 4096)"
    )
    parser.add_argument("--model_x2", help="another network, which enlarges two times")
    network_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write the picture."""
    if arguments.engine == UPSTREAM:
        raise UserError("engine: upstream cannot enlarge a picture of any size; use native")
    so_far = picture_file.recipe_so_far(arguments.image)
    networks, device, made_with = enlarging.open_upscalers(arguments)
    if device.device.type == "cpu":
        keep_freed_memory(enlarging.HEAP)
    with (
        TemporaryDirectory(dir=Path(arguments.out).parent, prefix=".enlarged-") as folder,
        print_rows.opened_large(arguments.image) as image,
    ):
        wanted = print_size.pixels(arguments.size, arguments.dpi) or (arguments.side,) * 2
        target = own_picture.fitted(image.size, wanted)
        needed = math.ceil(target[0] / _LITTLE), math.ceil(target[1] / _LITTLE)
        factors = frame.factors(image.size, needed, networks)
        scale = math.prod(factors)
        first = tuple(
            max(have, math.ceil(side / scale)) if scale > 1 else side
            for have, side in zip(image.size, target, strict=True)
        )
        made_with["models"] = dict(made_with["models"][factor] for factor in factors)
        about = {"artwork": arguments.artwork, "description": arguments.prompt}
        made = recipe.extend(
            so_far,
            arguments.stage,
            **{name: text for name, text in about.items() if text},
            scale=scale,
            pixels=[*target],
            **made_with,
        )
        whole = (0, 0, *image.size)
        strips = print_rows.scaled(image, whole, (first[0], first[1]), arguments.image)
        height = first[1]
        for factor in factors:
            strips = enlarging.enlarged(networks[factor], strips, height, device)
            height *= factor
        large = first[0] * scale, height
        with device.locked():
            counted = enlarging.counted(strips, Progress(arguments.stage, height))
            if large == target:
                print_file.write(arguments.out, target, counted, made)
                return
            between = Path(folder, "larger.png")
            print_file.write(between, large, counted, made)
        with print_rows.opened_large(between) as larger:
            strips = print_rows.scaled(larger, (0, 0, *large), target, between)
            print_file.write(arguments.out, target, strips, made)


if __name__ == "__main__":
    main()
