"""Model sets: which files make up a set, where they come from, and where they lie.

``config/models.yaml`` is the one table; its head explains the entries. Nothing here imports
torch, so that reading it costs a workflow next to nothing.
"""

import argparse
import functools
import hashlib
import json
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

ROOT = Path(__file__).parents[4]  # where the Snakefile is
TABLE = ROOT / "config" / "models.yaml"

# What a set names a file for, and the architecture that such a file must have
ROLES: Mapping[str, str] = {
    "base": "glide",
    "upsampler": "glide",
    "enlarger": "rrdbnet",
    "detailer": "vqgan",
    "vocabulary": "vocabulary",
    "merges": "merges",
}
#: What a set need not have: an enlarger for where a factor of two is enough, and noised CLIP.
OPTIONAL_ROLES: Mapping[str, str] = {
    "enlarger_x2": "rrdbnet",
    "clip_text": "clip-text",
    "clip_image": "clip-image",
    "clip_vocabulary": "clip-vocabulary",
}
#: Those that a set has together, or none of them.
CLIP_ROLES = ("clip_text", "clip_image", "clip_vocabulary")
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
        "vqgan",
        "clip-text",
        "clip-image",
        "vocabulary",
        "merges",
        "clip-vocabulary",
    ]
    options: dict[str, Any] = Field({})
    urls: Annotated[tuple[_Url, ...], Field(strict=False)] = ()
    path: _Path | None = Field(None, validate_default=True)
    sha256: _Sha256 | None = None
    bytes: Annotated[int, Field(ge=1)] | None = None
    ready: bool = False
    words: _Path | None = None
    licence: str = ""
    note: str = ""

    @pydantic.field_validator("options")
    @classmethod
    def _of_architecture(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if architecture := info.data.get("architecture"):
            options_form(architecture).model_validate(options)
        return options

    @pydantic.field_validator("path")
    @classmethod
    def _instead_of_urls(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if bool(info.data.get("urls", not path)) == bool(path):
            raise ValueError("either `urls` or `path`")
        return path

    @property
    def is_network(self) -> bool:
        """Whether this is a network's weights, and not a part of the vocabulary."""
        return self.architecture in NETWORKS

    @property
    def needs_fetch(self) -> bool:
        """Whether it comes from an address."""
        return self.path is None

    @property
    def needs_conversion(self) -> bool:
        """Whether it is a checkpoint that is to be converted to safetensors."""
        return self.is_network and not self.ready

    def download_path(self, weights: Path | str = "weights") -> Path:
        """Return where its download lies: the entry's name with the suffix of the address."""
        known = r"\.(pth?|ckpt|safetensors|json|bpe|bin|txt\.gz)(?=$|[?&;#])"
        suffix = re.search(known, unquote(self.urls[0]).lower()) if self.urls else None
        return Path(weights, "downloads", self.name + (suffix[0] if suffix else ""))

    def source_path(self, weights: Path | str = "weights") -> Path:
        """Return the file as it was published: the user's own, or the download."""
        return self.path or self.download_path(weights)

    def final_path(self, weights: Path | str = "weights") -> Path:
        """Return the file that the stages read."""
        converted = Path(weights, f"{self.name}.safetensors")
        return converted if self.needs_conversion else self.source_path(weights)

    def check(self, path: Path, weights: Path | str = "weights") -> str | None:
        """Return a file's SHA-256 (None: none is known) or raise ``WrongFileError``."""
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

    def identity(self) -> str:
        """Return a string that changes with the file's content, or else its address, and options.

        A local file without a hash is read: whole up to 64 MB, 256 samples of a larger one.
        """
        if self.sha256:
            content = f"sha256:{self.sha256}"
        elif self.path is None:
            content = self.urls[0]
        elif self.path.is_file():
            status = self.path.stat()
            content = f"content:{_fingerprint(self.path, status.st_size, status.st_mtime_ns)}"
        else:
            content = str(self.path)
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
        for needed in filter(None, (file.path, file.words)):
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
    errors += [(f"files.{name}.name", "no such key") for name in stated if "name" in stated[name]]
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


def _set_errors(name: str, sets: _Group, files: _Group) -> Iterator[_Error]:
    roles = _roles(name, sets)
    if missing := [role for role in ROLES if role not in roles]:
        yield f"sets.{name}", f"no file for {', '.join(missing)} (or `like: ANOTHER-SET`)"
    absent = [role for role in CLIP_ROLES if role not in roles]
    if 0 < len(absent) < len(CLIP_ROLES):
        yield f"sets.{name}", f"no file for {', '.join(absent)}, which the others of CLIP need"
    for role, word in sets[name].items():
        place, known = f"sets.{name}.{role}", sets if role == "like" else files
        entry = known.get(str(word), {})
        if role not in ("like", *_EVERY_ROLE):
            yield place, f"no such role.{_hint(str(role), _EVERY_ROLE)}"
        elif str(word) not in known:
            yield place, f"nothing is called `{word}`.{_hint(str(word), known)}"
        elif role != "like" and (found := entry.get("architecture")) != _EVERY_ROLE[role]:
            yield place, f"`{word}` is of architecture {found}; {_EVERY_ROLE[role]} is needed"
        elif role in ("base", "upsampler") and isinstance(stated := entry.get("options"), dict):
            # of what is not stated, the file tells when it is converted
            for option, value in {"super_res": role == "upsampler", "inpaint": False}.items():
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
