"""What a model file holds, told from the names and shapes of its tensors, in milliseconds.

For checks before anything runs. It needs no torch, which the Python of Snakemake may not have, and
reads no weights. Where torch is there, ``conversion`` compares all names and shapes besides.
"""

import gzip
import importlib.util
import json
import math
import mmap
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

from bigart.errors import UserError
from bigart.weights import contents, ncnn
from bigart.weights.architectures import options_form
from bigart.weights.forms import check_header
from bigart.weights.layouts import Recognised, recognise
from bigart.weights.table import GLIDE_ROLES, ModelFile

#: How many times the enlargers of a set enlarge
SCALES = {"enlarger": 4, "enlarger_x2": 2}

#: Steps of GLIDE's process, each of which noised CLIP must know.
TIMESTEPS = 1000

# Bytes of a number in torch's storages
_SIZES = {"Double": 8, "Long": 8, "Float": 4, "Int": 4, "Half": 2, "BFloat16": 2, "Short": 2}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True)
class Shape:
    """Stands for a tensor."""

    shape: tuple[int, ...]


class _File(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...


def inspect(
    path: Path | str,
    architecture: str,
    stated: Mapping[str, Any] | None = None,
    converted: bool = False,
    member: str = "",
) -> Recognised[Shape]:
    """Return what network a file holds.

    Args:
        path: The file.
        architecture: A key of ``forms.WORDS``: what it is to be.
        stated: Options that are known besides.
        converted: It must be in this project's form, whose header states the options.
        member: The file in it, if it is a zip archive or a package.

    Raises:
        UserError: It is missing, damaged, another network, or one that cannot be used.
    """
    with contents.opened(path, member) as opened:
        return _inspect(opened, architecture, stated, converted)


def _inspect(
    path: Path, architecture: str, stated: Mapping[str, Any] | None, converted: bool
) -> Recognised[Shape]:
    if not path.is_file():
        raise UserError(f"{path} is missing")
    with path.open("rb") as file:
        head = file.read(512)
    try:
        found, header = _shapes(path, head)
        if converted:
            check_header(path, header)
            form = options_form(header["architecture"])
            stated = form.model_validate_json(header["options"]).model_dump()
        network = recognise(found, architecture, stated)
        if converted and network.architecture != header["architecture"]:
            raise UserError(
                f"its header says {header['architecture']}; it is {network.architecture}"
            )
        return network
    except UserError as error:
        raise UserError(_with_path(path, error)) from None
    except Exception as error:  # a hostile or damaged file can make any operation fail
        no_pickle = isinstance(error, LookupError) or not str(error)
        reason = "no pickle" if no_pickle else str(error).partition("\n")[0]
        raise contents.no_checkpoint(path, head, reason) from None


def check_set(files: Mapping[str, ModelFile], weights: Path | str = "weights") -> list[str]:
    """Return everything that is wrong with those files of a set that are on the disk.

    A checkpoint is looked at, and its converted file: that may still be of an earlier checkpoint,
    and is then only to be whole. What is still to be fetched is passed over.

    Args:
        files: The file for each role.
        weights: The folder of downloads and converted files.
    """
    errors = []
    options: dict[str, Any] = {}
    for role, file in files.items():
        final = file.final_path(weights)
        sources = {part.source_path(weights): part for part in file.sources}
        for path, part in {**sources, final: file}.items():
            if not file.is_network or not path.is_file():
                continue
            try:
                converted, member = path == final, part.file if path != final else ""
                found = inspect(path, file.architecture, part.options, converted, member)
                if path in sources or not all(source.is_file() for source in sources):
                    _check_role(role, found.options)
                    options[role] = found.options
                    own = role == "clip_text" and "clip_vocabulary" not in files
                    if role in GLIDE_ROLES or own:
                        _check_vocabulary(found, files["vocabulary"].final_path(weights))
                if not final.is_file() and importlib.util.find_spec("torch"):
                    from bigart.weights import conversion  # takes seconds, once for a file

                    conversion.verify(found)
            except UserError as error:
                errors.append(f"{role}: `{file.name}`, {_with_path(path, error)}")
    return errors + _clip_errors(files, options)


def _clip_errors(files: Mapping[str, ModelFile], options: Mapping[str, Any]) -> list[str]:
    """Return in what the encoders of noised CLIP do not fit together, or the base network."""
    text, image, base = (options.get(role) for role in ("clip_text", "clip_image", "base"))
    errors = []
    if text and image and text.embedding != image.embedding:
        errors.append(
            f"clip_text: `{files['clip_text'].name}` makes vectors of {text.embedding} numbers, "
            f"and `{files['clip_image'].name}` of {image.embedding}: they do not belong together"
        )
    if base and image and base.image_size != image.image_size:
        errors.append(
            f"clip_image: `{files['clip_image'].name}` judges pictures of {image.image_size} "
            f"pixels, and `{files['base'].name}` paints {base.image_size}"
        )
    return errors


def _check_role(role: str, options: Any) -> None:
    if role in SCALES and options.scale != SCALES[role]:
        raise UserError(
            f"it enlarges {options.scale} times, and a set's {role} must enlarge {SCALES[role]} "
            f"times. Name another file in models.yaml; this one works by hand, with enlarge.py"
        )
    if role == "clip_image" and options.timesteps != TIMESTEPS:
        raise UserError(
            f"it knows {options.timesteps} steps of noise, and GLIDE has {TIMESTEPS}. Name another "
            "file in models.yaml"
        )
    if role not in GLIDE_ROLES:
        return
    found = options.super_res, options.inpaint
    if found != GLIDE_ROLES[role]:
        [fits] = (name for name, kind in GLIDE_ROLES.items() if kind == found)
        raise UserError(f"it is a GLIDE of the role {fits}. Name another file in models.yaml")


def _check_vocabulary(found: Recognised[Shape], path: Path) -> None:
    embeddings = ("token_embedding.weight", "blocks.input.w_voc")
    shape = next((found.state[name].shape for name in embeddings if name in found.state), ())
    if shape and path.is_file():
        try:
            content = path.read_bytes()
            packed = content.startswith(b"\x1f\x8b")
            count = len(json.loads(gzip.decompress(content) if packed else content))
        except (ValueError, TypeError, OSError, EOFError) as error:
            raise UserError(f"the vocabulary {path} is damaged: {error}") from None
        if count != shape[0]:
            raise UserError(
                f"it knows {shape[0]} tokens, and the vocabulary {path} has {count}: they do not "
                "belong together"
            )


def _with_path(path: Path, error: UserError) -> str:
    return str(error) if str(error).startswith(str(path)) else f"{path}: {error}"


def _shapes(path: Path, head: bytes) -> tuple[dict[str, Shape], Mapping[str, str]]:
    """Return the tensors of a file, and the header of a converted one."""
    if zipfile.is_zipfile(path):
        contents.check_archive(path, check_members=False)
        with zipfile.ZipFile(path) as archive:
            pickled = next(n for n in archive.namelist() if n.endswith("data.pkl"))
            reader = _Unpickler(path, BytesIO(archive.read(pickled)))
            content = reader.load()
            folder = pickled.removesuffix("data.pkl")
            for key, size in reader.storages.items():
                if archive.getinfo(f"{folder}data/{key}").file_size < size:
                    raise UserError(f"{path} is damaged: storage {key} is too short")
    elif head.startswith(ncnn.MAGIC):
        model = ncnn.tensors(ncnn.read(path))
        return {name: Shape(weights.shape) for name, weights in model.items()}, {}
    elif head[8:9] == b"{":
        return _safetensors(path)
    else:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            content = _legacy(path, data)
    found = contents.flat(content, lambda value: value if isinstance(value, Shape) else None)
    if not found:
        raise contents.no_weights(path, content)
    return found, {}


def _safetensors(path: Path) -> tuple[dict[str, Shape], Mapping[str, str]]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        rest = path.stat().st_size - 8 - length
        if rest < 0 or length > 100_000_000:  # more the format does not allow
            raise UserError(f"{path} is damaged: its header is longer than the file")
        header = json.loads(file.read(length))
    metadata = header.pop("__metadata__", {})
    if any(entry["data_offsets"][1] > rest for entry in header.values()):
        raise UserError(f"{path} is damaged: its end is missing")
    return {name: Shape(tuple(entry["shape"])) for name, entry in header.items()}, metadata


def _legacy(path: Path, data: mmap.mmap) -> object:
    """Return what a file of the format before PyTorch 1.6 holds: pickles, and then the storages."""
    if _Unpickler(path, data).load() != _LEGACY_MAGIC:
        raise ValueError("it is no file of PyTorch")
    for _ in ("version", "machine"):
        _Unpickler(path, data).load()
    reader = _Unpickler(path, data)
    content = reader.load()
    _Unpickler(path, data).load()  # the keys of the storages
    if len(data) - data.tell() < sum(8 + size for size in reader.storages.values()):
        raise UserError(f"{path} is damaged: its end is missing")
    return content


class _Unpickler(pickle._Unpickler):  # in Python: the one in C takes memory that a file asks for
    """Builds plain values, and a ``Shape`` for a tensor. Nothing that a file names is imported.

    Attributes:
        storages: Bytes of each storage of numbers, as far as their size is known.
    """

    def __init__(self, path: Path, file: _File) -> None:
        super().__init__(file, encoding="utf-8")
        self.path = path
        self.storages: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a class or function."""
        full = f"{module}.{name}"
        contents.refuse_attacks(self.path, [full])
        # made for each file, which could set attributes of a class
        if full == "collections.OrderedDict":
            return OrderedDict  # in C, without attributes to set
        if full in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            return lambda storage, offset, size, *_: Shape(_sizes(size))
        if full.startswith("torch._utils._rebuild_parameter"):
            return lambda tensor, *_: tensor
        kind = contents.InertDict if name.lower().endswith("dict") else contents.Inert
        return type(name, (kind,), {})

    def persistent_load(self, pid: Any) -> None:
        """Note a storage: its kind, key, place and length are in the pickle."""
        _, kind, key, _, length, *_ = pid
        if number := _SIZES.get(kind.__name__.removesuffix("Storage")):
            self.storages[str(key)] = number * length


def _sizes(size: Any) -> tuple[int, ...]:
    sizes = tuple(int(number) for number in size)
    if min(sizes, default=0) < 0 or math.prod(sizes) > 2**48:
        raise ValueError("a tensor has an impossible size")
    return sizes
