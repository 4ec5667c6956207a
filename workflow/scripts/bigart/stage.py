"""What the stages that run a network share: their arguments, and opening the network."""

import argparse
import logging
from pathlib import Path

import torch

from bigart import files, networks
from bigart.allocator import keep_freed_memory
from bigart.devices import Device
from bigart.errors import UserError

log = logging.getLogger("bigart")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where and how a network runs."""
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)"
    )
    group.add_argument(
        "--precision", default="auto", help="auto, fp32, bf16 or fp16 (default: auto)"
    )
    group.add_argument("--threads", type=int, help="CPU threads (default: as many as cores)")


def open_network(
    arguments: argparse.Namespace, path: Path | str, kind: type[networks.Kind]
) -> tuple[networks.Kind, Device, dict[str, str]]:
    """Open a stage's network on the device that the arguments ask for, and say so in the log.

    Args:
        arguments: With ``device``, ``precision`` and ``threads``, see ``add_arguments``.
        path: A converted model file.
        kind: The class that the stage needs.

    Returns:
        The network, the device, and what belongs in the recipe: the model's file name with the
        SHA-256 of the file it was published as.

    Raises:
        UserError: No such file, device or precision, or a network of another kind.
    """
    if arguments.threads is not None:
        if arguments.threads < 1:
            raise UserError(f"--threads is {arguments.threads}; at least 1 is needed")
        torch.set_num_threads(arguments.threads)
    device = Device.choose(arguments.device, arguments.precision)
    if device.device.type == "cpu":
        keep_freed_memory(kind.kept)
    network, metadata = networks.open_network(path, kind, device.device, torch.float32)
    log.info("model %s on %s", path, device)
    sha256 = metadata.get("source_sha256") or files.sha256(path)
    return network, device, {Path(path).name: sha256}
