"""The archives that weights are published in, read without running what is in them.

A PyTorch checkpoint is a pickle, a small program that whoever wrote it may have filled with
anything. Here it is interpreted by an unpickler that knows tensors and nothing else: every other
class or function a file names becomes an inert stand-in that takes any call and does nothing.
Tensors stay views of the mapped file until they are used, so that a file of several gigabytes
needs little memory.

Formats: zip archives (PyTorch 1.6 and later), the stream of pickles before that, Lightning
checkpoints (either of the two), safetensors. Specifications: torch/serialization.py,
https://github.com/huggingface/safetensors#format.
"""

import io
import json
import math
import mmap
import os
import pickle
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from bigart.errors import UserError

Shape = tuple[int, ...]

_MAX_PICKLE_BYTES = 64 * 2**20
_MAX_HEADER_BYTES = 64 * 2**20
_MAX_TENSORS = 100_000
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_STORAGE_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in SAFETENSORS_DTYPES.values()}

# Names that no weights need and that would run programs, read files or open connections
_ATTACK_MODULES = {
    "os", "posix", "nt", "subprocess", "commands", "pty", "runpy", "socket", "shutil", "ctypes",
    "importlib", "webbrowser", "code", "sys", "torch.hub", "multiprocessing", "asyncio", "pip",
}  # fmt: skip
_ATTACK_BUILTINS = {"eval", "exec", "execfile", "compile", "open", "__import__", "input"}


@dataclass
class Storage:
    """A run of bytes in the mapped file; ``start`` is filled in when it is known."""

    size: int
    dtype: torch.dtype
    start: int | None = None

    def __setstate__(self, _: object) -> None:
        """Keep a pickle from changing it."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file, not read yet.

    Attributes:
        data: The whole file, mapped.
        storage: Where its numbers lie.
        dtype: Of the file.
        shape: As in a state dict.
        stride: Distances in elements, as in torch.
        offset: Of the first element, in elements.
    """

    data: mmap.mmap
    storage: Storage
    dtype: torch.dtype
    shape: Shape
    stride: Shape
    offset: int

    def __setstate__(self, _: object) -> None:
        """Keep a pickle from changing it."""

    def check(self, name: str, path: Path) -> None:
        """Check that all elements lie within the storage, and the storage within the file.

        Raises:
            UserError: They do not: the file is damaged or was made to do harm.
        """
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=False))
        item = self.dtype.itemsize
        whole = self.storage.start is not None and (
            0 <= self.storage.start <= self.storage.start + self.storage.size <= len(self.data)
        )
        inside = (
            len(self.shape) == len(self.stride)
            and self.offset >= 0
            and min((*self.shape, *self.stride), default=0) >= 0
            and (0 in self.shape or (last + 1) * item <= self.storage.size)
        )
        # no parameter repeats its elements: a repeated one could be of any size
        if not (whole and inside and math.prod(self.shape) * item <= self.storage.size):
            raise UserError(f"{path} is damaged: tensor {name} reaches beyond its data")

    def load(self) -> Tensor:
        """Return the tensor as a view of the mapped file; pages are read when touched."""
        if 0 in self.shape:
            return torch.empty(self.shape, dtype=self.dtype)
        assert self.storage.start is not None
        count = self.storage.size // self.dtype.itemsize
        flat = torch.frombuffer(self.data, dtype=self.dtype, count=count, offset=self.storage.start)
        return flat.as_strided(self.shape, self.stride, self.offset)


StateDict = dict[str, StoredTensor]


# ---- the unpickler ---------------------------------------------------------------------------


class _Inert:
    """Stands for everything that is not a tensor: takes any call, holds nothing, does nothing."""

    def __new__(cls, *_: object, **__: object) -> "_Inert":
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> "_Inert":
        return self

    def __setstate__(self, _: object) -> None:
        pass

    def __setitem__(self, _: object, __: object) -> None:
        pass

    def append(self, _: object) -> None:
        pass

    def extend(self, _: object) -> None:
        pass

    def add(self, _: object) -> None:
        pass


class _Mapping(dict[Any, Any]):
    """Stands for OrderedDict; attributes that a pickle sets on it are dropped."""

    def __setstate__(self, _: object) -> None:
        pass


