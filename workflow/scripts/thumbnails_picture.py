"""Paint thumbnails over a picture: GLIDE's base network begins with it and some noise."""

import argparse
from functools import partial

import torch

from bigart.commands import command, network_command, sampling_command
from bigart.config.options import DEFAULTS, add_option, interval
from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.pictures import own_picture
from bigart.sampling.begun import BegunCandidates, rest
from bigart.sampling.candidates import as_low_res, candidate_noise
from bigart.sampling.graphs import replayed
from bigart.sampling.samplers import guided

# its pictures take the place of those, and are recorded likewise
STAGE = "thumbnails"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    sampling_command.add_arguments(parser)
    parser.add_argument(
        "--image", required=True, help="the picture; of one that is no square the middle counts"
    )
    add_option(parser, "--strength", "strength")
    for option in ("negative_prompt", "steps", "sampler", "guidance", "guidance_interval"):
        add_option(parser, f"--{option.replace('_', '-')}", option)
    network_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write one thumbnail per candidate."""
    if arguments.strength is None:
        raise UserError("--strength is missing: 0 to 1")
    network, device, made_with = sampling_command.open_network(arguments, super_res=False)
    side = network.options.image_size
    small = own_picture.square(arguments.image, side)
    reader = sampling_command.prompt_reader(arguments, network, device)
    text = sampling_command.read_prompt(reader, "prompt", arguments.prompt)
    away = sampling_command.read_prompt(reader, "negative prompt", arguments.negative_prompt)
    within = interval(arguments.guidance_interval)
    denoiser = guided(replayed(network, device.device), text, away, arguments.guidance, within)
    count = len(arguments.out)
    unusual = {} if count == DEFAULTS["candidates"] else {"candidates": count}
    so_far = picture_file.recipe_so_far(arguments.image)
    recipes = [
        recipe.extend(
            so_far,
            STAGE,
            artwork=arguments.artwork,
            prompt=arguments.prompt,
            negative_prompt=arguments.negative_prompt,
            seed=arguments.seed,
            candidate=candidate + 1,
            **unusual,
            steps=arguments.steps,
            sampler=arguments.sampler,
            guidance=arguments.guidance,
            guidance_interval=arguments.guidance_interval,
            strength=arguments.strength,
            **made_with,
        )
        for candidate in range(count)
    ]
    begun = partial(BegunCandidates, picture=as_low_res([small], device.device))
    sampling_command.sample(
        arguments,
        STAGE,
        network,
        device,
        sampler=arguments.sampler,
        denoiser=lambda chunk: denoiser,
        noise=candidate_noise(arguments.seed, STAGE, side),
        passes=1 if arguments.guidance == 1 else 2,
        key=sampling_command.sampling_key(arguments, __file__, network.options, recipes, small),
        write=lambda pictures: picture_file.write_pictures(arguments.out, pictures, recipes),
        kind=lambda process, *others: begun(rest(process, arguments.strength), *others),
    )


if __name__ == "__main__":
    main()
