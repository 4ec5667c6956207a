"""What the networks share: their base class, and building one without memory."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bigart.errors import UserError


class Network(nn.Module):
    """A network that a converted file can hold.

    Attributes:
        architecture: Its name in the file's header.
        Options: The dataclass that fixes its shapes; the constructor takes one.
        options: The one it was made with.
        kept: Bytes of the largest array that a CPU is to keep for the next layer (``allocator``).
    """

    architecture: ClassVar[str]
    Options: ClassVar[type[Any]]
    options: Any
    kept: ClassVar[int] = 2**28

    def __init__(self, options: Any) -> None:
        super().__init__()
        self.options = options

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights, by their published names, strictly and without a copy.

        Raises:
            RuntimeError: One is missing, too many, or of another shape.
        """
        self.load_state_dict(weights, strict=True, assign=True)

    def misfit(self, path: Path, error: RuntimeError, remedy: str) -> UserError:
        """Return the error for a file whose weights ``load`` refuses."""
        lines = str(error).splitlines()[:6]
        return UserError(f"{path} does not fit its own header. {remedy}\n" + "\n".join(lines))


Kind = TypeVar("Kind", bound=Network)


def in_float32(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Run a layer in float32, also where autocast reduces the others."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.float())


class _NoFirstWeights(TorchFunctionMode):
    """Leaves out torch.nn.init: without memory it does nothing, and imports for a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs.get("tensor", args[0] if args else None)
        return func(*args, **kwargs)


def on_meta(kind: type[Kind], options: object) -> Kind:
    """Build a network without memory for its weights.

    Raises:
        UserError: The options do not fit together.
    """
    try:
        with torch.device("meta"), _NoFirstWeights():
            return kind(options)
    except (ValueError, RuntimeError, ArithmeticError, TypeError, IndexError) as error:
        raise UserError(f"{kind.__name__}: these options do not fit together: {error}") from None