class _Function:
    """A function that a pickle may call, and may not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, _: object) -> None:
        pass


@dataclass(frozen=True)
class _StorageType:
    dtype: torch.dtype

    def __setstate__(self, _: object) -> None:
        pass


@dataclass(frozen=True)
class _StorageView:
    """A part of a storage (old files only); ``offset`` in elements."""

    storage: Storage
    offset: int

    def __setstate__(self, _: object) -> None:
        pass


_Locate = Callable[[str, int, torch.dtype], Storage]


class _Unpickler(pickle.Unpickler):
    """Builds dicts, lists, numbers, text and ``StoredTensor`` from a pickle, and nothing else."""

    def __init__(self, file: IO[bytes], data: mmap.mmap, locate: _Locate) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self.data, self.locate = data, locate
        self.foreign: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a class or function that the pickle names."""
        match module, name:
            case "collections", "OrderedDict":
                return _Mapping
            case "torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3":
                return _Function(self._tensor)
            case "torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state":
                return _Function(_first)
            case "torch._tensor", "_rebuild_from_type_v2":
                return _Function(_rebuilt)
            case "torch", "Size":
                return _Function(tuple)
            case ("torch" | "torch.storage" | "torch.cuda", _) if name in _STORAGE_DTYPES:
                return _StorageType(_STORAGE_DTYPES[name])
            case "torch", _ if name in _DTYPES:
                return _DTYPES[name]
        self.foreign.add(f"{module}.{name}")
        return type("Inert", (_Inert,), {"__slots__": ()})

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage that the pickle refers to: ("storage", type, key, device, count)."""
        kind, storage_type, key, _, count = pid[:5]
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise pickle.UnpicklingError(f"unknown reference of kind {kind!r}")
        dtype = storage_type.dtype
        storage = self.locate(str(key), int(count) * dtype.itemsize, dtype)
        view = pid[5] if len(pid) > 5 else None
        return _StorageView(storage, int(view[1])) if view else storage

    def _tensor(
        self, storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any
    ) -> StoredTensor:
        """Stand for ``_rebuild_tensor_v2``, and for v3 where ``rest[2]`` is the dtype."""
        if isinstance(storage, _StorageView):
            storage, offset = storage.storage, offset + storage.offset
        if not isinstance(storage, Storage):
            raise pickle.UnpicklingError("a tensor without a storage")
        dtype = rest[2] if len(rest) > 2 and isinstance(rest[2], torch.dtype) else storage.dtype
        shape, stride = tuple(map(int, shape)), tuple(map(int, stride))
        return StoredTensor(self.data, storage, dtype, shape, stride, int(offset))


def _first(data: object, *_: object) -> object:
    return data


def _rebuilt(function: Any, _: object, arguments: Any, __: object) -> Any:
    """Stand for ``_rebuild_from_type_v2``; ``function`` is one of ours or inert."""
    return function(*arguments)


def _unpickle(file: IO[bytes], data: mmap.mmap, locate: _Locate) -> tuple[Any, set[str]]:
    """Interpret one pickle; returns what it holds and the foreign names it asked for."""
    start = file.tell()
    _check_memo(file)
    file.seek(start)
    unpickler = _Unpickler(file, data, locate)
    return unpickler.load(), unpickler.foreign


def _check_memo(file: IO[bytes]) -> None:
    """Refuse a pickle that would make the memo, a plain array, larger than its content."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in {"PUT", "BINPUT", "LONG_BINPUT"} and int(argument or 0) > count + 1:
            raise pickle.UnpicklingError(f"memo index {argument} at operation {count}")


# ---- the file formats ------------------------------------------------------------------------


