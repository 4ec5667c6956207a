"""Paint a part of a finished picture anew, small: GLIDE's base network and a mask."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import cast

import torch

from bigart.commands import command, repaint_command, sampling_command, thumbnails_command
from bigart.config.options import interval
from bigart.metadata import picture_file, recipe
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.sampling.candidates import Candidates, candidate_noise
from bigart.sampling.graphs import replayed
from bigart.sampling.repaint import TIMES, Inpainting, RepaintedCandidates, keeping
from bigart.sampling.samplers import Network, guided
from bigart.sampling.schedule import Schedule


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    thumbnails_command.add_arguments(parser)
    repaint_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write one thumbnail per candidate."""
    network, device, made_with = sampling_command.open_network(
        arguments, super_res=False, may_inpaint=True
    )
    side = network.options.image_size
    known, seen, about = repaint_command.known(arguments, side, device)
    text, away = thumbnails_command.read_prompts(arguments, network, device)
    within = interval(arguments.guidance_interval)
    steps: Network
    kind: Callable[..., Candidates]
    if network.options.inpaint:
        steps, kind = Inpainting(cast("Text2ImUNet", network), known), Candidates
    else:
        steps = replayed(network, device.device)
        other = candidate_noise(arguments.seed, f"{thumbnails_command.STAGE}/known", side)
        kind = partial(RepaintedCandidates, known=known, other=other, times=TIMES)
    denoiser = guided(steps, text, away, arguments.guidance, within)
    if network.options.inpaint:
        schedule = Schedule.create(network.options.noise_schedule, arguments.steps)
        denoiser = keeping(denoiser, known, schedule)
    recipes = thumbnails_command.recipes(arguments, recipe.start(), **about, **made_with)
    sampling_command.sample(
        arguments,
        thumbnails_command.STAGE,
        network,
        device,
        sampler=arguments.sampler,
        denoiser=lambda chunk: denoiser,
        noise=candidate_noise(arguments.seed, thumbnails_command.STAGE, side),
        passes=1 if arguments.guidance == 1 else 2,
        key=sampling_command.sampling_key(arguments, __file__, network.options, recipes, *seen),
        write=lambda pictures: picture_file.write_pictures(arguments.out, pictures, recipes),
        kind=kind,
    )


if __name__ == "__main__":
    main()
