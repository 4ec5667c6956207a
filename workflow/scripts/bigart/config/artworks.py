"""The configuration and the table of artworks, checked together.

``read`` is the way in: it takes the config as Snakemake merged it, reads the table it names, and
returns both with every value in its type, and every fault of both. (``project.load`` refuses
them, together with those of the models.)

The table is text in UTF-8: one line per artwork, fields separated by tabs, the first line names
the columns. Blank lines are skipped, and so are comments: lines that start with #, unless that may
be a prompt (the line has several fields, and the first one is not the id). Fields are taken
literally, so quotes, apostrophes, dollar signs and backticks are part of a prompt; only a field
that is wrapped whole in double quotes, with the quotes inside doubled, is unwrapped, for so
spreadsheets write it.
"""

import codecs
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from bigart.config import options
from bigart.config.options import RefusedError
from bigart.errors import UserError, show, suggest
from bigart.metadata import recipe

LONGEST_ROW = 10_000  # characters
LARGEST_TABLE = 50_000_000  # bytes
# What the recipe in a JPEG can say of prompt and negative prompt, in bytes of XMP: a tenth of the
# room is kept for the rest, which is 2 kB with the embedded models.
JPEG_TEXT_ROOM = recipe.JPEG_ROOM * 9 // 10

_WORDS = re.compile(r"(?<!\w)(?<!\w['’])\w+")  # of "lake's" the lake
_WRAPPED = re.compile(r'"((?:[^"]|"")*)"')
_LINE_END = re.compile("\r\n|\n|\r")

