"""The tensors of a published model file, read without running anything that is in the file.

``torch.load(weights_only=True)`` builds tensors and plain values only. The other classes that a
zip archive names (a Lightning checkpoint is full of them) are replaced by inert ones.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from bigart.errors import UserError
from bigart.weights import contents, ncnn

StateDict = dict[str, Tensor]


def read_checkpoint(path: Path | str, check_members: bool = True) -> StateDict:
    """Read all tensors of a checkpoint, under their dotted names ("params_ema.conv_first.bias").

    Formats: zip archives of PyTorch 1.6 and later (Lightning checkpoints and pickled modules, too),
    state dicts in the older format, safetensors, ncnn models (the ``.param``). The tensors of the
    first and third are mapped from the file. ``check_members`` compares the CRCs of a zip archive,
    which reads the whole file.

    Raises:
        UserError: The file is missing, damaged, of another kind, or names functions that only an
            attack needs.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is missing")
    with path.open("rb") as file:
        head = file.read(512)
    try:
        if zipfile.is_zipfile(path):
            contents.check_archive(path, check_members)
            unknown = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
            contents.refuse_attacks(path, unknown)
            content = _load(path, unknown)
        elif head.startswith(ncnn.MAGIC):
            found = ncnn.tensors(ncnn.read(path))
            content = {name: torch.from_numpy(weights.copy()) for name, weights in found.items()}
        elif head[8:9] == b"{":  # the header of safetensors
            content = safetensors.torch.load_file(path)
        else:
            content = _load(path)
        state = contents.flat(content, _tensor)
        for name, tensor in state.items():
            # no parameter repeats its elements: a repeated one could be of any size
            size = tensor.numel() * tensor.element_size()
            if tensor.device.type != "cpu" or size > tensor.untyped_storage().nbytes():
                raise UserError(f"{path} is damaged: tensor {name} reaches beyond its data")
    except UserError:
        raise
    except Exception as error:  # a hostile or damaged file can make any operation fail
        # without torch's advice to trust the file
        reason = str(error).rpartition("WeightsUnpickler error: ")[2].strip().partition("\n")[0]
        reason = reason.partition(" In PyTorch 2.6")[0] or type(error).__name__
        raise contents.no_checkpoint(path, head, reason) from None
    if not state:
        raise contents.no_weights(path, content)
    return state


def _tensor(value: object) -> Tensor | None:
    return Tensor.detach(value) if type(value) in (Tensor, nn.Parameter) else None  # type: ignore[arg-type]


def _load(path: Path, unknown: Iterable[str] | None = None) -> Any:
    """Load a file with a stand-in for each unknown name; None: in the format before 1.6."""
    stand_ins: list[Any] = [
        (contents.InertDict if name.lower().endswith("dict") else contents.Inert, name)
        for name in unknown or ()
    ]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            warnings.simplefilter("ignore")  # of pickle protocols that torch.save does not write
            return torch.load(path, map_location="cpu", mmap=unknown is not None, weights_only=True)
    except pickle.UnpicklingError as error:
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            contents.refuse_attacks(path, [found[1]])
            raise UserError(
                f"{path} names {found[1]}. Of the format before PyTorch 1.6 only a state dict can "
                "be read: save it again with a later PyTorch, or save its state dict alone"
            ) from None
        raise
