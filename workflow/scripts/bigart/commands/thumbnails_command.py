"""What the commands that paint thumbnails share: the base's options, its prompts, the recipes."""

import argparse
from typing import Any

from bigart.commands import network_command, sampling_command
from bigart.commands.sampling_command import GlideNetwork
from bigart.config.options import DEFAULTS, add_option
from bigart.metadata import recipe
from bigart.running.device import Device
from bigart.sampling.samplers import Text

#: All of them record their pictures likewise, and begin with the same noise.
STAGE = "thumbnails"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the network, of sampling it, and of the base's guidance."""
    sampling_command.add_arguments(parser)
    for option in ("negative_prompt", "steps", "sampler", "guidance", "guidance_interval"):
        add_option(parser, f"--{option.replace('_', '-')}", option)
    network_command.add_arguments(parser)


def read_prompts(
    arguments: argparse.Namespace, network: GlideNetwork, device: Device
) -> tuple[Text, Text]:
    """Read what the network follows, and what it leads away from."""
    reader = sampling_command.prompt_reader(arguments, network, device)
    text = sampling_command.read_prompt(reader, "prompt", arguments.prompt)
    away = sampling_command.read_prompt(reader, "negative prompt", arguments.negative_prompt)
    return text, away


def recipes(
    arguments: argparse.Namespace, so_far: recipe.Recipe, **more: Any
) -> list[recipe.Recipe]:
    """Return the recipe of each candidate.

    Args:
        arguments: With those of ``add_arguments``.
        so_far: What the pictures are made from.
        more: What else the stage records.
    """
    # how many are painted at once depends on it, and so does rounding
    count = len(arguments.out)
    unusual = {} if count == DEFAULTS["candidates"] else {"candidates": count}
    return [
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
            **more,
        )
        for candidate in range(count)
    ]