Line = tuple[int, str]  # its number, counted from 1, and its text


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of an artwork: config.yaml has them for all, a row of the table for its own."""

    seed: int
    choose: int
    steps: int
    sampler: str
    guidance: float
    negative_prompt: str
    upsample_temp: float
    upsample_steps: int | str
    texture_amount: float
    texture_size: int
    detail: bool
    final_texture_amount: float
    final_texture_size: int
    format: str


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """Every option of config.yaml, in its type. config/README.md says what each one means.

    Paths are normalised: no ``~``, no ``./`` at the start, no / at the end. ``models_table`` is
    empty where it is the workflow's own.
    """

    models: str
    engine: str
    candidates: int
    table: str
    models_table: str
    results: str
    device: str
    precision: str
    batch: int | str


@dataclass(frozen=True, kw_only=True)
class Artwork(Options):
    """One row of the table, its blanks filled from the config."""

    artwork: str
    prompt: str


@dataclass(frozen=True, order=True)
class Fault:
    """One thing to mend: where it is, and what is wrong there."""

    file: str
    line: int  # counted from 1 as editors do; 0 when the fault is of the whole file
    place: str  # the artwork and column, or the option; may be empty
    message: str

    def __str__(self) -> str:
        """Return ``file, line 3, artwork `x`, column `y`: message``."""
        where = [self.file, f"line {self.line}" if self.line else "", self.place]
        return f"{', '.join(part for part in where if part)}: {self.message}"


def read(
    mapping: Mapping[str, Any] | None, config_files: Iterable[Path | str] = ()
) -> tuple[Config, dict[str, Artwork], list[Fault]]:
    """Return the config, the artworks in the order of the table, and all that is wrong with both.

    Where there are faults, the config has the default in place of each faulty value, and the
    faulty rows are left out: nothing may be painted from them.

    Args:
        mapping: The config, as ``yaml.safe_load`` or Snakemake gives it; ``--config`` may have
            put text where a number belongs.
        config_files: The files it came from, the last one winning: faults then name the line.
    """
    config, faults = _read_config(mapping, config_files)
    artworks: dict[str, Artwork] = {}
    if not any(fault.place == "`table`" for fault in faults):
        artworks, table_faults = _read_table(Path(config.table), config)
        faults += table_faults
    return config, artworks, sorted(faults)


def read_config_file(path: Path | str) -> dict[str, Any]:
    """Return what a YAML file holds, to be checked by ``read``.

    Raises:
        UserError: The file is missing, is no text, or is no YAML; the message names the line.
    """
    path = Path(path)
    data, faults = _read_bytes(path, "Give its path, or copy config.yaml from the repository.")
    text, encoding_faults, _ = _decode(path, data)
    if faults := faults + encoding_faults:
        raise UserError("\n".join(map(str, faults)))
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path}{_yaml_fault(error)}") from None
    except ValueError as error:  # a date such as 2022-13-01
        raise UserError(f"{path}: not a value that YAML knows: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {show(content)}; it must hold lines such as `seed: 42`")
    return content


def prompt_warnings(
    artworks: Mapping[str, Artwork],
    encode: Callable[[str], Sequence[int]],
    context: int,
) -> list[str]:
    """Say of each prompt with too many tokens which words at its end the models do not read.

    Args:
        artworks: What ``read`` returned.
        encode: Turns text into tokens, without padding or marks at its ends.
        context: How many tokens the models read.

    Returns:
        One message per prompt or negative prompt that is cut.
    """
    warnings = []
    for artwork in artworks.values():
        for column in ("prompt", "negative_prompt"):
            text = getattr(artwork, column)
            if len(text.lower().encode()) <= context >= len(text.encode()):
                continue  # a token is at least one byte, in the case that the tokenizer chooses
            tokens = len(encode(text))
            if tokens > context:
                cut, start = _cut_text(text, encode, context)
                warnings.append(
                    f"artwork `{artwork.artwork}`, column `{column}`: the models read {context} "
                    f"tokens and this has {tokens}; {start} is cut: {_ends(cut)}"
                )
    return warnings


def unknown_words(
    artworks: Mapping[str, Artwork], words: Collection[str], models: str
) -> list[str]:
    """Say of each prompt which of its words the models were never trained on.

    Args:
        artworks: What ``read`` returned.
        words: All they were trained on, in lower case.
        models: The model set's name.

    Returns:
        One message per prompt or negative prompt with such words.
    """
    warnings = []
    for artwork in artworks.values():
        for column in ("prompt", "negative_prompt"):
            found = _WORDS.findall(getattr(artwork, column).lower())
            if unknown := [f"`{word}`" for word in dict.fromkeys(found) if word not in words]:
                warnings.append(
                    f"artwork `{artwork.artwork}`, column `{column}`: the {models} models were "
                    f"never shown {', '.join(unknown)} and paint something else in its place"
                )
    return warnings


# The config


def _read_config(
    mapping: Mapping[str, Any] | None, config_files: Iterable[Path | str]
) -> tuple[Config, list[Fault]]:
    """Return the config, with the default for each faulty value, and the faults."""
    known = options.options()
    places, faults = _key_lines(config_files)
    values = {name: schema["default"] for name, schema in known.items()}
    if mapping is not None and not isinstance(mapping, Mapping):
        faults.append(Fault("config", 0, "", f"found {show(mapping)}; it must hold keys"))
        mapping = None
    for key, value in (mapping or {}).items():
        file, line = places.get(_address(key, value), ("config", 0))
        place = f"`{show(key)[1:-1] if isinstance(key, str) else show(key)}`"
        if not isinstance(key, str) or key not in known:
            faults.append(Fault(file, line, place, _unknown_option(key)))
        elif not _is_blank(value):
            try:
                values[key] = options.read(key, value)
            except RefusedError as refused:
                faults.append(Fault(file, line, place, str(refused)))
    for key in ("table", "models_table", "results"):
        values[key] = values[key] and _normal_path(values[key])
    if obstacle := _file_in_place_of_folder(values["results"]):
        file, line = places.get(_address("results", (mapping or {}).get("results")), ("config", 0))
        message = f"{show(obstacle, 400)} is not a folder; allowed: the path of a folder"
        faults.append(Fault(file, line, "`results`", message))
    faulty = {fault.place for fault in faults}
    if values["choose"] > values["candidates"] and not {"`choose`", "`candidates`"} & faulty:
        value = (mapping or {}).get("choose")
        file, line = places.get(_address("choose", value), ("config", 0))
        faults.append(Fault(file, line, "`choose`", _choose_fault(values)))
    return Config(**values), faults


def _unknown_option(key: object) -> str:
    if not isinstance(key, str):
        return "no such option. YAML reads yes, no, on, off and numbers as values, not as words"
    if key in options.columns():
        return "no such option: it is a column of the table of artworks"
    hint = suggest(key, options.options())
    return f"no such option. {hint or 'The options are ' + _listed(options.options())}"


def _choose_fault(values: Mapping[str, Any]) -> str:
    return (
        f"found {values['choose']}; allowed: whole number 1 to {values['candidates']} "
        "(the value of `candidates`)"
    )


def _normal_path(text: str) -> str:
    """Return a path in the one form that Snakemake takes without a warning at each file."""
    path = os.path.normpath(os.path.expanduser(text))  # noqa: PTH111 (a user unknown: as it is)
    return str(Path.cwd()) if path == "." else path


def _file_in_place_of_folder(path: str) -> str:
    """Return the part of a path that exists and is no folder, or nothing."""
    for place in (Path(path), *Path(path).parents):
        if os.path.lexists(place) and not os.path.isdir(place):  # noqa: PTH112 (never raises)
            return str(place)
    return ""


def _key_lines(
    config_files: Iterable[Path | str],
) -> tuple[dict[tuple[str, str], tuple[str, int]], list[Fault]]:
    """Find where each key and value stands; and keys that stand twice, of which YAML drops one.

    The value is part of the ``_address``, so that a value from ``--config`` is not looked for in a
    file. Files that cannot be read are passed over: whoever read the config has said so.
    """
    places: dict[tuple[str, str], tuple[str, int]] = {}
    faults = []
    for file in config_files:
        try:
            text = Path(file).read_text(encoding="utf-8-sig")
            root, content = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if not isinstance(root, yaml.MappingNode) or not isinstance(content, dict):
            continue
        seen: dict[str, int] = {}
        for node, _ in root.value:
            key, line = str(node.value), node.start_mark.line + 1
            if key in seen:
                message = f"stands a second time; it stands in line {seen[key]} already"
                faults.append(Fault(str(file), line, f"`{show(key)[1:-1]}`", message))
            seen.setdefault(key, line)
            places[_address(key, content.get(key))] = (str(file), line)
    return places, faults


def _address(key: object, value: object) -> tuple[str, str]:
    return str(key), f"{type(value).__name__} {show(value, LARGEST_TABLE)}"


def _yaml_fault(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    where = f", line {mark.line + 1}" if mark else ""
    hint = " Indent with spaces, not with tabs." if "'\\t'" in str(problem) else ""
    return f"{where}: this is not YAML: {problem}.{hint} A line reads like `seed: 42`."


# The table


def _read_table(path: Path, config: Config) -> tuple[dict[str, Artwork], list[Fault]]:
    """Return the artworks of the faultless rows, and the faults."""
    data, faults = _read_bytes(path, "`table` in config.yaml says where it is.")
    if faults:
        return {}, faults
    text, faults, damaged = _decode(path, data)
    header, lines = _content_lines(text)
    if not header:
        message = "the table is empty; its first line must name the columns: artwork, prompt"
        return {}, [*faults, Fault(str(path), 0, "", message)]
    number, line = header
    if number in damaged:
        return {}, faults
    names, header_faults = _read_header(path, number, line)
    faults += header_faults
    if not set(options.required_columns()) & set(names):
        return {}, faults
    if not lines:
        faults.append(Fault(str(path), 0, "", "no artworks: there is no line below the header"))
    artworks: dict[str, Artwork] = {}
    ids: dict[str, tuple[str, int]] = {}
    for number, line in lines:
        if number not in damaged:
            artwork, row_faults = _read_row(path, number, line, names, config, ids)
            faults += row_faults
            if artwork:
                artworks[artwork.artwork] = artwork
    return artworks, faults


def _content_lines(text: str) -> tuple[Line | None, list[Line]]:
    """Return the header and the lines below it, without those that are blank or comments."""
    lines = [(n, line) for n, line in enumerate(_LINE_END.split(text), start=1) if line.strip()]
    header = next((line for line in lines if not _begins_with_hash(line[1])), None)
    if header is None:
        return None, []
    id_first = _unwrapped(header[1].split("\t")[0]) == "artwork"
    below = lines[lines.index(header) + 1 :]
    return header, [
        (number, line)
        for number, line in below
        if not (_begins_with_hash(line) and (id_first or "\t" not in line))
    ]


def _begins_with_hash(line: str) -> bool:
    return line.lstrip(" ").removeprefix('"').startswith("#")


def _read_header(path: Path, number: int, line: str) -> tuple[list[str], list[Fault]]:
    """Return the columns' names as written, and the faults among them."""
    known = options.columns()
    names = [_unwrapped(name) for name in line.split("\t")]
    while names and not names[-1]:
        names.pop()
    faults = []

    def fault(place: str, message: str) -> None:
        faults.append(Fault(str(path), number, place, message))

    for place, name in enumerate(names, start=1):
        column = f"column `{show(name)[1:-1]}`"
        if not name:
            fault(f"column {place}", f"it has no name; allowed: {_listed(known)}")
        elif name in names[: place - 1]:
            fault(column, f"it stands a second time; it is column {names.index(name) + 1} already")
        elif len(names) == 1 and name not in known and re.search(r"[,; ]", name):
            fault("", f"found the header {show(name)}, without a tab; separate columns by tabs")
        elif name in options.options() and name not in known:
            fault(column, "that option is one for all artworks: set it in config.yaml")
        elif name not in known:
            fault(column, f"no such column. {suggest(name, known) or 'Allowed: ' + _listed(known)}")
    for name in options.required_columns():
        if name not in names:
            fault(f"column `{name}`", "it is missing; the first line must name it")
    return names, faults