def read_checkpoint(path: Path | str) -> StateDict:
    """Read a network's state dict from a checkpoint of any known format.

    Wrappers ("state_dict", "params_ema", "params", "model") are opened, the prefix "module." is
    dropped. Nothing in the file is run. Tensors are read when they are used.

    Raises:
        UserError: The file is missing, damaged, of another kind, or asks for functions that
            only an attack needs.
    """
    path = Path(path)
    data = map_file(path)
    foreign: set[str] = set()
    try:
        if zipfile.is_zipfile(path):
            content, foreign = _read_zip(path, data)
        elif _looks_like_safetensors(data):
            content = _read_safetensors(path, data)
        else:
            content, foreign = _read_legacy(path, data)
    except UserError:
        raise
    except Exception as error:  # a hostile or damaged stream can make any operation fail
        raise UserError(
            f"{path} is no checkpoint, or a damaged one{_what(data)}: {error}"
        ) from None
    _refuse_attacks(path, foreign)
    state = _unwrap(path, content)
    if len(state) > _MAX_TENSORS:
        raise UserError(f"{path} holds {len(state)} tensors: that is not a network")
    for name, tensor in state.items():
        tensor.check(name, path)
    return state


def map_file(path: Path) -> mmap.mmap:
    """Map a whole file, private to this process.

    Raises:
        UserError: It is missing or empty.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing")
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise UserError(f"{path} is empty")
        # copy on write: torch asks for writable memory, and the file stays as it is
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _what(data: mmap.mmap) -> str:
    head = bytes(data[:512]).lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return " (it is a web page)"
    if head.startswith(b"version https://git-lfs"):
        return " (it is a Git LFS pointer: the file itself was not fetched)"
    if head.startswith(b"pk\x03\x04"):
        return " (its end is missing: the download broke off)"
    return ""


def _refuse_attacks(path: Path, foreign: Iterable[str]) -> None:
    attacks = sorted(name for name in foreign if _is_attack(name))
    if attacks:
        raise UserError(
            f"{path} tries to call {', '.join(attacks[:5])} when it is loaded. No weights need "
            "that. Nothing was run; do not use this file with other programs."
        )


def _is_attack(name: str) -> bool:
    module, _, function = name.rpartition(".")
    if module in {"builtins", "__builtin__"}:
        return function in _ATTACK_BUILTINS
    return any(module == bad or module.startswith(f"{bad}.") for bad in _ATTACK_MODULES)


def _read_zip(path: Path, data: mmap.mmap) -> tuple[Any, set[str]]:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in members if re.fullmatch(r"([^/]+/)?data\.pkl", name)]
        if not pickles:
            raise UserError(f"{path} is a zip archive without weights (no data.pkl in it)")
        prefix = pickles[0].removesuffix("data.pkl")
        if f"{prefix}constants.pkl" in members:
            raise UserError(f"{path} is a TorchScript program, not a checkpoint")
        for info in members.values():
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise UserError(f"{path}: {info.filename} is compressed; PyTorch never does that")
        if members[pickles[0]].file_size > _MAX_PICKLE_BYTES:
            raise UserError(f"{path}: its table of contents is too large to be one")
        if f"{prefix}byteorder" in members and archive.read(f"{prefix}byteorder") == b"big":
            raise UserError(f"{path} was written on a big-endian machine")

        def locate(key: str, size: int, dtype: torch.dtype) -> Storage:
            info = members.get(f"{prefix}data/{key}")
            if info is None or info.file_size < size:
                raise pickle.UnpicklingError(f"data/{key} is missing or too short")
            return Storage(size, dtype, _member_start(data, info))

        return _unpickle(io.BytesIO(archive.read(pickles[0])), data, locate)


def _member_start(data: mmap.mmap, info: zipfile.ZipInfo) -> int:
    """Return where a stored member's bytes begin: after its local header of 30 bytes and names."""
    header = data[info.header_offset : info.header_offset + 30]
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"no header of {info.filename}")
    name_length, extra_length = struct.unpack_from("<HH", header, 26)
    return int(info.header_offset + 30 + name_length + extra_length)


def check_zip(path: Path | str) -> bool:
    """Check the CRC of every member of a zip archive; returns False for other files.

    Raises:
        UserError: A member is damaged, or the archive's end is missing.
    """
    path = Path(path)
    data = map_file(path)
    try:
        if zipfile.is_zipfile(path):
            _check_members(path, data)
            return True
    except UserError:
        raise
    except Exception as error:  # a damaged table of members can make any operation fail
        raise UserError(f"{path} is damaged: {error}") from None
    if data[:4] == b"PK\x03\x04":
        raise UserError(f"{path} is damaged{_what(data)}")
    return False


