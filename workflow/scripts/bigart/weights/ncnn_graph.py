"""Whether an ncnn model computes what the network does that its weights were converted to.

A ``.param`` may come from any exporter, which joins and splits layers as it likes. So the layers
are not compared: both run on a small picture.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigart.errors import UserError
from bigart.weights.ncnn import CONVOLUTION, PRELU, Layer

SIDE = 8
#: Of the largest value: float32 in another order differs by a thousandth of this.
TOLERANCE = 1e-3

_BINARY: dict[int, Callable[[Tensor, Tensor], Tensor]] = {
    0: torch.add,
    1: torch.sub,
    2: torch.mul,
    3: torch.div,
}
_ADD, _NEAREST = 1, 1  # of an Eltwise, of an Interp


@torch.inference_mode()
def check(layers: Sequence[Layer], network: nn.Module) -> None:
    """Compare the results of both for a picture of noise.

    Args:
        layers: The ncnn model.
        network: With the weights that it has.

    Raises:
        UserError: They differ, or it cannot be run: it has a setting that no such network has, or
            layers that do not fit each other.
    """
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    try:
        theirs = run(layers, x)
    except (ValueError, LookupError, ArithmeticError, RuntimeError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"this ncnn model cannot be run: {reason}") from None
    ours = network(x)
    difference = (theirs - ours).abs().max() if theirs.shape == ours.shape else torch.inf
    if not difference <= TOLERANCE * ours.abs().max().clamp(min=1):
        raise UserError(
            "this ncnn model computes something else than the network that its weights fit"
            + (f": it makes {theirs.shape[-1]} pixels of {SIDE}" * (theirs.shape != ours.shape))
        )


def run(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """Run an ncnn model on a picture (1, 3, H, W), in float32."""
    made: dict[str, Tensor] = {}
    read: set[str] = set()
    for layer in layers:
        if layer.kind == "Input":
            made |= dict.fromkeys(layer.outputs, x)
            continue
        read |= set(layer.inputs)
        result = _result(layer, [made[name] for name in layer.inputs])
        made |= dict.fromkeys(layer.outputs, result)
    [last] = made.keys() - read
    return made[last]


def _result(layer: Layer, inputs: list[Tensor]) -> Tensor:
    first = inputs[0]
    match layer.kind:
        case "Split" | "Noop":
            return first
        case "Convolution":
            return _convolved(layer, first)
        case "PReLU":
            return F.prelu(first, _tensors(layer)[0])
        case "ReLU":
            return F.leaky_relu(first, layer.number(0))
        case "Concat" if layer.number(0) == 0:
            return torch.cat(inputs, dim=1)
        case "Eltwise" if layer.number(0) == _ADD:
            factors = layer.settings.get(1) or [1.0] * len(inputs)
            return sum(
                (factor * part for factor, part in zip(factors, inputs, strict=True)),
                start=torch.zeros(()),
            )
        case "BinaryOp" if layer.number(0) in _BINARY:
            if layer.number(1):
                inputs = [first, torch.tensor(layer.number(2))]
            return reduce(_BINARY[int(layer.number(0))], inputs)
        case "Interp" if layer.number(0) == _NEAREST and layer.number(1) == layer.number(2):
            return F.interpolate(first, scale_factor=layer.number(1))
        case "PixelShuffle" if not layer.number(1):
            return F.pixel_shuffle(first, int(layer.number(0)))
        case "Reorg" if not layer.number(1):
            return F.pixel_unshuffle(first, int(layer.number(0)))
    raise UserError(f"this ncnn model has a layer {layer.kind} that no such network has")


def _convolved(layer: Layer, x: Tensor) -> Tensor:
    weight, *bias = _tensors(layer)
    made = F.conv2d(
        x,
        weight,
        bias[0] if bias else None,
        stride=int(layer.number(3, 1)),
        padding=int(layer.number(4)),
        dilation=int(layer.number(2, 1)),
    )
    activation, slopes = layer.number(9), layer.settings.get(10, [0.0])
    if activation not in (0, 1, 2):
        raise UserError(f"this ncnn model has an activation of type {activation:g}")
    return made if not activation else F.leaky_relu(made, slopes[0] if activation == 2 else 0.0)


def _tensors(layer: Layer) -> list[Tensor]:
    assert layer.kind in (CONVOLUTION, PRELU)
    return [torch.from_numpy(array.astype("float32")) for array in layer.weights]
