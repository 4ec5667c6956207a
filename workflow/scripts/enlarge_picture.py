"""Bring a picture of one's own to a size: with upscalers where it is smaller.

Its shape stays, and one length is its longer side; a size of two lengths is cut out of it first.

The upscalers enlarge it as often as needed, and Lanczos' filter makes it exactly as large. Where
they would enlarge it far too much, that filter first makes it larger by half at most.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from bigart.commands import command, enlarging, network_command
from bigart.config import print_size
from bigart.errors import UserError
from bigart.metadata import picture_file, print_file, recipe
from bigart.pictures import enlargement, print_rows
from bigart.running.allocator import keep_freed_memory
from bigart.running.engines import UPSTREAM
from bigart.running.progress import Progress

#: The longer side without `size`, in pixels.
SIDE = 4096


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
        "--crop", default="50% 50%", help="the middle of what two lengths cut out, as in the table"
    )
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
        centre = print_size.centre(arguments.crop) if print_size.cuts(arguments.size) else None
        plan = enlargement.planned(image.size, wanted, centre, networks)
        made_with["models"] = dict(made_with["models"][factor] for factor in plan.factors)
        about = {"artwork": arguments.artwork, "description": arguments.prompt}
        made = recipe.extend(
            so_far,
            arguments.stage,
            **{name: text for name, text in about.items() if text},
            scale=plan.scale,
            pixels=[*plan.target],
            **made_with,
        )
        strips = print_rows.scaled(image, plan.box, plan.first, arguments.image)
        height = plan.first[1]
        for factor in plan.factors:
            strips = enlarging.enlarged(networks[factor], strips, height, device)
            height *= factor
        with device.locked():
            counted = enlarging.counted(strips, Progress(arguments.stage, height))
            if plan.large == plan.target:
                print_file.write(arguments.out, plan.target, counted, made)
                return
            between = Path(folder, "larger.png")
            print_file.write(between, plan.large, counted, made)
        with print_rows.opened_large(between) as larger:
            strips = print_rows.scaled(larger, (0, 0, *plan.large), plan.target, between)
            print_file.write(arguments.out, plan.target, strips, made)


if __name__ == "__main__":
    main()
