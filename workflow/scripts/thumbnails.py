"""Paint thumbnails of a prompt: GLIDE's base network, one 64 px picture per candidate."""

import argparse

import torch

from bigart.commands import command, sampling_command, thumbnails_command
from bigart.config.options import interval
from bigart.metadata import picture_file, recipe
from bigart.sampling.candidates import candidate_noise
from bigart.sampling.graphs import replayed
from bigart.sampling.samplers import guided


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    thumbnails_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write one thumbnail per candidate."""
    network, device, made_with = sampling_command.open_network(arguments, super_res=False)
    text, away = thumbnails_command.read_prompts(arguments, network, device)
    steps = replayed(network, device.device)
    within = interval(arguments.guidance_interval)
    denoiser = guided(steps, text, away, arguments.guidance, within)
    recipes = thumbnails_command.recipes(arguments, recipe.start(), **made_with)
    sampling_command.sample(
        arguments,
        thumbnails_command.STAGE,
        network,
        device,
        sampler=arguments.sampler,
        denoiser=lambda chunk: denoiser,
        noise=candidate_noise(arguments.seed, thumbnails_command.STAGE, network.options.image_size),
        passes=1 if arguments.guidance == 1 else 2,
        key=sampling_command.sampling_key(arguments, __file__, network.options, recipes),
        write=lambda pictures: picture_file.write_pictures(arguments.out, pictures, recipes),
    )


if __name__ == "__main__":
    main()
