"""What a checkpoint may be and hold, without torch: file formats, attacks, nested dictionaries.

A PyTorch checkpoint is a pickle, a program. The two readers run none of it: ``checkpoint`` reads
the tensors, ``inspection`` their names and shapes.
"""

import contextlib
import re
import shutil
import tempfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from bigart.errors import UserError, show, suggest
from bigart.weights import ncnn

T = TypeVar("T")

# More dictionaries in each other, and longer names, have only files that were made to take memory
DEPTH = 16
LENGTH = 200

# Modules and functions that no weights need and that run programs, read files or open connections
_ATTACKS = re.compile(
    r"(os|posix|nt|sys|subprocess|shutil|socket|pty|runpy|ctypes|importlib|webbrowser|asyncio|pip|"
    r"multiprocessing|torch\.hub|(builtins\.)?(eval|exec|compile|open|__import__))(\.|$)"
)
# What the first bytes of other files look like
_OTHER_FILES = (
    (rb"$", "it is empty"),
    (rb"\s*<", "it is a web page"),
    (rb"version https://git-lfs", "it is a Git LFS pointer: the file itself was not fetched"),
    (rb"PK\x03\x04", "its end is missing: the download broke off"),
    (rb"\x08[\x01-\x1f][\x12:B]", "it is an ONNX model"),
    (rb"GGUF", "it is a GGUF model"),
    (rb"\x89HDF", "it is an HDF5 file, such as Keras writes"),
    (rb"\x93NUMPY", "it is a NumPy array"),
    (rb"\x1f\x8b|\xfd7zXZ|7z\xbc\xaf|Rar!|BZh|\x28\xb5\x2f\xfd", "it is an archive: unpack it"),
    (rb"\x89PNG|\xff\xd8\xff|RIFF", "it is a picture"),
    (rb"\s*\{", "it is a JSON file"),
    (rb"[A-Za-z_#][\w -]*[:=]", "it is a text file"),
)


@contextlib.contextmanager
def opened(path: Path | str, member: str = "") -> Iterator[Path]:
    """Yield a file, or a copy of that ``member`` of a zip archive, for as long as it is needed.

    Of an ncnn model both files are there. Errors name the archive in place of the copy.

    Raises:
        UserError: It is missing, no zip archive, or has no such file.
    """
    path = Path(path)
    if not member:
        yield path
        return
    if not path.is_file():
        raise UserError(f"{path} is missing")
    with tempfile.TemporaryDirectory(prefix="bigart-") as folder:
        copy = Path(folder, Path(member).name)
        _unpack(path, member, copy)
        try:
            yield copy
        except UserError as error:
            raise UserError(str(error).replace(str(copy), f"{path} ({member})")) from None


def _unpack(path: Path, member: str, copy: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            for name, target in ((member, copy), (member[:-5] + "bin", ncnn.weights_beside(copy))):
                if target:
                    with archive.open(name) as inside, target.open("wb") as out:
                        shutil.copyfileobj(inside, out)
    except KeyError:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        hint = suggest(member, names) or f"It has {', '.join(map(show, names[:5]))}"
        raise UserError(f"{path} has no file {show(member, 200)}. {hint}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is no zip archive, or a damaged one: {error}") from None


class Inert:
    """Stands for an object, a class or a function that a file names.

    It takes any arguments and does nothing. Of a module that was pickled whole it keeps the parts.
    """

    parts: object = None

    def __init__(self, *_: object) -> None:
        """Take any arguments."""

    def __setstate__(self, state: object) -> None:
        """Keep the attributes, without looking at them."""
        self.parts = state


class InertDict:
    """Stands for a class of dicts: torch sets items only on its own kinds of dict."""

    def __new__(cls, *_: object) -> Any:
        """Return a dict; arguments are ignored."""
        return OrderedDict()


def flat(content: object, leaf: Callable[[object], T | None]) -> dict[str, T]:
    """Return all leaves of nested dictionaries under their dotted names.

    Args:
        content: What a checkpoint holds. Its dictionaries may hold each other, in circles as well.
        leaf: Returns what to keep of a value, or None for a value that is not wanted.
    """
    found: dict[str, T] = {}
    waiting, seen = [("", content)], set()
    while waiting:
        prefix, group = waiting.pop()
        if isinstance(group, Inert) and isinstance(group.parts, dict):
            parts = (dict.get(group.parts, key) for key in ("_parameters", "_buffers", "_modules"))
            waiting += [(prefix, part) for part in parts]
        elif isinstance(group, dict) and id(group) not in seen:
            seen.add(id(group))
            for key, value in _items(group):
                if (kept := leaf(value)) is not None:
                    found[prefix + key] = kept
                elif prefix.count(".") < DEPTH:
                    waiting.append((f"{prefix}{key}.", value))
    return found


def _items(group: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    # dict's own method: a pickle may have set attributes on the object
    for key, value in dict.items(group):
        if isinstance(key, str | int) and len(str(key)) <= LENGTH:
            yield str(key), value


def no_weights(path: Path, content: object) -> UserError:
    """Return the error for a file in which ``flat`` found nothing."""
    names = [show(key)[1:-1] for key, _ in _items(content)] if isinstance(content, dict) else []
    found = f" (found: {', '.join(names[:5])})" if names else ""
    training = any("optim" in name for name in names)
    hint = ": it is a training state, and the weights are in another file" if training else ""
    return UserError(f"{path} holds no weights{found}{hint}")


def no_checkpoint(path: Path, head: bytes, reason: str) -> UserError:
    """Return the error for a file that cannot be read, from its first bytes and what went wrong."""
    kinds = (f" ({kind})" for start, kind in _OTHER_FILES if re.match(start, head, re.DOTALL))
    if (param := path.with_suffix(".param")).is_file() and path.suffix == ".bin":
        return UserError(f"{path} has the weights of an ncnn model: let `path` be {param}")
    return UserError(f"{path} is no checkpoint, or a damaged one{next(kinds, '')}: {reason}")


def check_archive(path: Path, check_members: bool) -> None:
    """Check that a zip archive is a checkpoint; ``check_members`` compares the CRCs, too.

    Raises:
        UserError: It is another kind of archive, or damaged.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        joined = " ".join(names)
        if "constants.pkl" in joined:
            raise UserError(f"{path} is a TorchScript program, not a checkpoint")
        if "data.pkl" not in joined:
            inside = [n for n in names if n.endswith((".pth", ".pt", ".ckpt", ".safetensors"))]
            hint = f". Unpack it: {show(inside[0])} is in it" if inside else ""
            hint = ". It holds NumPy arrays" if joined.endswith(".npy") else hint
            raise UserError(f"{path} is a zip archive without weights (no data.pkl in it){hint}")
        for info in archive.infolist():  # mapped, they would be read as they are
            if info.compress_type != zipfile.ZIP_STORED:
                raise UserError(f"{path}: {info.filename} is compressed; PyTorch never does that")
        if check_members and (damaged := archive.testzip()):
            raise UserError(f"{path} is damaged: {damaged} has a wrong check sum")


def refuse_attacks(path: Path, names: Iterable[str]) -> None:
    """Raise a UserError if a file names functions that only an attack needs."""
    attacks = [name for name in sorted(names) if _ATTACKS.match(name)]
    if attacks:
        raise UserError(
            f"{path} tries to call {', '.join(attacks[:5])} when it is loaded. No weights need "
            "that. Nothing was run; do not use this file with other programs."
        )
