"""Paint thumbnails of a prompt: GLIDE's base network, one 64 px picture per candidate."""

import argparse

import torch
from bigart import cli, images, recipe, stage
from bigart.glide import stages
from bigart.glide.model import Text2ImUNet
from bigart.glide.samplers import SAMPLERS, guided

STAGE = "thumbnails"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    stages.add_arguments(parser)
    parser.add_argument(
        "--negative-prompt", default="", help="what to lead away from (default: nothing)"
    )
    parser.add_argument("--steps", default="400", help="2 to 1000 (default: 400)")
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
    network, device, models = stage.open_network(arguments, arguments.model, Text2ImUNet)
    side = network.options.image_size
    process = stages.schedule(network.options, arguments.steps)
    with device.autocast():
        text = stages.tokenized(network, arguments, arguments.prompt, device)
        away = stages.tokenized(network, arguments, arguments.negative_prompt, device)
    denoiser = guided(network, text, away, arguments.guidance)
    pictures = stages.sample(
        STAGE,
        network,
        device,
        process,
        arguments.sampler,
        len(arguments.out),
        arguments.batch,
        lambda chunk: denoiser,
        stages.noise(arguments.seed, STAGE, side),
        passes=1 if arguments.guidance == 1 else 2,
    )
    for candidate, picture in pictures:
        made = recipe.extend(
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
            precision=device.precision,
            models=models,
        )
        images.write_png(arguments.out[candidate], stages.to_picture(picture), made)


if __name__ == "__main__":
    main()