def _check_members(path: Path, data: mmap.mmap) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    for info in members:
        if info.compress_type != zipfile.ZIP_STORED:
            raise UserError(f"{path}: {info.filename} is compressed; PyTorch never does that")
    if sum(info.file_size for info in members) > len(data):
        raise UserError(f"{path} is damaged: it announces more than it holds")
    for info in members:
        start, crc = _member_start(data, info), 0
        if start + info.file_size > len(data):
            raise UserError(f"{path} is damaged: {info.filename} is cut off")
        for at in range(start, start + info.file_size, 2**20):
            crc = zlib.crc32(data[at : min(at + 2**20, start + info.file_size)], crc)
        if crc != info.CRC:
            raise UserError(f"{path} is damaged: {info.filename} has a wrong check sum")


def _read_legacy(path: Path, data: mmap.mmap) -> tuple[Any, set[str]]:
    """Read PyTorch's format before 1.6: five pickles, then each storage's count and bytes."""
    storages: dict[str, Storage] = {}

    def locate(key: str, size: int, dtype: torch.dtype) -> Storage:
        return storages.setdefault(key, Storage(size, dtype))

    def no_storage(key: str, size: int, dtype: torch.dtype) -> Storage:
        raise pickle.UnpicklingError("a tensor in the wrong place")

    with path.open("rb") as file:
        magic, foreign = _unpickle(file, data, no_storage)
        if magic != _LEGACY_MAGIC:
            _refuse_attacks(path, foreign)
            raise UserError(f"{path} is not a PyTorch checkpoint{_what(data)}")
        protocol, _ = _unpickle(file, data, no_storage)
        system, _ = _unpickle(file, data, no_storage)
        if protocol != _LEGACY_PROTOCOL or not system.get("little_endian", True):
            raise UserError(f"{path} was written by an unknown version of PyTorch")
        content, foreign = _unpickle(file, data, locate)
        keys, _ = _unpickle(file, data, no_storage)
        at = file.tell()
    for key in keys:
        storage = storages[str(key)]
        (count,) = struct.unpack_from("<q", data, at)
        if count * storage.dtype.itemsize != storage.size or at + 8 + storage.size > len(data):
            raise UserError(f"{path} is damaged: it ends within its weights")
        storage.start = at + 8
        at += 8 + storage.size
    return content, foreign


def _looks_like_safetensors(data: mmap.mmap) -> bool:
    return len(data) > 9 and data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data)


def _read_safetensors(path: Path, data: mmap.mmap) -> StateDict:
    header, begin = safetensors_header(data)
    state = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype = SAFETENSORS_DTYPES.get(entry["dtype"])
        if dtype is None:
            raise UserError(f"{path}: {name} is of type {entry['dtype']}, which is not supported")
        shape = tuple(int(n) for n in entry["shape"])
        first, last = (int(n) for n in entry["data_offsets"])
        if last - first != math.prod(shape) * dtype.itemsize:
            raise UserError(f"{path} is damaged: {name} has a wrong size")
        stride = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
        storage = Storage(last - first, dtype, begin + first)
        state[name] = StoredTensor(data, storage, dtype, shape, stride, 0)
    return state


def safetensors_header(data: mmap.mmap) -> tuple[dict[str, Any], int]:
    """Return a safetensors file's header and where its data begin.

    Raises:
        ValueError: The header is cut off or no JSON.
    """
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(_MAX_HEADER_BYTES, len(data) - 8):
        raise ValueError("its header is cut off")
    return json.loads(data[8 : 8 + length]), 8 + length


def _unwrap(path: Path, content: Any) -> StateDict:
    """Find the state dict in what a checkpoint holds, and drop "module." from its names."""
    for _ in range(4):
        if not isinstance(content, dict):
            break
        inner = next(
            (
                content[key]
                for key in ("params_ema", "params", "state_dict", "model")
                if isinstance(content.get(key), dict)
            ),
            None,
        )
        if inner is None:
            break
        content = inner
    tensors: StateDict = {}
    if isinstance(content, dict):
        tensors = {
            str(name).removeprefix("module."): value
            for name, value in content.items()
            if isinstance(value, StoredTensor)
        }
    if not tensors:
        found = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else ""
        raise UserError(f"{path} holds no weights{f' (found: {found})' if found else ''}")
    return tensors