def _read_row(
    path: Path,
    number: int,
    line: str,
    names: list[str],
    config: Config,
    ids: dict[str, tuple[str, int]],
) -> tuple[Artwork | None, list[Fault]]:
    """Return the artwork of a line, or None and its faults; its id joins ``ids``."""
    cells = [_unwrapped(cell) for cell in line.split("\t")]
    row = dict(zip(names, cells, strict=False))
    name = row.get("artwork", "")
    label = f"artwork `{show(name)[1:-1]}`" if name else ""
    faults = []

    def fault(column: str, message: str) -> None:
        place = ", ".join(part for part in (label, f"column `{column}`" if column else "") if part)
        faults.append(Fault(str(path), number, place, message))

    if len(line) > LONGEST_ROW:
        fault("", f"the line has {len(line):,} characters; allowed: at most {LONGEST_ROW:,}")
        return None, faults
    if extra := [cell for cell in cells[len(names) :] if cell]:
        fault(
            "",
            f"found {len(cells)} fields for {len(names)} columns, the first one too many being "
            f"{show(extra[0])}. Is there a tab inside the prompt?",
        )
    for column in options.required_columns():
        if column in names and not row.get(column):
            tabs = "" if "\t" in line else ". Is the line separated by tabs? It holds none"
            allowed = options.allowed(options.columns()[column])
            fault(column, f"it is blank; allowed: {allowed}{tabs}")
    values: dict[str, Any] = {}
    for column, cell in row.items():
        if cell and column in options.columns():
            try:
                values[column] = options.read(column, cell)
            except RefusedError as refused:
                fault(column, str(refused))
    if "choose" in values and values["choose"] > config.candidates:
        fault("choose", _choose_fault({**vars(config), **values}))
    if name:
        earlier, earlier_line = ids.setdefault(name.casefold(), (name, number))
        if earlier_line != number:
            same = f"it names the artwork of line {earlier_line} again"
            if earlier != name:
                same = (
                    f"it differs from `{earlier}` in line {earlier_line} only in upper and lower "
                    "case, which some disks do not tell apart"
                )
            fault("artwork", f"{same}; allowed: an id of its own")
    if faults or not {"artwork", "prompt"} <= values.keys():
        return None, faults
    inherited = {field.name: getattr(config, field.name) for field in fields(Options)}
    artwork = Artwork(**{**inherited, **values})
    if artwork.format == "jpg" and (size := _bytes_of_texts(artwork)) > JPEG_TEXT_ROOM:
        fault(
            "prompt",
            f"with the negative prompt it takes {size:,} bytes of the recipe in the picture; "
            f"allowed in a JPEG: at most {JPEG_TEXT_ROOM:,}. Shorten it, or take the format png "
            "or tif",
        )
        return None, faults
    return artwork, []


