"""Models for ncnn (Upscayl, realesrgan-ncnn-vulkan): a ``.param`` and, beside it, a ``.bin``.

``.param`` is text: a magic number, two counts, then a layer in each line: type, name, the numbers
of inputs and outputs, their names, and ``key=value``. ``.bin`` has the weights of the layers one
after the other, in 16 or 32 bits. Neither has the names of a checkpoint: convolutions stand in the
order in which they run, from which their names follow. Whether the layers between them are those of
that network, ``ncnn_graph`` tries. Needs no torch. The form: github.com/Tencent/ncnn, its wiki.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigart.errors import UserError, show

MAGIC = b"7767517"
Array = NDArray[np.generic]

#: Types of layers that an RRDBNet or SRVGGNetCompact may have; of these two have weights.
CONVOLUTION, PRELU = "Convolution", "PReLU"
KINDS = frozenset(
    {"Input", "Split", "Noop", CONVOLUTION, PRELU, "ReLU", "Concat", "Eltwise", "BinaryOp"}
    | {"Interp", "PixelShuffle", "Reorg"}
)

# What stands before the weights of a convolution
_FP32, _FP16 = 0, 0x01306B47
# Settings of a convolution, and a PReLU's number of slopes
_OUTPUTS, _KERNEL, _BIAS, _COUNT, _INT8 = 0, 1, 5, 6, 8
# Convolutions of an RRDB; of the other parts but those that enlarge
_IN_RRDB, _OTHERS = 15, 4


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        kind: Its type.
        inputs: Names of what it reads.
        outputs: Names of what it makes.
        settings: Its numbers by their keys; some are lists.
        weights: Those of a convolution, (out, in, height, width), and its bias; a PReLU's slopes.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[int, list[float]]
    weights: tuple[Array, ...] = ()

    def number(self, key: int, default: float = 0) -> float:
        """Return a setting that is one number."""
        return self.settings.get(key, [default])[0]


def weights_beside(path: Path) -> Path | None:
    """Return where the weights of a ``.param`` are; None for a file of another kind."""
    return path.with_suffix(".bin") if path.suffix == ".param" else None


def read(path: Path) -> list[Layer]:
    """Read both files.

    Args:
        path: The ``.param``.

    Raises:
        UserError: One is missing or damaged, or they hold another network.
    """
    beside = weights_beside(path)
    if beside is None or not beside.is_file():
        raise UserError(
            f"{path} is one of the two files of an ncnn model, a .param and a .bin: both "
            "must be there, under one name"
        )
    layers, at = [], 0
    data = beside.read_bytes()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[2:], start=3):
        if words := line.split():
            try:
                layer = _layer(words)
                weights, at = _weights(layer, data, at)
            except (ValueError, IndexError, struct.error) as error:
                raise UserError(f"{path} is damaged: line {number}: {error}") from None
            layers.append(Layer(layer.kind, layer.inputs, layer.outputs, layer.settings, weights))
    if at != len(data):
        raise UserError(f"{beside} has {len(data):,} bytes, and {path.name} speaks of {at:,}")
    return layers


def tensors(layers: Sequence[Layer]) -> dict[str, Array]:
    """Return the weights under the names that published checkpoints have.

    Raises:
        UserError: Their number is neither an RRDBNet's nor that of an SRVGGNetCompact.
    """
    weighted = [layer for layer in layers if layer.weights]
    if any(layer.kind == PRELU for layer in weighted):
        names: Iterable[str] = (f"body.{index}" for index in range(len(weighted)))
    else:
        names = _rrdbnet_names(len(weighted))
    found = {}
    for name, layer in zip(names, weighted, strict=True):
        for part, weights in zip(("weight", "bias"), layer.weights, strict=False):
            found[f"{name}.{part}"] = weights
    return found


def _rrdbnet_names(count: int) -> list[str]:
    blocks, doublings = divmod(count - _OTHERS, _IN_RRDB)
    if blocks < 1 or doublings > 3:
        raise UserError(
            f"this is an ncnn model of {count} convolutions; supported are RRDBNets (ESRGAN, "
            "BSRGAN) and the compact Real-ESRGAN (SRVGGNet)"
        )
    return [
        "conv_first",
        *(
            f"RRDB_trunk.{block}.RDB{dense}.conv{conv}"
            for block in range(blocks)
            for dense in (1, 2, 3)
            for conv in range(1, 6)
        ),
        "trunk_conv",
        *(f"upconv{number}" for number in range(1, doublings + 1)),
        "HRconv",
        "conv_last",
    ]


def _layer(words: Sequence[str]) -> Layer:
    kind, _, inputs, outputs, *rest = words
    if kind not in KINDS:
        raise UserError(
            f"this ncnn model has a layer {show(kind)}; supported are RRDBNets (ESRGAN, BSRGAN) "
            "and the compact Real-ESRGAN (SRVGGNet), which have none"
        )
    names, settings = rest[: int(inputs) + int(outputs)], rest[int(inputs) + int(outputs) :]
    return Layer(
        kind,
        tuple(names[: int(inputs)]),
        tuple(names[int(inputs) :]),
        dict(map(_setting, settings)),
    )


def _setting(word: str) -> tuple[int, list[float]]:
    """Return key and value; a list has the key -23300 - k, and its length before its numbers."""
    key, _, text = word.partition("=")
    values = [float(part) for part in text.split(",")]
    if int(key) <= -23300:
        return -23300 - int(key), values[1:]
    return int(key), values


def _weights(layer: Layer, data: bytes, at: int) -> tuple[tuple[Array, ...], int]:
    """Return the weights of a layer, which begin at a byte, and where they end."""
    if layer.kind == PRELU:
        slopes = _array(data, "<f4", int(layer.number(0)), at)
        return (slopes,), at + slopes.nbytes
    if layer.kind != CONVOLUTION:
        return (), at
    outputs, kernel, count = (int(layer.number(key)) for key in (_OUTPUTS, _KERNEL, _COUNT))
    (flag,) = struct.unpack_from("<I", data, at)
    if flag not in (_FP32, _FP16) or layer.number(_INT8):
        raise UserError("its weights are neither in 32 nor in 16 bits, which is not supported")
    weight = _array(data, "<f2" if flag == _FP16 else "<f4", count, at + 4)
    at += 4 + -(-weight.nbytes // 4) * 4
    bias = _array(data, "<f4", outputs * bool(layer.number(_BIAS)), at)
    shaped = weight.reshape(outputs, -1, int(layer.number(11, kernel)), kernel)
    return ((shaped, bias) if bias.size else (shaped,)), at + bias.nbytes


def _array(data: bytes, dtype: str, count: int, at: int) -> Array:
    if count < 0 or at + count * np.dtype(dtype).itemsize > len(data):
        raise ValueError("the weights end before those of this layer")
    return np.frombuffer(data, dtype, count, at)
