"""Enlarge thumbnails of which a part is known to 256 px: GLIDE's upsampler and a mask."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import cast

import torch

from bigart.commands import command, network_command, repaint_command, sampling_command
from bigart.config.options import add_option
from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.pictures import images
from bigart.sampling.candidates import Candidates, as_low_res, candidate_noise
from bigart.sampling.graphs import replayed
from bigart.sampling.repaint import (
    TIMES_ABOVE,
    Inpainting,
    RepaintedCandidates,
    first_scaled,
    keeping,
)
from bigart.sampling.samplers import Denoiser, Network, guided
from bigart.sampling.schedule import Schedule

# its pictures take the place of those, and are recorded likewise
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
    repaint_command.add_arguments(parser)
    network_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write one picture of 256 px per thumbnail."""
    if len(arguments.images) != len(arguments.out):
        raise UserError(
            f"{len(arguments.images)} thumbnails and {len(arguments.out)} names to write"
        )
    network, device, made_with = sampling_command.open_network(
        arguments, super_res=True, may_inpaint=True
    )
    side = network.options.image_size
    known, seen, _ = repaint_command.known(arguments, side, device)
    reader = sampling_command.prompt_reader(arguments, network, device)
    text, away, pull = sampling_command.read_upsampler_prompts(reader, arguments)
    guidance = arguments.upsample_guidance
    thumbnails = [images.read_rgb(path) for path in arguments.images]
    low_res = as_low_res(thumbnails, device.device)
    noise = candidate_noise(arguments.seed, STAGE, side)
    steps: Network
    kind: Callable[..., Candidates]
    if network.options.inpaint:
        steps, kind = Inpainting(cast("Text2ImUNet", network), known), Candidates
    else:
        steps = replayed(network, device.device)
        other = candidate_noise(arguments.seed, f"{STAGE}/known", side)
        kind = partial(RepaintedCandidates, known=known, other=other, times=TIMES_ABOVE)
    schedule = Schedule.create(network.options.noise_schedule, arguments.steps)

    def denoiser(chunk: slice) -> Denoiser:
        found = guided(steps, text, away, guidance, low_res=low_res[chunk])
        return keeping(found, known, schedule) if network.options.inpaint else found

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
        sampler="ancestral" if network.options.inpaint else "ddim",  # as published
        denoiser=denoiser,
        noise=first_scaled(noise, arguments.temperature),
        passes=1 if guidance == 1 else 2,
        key=sampling_command.sampling_key(
            arguments, __file__, network.options, recipes, *thumbnails, *seen
        ),
        write=lambda pictures: picture_file.write_pictures(arguments.out, pictures, recipes),
        kind=kind,
    )


if __name__ == "__main__":
    main()
