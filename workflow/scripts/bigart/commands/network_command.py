"""What the stages that run a network share: their arguments, and opening the network."""

import argparse
import logging
from pathlib import Path
from typing import Any, TypeVar

import torch

from bigart.config.options import add_option
from bigart.errors import UserError
from bigart.networks.network import Network
from bigart.networks.upstream.network import UpstreamNetwork
from bigart.running import files
from bigart.running.allocator import keep_freed_memory
from bigart.running.device import PRECISIONS, Device
from bigart.running.engines import NATIVE
from bigart.weights import network_file

log = logging.getLogger("bigart")

Native = TypeVar("Native", bound=Network)
Upstream = TypeVar("Upstream", bound=UpstreamNetwork)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which network runs, where and how."""
    parser.add_argument("--model", required=True, help="the network, converted to safetensors")
    add_machine_arguments(parser)


def add_machine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where and how networks run."""
    group = parser.add_argument_group("machine")
    for option in ("device", "precision", "engine"):
        add_option(group, f"--{option}", option)
    group.add_argument("--threads", type=int, help="CPU threads (default: as many as cores)")


def use_threads(arguments: argparse.Namespace) -> None:
    """Let torch use as many CPU threads as the arguments say.

    Raises:
        UserError: There are none.
    """
    if arguments.threads is not None:
        if arguments.threads < 1:
            raise UserError(f"--threads is {arguments.threads}; at least 1 is needed")
        torch.set_num_threads(arguments.threads)


def open_network(
    arguments: argparse.Namespace,
    native: type[Native],
    upstream: type[Upstream],
) -> tuple[Native | Upstream, Device, dict[str, Any]]:
    """Open a stage's network on the device that the arguments ask for, and say so in the log.

    Args:
        arguments: With those of ``add_arguments``.
        native: The class that the stage needs.
        upstream: The original's, which has the same methods.

    Returns:
        The network, the device, and for the recipe: engine, precision, and the model's file name
        with the SHA-256 of the file it was published as.

    Raises:
        UserError: No such file, device, precision or package, or a network of another kind.
    """
    use_threads(arguments)
    precision = arguments.precision
    if precision == "auto" and arguments.engine != NATIVE:
        precision = "fp32"  # the original code keeps nothing from being rounded to 16 bits
    device = Device.choose(arguments.device, precision)
    kind: type[Native | Upstream] = native if arguments.engine == NATIVE else upstream
    if device.device.type == "cpu":
        keep_freed_memory(kind.heap_threshold)
    network, metadata = network_file.open_network(
        arguments.model, kind, device.device, torch.float32
    )
    if not isinstance(network, UpstreamNetwork) and device.precision != "fp32":
        network.reduce(PRECISIONS[device.precision])
    engine = network.package.described if isinstance(network, UpstreamNetwork) else NATIVE
    log.info("model %s on %s, engine %s", arguments.model, device, engine)
    sha256 = metadata.get("source_sha256") or files.sha256(arguments.model)
    models = {Path(arguments.model).name: sha256}
    return network, device, {"engine": engine, "precision": device.precision, "models": models}
