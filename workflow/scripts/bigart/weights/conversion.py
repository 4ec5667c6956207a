"""Published checkpoints: recognised, verified, and kept as safetensors from then on.

A state dict is recognised, brought to the published parameter names, checked to have exactly the
names and shapes of its network, and written once as a safetensors file whose header says how to
build the network: ``architecture``, ``options`` (JSON), ``source_sha256``, ``format_version``. The
stages read only that file.
"""

import json
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bigart.errors import UserError
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.network import Network, on_meta
from bigart.networks.options import (
    BASE,
    UPSAMPLER,
    GlideOptions,
    RRDBNetOptions,
    VQGANOptions,
    published_name,
)
from bigart.running import files
from bigart.weights import network_file
from bigart.weights.checkpoint import StateDict, read_checkpoint

Options = GlideOptions | RRDBNetOptions | VQGANOptions
Shape = tuple[int, ...]

ARCHITECTURES: Mapping[str, type[Network]] = {
    "glide": Text2ImUNet,
    "rrdbnet": RRDBNet,
    "vqgan": VQGAN,
}
# How a name begins that only one kind of network has, its architecture, and its name in messages
_KINDS = (
    ("transformer_proj.", "glide", "a GLIDE network"),
    ("quantize.embedding.", "vqgan", "a VQGAN"),
    ("RRDB_trunk.0.", "rrdbnet", "an RRDBNet (ESRGAN, BSRGAN)"),
    ("quantize.embed.", "", "a VQGAN with Gumbel quantisation, which is not supported"),
    ("model.diffusion_model.", "", "a Stable Diffusion checkpoint, which is not supported"),
    ("visual.conv1.", "", "a CLIP network"),
    ("body.0.weight", "", "a compact Real-ESRGAN (SRVGGNet), which is not supported"),
)
_WORDS = {architecture: words for _, architecture, words in _KINDS}

# ---- what a state dict is ----------------------------------------------------------------------


def to_published_names(state: Mapping[str, Tensor]) -> StateDict:
    """Give a state dict the parameter names that this project's networks have.

    RRDBNets come with three sets of names: BSRGAN's (used here), those of later ESRGAN
    trainers (``body.0.rdb1.conv1``), and those of the first ESRGAN (``model.1.sub.0...``). For a
    VQGAN only what encodes and decodes is kept, not the discriminator and the loss.
    """
    if "quantize.embedding.weight" in state:
        kept = ("encoder.", "decoder.", "quantize.", "quant_conv.", "post_quant_conv.")
        return {name: tensor for name, tensor in state.items() if name.startswith(kept)}
    if any(name.startswith("body.0.rdb1.") for name in state):
        return {published_name(name): tensor for name, tensor in state.items()}
    if any(name.startswith("model.1.sub.0.RDB1.") for name in state):
        found = (re.fullmatch(r"model\.(\d{1,4})\.\w+", name) for name in state)
        places = sorted({place[1] for place in found if place}, key=int)
        upconvs = (f"upconv{number}" for number in range(1, len(places) - 2))
        tail = ("conv_first", *upconvs, "HRconv", "conv_last")
        modules = dict(zip(places, tail, strict=False))
        return {_from_first_names(name, modules): tensor for name, tensor in state.items()}
    return dict(state)


def _from_first_names(name: str, modules: Mapping[str, str]) -> str:
    block = r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.(?=\w+$)"
    name = re.sub(block, r"RRDB_trunk.\1.RDB\2.conv\3.", name)
    name = re.sub(r"model\.1\.sub\.\d+\.(?=\w+$)", "trunk_conv.", name)
    place = re.match(r"model\.(\d+)\.(?=\w+$)", name)
    return f"{modules[place[1]]}.{name[place.end() :]}" if place and place[1] in modules else name


def infer_options(
    architecture: str, state: Mapping[str, Tensor], stated: Mapping[str, Any] | None = None
) -> Options:
    """Return a network's options: the stated ones, and the rest from its shapes.

    An RRDBNet's and a VQGAN's follow from the shapes (a VQGAN's training resolution does not and
    is taken as 256, which only says where attention is, and that the shapes tell). GLIDE's heads
    leave no trace: what is not stated is as published.

    Raises:
        UserError: It is another network, or lacks what the options are read from.
    """
    unknown = ("", "", f"an unknown network ({', '.join(list(state)[:3])}, ...)")
    kinds = (kind for kind in _KINDS if any(name.startswith(kind[0]) for name in state))
    _, found, words = next(kinds, unknown)
    if found != architecture:
        raise UserError(f"this is {words}, not {_WORDS[architecture]}")
    infer: Any = {"glide": _glide_options, "rrdbnet": _rrdbnet_options, "vqgan": _vqgan_options}
    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in (stated or {}).items()}
    options: Options = replace(infer[architecture](state), **tuples)
    return options


def _glide_options(state: Mapping[str, Tensor]) -> GlideOptions:
    inputs = _shape(state, "input_blocks.0.0.weight", 4)[1]  # 3, and 3 or 4 more for each extra
    return replace(UPSAMPLER if inputs in (6, 10) else BASE, inpaint=inputs in (7, 10))


def _rrdbnet_options(state: Mapping[str, Tensor]) -> RRDBNetOptions:
    return RRDBNetOptions(
        scale=4 if "upconv2.weight" in state else 2,
        features=_shape(state, "conv_first.weight", 4)[0],
        blocks=_count(state, r"RRDB_trunk\.(\d{1,4})\."),
        growth=_shape(state, "RRDB_trunk.0.RDB1.conv1.weight", 4)[0],
    )


