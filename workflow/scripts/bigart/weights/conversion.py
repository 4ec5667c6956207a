"""Published checkpoints: recognised, verified, and kept as safetensors from then on.

A state dict is recognised, brought to the published parameter names, checked to have exactly the
names and shapes of its network, and written once as a safetensors file whose header says how to
build the network: ``architecture``, ``options`` (JSON), ``source_sha256``, ``format_version``. The
stages read only that file.
"""

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

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
from bigart.weights.network_file import FORMAT_VERSION, load_metadata, tuples

Options = GlideOptions | RRDBNetOptions | VQGANOptions
Shape = tuple[int, ...]


class Architecture(NamedTuple):
    """A network's class and its name in messages."""

    network: type[Network]
    display_name: str


ARCHITECTURES: Mapping[str, Architecture] = {
    "glide": Architecture(Text2ImUNet, "a GLIDE network"),
    "rrdbnet": Architecture(RRDBNet, "an RRDBNet (ESRGAN, BSRGAN)"),
    "vqgan": Architecture(VQGAN, "a VQGAN"),
}

# Channels of a GLIDE network's input: super_res, inpaint, and its name in messages
_GLIDE = {
    3: (False, False, "base"),
    6: (True, False, "upsampler"),
    7: (False, True, "inpainting base"),
    10: (True, True, "inpainting upsampler"),
}

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
        places = (re.fullmatch(r"model\.(\d{1,4})\.\w+", name) for name in state)
        modules = 1 + max((int(place[1]) for place in places if place), default=0)
        return {_from_sequential_names(name, modules): tensor for name, tensor in state.items()}
    return dict(state)


