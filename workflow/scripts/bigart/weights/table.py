"""Model sets: which files make up a set, where they come from, and where they lie.

``config/models.yaml`` is the one table; its head explains the entries. Nothing here imports
torch, so that reading it costs a workflow next to nothing.
"""

import argparse
import functools
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import jsonschema
import yaml

from bigart.config.options import suggest
from bigart.errors import UserError
from bigart.running import files as disk

ROOT = Path(__file__).parents[4]  # where the Snakefile is
TABLE = ROOT / "config" / "models.yaml"
SCHEMA = ROOT / "workflow" / "schemas" / "models.schema.yaml"

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


@dataclass(frozen=True)
class ModelFile:
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
    architecture: str
    options: Mapping[str, Any] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    path: Path | None = None
    sha256: str | None = None
    bytes: int | None = None
    ready: bool = False
    words: Path | None = None
    licence: str = ""
    note: str = ""

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
    faults = []
    for role, file in files.items():
        path = file.final_path(weights)
        if file.words is not None and not file.words.is_file():
            faults.append(f"{role}: the words of `{file.name}` are to be at {file.words}")
        if file.path is not None and not file.path.is_file():
            is_embedded = file.path.parent.name == "embedded"
            remedy = "; `git checkout models/embedded` brings it back" if is_embedded else ""
            faults.append(
                f"{role}: `{file.name}` is to be at {file.path}, and is not there{remedy}"
            )
        elif file.needs_fetch and path == file.source_path(weights) and path.is_file():
            found = disk.sha256(path) if file.sha256 else None
            if found != file.sha256:
                faults.append(
                    f"{role}: {path} is another file than `{file.name}`: its sha256 is {found}; "
                    f"its entry in models.yaml says {file.sha256}. Mend the entry, or remove the "
                    "file, so that it is fetched anew"
                )
    if faults:
        raise UserError("\n".join(faults))


def read_models(path: Path | str = TABLE, root: Path | str = ROOT) -> Models:
    """Read the table of models, and check it.

    Args:
        path: ``config/models.yaml``.
        root: The folder that ``path`` entries are relative to (where the Snakefile is).

    Raises:
        UserError: Any fault; all of them are told together.
    """
    content = _read_yaml(Path(path))
    faults = list(_schema_faults(content))
    sets, entries = _group(content, "sets"), _group(content, "files")
    files = {name: _model_file(name, entry, Path(root)) for name, entry in entries.items()}
    resolved = {name: _resolve(name, sets, faults) for name in sets}
    for name, roles in resolved.items():
        faults += _set_faults(name, roles, files)
    if faults:
        raise UserError("\n".join(f"{path}: {fault}" for fault in dict.fromkeys(faults)))
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


def asked_file(arguments: argparse.Namespace) -> ModelFile:
    """Return the file that the arguments of ``add_arguments`` name.

    Raises:
        UserError: The table has a fault, or no such entry.
    """
    return read_models(arguments.models).file(arguments.name)


def _group(content: Any, key: str) -> dict[str, dict[str, Any]]:
    """Return the entries that have the form of one; of the others the schema tells."""
    group = content.get(key) if isinstance(content, dict) else None
    entries = group.items() if isinstance(group, dict) else ()
    return {str(name): entry for name, entry in entries if isinstance(entry, dict)}


def _model_file(name: str, entry: Mapping[str, Any], root: Path) -> ModelFile:
    path, sha256, urls = entry.get("path"), entry.get("sha256"), entry.get("urls")
    words = entry.get("words")
    return ModelFile(
        name=name,
        architecture=str(entry.get("architecture")),
        options=entry.get("options") or {},
        urls=tuple(map(str, urls)) if isinstance(urls, list) else (),
        path=root / Path(path).expanduser() if isinstance(path, str) else None,
        sha256=sha256.lower() if isinstance(sha256, str) else None,
        bytes=entry.get("bytes"),
        ready=bool(entry.get("ready", False)),
        words=root / Path(words).expanduser() if isinstance(words, str) else None,
        licence=str(entry.get("licence", "")),
        note=str(entry.get("note", "")),
    )


class _NoDuplicates(yaml.SafeLoader):
    """YAML that does not let the second of two equal keys win in silence."""


def _mapping(loader: _NoDuplicates, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key, _ in node.value:
        if key.value in seen:
            mark = key.start_mark
            raise yaml.MarkedYAMLError(problem=f"`{key.value}` stands twice", problem_mark=mark)
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_NoDuplicates.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _read_yaml(path: Path) -> Any:
    try:
        # a subclass of SafeLoader: builds plain values only
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_NoDuplicates)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: it says where the model files come from.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start + 1}).") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # 2021-02-30 is no date
        raise UserError(f"{path} is not YAML: {error}") from None


