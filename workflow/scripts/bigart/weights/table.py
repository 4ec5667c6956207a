"""Model sets: which files make up a set, where they come from, and where they lie.

``config/models.yaml`` is the one table; its head explains the entries. Nothing here imports
torch, so that reading it costs a workflow next to nothing.
"""

import argparse
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
)

from bigart.errors import InputError, UserError, show, suggest
from bigart.networks.options import GlideOptions, RRDBNetOptions, VQGANOptions
from bigart.running import files as disk
from bigart.running import yaml_file

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
NETWORKS = ("glide", "rrdbnet", "vqgan")

_WHOLE_HASH_LIMIT = 64 * 2**20
_SAMPLES, _SAMPLE_BYTES = 256, 64 * 2**10


# ---- what the file may hold ----------------------------------------------------------------------


def _match(pattern: str, text: str, allowed: str) -> str:
    if not re.fullmatch(pattern, text):
        raise ValueError(allowed)
    return text


def _name(text: str) -> str:
    allowed = "small letters, digits, '.', '_' and '-', beginning with a letter or digit"
    return _match(r"[a-z0-9][a-z0-9._-]{0,63}", text, allowed)


def _url(text: str) -> str:
    return _match(r"https?://[^/]+/.+", text, "an address that begins with https:// or http://")


def _sha256(text: str) -> str:
    return _match(r"[0-9a-fA-F]{64}", text, "64 hexadecimal digits, or null").lower()


