"""Paint thumbnails of a prompt, guided by noised CLIP: alone, or beside GLIDE's own guidance."""

import argparse
from functools import partial

import torch

from bigart.commands import clip_command, command, sampling_command, thumbnails_command
from bigart.config.options import add_option, interval
from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.sampling.candidates import candidate_noise
from bigart.sampling.graphs import replayed
from bigart.sampling.samplers import guided
from bigart.sampling.steered import SteeredCandidates, pulled


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    thumbnails_command.add_arguments(parser)
    add_option(parser, "--guide", "guide")
    add_option(parser, "--clip-scale", "clip_scale")
    clip_command.add_arguments(parser)
    command.main(parser, run)


@torch.no_grad()
def run(arguments: argparse.Namespace) -> None:
    """Write one thumbnail per candidate."""
    if arguments.guide == "text":
        raise UserError("--guide is text; thumbnails.py does that, and here it is clip or both")
    network, device, made_with = sampling_command.open_network(arguments, super_res=False)
    side = network.options.image_size
    judge, clip_models, more = clip_command.open_judge(arguments, arguments.prompt, device, side)
    text, away = thumbnails_command.read_prompts(arguments, network, device)
    within = interval(arguments.guidance_interval)
    guidance = arguments.guidance if arguments.guide == "both" else 1.0
    denoiser = guided(replayed(network, device.device), text, away, guidance, within)
    pull = pulled(judge.gradient, arguments.clip_scale, within)
    made_with["models"] |= clip_models
    recipes = thumbnails_command.recipes(
        arguments,
        recipe.start(),
        guide=arguments.guide,
        clip_scale=arguments.clip_scale,
        **made_with,
    )
    sampling_command.sample(
        arguments,
        thumbnails_command.STAGE,
        network,
        device,
        sampler=arguments.sampler,
        denoiser=lambda chunk: denoiser,
        noise=candidate_noise(arguments.seed, thumbnails_command.STAGE, side),
        passes=1 if guidance == 1 else 2,
        key=sampling_command.sampling_key(arguments, __file__, network.options, recipes, more=more),
        write=lambda pictures: picture_file.write_pictures(arguments.out, pictures, recipes),
        kind=partial(SteeredCandidates, pull=pull),
    )


if __name__ == "__main__":
    main()
