"""Published checkpoints: recognised, verified, and kept as safetensors from then on.

A network is recognised (``layouts``), checked to have exactly the names and shapes of its
network, and written once as a safetensors file whose header says how to build the network:
``architecture``, ``options`` (JSON), ``source_sha256``, ``format_version``.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bigart.errors import UserError, show
from bigart.networks.native.clip import ClipImage, ClipText
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.srvggnet import SRVGGNet
from bigart.networks.native.unshuffled import UnshuffledRRDBNet
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.network import Network, on_meta
from bigart.running import files
from bigart.weights import contents, ncnn, ncnn_graph, network_file
from bigart.weights.checkpoint import read_checkpoint
from bigart.weights.forms import FORMAT_VERSION, WORDS
from bigart.weights.layouts import Recognised, T, recognise

ARCHITECTURES: Mapping[str, type[Network]] = {
    kind.architecture: kind
    for kind in (Text2ImUNet, RRDBNet, UnshuffledRRDBNet, SRVGGNet, VQGAN, ClipText, ClipImage)
}


def verify(found: Recognised[T]) -> dict[str, T]:
    """Return a state dict in the network's order, if it has exactly its names and shapes.

    Raises:
        UserError: The options do not fit together; or missing and unexpected names and wrong
            shapes, the first five of each.
    """
    state = found.state
    expected = on_meta(ARCHITECTURES[found.architecture], found.options).state_dict()
    problems = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [show(name)[1:-1] for name in state if name not in expected],
        "wrong shape": [
            f"{name}: {list(state[name].shape)} instead of {list(tensor.shape)}"
            for name, tensor in expected.items()
            if name in state and tuple(state[name].shape) != tuple(tensor.shape)
        ],
    }
    lines = [
        f"\n  {problem} ({len(names)}): {', '.join(names[:5])}{', ...' if names[5:] else ''}"
        for problem, names in problems.items()
        if names
    ]
    if lines:
        raise UserError(f"not {WORDS[found.architecture]} with these options:{''.join(lines)}")
    return {name: state[name] for name in expected}


def open_checkpoint(
    path: Path | str,
    architecture: str,
    stated: Mapping[str, Any] | None = None,
    check_members: bool = True,
    member: str = "",
) -> Recognised[Tensor]:
    """Read a checkpoint; return its network, verified and in the network's order.

    Args:
        path: The file.
        architecture: What it is to be.
        stated: Options that are known besides.
        check_members: Whether the CRCs of a checkpoint that is a zip archive are compared.
        member: The checkpoint's path in the file, if that is an archive of files or a package.

    Raises:
        UserError: What is wrong with the file: CRCs, names, shapes, values that are not finite. Of
            an ncnn model also, that it computes something else.
    """
    with contents.opened(path, member) as source:
        tensors = read_checkpoint(source, check_members)
        try:
            found = recognise(tensors, architecture, stated)
            found = replace(found, state=verify(found))
            for name, tensor in found.state.items():
                _check_finite(name, tensor, source)
            if ncnn.weights_beside(source):
                ncnn_graph.check(ncnn.read(source), _network(found).float())
        except UserError as error:
            told = str(error)
            raise UserError(told if str(source) in told else f"{source}: {told}") from None
    return found


def blended(parts: Sequence[tuple[float, Recognised[Tensor]]]) -> Recognised[Tensor]:
    """Return a network whose weights are sums of others', each with its share.

    Source: Wang et al., "Deep Network Interpolation" (2018, arXiv:1811.10515, equation 3).

    Raises:
        UserError: They are not of one architecture and size.
    """
    _, first = parts[0]
    for _, other in parts:
        if (other.architecture, other.options) != (first.architecture, first.options):
            raise UserError(
                f"networks of different kinds or sizes cannot be blended: {first.options}, "
                f"{other.options}"
            )
    state = {
        name: torch.stack([share * part.state[name].float() for share, part in parts]).sum(0)
        for name in first.state
    }
    return replace(first, state=state)


def convert(
    source: Path | str,
    target: Path | str,
    architecture: str,
    stated: Mapping[str, Any] | None = None,
    sha256: str | None = None,
) -> dict[str, str]:
    """Convert a checkpoint to this project's safetensors form; return its metadata.

    Numbers become fp32, unless the whole file is fp16 or bf16, which it stays. All tensors are in
    memory at once. The target is whole or absent. ``sha256`` is the source's hash where it was
    compared with the expected one: CRCs are then not checked again.

    Raises:
        UserError: Whatever is wrong with the source.
    """
    found = open_checkpoint(source, architecture, stated, check_members=not sha256)
    return save(found, target, sha256 or files.sha256(source))


def save(found: Recognised[Tensor], target: Path | str, source_sha256: str) -> dict[str, str]:
    """Write a network in this project's form; return its metadata. See ``convert``."""
    dtypes = {tensor.dtype for tensor in found.state.values()}
    dtype = dtypes.pop() if dtypes in ({torch.float16}, {torch.bfloat16}) else torch.float32
    return save_network(_network(found), target, found.architecture, dtype, source_sha256)


def _network(found: Recognised[Tensor]) -> Network:
    network = on_meta(ARCHITECTURES[found.architecture], found.options).requires_grad_(False)
    network.load_state_dict(found.state, assign=True)
    return network


def save_network(
    network: nn.Module,
    path: Path | str,
    architecture: str,
    dtype: torch.dtype = torch.float16,
    source_sha256: str = "",
) -> dict[str, str]:
    """Write a network of this project, which has ``options``; return the file's metadata.

    Raises:
        UserError: A value is not finite, also after rounding to ``dtype``.
    """
    options: Any = network.options
    metadata = {
        "architecture": architecture,
        "format_version": FORMAT_VERSION,
        "options": json.dumps(asdict(options), sort_keys=True),
        "source_sha256": source_sha256,
    }
    tensors = {}
    for name, tensor in network.state_dict().items():
        # a copy of its own: safetensors refuses tensors that share a storage
        tensors[name] = tensor.to("cpu", dtype, copy=True).contiguous()
        _check_finite(name, tensors[name], path)
    with files.atomic(path) as temporary:
        save_file(tensors, temporary, metadata)
        # safetensors writes the metadata in another order in each process
        with temporary.open("r+b") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) | {"__metadata__": metadata}
            text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
            if len(text) > length:
                raise RuntimeError("the header of safetensors is not compact JSON")
            file.seek(8)
            file.write(text.ljust(length))
    return metadata


def _check_finite(name: str, tensor: Tensor, path: Path | str) -> None:
    if bad := tensor.numel() - int(torch.isfinite(tensor).sum()):
        raise UserError(f"{path} is damaged: {name} holds {bad} values that are not finite")


def open_network(
    path: Path | str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[Network, dict[str, str]]:
    """Open a converted file of any architecture; see ``network_file.open_network``."""
    architecture = network_file.load_metadata(path)["architecture"]
    if architecture not in ARCHITECTURES:
        raise UserError(f"{path} holds a network of an unknown architecture, {architecture}")
    return network_file.open_network(path, ARCHITECTURES[architecture], device, dtype)
