"""The converted network file that the stages open: header, options, weights.

It is one safetensors file whose header says how to build the network: ``architecture``,
``options`` (JSON of the network's options), ``source_sha256`` (of the checkpoint it was made
from, or empty) and ``format_version``. ``convert`` writes it. This module knows no network:
each class brings its ``architecture`` and ``Options``.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from bigart.errors import PackageError, UserError
from bigart.networks.network import Kind, on_meta
from bigart.weights.archives import map_file, safetensors_header

FORMAT_VERSION = "1"
_LARGEST_OPTION = 2**20
_REDO = (
    "Remove it and run again, so that it is made anew; one of the embedded models comes back with "
    "`git checkout models/embedded`; a file of your own needs converting."
)


def load_metadata(path: Path | str) -> dict[str, str]:
    """Return the header of a converted file.

    Raises:
        UserError: The file is missing, damaged, or not in this project's form.
    """
    path = Path(path)
    try:
        header, _ = safetensors_header(map_file(path))
        metadata = header.get("__metadata__", {})
        stated = {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}. {_REDO}") from None
    if not {"architecture", "options"} <= stated.keys():
        raise UserError(f"{path} does not say what network it is. {_REDO}")
    if stated.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{path} was made by another version of this program. {_REDO}")
    return stated


def options_from(metadata: Mapping[str, str], kind: type[Any]) -> Any:
    """Return the network options that a converted file's header states.

    Args:
        metadata: From ``load_metadata``.
        kind: The dataclass of the options.

    Raises:
        UserError: They are not options of that kind.
    """
    try:
        stated = json.loads(metadata["options"])
    except (ValueError, RecursionError) as error:
        raise UserError(f"the options in the header cannot be read: {error}") from None
    if not isinstance(stated, dict):
        raise UserError("the options in the header cannot be read: not a table of options")
    defaults = {field.name: field.default for field in fields(kind)}
    if unknown := set(stated) - set(defaults):
        raise UserError(f"unknown options of {metadata['architecture']}: {sorted(unknown)}")
    stated = tuples(stated)
    for name, value in stated.items():
        if not _is_like(value, defaults[name]):
            raise UserError(f"the option {name} in the header cannot be {value!r:.60}")
    return kind(**stated)


def _is_like(value: Any, default: Any) -> bool:
    """Whether a stated option is of its default's kind; numbers count, so they are positive."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(_is_like(part, 1) for part in value)
    if type(default) is int:
        return type(value) is int and 0 < value <= _LARGEST_OPTION
    return type(value) is type(default)


def tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the lists of JSON or YAML into the tuples that options have."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}


def open_network(
    path: Path | str,
    kind: type[Kind],
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> tuple[Kind, dict[str, str]]:
    """Build a network from a converted file and load its weights, strictly and without a copy.

    Args:
        path: A ``.safetensors`` file made by ``checkpoints.convert`` or ``save_network``.
        kind: The network's class.
        device: Where the network is to be.
        dtype: Of its parameters; None keeps the file's.

    Returns:
        The network, ready for inference (``eval``, no gradients), and the file's metadata. On
        the CPU in the file's dtype the weights stay mapped, so that several processes share them.

    Raises:
        UserError: The file is missing, damaged, of another architecture, or does not fit.
    """
    path = Path(path)
    metadata = load_metadata(path)
    if metadata["architecture"] != kind.architecture:
        raise UserError(
            f"{path} holds a network of the architecture {metadata['architecture']}; "
            f"{kind.architecture} is needed here"
        )
    try:
        network = on_meta(kind, options_from(metadata, kind.Options))
    except PackageError:  # not the file's fault
        raise
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    state: dict[str, Tensor] = {}
    try:
        with safe_open(str(path), framework="pt") as file:
            names = list(file.keys())
        # each part is mapped by itself, so that one which has done its work can be let go
        for _, part in itertools.groupby(sorted(names), key=lambda name: name.partition(".")[0]):
            with safe_open(str(path), framework="pt", device=str(device)) as file:
                state |= {name: _cast(file.get_tensor(name), dtype) for name in part}
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}). {_REDO}") from None
    try:
        network.load(state)
    except RuntimeError as error:
        raise network.misfit(path, error, _REDO) from None
    for name, value in _all_tensors(network):
        if value.is_meta:
            raise RuntimeError(f"{name} is not part of the state dict and was never filled")
    return network.eval().requires_grad_(False), metadata


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)


def _all_tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()
