"""Paint a part of a finished picture anew, small: GLIDE's base network and a mask."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import cast

import torch

from bigart.commands import command, network_command, repaint_command, sampling_command
from bigart.config.options import DEFAULTS, add_option, interval
from bigart.metadata import picture_file, recipe
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.sampling.candidates import Candidates, candidate_noise
from bigart.sampling.graphs import replayed
from bigart.sampling.repaint import TIMES, Inpainting, RepaintedCandidates, keeping
from bigart.sampling.samplers import Network, guided
from bigart.sampling.schedule import Schedule

# its pictures take the place of those, and are recorded likewise
STAGE = "thumbnails"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    sampling_command.add_arguments(parser)
    repaint_command.add_arguments(parser)
    for option in ("negative_prompt", "steps", "sampler", "guidance", "guidance_interval"):
        add_option(parser, f"--{option.replace('_', '-')}", option)
    network_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write one thumbnail per candidate."""
    network, device, made_with = repaint_command.open_network(arguments, super_res=False)
    side = network.options.image_size
    known, seen, about = repaint_command.known(arguments, side, device)
    reader = sampling_command.prompt_reader(arguments, network, device)
    text = sampling_command.read_prompt(reader, "prompt", arguments.prompt)
    away = sampling_command.read_prompt(reader, "negative prompt", arguments.negative_prompt)
    within = interval(arguments.guidance_interval)
    steps: Network
    kind: Callable[..., Candidates]
    if network.options.inpaint:
        steps, kind = Inpainting(cast("Text2ImUNet", network), known), Candidates
    else:
        steps = replayed(network, device.device)
        other = candidate_noise(arguments.seed, f"{STAGE}/known", side)
        kind = partial(RepaintedCandidates, known=known, other=other, times=TIMES)
    denoiser = guided(steps, text, away, arguments.guidance, within)
    if network.options.inpaint:
        schedule = Schedule.create(network.options.noise_schedule, arguments.steps)
        denoiser = keeping(denoiser, known, schedule)
    count = len(arguments.out)
    unusual = {} if count == DEFAULTS["candidates"] else {"candidates": count}
    recipes = [
        recipe.extend(
            recipe.start(),
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
            **about,
            **made_with,
        )
        for candidate in range(count)
    ]
    sampling_command.sample(
        arguments,
        STAGE,
        network,
        device,
        sampler=arguments.sampler,
        denoiser=lambda chunk: denoiser,
        noise=candidate_noise(arguments.seed, STAGE, side),
        passes=1 if arguments.guidance == 1 else 2,
        key=sampling_command.sampling_key(arguments, __file__, network.options, recipes, *seen),
        write=lambda pictures: picture_file.write_pictures(arguments.out, pictures, recipes),
        kind=kind,
    )


if __name__ == "__main__":
    main()