def _bytes_of_texts(artwork: Artwork) -> int:
    """Return how long the XMP packet is that holds this artwork's texts and nothing more."""
    texts = {name: getattr(artwork, name) for name in ("artwork", "prompt", "negative_prompt")}
    return len(recipe.to_xmp({"stages": [texts]}))


def _unwrapped(cell: str) -> str:
    """Undo the quoting of spreadsheets, and strip blanks (but no control characters)."""
    cell = cell.strip(" \u00a0")
    if whole := _WRAPPED.fullmatch(cell):
        cell = whole[1].replace('""', '"').strip(" \u00a0")
    return cell


# Files


def _read_bytes(path: Path, advice: str) -> tuple[bytes, list[Fault]]:
    try:
        if path.is_dir():
            message = f"that is a folder, not a file. {advice}"
        elif not path.exists():
            message = f"there is no such file (looked in {path.absolute().parent}). {advice}"
        elif (size := path.stat().st_size) > LARGEST_TABLE:
            message = f"the file has {size:,} bytes; allowed: at most {LARGEST_TABLE:,}"
        else:
            return path.read_bytes(), []
    except (OSError, ValueError) as error:
        message = f"it cannot be read: {getattr(error, 'strerror', None) or error}. {advice}"
    return b"", [Fault(show(str(path))[1:-1], 0, "", message)]


