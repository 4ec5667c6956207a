"""The state dict of a published checkpoint, read without running anything that is in the file.

A PyTorch checkpoint is a pickle: a program that its author may have filled with anything. It is
read by ``torch.load(weights_only=True)``, which builds tensors and plain values only. The other
classes that a zip archive names (a Lightning checkpoint is full of them) are replaced by a class
that takes any arguments and does nothing.
"""

import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from bigart.errors import UserError

StateDict = dict[str, Tensor]

# Modules and functions that no weights need and that run programs, read files or open connections
_ATTACKS = re.compile(
    r"(os|posix|nt|sys|subprocess|shutil|socket|pty|runpy|ctypes|importlib|webbrowser|asyncio|pip|"
    r"multiprocessing|torch\.hub|(builtins\.)?(eval|exec|compile|open|__import__))(\.|$)"
)
_NO_CHECKPOINTS = {
    b"<": "it is a web page",
    b"version https://git-lfs": "it is a Git LFS pointer: the file itself was not fetched",
    b"PK\x03\x04": "its end is missing: the download broke off",
}


class _Inert:
    """Stands for a class or function that a file names."""

    def __init__(self, *_: object) -> None:
        """Take any arguments."""

    def __setstate__(self, _: object) -> None:
        """Take any state."""


class _InertDict:
    """Stands for a class of dicts: torch sets items only on its own kinds of dict."""

    def __new__(cls, *_: object) -> Any:
        return OrderedDict()


def read_checkpoint(path: Path | str, check_members: bool = True) -> StateDict:
    """Read a network's state dict from a checkpoint.

    Formats: zip archives of PyTorch 1.6 and later (Lightning checkpoints, too), state dicts in the
    older format, safetensors. Wrappers ("state_dict", "params_ema", "params", "model") are opened,
    the prefix "module." is dropped. The tensors of all but the older format are mapped from the
    file. ``check_members`` compares the CRCs of a zip archive, which reads the whole file.

    Raises:
        UserError: The file is missing, damaged, of another kind, or names functions that only an
            attack needs.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is missing")
    try:
        if zipfile.is_zipfile(path):
            content = _load(path, _checked_names(path, check_members))
        elif _looks_like_safetensors(path):
            content = safetensors.torch.load_file(path)
        else:
            content = _load(path)
        return _state_dict(path, content)
    except UserError:
        raise
    except Exception as error:  # a hostile or damaged file can make any operation fail
        with path.open("rb") as file:
            head = file.read(512).lstrip()
        kinds = [f" ({kind})" for start, kind in _NO_CHECKPOINTS.items() if head.startswith(start)]
        kind = kinds[0] if kinds else "" if head else " (it is empty)"
        # without torch's advice to trust the file
        reason = str(error).rpartition("WeightsUnpickler error: ")[2].strip().partition("\n")[0]
        reason = reason.partition(" In PyTorch 2.6")[0] or type(error).__name__
        raise UserError(f"{path} is no checkpoint, or a damaged one{kind}: {reason}") from None


def _checked_names(path: Path, check_members: bool) -> list[str]:
    """Check a zip archive; returns the classes and functions in it that torch does not know."""
    with zipfile.ZipFile(path) as archive:
        names = " ".join(archive.namelist())
        if "data.pkl" not in names:
            raise UserError(f"{path} is a zip archive without weights (no data.pkl in it)")
        if "constants.pkl" in names:
            raise UserError(f"{path} is a TorchScript program, not a checkpoint")
        for info in archive.infolist():  # mapped, they would be read as they are
            if info.compress_type != zipfile.ZIP_STORED:
                raise UserError(f"{path}: {info.filename} is compressed; PyTorch never does that")
        if check_members and (damaged := archive.testzip()):
            raise UserError(f"{path} is damaged: {damaged} has a wrong check sum")
    unknown = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    _refuse_attacks(path, unknown)
    return unknown


def _load(path: Path, unknown: Iterable[str] | None = None) -> Any:
    """Load a file with a stand-in for each unknown name; None: in the format before 1.6."""
    stand_ins: list[Any] = [
        (_InertDict if name.lower().endswith("dict") else _Inert, name) for name in unknown or ()
    ]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            warnings.simplefilter("ignore")  # of pickle protocols that torch.save does not write
            return torch.load(path, map_location="cpu", mmap=unknown is not None, weights_only=True)
    except pickle.UnpicklingError as error:
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            _refuse_attacks(path, [found[1]])
            raise UserError(
                f"{path} names {found[1]}. Of the format before PyTorch 1.6 only a state dict can "
                "be read: save it again with a later PyTorch, or save its state dict alone"
            ) from None
        raise


def _refuse_attacks(path: Path, names: Iterable[str]) -> None:
    attacks = [name for name in sorted(names) if _ATTACKS.match(name)]
    if attacks:
        raise UserError(
            f"{path} tries to call {', '.join(attacks[:5])} when it is loaded. No weights need "
            "that. Nothing was run; do not use this file with other programs."
        )


def _looks_like_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        length, brace = int.from_bytes(file.read(8), "little"), file.read(1)
    return brace == b"{" and length < path.stat().st_size


def _state_dict(path: Path, content: Any) -> StateDict:
    """Find the state dict in what a checkpoint holds, and drop "module." from its names."""
    # dict's own methods: a pickle may have set attributes on the object
    for _ in range(4):
        for key in ("params_ema", "params", "state_dict", "model"):
            if isinstance(content, dict) and isinstance(inner := dict.get(content, key), dict):
                content = inner
                break
    found = dict(dict.items(content)) if isinstance(content, dict) else {}
    state: StateDict = {}
    for key, value in found.items():
        if type(value) in (Tensor, nn.Parameter):
            name = str(key).removeprefix("module.")
            state[name] = tensor = Tensor.detach(value)
            size = tensor.numel() * tensor.element_size()
            # no parameter repeats its elements: a repeated one could be of any size
            if tensor.device.type != "cpu" or size > tensor.untyped_storage().nbytes():
                raise UserError(f"{path} is damaged: tensor {name} reaches beyond its data")
    if not state:
        some = f" (found: {', '.join(map(str, list(found)[:5]))})" if found else ""
        raise UserError(f"{path} holds no weights{some}")
    return state