@functools.cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))


def _schema_faults(content: Any) -> Iterator[str]:
    for error in sorted(_validator().iter_errors(content), key=lambda e: [str(p) for p in e.path]):
        if error.validator == "oneOf" and not isinstance(error.instance, dict):
            continue  # another error says so
        place = ".".join(str(part) for part in error.absolute_path)
        yield f"{place}: {_say(error)}" if place else _say(error)


def _say(error: jsonschema.ValidationError) -> str:
    schema: Any = error.schema if isinstance(error.schema, dict) else {}
    value: Any = error.validator_value
    instance: Any = error.instance
    described = schema.get("description")
    match error.validator:
        case "additionalProperties":
            known = schema.get("properties", {})
            unknown = [key for key in instance if key not in known]
            return "; ".join(f"no key is called `{key}`.{_hint(key, known)}" for key in unknown)
        case "required":
            return f"{error.message.split(' is ')[0].replace(chr(39), '`')} is missing"
        case "oneOf":
            both = "urls" in instance and "path" in instance
            return "give `urls` or `path`, not both" if both else "`urls` or `path` is missing"
        case "enum":
            choices = [str(choice) for choice in value]
            found = str(instance)
            return f"found {instance!r}; allowed: {', '.join(choices)}.{_hint(found, choices)}"
        case "pattern" if described:
            return f"found {instance!r}; allowed: {described}"
        case "type":
            kinds = value
            kinds = [kinds] if isinstance(kinds, str) else kinds
            names = {"object": "a group of keys", "null": "null", "array": "a list"}
            allowed = " or ".join(names.get(kind, kind) for kind in kinds)
            return f"found {_short(instance)}; allowed: {allowed}"
        case "maxProperties":
            return "these files have no options"
        case "minProperties":
            return "is empty"
    return error.message


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _hint(word: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    guess = suggest(str(word), known)
    return f" {guess or 'There are: ' + ', '.join(known)}"


def _resolve(name: str, sets: Mapping[str, Any], faults: list[str]) -> dict[str, str]:
    """Follow ``like`` from set to set; the nearest statement of a role wins."""
    roles: dict[str, str] = {}
    seen: list[str] = []
    current: str | None = name
    while current is not None:
        if current in seen:
            faults.append(f"sets.{name}: `like` goes round: {' -> '.join(seen)}")
            break
        if current not in sets:
            faults.append(
                f"sets.{seen[-1]}.like: no set is called `{current}`.{_hint(current, sets)}"
            )
            break
        seen.append(current)
        entry = sets[current]
        roles = {role: str(entry[role]) for role in ROLES if role in entry} | roles
        current = str(entry["like"]) if "like" in entry else None
    return {role: roles[role] for role in ROLES if role in roles}


def _set_faults(
    name: str, roles: Mapping[str, str], files: Mapping[str, ModelFile]
) -> Iterator[str]:
    missing = [role for role in ROLES if role not in roles]
    if missing:
        yield f"sets.{name}: no file for {', '.join(missing)} (or `like: ANOTHER-SET`)"
    for role, file in roles.items():
        if fault := _role_fault(role, file, files):
            yield f"sets.{name}.{role}: {fault}"


def _role_fault(role: str, name: str, files: Mapping[str, ModelFile]) -> str:
    if name not in files:
        return f"no file is called `{name}`.{_hint(name, files)}"
    found = files[name].architecture
    if found != ROLES[role]:
        return f"`{name}` is of architecture {found}; a file of {ROLES[role]} belongs here"
    return _kind_fault(role, files[name]) if found == "glide" else ""


def _kind_fault(role: str, file: ModelFile) -> str:
    """Say where the options state another kind of GLIDE; what is not stated, the file tells."""
    wanted = {"super_res": role == "upsampler", "inpaint": False}
    for option, value in wanted.items():
        if file.options.get(option, value) != value:
            found = str(file.options[option]).lower()
            return (
                f"`{file.name}` has the option {option}: {found}; {role} needs a GLIDE with "
                f"{option}: {str(value).lower()}"
            )
    return ""


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
    digest = hashlib.sha256(str(size).encode())
    with Path(path).open("rb") as file:
        if size <= _WHOLE_HASH_LIMIT:
            while block := file.read(2**20):
                digest.update(block)
        else:
            for sample in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
