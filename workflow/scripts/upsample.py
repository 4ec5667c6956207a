"""Enlarge thumbnails to 256 px: GLIDE's upsampler, which reads the prompt again."""

import argparse

import numpy as np
import torch
from bigart import cli, images, recipe, stage
from bigart.errors import UserError
from bigart.glide import stages
from bigart.glide.model import Text2ImUNet
from bigart.glide.samplers import Denoiser, guided

STAGE = "upsampled"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    stages.add_arguments(parser)
    parser.add_argument(
        "--images", required=True, nargs="+", help="the thumbnails, candidates 1, 2, 3 ..."
    )
    parser.add_argument("--steps", default="fast27", help="2 to 1000, or fast27 (default)")
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.997,
        help="strength of the starting noise; less than 1 is smoother (default: 0.997)",
    )
    stage.add_arguments(parser)
    cli.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write one picture of 256 px per thumbnail."""
    if len(arguments.images) != len(arguments.out):
        raise UserError(
            f"{len(arguments.images)} thumbnails and {len(arguments.out)} names to write"
        )
    network, device, models = stage.open_network(arguments, arguments.model, Text2ImUNet)
    if not network.options.super_res:
        raise UserError(f"{arguments.model} is a base network; this stage needs an upsampler")
    thumbnails = np.stack([images.to_float(images.read_rgb(path)) for path in arguments.images])
    low_res = torch.from_numpy(thumbnails * 2 - 1).to(device.device)
    side = network.options.image_size
    process = stages.schedule(network.options, arguments.steps)
    with device.autocast():
        text = stages.tokenized(network, arguments, arguments.prompt, device)
    noise = stages.noise(arguments.seed, STAGE, side)

    def denoiser(chunk: slice) -> Denoiser:
        # the upsampler follows the thumbnail; the published recipe does not guide it
        return guided(network, text, text, 1.0, low_res[chunk])

    pictures = stages.sample(
        STAGE,
        network,
        device,
        process,
        "ddim",
        len(arguments.out),
        arguments.batch,
        denoiser,
        lambda candidate, draw: noise(candidate, draw) * np.float32(arguments.temperature),
        passes=1,
    )
    for candidate, picture in pictures:
        made = recipe.extend(
            recipe.recipe_so_far(arguments.images[candidate]),
            STAGE,
            steps=arguments.steps,
            temperature=arguments.temperature,
            precision=device.precision,
            models=models,
        )
        images.write_png(arguments.out[candidate], stages.to_picture(picture), made)


if __name__ == "__main__":
    main()