def _path(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    allowed = "a path without braces, which Snakemake would take for wildcards"
    return Path(info.context or "", Path(_match(r"[^{}]+", value, allowed)).expanduser())


_Name = Annotated[str, AfterValidator(_name)]
_Path = Annotated[Path, BeforeValidator(_path)]
_Size = Annotated[int, Field(ge=1, le=2**20)]
_KINDS = {int: _Size, tuple: Annotated[list[_Size], Field(min_length=1)], bool: bool}
_CHOICES = {"scale": Literal[2, 4], "noise_schedule": Literal["squaredcos_cap_v2", "linear"]}


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _form(kinds: Mapping[str, Any]) -> type[_Form]:
    optional: dict[str, Any] = {name: (kind, None) for name, kind in kinds.items()}
    return create_model("Form", __base__=_Form, **optional)


def _options(kind: type[Any]) -> type[_Form]:
    return _form({f.name: _CHOICES.get(f.name) or _KINDS[type(f.default)] for f in fields(kind)})


_OPTIONS: Mapping[str, type[_Form]] = {
    "glide": _options(GlideOptions),
    "rrdbnet": _options(RRDBNetOptions),
    "vqgan": _options(VQGANOptions),
    "vocabulary": _form({}),
    "merges": _form({}),
}
_Set = _form(dict.fromkeys(("like", *ROLES), str))


class _Entry(_Form):
    architecture: Literal["glide", "rrdbnet", "vqgan", "vocabulary", "merges"]
    options: dict[str, Any] = {}
    urls: tuple[Annotated[str, AfterValidator(_url)], ...] = Field((), strict=False)
    path: _Path | None = None
    sha256: Annotated[str, AfterValidator(_sha256)] | None = None
    bytes: Annotated[int, Field(ge=1)] | None = None
    ready: bool = False
    words: _Path | None = None
    licence: str = ""
    note: str = ""


class _Table(_Form):
    sets: Annotated[dict[_Name, _Set], Field(min_length=1)]  # type: ignore[valid-type]
    files: Annotated[dict[_Name, _Entry], Field(min_length=1)]


# ---- the table -----------------------------------------------------------------------------------


class ModelFile(_Entry):
    """One file of ``config/models.yaml``.

    Attributes:
        name: Its entry's name, which also names its files under weights/.
        architecture: "glide", "rrdbnet", "vqgan", "vocabulary" or "merges".
        options: Stated sizes of the network; what is left out is inferred or as published.
        urls: The address and its mirrors; empty when ``path`` is given.
        path: A local file, or None.
        sha256: 64 small hexadecimal digits, or None where none is known.
        bytes: Size, or None where it is not known.
        ready: ``path`` is already in the project's safetensors form (or needs none).
        words: A text file with all the words that it was trained on, or None where any may do.
        licence: Its terms, in words.
        note: What it is, in words.
    """

    name: str

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
        suffix = _suffix(self.urls[0]) if self.urls else ""
        return Path(weights, "downloads", self.name + suffix)

    def source_path(self, weights: Path | str = "weights") -> Path:
        """Return the file as it was published: the user's own, or the download."""
        return self.path if self.path is not None else self.download_path(weights)

    def final_path(self, weights: Path | str = "weights") -> Path:
        """Return the file that the stages read."""
        if self.needs_conversion:
            return Path(weights, f"{self.name}.safetensors")
        return self.source_path(weights)

    def identity(self) -> str:
        """Return a string that changes when the file's content is another one.

        It is the hash where one is stated, else for a local file a fingerprint of what is in it
        (whole up to 64 MB, 256 samples of a larger one), else the first address.
        """
        stated = _options_text(self.options)
        if self.sha256:
            return f"sha256:{self.sha256}{stated}"
        if self.path is None:
            return f"{self.urls[0]}{stated}"
        try:
            status = self.path.stat()
        except OSError:
            return f"{self.path}{stated}"
        key = (str(self.path), status.st_size, status.st_mtime_ns)
        return f"content:{_fingerprint(*key)}{stated}"


@dataclass(frozen=True)
class Models:
    """All of ``config/models.yaml``.

    Attributes:
        sets: Set -> role -> name of a file; ``like`` is already resolved.
        files: Name -> file.
        where: The file this was read from, for messages.
    """

    sets: Mapping[str, Mapping[str, str]]
    files: Mapping[str, ModelFile]
    where: str

    def file(self, name: str) -> ModelFile:
        """Return the entry of that name.

        Raises:
            UserError: There is none.
        """
        if name not in self.files:
            raise UserError(f"{self.where}: no file is called `{name}`.{_hint(name, self.files)}")
        return self.files[name]

    def set(self, name: str) -> dict[str, ModelFile]:
        """Return the file for each role of the set that ``models:`` of config.yaml names.

        Raises:
            UserError: No such set.
        """
        if name not in self.sets:
            raise UserError(
                f"models: `{name}` is not a model set of {self.where}.{_hint(name, self.sets)}"
            )
        return {role: self.files[file] for role, file in self.sets[name].items()}


def check_present(files: Mapping[str, ModelFile], weights: Path | str = "weights") -> None:
    """Check the files of a set that no rule will check, before anything runs.

    Local files must be there. Downloads that are read as they are must be what their entries
    state: a hash may have been edited since they came.

    Raises:
        UserError: Naming every file that is missing or another one.
    """
    errors = []
    for role, file in files.items():
        path = file.final_path(weights)
        if file.words is not None and not file.words.is_file():
            errors.append(f"{role}: the words of `{file.name}` are to be at {file.words}")
        if file.path is not None and not file.path.is_file():
            is_embedded = file.path.parent.name == "embedded"
            remedy = "; `git checkout models/embedded` brings it back" if is_embedded else ""
            errors.append(
                f"{role}: `{file.name}` is to be at {file.path}, and is not there{remedy}"
            )
        elif file.needs_fetch and path == file.source_path(weights) and path.is_file():
            found = disk.sha256(path) if file.sha256 else None
            if found != file.sha256:
                errors.append(
                    f"{role}: {path} is another file than `{file.name}`: its sha256 is {found}; "
                    f"its entry in models.yaml says {file.sha256}. Correct the entry, or remove "
                    "the file, so that it is fetched again"
                )
    if errors:
        raise UserError("\n".join(errors))


def read_models(path: Path | str = TABLE, root: Path | str = ROOT) -> Models:
    """Read the table of models, and check it.

    Args:
        path: ``config/models.yaml``.
        root: The folder that ``path`` entries are relative to (where the Snakefile is).

    Raises:
        UserError: Anything is wrong; the message lists every error with its line.
    """
    content, lines, duplicates = yaml_file.read(path)
    errors = [(key, f"stands twice, first in line {first}") for key, _, first in duplicates]
    files: dict[str, ModelFile] = {}
    try:
        entries = _Table.model_validate(content, context=root).files
        files = {name: ModelFile(name=name, **dict(entry)) for name, entry in entries.items()}
    except ValidationError as error:
        errors += [_form_error(found, _Table) for found in error.errors()]
    sets, stated = _group(content, "sets"), _group(content, "files")
    for name, entry in stated.items():
        errors += _entry_errors(f"files.{name}", entry)
    resolved = {name: _resolve(name, sets, errors) for name in sets}
    for name, roles in resolved.items():
        errors += _set_errors(name, roles, stated)
    if errors:
        lines |= {key: line for key, line, _ in duplicates}
        found = {InputError(str(path), _line(lines, key), key, text) for key, text in errors}
        raise UserError("\n".join(map(str, sorted(found))))
    return Models(resolved, files, str(path))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the commands that bring one file of the table to ``weights/``."""
    parser.add_argument("name", help="an entry of `files:` in models.yaml, for instance bsrgan")
    parser.add_argument(
        "--models", default=TABLE, help="the table of model files (default: the project's)"
    )
    parser.add_argument(
        "--weights", default="weights", help="the folder for model files (default: weights)"
    )


# ---- its errors: the dotted key and a message ----------------------------------------------------

_Error = tuple[str, str]
_WORDS = {
    "model_type": "a group of keys",
    "dict_type": "a group of keys",
    "tuple_type": "a list",
    "int_type": "a whole number",
    "string_type": "text",
    "is_instance_of": "text",
}


def _group(content: Any, key: str) -> dict[str, dict[str, Any]]:
    """Return the entries that have the form of one; of the others ``_Table`` speaks."""
    group = content.get(key) if isinstance(content, dict) else None
    entries = group.items() if isinstance(group, dict) else ()
    return {str(name): entry for name, entry in entries if isinstance(entry, dict)}


def _line(lines: Mapping[str, int], key: str) -> int:
    """Return the line of a key, or of the nearest group around it, or 0."""
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return lines.get(key, 0)


def _form_error(found: Mapping[str, Any], form: type[_Form], place: str = "") -> _Error:
    kind, keys = found["type"], [str(key) for key in found["loc"] if key != "[key]"]
    if kind == "missing":
        message = f"`{keys.pop()}` is missing"
    elif kind == "extra_forbidden":
        if len(keys) == 3:  # of one entry of the table
            form = _Set if keys[0] == "sets" else _Entry
        unknown = keys.pop()
        message = f"no key is called `{unknown}`.{_hint(unknown, form.model_fields)}"
    elif kind == "too_short":
        message = "is empty"
    else:
        allowed = _WORDS.get(kind) or re.sub("^(Input should be|Value error,) ", "", found["msg"])
        message = f"found {show(found['input'])}; allowed: {allowed}"
        if kind == "literal_error":
            message += f". {suggest(str(found['input']), re.findall('[a-z]{3,}', allowed))}"
    return ".".join(filter(None, [place, *keys])), message.removesuffix(". ")


def _entry_errors(place: str, entry: Mapping[str, Any]) -> Iterator[_Error]:
    if bool(entry.get("urls")) == bool(entry.get("path")):
        both = "give `urls` or `path`, not both"
        yield place, both if entry.get("urls") else "`urls` or `path` is missing"
    form, stated = _OPTIONS.get(str(entry.get("architecture"))), entry.get("options")
    if form and isinstance(stated, dict):
        try:
            form.model_validate(stated)
        except ValidationError as error:
            for found in error.errors():
                yield _form_error(found, form, f"{place}.options")


def _hint(word: str, known: Iterable[str]) -> str:
    known = list(known)
    return f" {suggest(word, known) or 'There are: ' + (', '.join(known) or 'none')}"


def _resolve(name: str, sets: Mapping[str, Any], errors: list[_Error]) -> dict[str, str]:
    """Follow ``like`` from set to set; the nearest statement of a role wins."""
    roles: dict[str, str] = {}
    seen = [name]
    while True:
        entry = sets[seen[-1]]
        roles = {role: str(entry[role]) for role in ROLES if role in entry} | roles
        if "like" not in entry:
            break
        other = str(entry["like"])
        if other not in sets:
            message = f"no set is called `{other}`.{_hint(other, sets)}"
            errors.append((f"sets.{seen[-1]}.like", message))
            break
        if other in seen:
            errors.append((f"sets.{name}", f"`like` goes round: {' -> '.join(seen)}"))
            break
        seen.append(other)
    return {role: roles[role] for role in ROLES if role in roles}


def _set_errors(
    name: str, roles: Mapping[str, str], files: Mapping[str, Mapping[str, Any]]
) -> Iterator[_Error]:
    if missing := [role for role in ROLES if role not in roles]:
        yield f"sets.{name}", f"no file for {', '.join(missing)} (or `like: ANOTHER-SET`)"
    for role, file in roles.items():
        message = ""
        if file not in files:
            message = f"no file is called `{file}`.{_hint(file, files)}"
        elif (found := files[file].get("architecture")) != ROLES[role]:
            message = f"`{file}` is of architecture {found}; a file of {ROLES[role]} belongs here"
        elif found == "glide" and isinstance(options := files[file].get("options", {}), dict):
            # of what is not stated, the file tells when it is converted
            for option, value in {"super_res": role == "upsampler", "inpaint": False}.items():
                if options.get(option, value) != value:
                    message = (
                        f"`{file}` has the option {option}: {show(options[option])}; {role} needs "
                        f"a GLIDE with {option}: {show(value)}"
                    )
        if message:
            yield f"sets.{name}.{role}", message


def _suffix(url: str) -> str:
    """Return the suffix of an address's file, also where the name stands in the query."""
    parts = urlsplit(url)
    for text in (unquote(parts.path), unquote(parts.query)):
        found = re.search(r"\.(pth?|ckpt|safetensors|json|bpe|bin)(?=$|[&;])", text, re.IGNORECASE)
        if found:
            return found[0].lower()
    suffix = PurePosixPath(unquote(parts.path)).suffix
    return suffix if re.fullmatch(r"\.\w{1,12}", suffix) else ""


def _options_text(options: Mapping[str, Any]) -> str:
    return "".join(f" {key}={options[key]}" for key in sorted(options))


@functools.lru_cache(maxsize=256)
def _fingerprint(path: str, size: int, modified: int) -> str:
    del modified  # part of the cache's key alone
    if size <= _WHOLE_HASH_LIMIT:
        return disk.sha256(path)
    digest = hashlib.sha256(str(size).encode())
    with Path(path).open("rb") as file:
        for sample in range(_SAMPLES):
            file.seek((size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
