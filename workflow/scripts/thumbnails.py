"""Paint thumbnails of a prompt: GLIDE's base network, one 64 px picture per candidate."""

import argparse

import torch

from bigart import cli, images, recipe, stage
from bigart.glide import stages
from bigart.glide.samplers import SAMPLERS, guided

STAGE = "thumbnails"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    stages.add_arguments(parser)
    parser.add_argument(
        "--negative-prompt", default="", help="what to lead away from (default: nothing)"
    )
    parser.add_argument("--steps", type=int, default=400, help="2 to 1000 (default: 400)")
    parser.add_argument(
        "--sampler",
        default="ancestral",
        choices=list(SAMPLERS),
        help="(default: ancestral)",
    )
    parser.add_argument(
        "--guidance", type=float, default=2.0, help="how strongly the prompt pulls (default: 2)"
    )
    stage.add_arguments(parser)
    cli.main(parser, run)


@torch.inference_mode()
def run(arguments: argparse.Namespace) -> None:
    """Write one thumbnail per candidate."""
    network, device, made_with = stages.open_network(arguments, super_res=False)
    reader = stages.Reader(arguments, network, device)
    text = reader.read("prompt", arguments.prompt)
    away = reader.read("negative prompt", arguments.negative_prompt)
    denoiser = guided(network, text, away, arguments.guidance)
    recipes = [
        recipe.extend(
            recipe.start(),
            STAGE,
            artwork=arguments.artwork,
            prompt=arguments.prompt,
            negative_prompt=arguments.negative_prompt,
            seed=arguments.seed,
            candidate=candidate + 1,
            steps=arguments.steps,
            sampler=arguments.sampler,
            guidance=arguments.guidance,
            **made_with,
        )
        for candidate in range(len(arguments.out))
    ]
    pictures = stages.sample(
        arguments,
        STAGE,
        network,
        device,
        sampler=arguments.sampler,
        denoiser=lambda chunk: denoiser,
        noise=stages.noise(arguments.seed, STAGE, network.options.image_size),
        passes=1 if arguments.guidance == 1 else 2,
        key=stages.sampling_key(arguments, __file__, recipes),
    )
    for candidate, picture in pictures:
        images.write_png(arguments.out[candidate], picture, recipes[candidate])


if __name__ == "__main__":
    main()