def _from_sequential_names(name: str, modules: int) -> str:
    """Rename ESRGAN's first layout, where the tail's places depend on the scale."""
    if found := re.fullmatch(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.(\w+)", name):
        block, dense, conv, kind = found.groups()
        return f"RRDB_trunk.{block}.RDB{dense}.conv{conv}.{kind}"
    if found := re.fullmatch(r"model\.1\.sub\.\d+\.(\w+)", name):
        return f"trunk_conv.{found[1]}"
    tail = {0: "conv_first", modules - 1: "conv_last", modules - 3: "HRconv"}
    tail |= {at: f"upconv{at // 3}" for at in range(3, modules - 4, 3)}
    if (found := re.fullmatch(r"model\.(\d{1,4})\.(\w+)", name)) and int(found[1]) in tail:
        return f"{tail[int(found[1])]}.{found[2]}"
    return name


def describe(state: Mapping[str, Tensor]) -> tuple[str | None, str]:
    """Say what network a state dict belongs to: its architecture (None: unknown) and in words."""
    if "transformer_proj.weight" in state and "input_blocks.0.0.weight" in state:
        channels = [*state["input_blocks.0.0.weight"].shape, 0, 0][1]
        return "glide", f"a GLIDE {_GLIDE.get(channels, (0, 0, 'network'))[2]}"
    if "quantize.embedding.weight" in state:
        return "vqgan", "a VQGAN"
    if any(name.startswith("RRDB_trunk.0.") for name in state):
        return "rrdbnet", "an RRDBNet (ESRGAN, BSRGAN)"
    if "quantize.embed.weight" in state:
        return None, "a VQGAN with Gumbel quantisation, which is not supported"
    if any(name.startswith("model.diffusion_model.") for name in state):
        return None, "a Stable Diffusion checkpoint, which is not supported"
    if "visual.conv1.weight" in state or "logit_scale" in state:
        return None, "a CLIP network"
    if "body.0.weight" in state:
        return None, "a compact Real-ESRGAN (SRVGGNet), which is not supported"
    return None, f"an unknown network ({', '.join(list(state)[:3])}, ...)"


def infer_options(
    architecture: str, state: Mapping[str, Tensor], stated: Mapping[str, Any] | None = None
) -> Options:
    """Return a network's options: the stated ones, and the rest from its shapes.

    An RRDBNet's and a VQGAN's follow from the shapes (a VQGAN's training resolution does not and
    is taken as 256, which only says where attention is, and that the shapes tell). GLIDE's heads
    leave no trace: what is not stated is as published.

    Raises:
        UserError: It is another network, or of a kind that is not supported.
    """
    found, words = describe(state)
    if found != architecture:
        raise UserError(f"this is {words}, not {ARCHITECTURES[architecture].display_name}")
    options: Options
    if architecture == "rrdbnet":
        options = _rrdbnet_options(state)
    elif architecture == "vqgan":
        options = _vqgan_options(state)
    else:
        options = _glide_options(state, stated or {})
    return replace(options, **tuples(stated or {}))


def _shape(state: Mapping[str, Tensor], name: str, dimensions: int) -> Shape:
    if name not in state:
        raise UserError(f"incomplete or damaged: {name} is missing")
    shape = tuple(state[name].shape)
    if len(shape) != dimensions or 0 in shape:
        raise UserError(f"incomplete or damaged: {name} has the shape {list(shape)}")
    return shape


def _rrdbnet_options(state: Mapping[str, Tensor]) -> RRDBNetOptions:
    features, inputs, *_ = _shape(state, "conv_first.weight", 4)
    if inputs != 3 or "upconv3.weight" in state or "upconv1.weight" not in state:
        raise UserError(
            f"this is an RRDBNet of a kind that is not supported ({inputs} input channels): "
            "it must take RGB and enlarge 2 or 4 times by its own convolutions"
        )
    return RRDBNetOptions(
        scale=4 if "upconv2.weight" in state else 2,
        features=features,
        blocks=_count(state, r"RRDB_trunk\.(\d{1,4})\."),
        growth=_shape(state, "RRDB_trunk.0.RDB1.conv1.weight", 4)[0],
    )


def _vqgan_options(state: Mapping[str, Tensor]) -> VQGANOptions:
    channels = _shape(state, "encoder.conv_in.weight", 4)[0]
    levels = range(_count(state, r"encoder\.down\.(\d{1,4})\."))
    widths = [_shape(state, f"encoder.down.{i}.block.0.conv1.weight", 4)[0] for i in levels]
    if any(width % channels for width in widths):
        raise UserError(f"damaged: levels of {widths} channels, a first convolution of {channels}")
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


def _glide_options(state: Mapping[str, Tensor], stated: Mapping[str, Any]) -> GlideOptions:
    channels = _shape(state, "input_blocks.0.0.weight", 4)[1]
    if channels not in _GLIDE:
        raise UserError(f"this is a GLIDE network of an unknown kind ({channels} input channels)")
    super_res, inpaint, name = _GLIDE[channels]
    wanted = stated.get("super_res", super_res), stated.get("inpaint", inpaint)
    if wanted != (super_res, inpaint):
        other = next(kind[2] for kind in _GLIDE.values() if kind[:2] == wanted)
        raise UserError(f"this is a GLIDE {name}, not a GLIDE {other}")
    return replace(UPSAMPLER if super_res else BASE, inpaint=inpaint)


def _count(state: Iterable[str], pattern: str) -> int:
    """Return one more than the highest number that the names carry, at least 1."""
    numbers = {name: int(found[1]) for name in state if (found := re.match(pattern, name))}
    highest = max(numbers, key=lambda name: numbers[name], default="")
    if highest and numbers[highest] >= len(numbers):
        raise UserError(f"damaged: {highest} is there, and not all that come before it")
    return numbers.get(highest, 0) + 1


def expected_shapes(architecture: str, options: Options) -> dict[str, Shape]:
    """Return the names and shapes of a network's parameters, without making it.

    Raises:
        UserError: The options do not fit together.
    """
    network = on_meta(ARCHITECTURES[architecture].network, options)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def verify(state: Mapping[str, Tensor], architecture: str, options: Options) -> StateDict:
    """Check that a state dict has exactly the names and shapes of a network.

    Returns:
        The state dict, in the network's order.

    Raises:
        UserError: The options do not fit together; or missing and unexpected names and wrong
            shapes, the first five of each.
    """
    expected = expected_shapes(architecture, options)
    problems = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "wrong shape": [
            f"{name}: {list(state[name].shape)} instead of {list(shape)}"
            for name, shape in expected.items()
            if name in state and state[name].shape != shape
        ],
    }
    lines = [
        f"\n  {problem} ({len(names)}): {', '.join(names[:5])}{', ...' if names[5:] else ''}"
        for problem, names in problems.items()
        if names
    ]
    if lines:
        name = ARCHITECTURES[architecture].display_name
        raise UserError(f"does not fit {name} with these options:{''.join(lines)}")
    return {name: state[name] for name in expected}


# ---- conversion --------------------------------------------------------------------------------