def _vqgan_options(state: Mapping[str, Tensor]) -> VQGANOptions:
    channels = _shape(state, "encoder.conv_in.weight", 4)[0]
    levels = range(_count(state, r"encoder\.down\.(\d{1,4})\."))
    widths = [_shape(state, f"encoder.down.{i}.block.0.conv1.weight", 4)[0] for i in levels]
    codes, embed_dim = _shape(state, "quantize.embedding.weight", 2)
    return VQGANOptions(
        channels=channels,
        channel_mult=tuple(width // channels for width in widths),
        res_blocks=_count(state, r"encoder\.down\.0\.block\.(\d{1,4})\."),
        attention_resolutions=tuple(
            VQGANOptions.resolution >> i
            for i in levels
            if f"encoder.down.{i}.attn.0.q.weight" in state
        ),
        z_channels=_shape(state, "encoder.conv_out.weight", 4)[0],
        embed_dim=embed_dim,
        codes=codes,
    )


def _shape(state: Mapping[str, Tensor], name: str, dimensions: int) -> Shape:
    if name not in state:
        raise UserError(f"incomplete or damaged: {name} is missing")
    shape = tuple(state[name].shape)
    if len(shape) != dimensions or 0 in shape:
        raise UserError(f"incomplete or damaged: {name} has the shape {list(shape)}")
    return shape


def _count(state: Iterable[str], pattern: str) -> int:
    """Return how many numbers the names carry, at least 1; ``verify`` finds holes."""
    return max(1, len({found[1] for name in state if (found := re.match(pattern, name))}))


def verify(state: Mapping[str, Tensor], architecture: str, options: Options) -> StateDict:
    """Return a state dict in the network's order, if it has exactly its names and shapes.

    Raises:
        UserError: The options do not fit together; or missing and unexpected names and wrong
            shapes, the first five of each.
    """
    expected = on_meta(ARCHITECTURES[architecture], options).state_dict()
    problems = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "wrong shape": [
            f"{name}: {list(state[name].shape)} instead of {list(tensor.shape)}"
            for name, tensor in expected.items()
            if name in state and state[name].shape != tensor.shape
        ],
    }
    lines = [
        f"\n  {problem} ({len(names)}): {', '.join(names[:5])}{', ...' if names[5:] else ''}"
        for problem, names in problems.items()
        if names
    ]
    if lines:
        words = _WORDS[architecture]
        raise UserError(f"does not fit {words} with these options:{''.join(lines)}")
    return {name: state[name] for name in expected}


# ---- conversion --------------------------------------------------------------------------------


def open_checkpoint(
    path: Path | str,
    architecture: str,
    stated: Mapping[str, Any] | None = None,
    check_members: bool = True,
) -> tuple[StateDict, Options]:
    """Read a checkpoint; return its verified tensors in the network's order, and its options.

    Raises:
        UserError: What is wrong with the file: CRCs, names, shapes, values that are not finite.
    """
    state = to_published_names(read_checkpoint(path, check_members))
    try:
        options = infer_options(architecture, state, stated)
        state = verify(state, architecture, options)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    for name, tensor in state.items():
        _check_finite(name, tensor, path)
    return state, options


def convert(
    source: Path | str,
    target: Path | str,
    architecture: str,
    stated: Mapping[str, Any] | None = None,
    sha256: str | None = None,
) -> dict[str, str]:
    """Convert a checkpoint to this project's safetensors form.

    Numbers become fp32, unless the whole file is fp16 or bf16, which it stays. All tensors are in
    memory at once. The target is whole or absent.

    Args:
        source: A checkpoint of any known format.
        target: The ``.safetensors`` file to write, whose metadata are returned.
        architecture: A key of ``ARCHITECTURES``.
        stated: Options that are known; see ``infer_options``.
        sha256: The source's hash where it was compared with the expected one; CRCs are then left.

    Raises:
        UserError: Whatever is wrong with the source.
    """
    state, options = open_checkpoint(source, architecture, stated, check_members=not sha256)
    dtypes = {tensor.dtype for tensor in state.values()}
    dtype = dtypes.pop() if dtypes in ({torch.float16}, {torch.bfloat16}) else torch.float32
    sha256 = sha256 or files.sha256(source)
    return _write(target, state, architecture, options, dtype, sha256, source)


def save_network(
    network: nn.Module,
    path: Path | str,
    architecture: str,
    dtype: torch.dtype = torch.float16,
    source_sha256: str = "",
) -> None:
    """Write a network of this project, which has ``options``, as a file that is whole or absent.

    Raises:
        UserError: A value is not finite, also after rounding to ``dtype``.
    """
    options: Any = network.options
    _write(path, network.state_dict(), architecture, options, dtype, source_sha256, path)


def _write(
    target: Path | str,
    state: Mapping[str, Tensor],
    architecture: str,
    options: Options,
    dtype: torch.dtype,
    source_sha256: str,
    source: Path | str,
) -> dict[str, str]:
    metadata = {
        "architecture": architecture,
        "format_version": network_file.FORMAT_VERSION,
        "options": json.dumps(asdict(options), sort_keys=True),
        "source_sha256": source_sha256,
    }
    tensors = {}
    for name, tensor in state.items():
        # a copy of its own: safetensors refuses tensors that share a storage
        tensors[name] = tensor.detach().to("cpu", dtype, copy=True).contiguous()
        _check_finite(name, tensors[name], source)
    with files.atomic(target) as temporary:
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
