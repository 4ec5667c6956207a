"""Enlarge a picture two or four times: BSRGAN, Real-ESRGAN or a relative, without seams."""

import argparse

import torch

from bigart.commands import command, network_command, upscaler_command
from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.pictures import images
from bigart.running.progress import Progress


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="the picture to enlarge")
    parser.add_argument("--out", required=True, help="the PNG to write")
    parser.add_argument("--stage", default="enlarged", help="the stage's name in the recipe")
    parser.add_argument(
        "--scale", type=int, help="refuse a network of another scale (default: any)"
    )
    parser.add_argument(
        "--strip",
        type=int,
        default=256,
        help="rows computed at once: fewer take less memory and more time, the picture is the "
        "same; a large network on a CPU in fp32 needs no strips but for its tail (default: 256)",
    )
    network_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write the enlarged picture."""
    if arguments.strip < 1:
        raise UserError(f"--strip is {arguments.strip}; at least 1 is needed")
    network, device, made_with = upscaler_command.open_upscaler(arguments)
    scale = network.options.scale
    if arguments.scale not in (None, scale):
        raise UserError(f"{arguments.model} enlarges {scale} times; {arguments.scale} are needed")
    picture = images.read_rgb(arguments.image)
    x = torch.from_numpy(images.to_float(picture))[None].to(device.device)
    with device.locked():
        progress = Progress(arguments.stage, 1)
        y = network.enlarge(x, arguments.strip, progress.to)[0]
    made = recipe.extend(
        picture_file.recipe_so_far(arguments.image),
        arguments.stage,
        scale=scale,
        **made_with,
    )
    picture_file.write_picture(arguments.out, images.to_uint8(y.float().cpu().numpy()), made)


if __name__ == "__main__":
    main()
