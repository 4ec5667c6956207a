"""What the networks share: base class, building without memory, small helpers."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bigart.errors import UserError


class Network(nn.Module):
    """Base class of the networks that a converted file can hold.

    Attributes:
        architecture: Its name in the file's header.
        Options: Dataclass of the options that fix the shapes.
        options: Those of this network.
        exact: Prefixes of the names of layers that compute in float32 in any precision.
        heap_threshold: Bytes of the largest array that comes from the heap on a CPU, so that its
            memory is reused (``running.allocator``).
    """

    architecture: ClassVar[str]
    Options: ClassVar[type[Any]]
    options: Any
    exact: ClassVar[tuple[str, ...]] = ()
    heap_threshold: ClassVar[int] = 2**28

    def __init__(self, options: Any) -> None:
        super().__init__()
        self.options = options

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights by their published names, strictly and without a copy.

        Raises:
            RuntimeError: A tensor is missing, unknown, or of another shape.
        """
        self.load_state_dict(weights, strict=True, assign=True)

    def reduce(self, dtype: torch.dtype) -> None:
        """Keep weights in the dtype to which autocast would cast them at each call."""
        for name, layer in self.named_modules():
            computes = isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)
            if computes and not name.startswith(self.exact):
                layer.to(dtype)

    def misfit(self, path: Path, error: RuntimeError, remedy: str) -> UserError:
        """Return the error for a file that ``load`` refused; the remedy is one sentence."""
        lines = str(error).splitlines()[:6]
        return UserError(f"{path} does not fit its own header. {remedy}\n" + "\n".join(lines))


Kind = TypeVar("Kind", bound=Network)
Layer = TypeVar("Layer", bound=nn.Module)


def in_float32(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Run a layer in float32, also under autocast."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.float())


def reduced_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which autocast computes convolutions of ``x``; its own without."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def with_weights_in(layer: Layer, dtype: torch.dtype) -> Layer:
    """Return a layer with its weights in another dtype, which autocast would cast at each call."""
    if all(weight.dtype == dtype for weight in layer.parameters()):
        return layer
    return copy.deepcopy(layer).to(dtype)


def repeated(x: Tensor, batch: int) -> Tensor:
    """Repeat each of T rows for ``batch`` / T pictures in a row, (T, ...) -> (batch, ...)."""
    return x if len(x) == batch else x.repeat_interleave(batch // len(x), dim=0)


class _NoInitialisation(TorchFunctionMode):
    """Skips torch.nn.init: on meta tensors it does nothing, and its imports take a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs.get("tensor", args[0] if args else None)
        return func(*args, **kwargs)


def on_meta(kind: type[Kind], options: object) -> Kind:
    """Build a network on the meta device: without memory for its weights.

    Raises:
        UserError: The options do not fit together.
    """
    try:
        with torch.device("meta"), _NoInitialisation():
            return kind(options)
    except (ValueError, RuntimeError, ArithmeticError, TypeError, IndexError) as error:
        raise UserError(f"{kind.__name__}: these options do not fit together: {error}") from None
