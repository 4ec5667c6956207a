"""Enlarge thumbnails to 256 px: GLIDE's upsampler, which reads the prompt again."""

import argparse

import torch

from bigart.commands import command, network_command, sampling_command
from bigart.config.options import add_option
from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.pictures import images
from bigart.sampling.candidates import as_low_res, candidate_noise
from bigart.sampling.graphs import replayed
from bigart.sampling.samplers import guided

STAGE = "upsampled"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    sampling_command.add_arguments(parser)
    parser.add_argument(
        "--images", required=True, nargs="+", help="the thumbnails, candidates 1, 2, 3 ..."
    )
    add_option(parser, "--steps", "upsample_steps")
    add_option(parser, "--temperature", "upsample_temp")
    sampling_command.add_upsampler_guidance(parser)
    network_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write one picture of 256 px per thumbnail."""
    if len(arguments.images) != len(arguments.out):
        raise UserError(
            f"{len(arguments.images)} thumbnails and {len(arguments.out)} names to write"
        )
    network, device, made_with = sampling_command.open_network(arguments, super_res=True)
    reader = sampling_command.prompt_reader(arguments, network, device)
    text, away, pull = sampling_command.read_upsampler_prompts(reader, arguments)
    guidance = arguments.upsample_guidance
    thumbnails = [images.read_rgb(path) for path in arguments.images]
    steps = replayed(network, device.device)
    low_res = as_low_res(thumbnails, device.device)
    recipes = [
        recipe.extend(
            picture_file.recipe_so_far(path),
            STAGE,
            steps=str(arguments.steps),
            temperature=arguments.temperature,
            **pull,
            **made_with,
        )
        for path in arguments.images
    ]
    sampling_command.sample(
        arguments,
        STAGE,
        network,
        device,
        sampler="ddim",
        denoiser=lambda chunk: guided(steps, text, away, guidance, low_res=low_res[chunk]),
        noise=candidate_noise(
            arguments.seed, STAGE, network.options.image_size, arguments.temperature
        ),
        passes=1 if guidance == 1 else 2,
        key=sampling_command.sampling_key(
            arguments, __file__, network.options, recipes, *thumbnails
        ),
        write=lambda pictures: picture_file.write_pictures(arguments.out, pictures, recipes),
    )


if __name__ == "__main__":
    main()
