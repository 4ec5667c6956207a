"""The converted network file that the stages open: header, options, weights.

``conversion`` writes it, and says what is in it. This module knows no network: each class brings
its ``architecture`` and ``Options``.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bigart.errors import PackageError, UserError
from bigart.networks.network import Kind, on_meta
from bigart.weights.forms import REDO, check_header, form_of


def load_metadata(path: Path | str) -> dict[str, str]:
    """Return the header of a converted file.

    Raises:
        UserError: The file is missing, damaged, or not in this project's form.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is missing")
    try:
        with safe_open(path, framework="pt") as file:
            stated: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged: {error}. {REDO}") from None
    check_header(path, stated)
    return stated


def options_from(metadata: Mapping[str, str], kind: type[Any]) -> Any:
    """Return the network options that a converted file's header states, in their dataclass.

    Raises:
        UserError: They are not options of that kind.
    """
    form = form_of(kind)
    try:
        return kind(**form.model_validate_json(metadata["options"]).model_dump())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"the options in its header: {place}: {first['msg']}") from None


def open_network(
    path: Path | str,
    kind: type[Kind],
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> tuple[Kind, dict[str, str]]:
    """Build a network from a converted file and load its weights, strictly and without a copy.

    Returns:
        The network, ready for inference (``eval``, no gradients), and the file's metadata. On the
        CPU in the file's dtype (``dtype`` None) the weights stay mapped: processes share them.

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
    except PackageError:  # not an error of the file
        raise
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    state: dict[str, Tensor] = {}
    try:
        with safe_open(str(path), framework="pt") as file:
            names = sorted(file.keys())
        # each part is mapped by itself, so that one which has done its work can be let go
        for _, part in itertools.groupby(names, key=lambda name: name.partition(".")[0]):
            with safe_open(str(path), framework="pt", device=str(device)) as file:
                tensors = {name: file.get_tensor(name) for name in part}
            state |= {name: t.to(dtype or t.dtype) for name, t in tensors.items()}
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}). {REDO}") from None
    try:
        network.load(state)
    except RuntimeError as error:
        raise network.misfit(path, error, REDO) from None
    for name, value in itertools.chain(network.named_parameters(), network.named_buffers()):
        if value.is_meta:
            raise RuntimeError(f"{name} is not part of the state dict and was never filled")
    return network.eval().requires_grad_(False), metadata