def open_checkpoint(
    path: Path | str,
    architecture: str,
    stated: Mapping[str, Any] | None = None,
    check_members: bool = True,
) -> tuple[StateDict, Options]:
    """Read a checkpoint, find its options (see ``infer_options``), verify names and shapes.

    Returns:
        The tensors in the published names, in the network's order, and the options.

    Raises:
        UserError: Whatever is wrong with the file.
    """
    state = to_published_names(read_checkpoint(path, check_members))
    try:
        options = infer_options(architecture, state, stated)
        return verify(state, architecture, options), options
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def check(path: Path | str, architecture: str, stated: Mapping[str, Any] | None = None) -> None:
    """Check a checkpoint whose hash is not known: zip CRCs, names, shapes, finite values.

    Raises:
        UserError: The first thing that is wrong.
    """
    for name, tensor in open_checkpoint(path, architecture, stated)[0].items():
        _check_finite(name, tensor, path)


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
        target: The ``.safetensors`` file to write.
        architecture: A key of ``ARCHITECTURES``.
        stated: Options that are known; see ``infer_options``.
        sha256: The source's hash where the caller has compared it with the expected one. The
            CRCs are then not checked again.

    Returns:
        The metadata that the target carries.

    Raises:
        UserError: Whatever is wrong with the source.
    """
    state, options = open_checkpoint(source, architecture, stated, check_members=not sha256)
    dtypes = {tensor.dtype for tensor in state.values()}
    half = dtypes in ({torch.float16}, {torch.bfloat16})
    dtype = dtypes.pop() if half else torch.float32
    metadata = _metadata(architecture, options, sha256 or files.sha256(source))
    _write(target, state, dtype, metadata, source)
    return metadata


def save_network(
    network: nn.Module,
    path: Path | str,
    architecture: str,
    dtype: torch.dtype = torch.float16,
    source_sha256: str = "",
) -> dict[str, str]:
    """Write a network of this project (trained, say) as a safetensors file.

    Args:
        network: Has ``options``, as all networks here do.
        path: Whole or absent afterwards.
        architecture: A key of ``ARCHITECTURES``.
        dtype: Of the stored numbers.
        source_sha256: Of the checkpoint it came from, if any.

    Raises:
        UserError: A value is not finite, also after rounding to ``dtype``.
    """
    options: Any = network.options
    metadata = _metadata(architecture, options, source_sha256)
    _write(path, network.state_dict(), dtype, metadata, path)
    return metadata


def _metadata(architecture: str, options: Options, source_sha256: str) -> dict[str, str]:
    return {
        "architecture": architecture,
        "format_version": FORMAT_VERSION,
        "options": json.dumps(asdict(options), sort_keys=True),
        "source_sha256": source_sha256,
    }


def _write(
    target: Path | str,
    state: Mapping[str, Tensor],
    dtype: torch.dtype,
    metadata: dict[str, str],
    source: Path | str,
) -> None:
    tensors = {}
    for name, tensor in state.items():
        # a copy of its own: safetensors refuses tensors that share a storage
        tensors[name] = tensor.detach().to(
            "cpu", dtype, copy=True, memory_format=torch.contiguous_format
        )
        _check_finite(name, tensors[name], source)
    with files.atomic(target) as temporary:
        save_file(tensors, temporary, metadata)
        _sort_metadata(temporary)


def _sort_metadata(path: Path) -> None:
    """Write a header's metadata in their order: safetensors takes another one in each process."""
    with path.open("r+b") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:
            raise RuntimeError("the header of safetensors is not compact JSON")
        file.seek(8)
        file.write(text.ljust(length))


def _check_finite(name: str, tensor: Tensor, path: Path | str) -> None:
    if not tensor.is_floating_point() or not tensor.numel():
        return
    low, high = tensor.aminmax()  # NaN shows in both
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = tensor.numel() - int(torch.isfinite(tensor).sum())
        raise UserError(f"{path} is damaged: {name} holds {bad} values that are not finite")


# ---- the converted file --------------------------------------------------------------------------


def open_network(
    path: Path | str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> tuple[nn.Module, dict[str, str]]:
    """Open a converted file of any architecture; see ``network_file.open_network``."""
    architecture = load_metadata(path)["architecture"]
    if architecture not in ARCHITECTURES:
        raise UserError(f"{path} holds a network of an unknown architecture, {architecture}")
    return network_file.open_network(path, ARCHITECTURES[architecture].network, device, dtype)
