"""Paint thumbnails of a prompt: GLIDE's base network, one 64 px picture per candidate."""

import argparse

import torch

from bigart.commands import command, network_command, sampling_command
from bigart.config.options import DEFAULTS, add_option, interval
from bigart.metadata import picture_file, recipe
from bigart.sampling.candidates import candidate_noise
from bigart.sampling.graphs import replayed
from bigart.sampling.samplers import guided

STAGE = "thumbnails"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    sampling_command.add_arguments(parser)
    for option in ("negative_prompt", "steps", "sampler", "guidance", "guidance_interval"):
        add_option(parser, f"--{option.replace('_', '-')}", option)
    network_command.add_arguments(parser)
    command.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write one thumbnail per candidate."""
    network, device, made_with = sampling_command.open_network(arguments, super_res=False)
    reader = sampling_command.prompt_reader(arguments, network, device)
    text = sampling_command.read_prompt(reader, "prompt", arguments.prompt)
    away = sampling_command.read_prompt(reader, "negative prompt", arguments.negative_prompt)
    steps = replayed(network, device.device)
    within = interval(arguments.guidance_interval)
    # how many are painted at once depends on it, and so does rounding
    count = len(arguments.out)
    unusual = {} if count == DEFAULTS["candidates"] else {"candidates": count}
    denoiser = guided(steps, text, away, arguments.guidance, within)
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
        noise=candidate_noise(arguments.seed, STAGE, network.options.image_size),
        passes=1 if arguments.guidance == 1 else 2,
        key=sampling_command.sampling_key(arguments, __file__, network.options, recipes),
        write=lambda pictures: picture_file.write_pictures(arguments.out, pictures, recipes),
    )


if __name__ == "__main__":
    main()
