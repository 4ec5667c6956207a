"""The options: one definition of each one's type, range, default and meaning.

All else follows from ``Config`` and ``Artwork``: how values from YAML, ``--config``, the table and
command lines are read, the flags of the commands, the JSON schemas in ``workflow/schemas`` and the
table of ``config/README.md`` (``check_config.py --schemas`` and ``--options``).
"""

import argparse
import functools
import math
import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from bigart.errors import show, suggest

_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
_WHOLE = re.compile(r"[+-]?\d{1,400}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def _ordinary_blanks(text: str) -> str:
    """Replace no-break spaces, which web pages and word processors insert."""
    return text.replace("\u00a0", " ").strip()


def _normal_path(text: str) -> str:
    """Return a path in the one form that Snakemake takes without a warning at each file."""
    path = text and os.path.normpath(os.path.expanduser(text))  # noqa: PTH111 (user unknown: as is)
    return str(Path.cwd()) if path == "." else path


def _among_candidates(choose: int, info: Any) -> int:
    candidates = (info.context or info.data).get("candidates", choose)
    if choose > candidates:
        raise ValueError(f"`candidates` is {candidates}.")
    return choose


def _even_stride(steps: str) -> str:
    """Refuse a ``ddimN`` that cannot be: N steps with one stride must exist among 1000."""
    counts = {math.ceil(1000 / stride) for stride in range(1, 501)}
    if steps == "fast27" or (wanted := int(steps.removeprefix("ddim"))) in counts:
        return steps
    first, second = sorted(sorted(counts, key=lambda count: abs(count - wanted))[:2])
    raise ValueError(
        f"No even stride takes {wanted} of 1000 steps; the nearest are `ddim{first}` and "
        f"`ddim{second}`."
    )


def _text(allowed: str, **limits: Any) -> Any:
    """Return the limits of a text, and what they mean in words."""
    return Field(json_schema_extra={"x-allowed": allowed}, **limits)


def _option(default: Any, description: str) -> Any:
    return Field(default, description=description)


_Set = Annotated[
    str,
    _text("the name of a set in config/models.yaml", pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$"),
]
_Count = Annotated[int, Field(ge=1, le=100)]
_Path = Annotated[
    str,
    _text("a path (`~` is your home), without { and }", pattern="^[^{}]*$"),
    AfterValidator(_normal_path),
]
_Device = Annotated[
    str,
    _text(
        "`auto`, `cpu`, `cuda`, `cuda:N` (the N-th GPU, from 0) or `mps`",
        pattern="^(auto|cpu|cuda|cuda:[0-9]{1,2}|mps)$",
    ),
]
_Batch = Annotated[
    Annotated[int, Field(ge=1, le=1000)] | Literal["auto"],
    _text("`auto` or a whole number 1 to 1000"),
]
_Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
_Choice = Annotated[
    _Count, _text("whole number 1 to `candidates`"), AfterValidator(_among_candidates)
]
_Steps = Annotated[int, Field(ge=2, le=1000)]
_Sampler = Literal["ancestral", "ddim", "dpm++", "dpm++sde"]
_Guidance = Annotated[float, Field(ge=0, le=20)]
_Words = Annotated[
    str,
    _text("text of at most 10,000 characters, without control characters", max_length=10_000),
    AfterValidator(_ordinary_blanks),
]
_Noise = Annotated[float, Field(ge=0, le=2)]
_Respacing = Annotated[
    str, Field(pattern="^(fast27|ddim[1-9][0-9]{0,3})$"), AfterValidator(_even_stride)
]
_UpsampleSteps = Annotated[
    _Steps | _Respacing,
    _text("`fast27`, a whole number 2 to 1000, or `ddimN` (every 1000/N-th step, as in `ddim50`)"),
]
_Grain = Annotated[float, Field(ge=0, le=0.15)]
_Size = Literal[1, 3, 5, 7, 9]
# Windows reserves some names for devices, whatever follows the first point; `verify` is taken
_NAME = (
    r"^(?!(?i:(con|prn|aux|nul|(com|lpt)[0-9])(\.|$)|verify$))"
    r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?$"
)
_Name = Annotated[
    str,
    _text(
        "letters A-Z and a-z, digits, `-`, `_` and `.`, a letter or digit first, no `.` last, "
        "at most 100 characters, not `verify` nor a device name of Windows (`con`, `com1`, ...)",
        pattern=_NAME,
    ),
]


class _Model(BaseModel):
    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, regex_engine="python-re"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: object, info: Any) -> object:
        return _typed(_kinds(info.field_name), value)


class RunOptions(_Model):
    """The options that config.yaml alone has."""

    models: _Set = _option("embedded", "the model set that paints")
    engine: Literal["native", "upstream"] = _option(
        "native", "whose network code runs, this project's or the original packages'"
    )
    candidates: _Count = _option(7, "how many pictures are painted to choose from")
    table: _Path = _option("config/prompts.tsv", "the table of artworks")
    models_table: _Path = _option(
        "", "the table of models, where it is another one than the workflow's own"
    )
    results: _Path = _option("results", "the folder that the pictures go to")
    device: _Device = _option("auto", "what computes")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = _option(
        "auto", "number format of the networks"
    )
    batch: _Batch = _option(
        "auto",
        "candidates computed at once; changes memory and time, the pictures by rounding alone",
    )


class Options(_Model):
    """The options that config.yaml has for all artworks, and a row of the table for its own."""

    seed: _Seed = _option(42, "where the noise starts; another seed gives other pictures")
    choose: _Choice = _option(1, "which candidate is enlarged")
    steps: _Steps = _option(400, "denoising steps of a thumbnail, out of 1000")
    sampler: _Sampler = _option("ancestral", "how the steps are taken")
    guidance: _Guidance = _option(2.0, "how strongly the prompt pulls; 1 is no extra pull")
    negative_prompt: _Words = _option("", "what the guidance pulls away from")
    upsample_temp: _Noise = _option(
        0.997, "strength of the upsampler's starting noise; less is smoother"
    )
    upsample_steps: _UpsampleSteps = _option("fast27", "steps of the upsampler")
    texture_amount: _Grain = _option(0.037, "grey grain added at 1024 pixels")
    texture_size: _Size = _option(3, "size of that grain, in pixels")
    detail: bool = _option(True, "whether the detailer invents fine detail at 1024 pixels")
    final_texture_amount: _Grain = _option(0.05, "coloured grain added at 4096 pixels")
    final_texture_size: _Size = _option(3, "size of that grain, in pixels")
    format: Literal["png", "jpg", "tif"] = _option("png", "the file type of the final picture")


class Config(Options, RunOptions):
    """Every option of config.yaml; the default counts where a key is left out or left blank."""

    model_config = ConfigDict(title="config.yaml")


class Artwork(Options):
    """One row of the table of artworks; a blank cell means the value of config.yaml."""

    model_config = ConfigDict(title="prompts.tsv")

    artwork: _Name = _option(..., "the artwork's name, and that of its folder under `results`")
    prompt: _Words = _option(
        ...,
        "what to paint, in words; GLIDE reads the first 128 tokens (about 90 words), the embedded "
        "models the first 64",
    )


Model = TypeVar("Model", bound=Options)
REQUIRED = ("artwork", "prompt")
COLUMNS = (*REQUIRED, *Options.model_fields)
DEFAULTS: Mapping[str, Any] = {name: part.default for name, part in Config.model_fields.items()}


def schema(model: type[Options]) -> dict[str, Any]:
    """Return the JSON schema of config.yaml (``Config``) or of a row of the table (``Artwork``)."""
    found = model.model_json_schema()
    for part in found["properties"].values():
        del part["title"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


@functools.cache
def properties() -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each option and column, by its name."""
    return {**schema(Artwork)["properties"], **schema(Config)["properties"]}


def allowed(name: str) -> str:
    """Say in words what an option or column takes."""
    part = properties()[name]
    if "x-allowed" in part:
        return str(part["x-allowed"])
    if "enum" in part:
        *most, last = [f"`{value}`" for value in part["enum"]]
        return f"{', '.join(most)} or {last}"
    if part["type"] == "boolean":
        return "`true` or `false`"
    kind = "whole number" if part["type"] == "integer" else "number"
    return f"{kind} {part['minimum']} to {part['maximum']}"


def checked(
    model: type[Model], values: Mapping[str, Any], candidates: int | None = None
) -> tuple[Model | None, dict[str, str]]:
    """Return values in their types, or None and what is wrong with which.

    Text is read as a cell of the table: whole numbers, numbers with a point, and true, false, yes,
    no, on, off, 1 and 0 in any case. So ``--config detail=false``, which Snakemake hands on as
    text, means what it says.

    Args:
        model: ``Config`` or ``Artwork``.
        values: What YAML or the table holds; what is left out has the default.
        candidates: The largest ``choose``, where the values themselves do not say it.
    """
    try:
        context = {"candidates": candidates} if candidates else None
        return model.model_validate(values, context=context), {}
    except ValidationError as error:
        hints: dict[str, str] = {}
        for detail in error.errors(include_url=False):
            name = str(detail["loc"][0])
            hints[name] = hints.get(name) or str(detail.get("ctx", {}).get("error", ""))
    return None, {name: _message(name, values.get(name), hint) for name, hint in hints.items()}


def add_option(parser: argparse.ArgumentParser, flag: str, option: str) -> None:
    """Give a command a flag, such as ``--amount``, for an option or column.

    Type, default and help are the option's; a bad value is refused in the same words.
    """

    def typed(text: str) -> Any:
        is_option = option in DEFAULTS
        row = {} if is_option else dict.fromkeys(REQUIRED, "any")
        found, wrong = checked(Config if is_option else Artwork, {**row, option: text}, 100)
        if wrong:
            raise argparse.ArgumentTypeError(wrong[option])
        return getattr(found, option)

    part = properties()[option]
    words = f"{part['description']}: {allowed(option)}".replace("%", "%%")
    if option in REQUIRED:
        parser.add_argument(flag, required=True, type=typed, help=words)
        return
    kind: dict[str, Any] = {"type": typed}
    if part.get("type") == "boolean":
        kind = {"action": argparse.BooleanOptionalAction}
    words += f" (default: {written(DEFAULTS[option])})"
    parser.add_argument(flag, default=DEFAULTS[option], help=words, **kind)


def flags(values: Options, names: Mapping[str, str]) -> list[str]:
    """Return the flags that hand values to a command, without those that are the default.

    Args:
        values: The config or an artwork.
        names: The option of each flag, such as ``{"--amount": "texture_amount"}``.
    """
    words = []
    for flag, option in names.items():
        value = getattr(values, option)
        if option in REQUIRED or value != DEFAULTS[option]:
            no = f"--no-{flag.removeprefix('--')}"
            words.append((flag if value else no) if isinstance(value, bool) else f"{flag}={value}")
    return words


def written(default: object) -> str:
    """Return a default as documentation writes it."""
    return (str(default).lower() if isinstance(default, bool) else str(default)) or "blank"


def _message(name: str, value: object, hint: str) -> str:
    if value is None:
        return f"it is blank; allowed: {allowed(name)}"
    if not hint and name == "artwork":
        hint = _safe_name_hint(str(value))
    elif not hint and isinstance(value, str) and name != "prompt":
        words = properties()[name].get("enum") or re.findall(r"`(\w+)`", allowed(name))
        hint = suggest(value, map(str, words))
    return f"found {show(value)}; allowed: {allowed(name)}{f'. {hint}' if hint else ''}"


def _safe_name_hint(name: str) -> str:
    if name.startswith("#"):
        return "A comment begins with # itself, without a quote or blank before it."
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", plain)[:90].strip("-._")
    safe = [word for word in (plain, f"my-{plain}") if re.search(_NAME, word)]
    return f"For instance: `{safe[0]}`." if safe else ""


@functools.cache
def _kinds(name: str) -> frozenset[str]:
    """Return an option's types, as JSON schema calls them."""
    part = properties()[name]
    return frozenset(one["type"] for one in part.get("anyOf", [part]))


def _typed(kinds: frozenset[str], value: object) -> object:
    """Return the value in a type of these kinds where it can be; pydantic refuses the others.

    Raises:
        ValueError: It cannot be in any of them, and the message is a hint why.
    """
    if isinstance(value, str):
        return _parsed(kinds, value)
    if "boolean" in kinds:
        return bool(value) if value in (0, 1) else value
    if isinstance(value, bool):
        raise ValueError("YAML reads yes, no, on and off as true and false; in quotes it is text.")
    if isinstance(value, int | float) and abs(value) < 1e15:
        if "number" in kinds:
            return value + 0.0  # -0.0 becomes 0.0
        if "integer" in kinds and value == int(value) and isinstance(value, float):
            raise ValueError(f"Write it as {int(value)}.")
    if kinds == {"string"}:
        raise ValueError("Put it in quotes to make it text.")
    return value


def _parsed(kinds: frozenset[str], text: str) -> object:
    word = text.strip()
    for place, character in enumerate("" if text.isprintable() else text, start=1):
        # control characters, line and paragraph separators, halves of surrogate pairs
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
            found = f"U+{ord(character):04X} at character {place}"
            raise ValueError(f"It holds a control character: {found}.")
    if "integer" in kinds and _WHOLE.fullmatch(word):
        return int(word)
    if "string" in kinds:
        return word
    if "boolean" in kinds and word.lower() in _TRUE | _FALSE:
        return word.lower() in _TRUE
    point = word.replace(",", ".", 1)
    if _NUMBER.fullmatch(point):
        number = float(point) + 0.0
        if "number" in kinds and point == word:
            return number
        if "number" in kinds or (number.is_integer() and abs(number) < 1e15):
            raise ValueError(f"Write it as {number:.15g}.")
    return word