def _decode(path: Path, data: bytes) -> tuple[str, list[Fault], set[int]]:
    """Return the text, the faults of its encoding, and the lines that are damaged by them."""
    save = 'Save the file again with the encoding "UTF-8".'
    if utf := _wide_encoding(data):
        text = data.decode(utf, errors="replace").removeprefix("\ufeff")
        fault = Fault(str(path), 0, "", f"the file is written in {utf.upper()}. {save}")
        return text, [fault], set()
    faults, damaged = [], set()
    data = data.removeprefix(codecs.BOM_UTF8)
    for number, line in enumerate(re.split(b"\r\n|\n|\r", data), start=1):
        message = ""
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = line[error.start]
            guess = bytes([byte]).decode("cp1252", errors="replace")
            maybe = f" (perhaps {guess!r} in Windows-1252)" if guess.isprintable() else ""
            message = f"byte {error.start + 1} is 0x{byte:02X}{maybe}, which is not UTF-8. {save}"
        if b"\0" in line:
            message = f"byte {line.index(0) + 1} is a NUL: this is no text file. {save}"
        if message:
            faults.append(Fault(str(path), number, "", message))
            damaged.add(number)
    return data.decode("utf-8", errors="replace"), faults, damaged


def _wide_encoding(data: bytes) -> str:
    """Return utf-32 or utf-16 when the file's start shows it, else nothing."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    start = data[:64]
    if len(start) >= 8:  # English text in UTF-16 has a NUL in every other byte
        if not any(start[1::2]) and all(start[0::2]):
            return "utf-16-le"
        if not any(start[0::2]) and all(start[1::2]):
            return "utf-16-be"
    return ""


# Messages


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cut_text(text: str, encode: Callable[[str], Sequence[int]], context: int) -> tuple[str, str]:
    """Return the end of the text that does not fit, and what stands there ("the end")."""
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    whole = _largest(len(ends), lambda words: len(encode(text[: ends[words - 1]])) <= context)
    start = ends[whole - 1] if whole else 0
    if whole and len(encode(text[:start])) == context:
        return text[start:].strip(), "the end"
    stop = ends[whole] if whole < len(ends) else len(text)
    letters = _largest(stop - start, lambda count: len(encode(text[: start + count])) <= context)
    if text[start : start + letters].strip():
        return text[start + letters :].strip(), "the end, from within a word on,"
    return text[start:].strip(), "the end"


def _largest(limit: int, fits: Callable[[int], bool]) -> int:
    """Return the largest count up to ``limit`` that fits, when more fit never after one fails."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _ends(text: str, length: int = 400) -> str:
    if len(text) <= length:
        return f"“{text}”"
    half = length // 2
    return f"“{text[:half]} … {text[-half:]}” ({len(text.split()):,} words)"
