"""Paint thumbnails over a picture: GLIDE's base network begins with it and some noise."""

import argparse
from functools import partial

import torch

from bigart.commands import command, sampling_command, thumbnails_command
from bigart.config.options import add_option, interval
from bigart.errors import UserError
from bigart.metadata import picture_file
from bigart.pictures import own_picture
from bigart.sampling.begun import BegunCandidates, rest
from bigart.sampling.candidates import as_low_res, candidate_noise
from bigart.sampling.graphs import replayed
from bigart.sampling.samplers import guided


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    thumbnails_command.add_arguments(parser)
    parser.add_argument(
        "--image", required=True, help="the picture; of one that is no square the middle counts"
    )
    add_option(parser, "--strength", "strength")
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write one thumbnail per candidate."""
    if arguments.strength is None:
        raise UserError("--strength is missing: 0 to 1")
    network, device, made_with = sampling_command.open_network(arguments, super_res=False)
    side = network.options.image_size
    small = own_picture.square(arguments.image, side)
    text, away = thumbnails_command.read_prompts(arguments, network, device)
    within = interval(arguments.guidance_interval)
    denoiser = guided(replayed(network, device.device), text, away, arguments.guidance, within)
    so_far = picture_file.recipe_so_far(arguments.image)
    recipes = thumbnails_command.recipes(
        arguments, so_far, strength=arguments.strength, **made_with
    )
    begun = partial(BegunCandidates, picture=as_low_res([small], device.device))
    sampling_command.sample(
        arguments,
        thumbnails_command.STAGE,
        network,
        device,
        sampler=arguments.sampler,
        denoiser=lambda chunk: denoiser,
        noise=candidate_noise(arguments.seed, thumbnails_command.STAGE, side),
        passes=1 if arguments.guidance == 1 else 2,
        key=sampling_command.sampling_key(arguments, __file__, network.options, recipes, small),
        write=lambda pictures: picture_file.write_pictures(arguments.out, pictures, recipes),
        kind=lambda process, *others: begun(rest(process, arguments.strength), *others),
    )


if __name__ == "__main__":
    main()
