"""The options: one definition of each one's type, range, default and meaning.

All else follows from ``Config`` and ``Artwork``: how values from YAML, ``--config``, the table and
command lines are read, the flags of the commands, the JSON schemas in ``workflow/schemas`` and the
table of ``config/README.md`` (``check_config.py --schemas`` and ``--options``).
"""

import argparse
import contextlib
import math
import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
)

from bigart.config import print_size
from bigart.config.plain_text import plain, plain_number
from bigart.errors import listed, show, suggest

#: As `choose`: the candidate that CLIP takes for the best.
AUTO = "auto"

# What other programs take, and this one does not
_HINTS = {
    "device": "A GPU of NVIDIA or AMD is `cuda`, one of Apple `mps`; `auto` takes what is there.",
    "guidance_interval": "Write both with a point, the smaller one first, and `to` between them.",
    "seed": "No seed is drawn by chance: the same one paints the same pictures again. For other "
    "pictures write another number.",
}
# 1.000 and 4 294 967, as some countries write whole numbers
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}([ .,'’][0-9]{3})+")
# Control characters, line and paragraph separators, halves of surrogate pairs
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _normal_path(text: str) -> str:
    """Return a path in the one form that Snakemake takes without a warning at each file."""
    path = text and os.path.normpath(os.path.expanduser(text))  # noqa: PTH111 (user unknown: as is)
    return str(Path.cwd()) if path == "." else path


def _among_candidates(choose: int | str, info: Any) -> int | str:
    if choose == AUTO:
        return choose
    candidates = info.context["candidates"] or info.data.get("candidates", choose)
    if choose > candidates:
        raise ValueError(f"`candidates` is {candidates}.")
    return choose


def _even_stride(steps: str) -> str:
    """Refuse a ``ddimN`` that cannot be: N steps with one stride must exist among 1000."""
    wanted = int(steps.removeprefix("ddim"))
    counts = {math.ceil(1000 / stride) for stride in range(1, 501)}
    if wanted not in counts:
        nearest = min(counts, key=lambda count: abs(count - wanted))
        raise ValueError(f"No even stride takes {wanted} of 1000 steps; `ddim{nearest}` is near.")
    return steps


def _allowed(words: str, **limits: Any) -> Any:
    """Return the limits of a value, and what they mean in words."""
    return Field(json_schema_extra={"x-allowed": words}, **limits)


def _option(default: Any, description: str) -> Any:
    return Field(default, description=description)


def interval(text: str) -> tuple[float, float]:
    """Return both ends of an interval such as "0.2 to 0.8"."""
    begin, end = map(float, text.split(" to "))
    return begin, end


def _ascending(text: str) -> str:
    """Return an interval in the one form that counts as the same, and refuse an empty one."""
    begin, end = interval(text)
    if begin >= end or end > 1:
        raise ValueError(_HINTS["guidance_interval"])
    return f"{begin:.15g} to {end:.15g}"


def _refuse(error: str | None) -> None:
    if error:
        raise ValueError(error)


def _print_size(size: int | str, info: Any) -> str:
    """Return a size in the one form that counts as the same; refuse what cannot be printed."""
    text = print_size.normal(str(size))
    if "dpi" in info.data:  # else that is wrong
        _refuse(print_size.size_error(text, info.data["dpi"]))
    return text


def _centre(text: str, info: Any) -> str:
    if {"dpi", "size"} <= info.data.keys():
        is_square = (info.context or {}).get("is_square", True)
        size, dpi = info.data["size"], info.data["dpi"]
        _refuse(print_size.crop_error(text, size, dpi, (1, 1) if is_square else None))
    return print_size.normal_centre(text)


def _mirrored(bleed: float, info: Any) -> float:
    """Refuse more than any picture of that size can have."""
    if {"dpi", "size"} <= info.data.keys():
        dpi = info.data["dpi"]
        size = print_size.pixels(info.data["size"], dpi) or (print_size.LARGEST,)
        _refuse(print_size.bleed_error(bleed, min(size), dpi))
    return bleed


_Set = Annotated[str, _allowed("the name of a set in config/models.yaml")]
_Count = Annotated[int, Field(ge=1, le=100)]
_PATH = "a path (from where snakemake runs; `~` is your home), without { and }"
_Path = Annotated[str, _allowed(_PATH, pattern="^[^{}]*$"), AfterValidator(_normal_path)]
_DEVICES = "`auto`, `cpu`, `cuda`, `cuda:N` (the N-th GPU, from 0) or `mps`"
_Device = Annotated[str, _allowed(_DEVICES, pattern="^(auto|cpu|cuda(:[0-9]{1,2})?|mps)$")]
_Steps = Annotated[int, Field(ge=2, le=1000)]
_Pictures = Annotated[int, Field(ge=1, le=1000)]
_Batch = Annotated[_Pictures | Literal["auto"], _allowed("`auto` or a whole number 1 to 1000")]
_Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
_Choice = Annotated[
    _Count | Literal["auto"],
    _allowed("`auto`, or whole number 1 to `candidates`"),
    AfterValidator(_among_candidates),
]
_Sampler = Literal["ancestral", "ddim", "dpm++", "dpm++sde"]
_Guidance = Annotated[float, Field(ge=0, le=20)]
_ClipScale = Annotated[float, Field(ge=0, le=50)]
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_Interval = Annotated[
    str,
    _allowed("two numbers 0 to 1, such as `0.2 to 0.8`", pattern=f"^{_NUMBER} to {_NUMBER}$"),
    AfterValidator(_ascending),
]
_Words = Annotated[
    str,
    _allowed("text of at most 10,000 characters, without control characters", max_length=10_000),
]
_Noise = Annotated[float, Field(ge=0, le=2)]
_Strength = Annotated[
    Annotated[float, Field(ge=0, le=1)] | None, _allowed("blank, or a number 0 to 1")
]
_Stride = Annotated[str, Field(pattern="^ddim[1-9][0-9]{0,3}$"), AfterValidator(_even_stride)]
_UpsampleSteps = Annotated[
    _Steps | Literal["fast27"] | _Stride,
    _allowed("`fast27`, a whole number 2 to 1000, or `ddimN` (every 1000/N-th step)"),
]
_Grain = Annotated[float, Field(ge=0, le=0.15)]
_Size = Literal[1, 3, 5, 7, 9]
_Dpi = Annotated[int, Field(ge=20, le=2400)]
_PrintSize = Annotated[
    Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=print_size.PATTERN)],
    _allowed(
        "`auto` (as it is), pixels such as `8192` or `6000x4000`, or lengths such as `50 cm`, "
        "`20x30 in` or `210x297 mm`; at most 16384 pixels a side"
    ),
    AfterValidator(_print_size),
]
_Crop = Annotated[
    str,
    _allowed("two percentages, from the left and from above", pattern=print_size.CENTRE),
    AfterValidator(_centre),
]
_Bleed = Annotated[float, Field(ge=0, le=100), AfterValidator(_mirrored)]
_Quality = Annotated[int, Field(ge=1, le=100)]
_Switch = Annotated[bool, _allowed("`true` or `false`")]
# Windows reserves some names for devices, whatever follows the first point; others are taken
_NAME = (
    r"^(?!(?i:(con|prn|aux|nul|(com|lpt)[0-9])(\.|$)|(gallery|proofs|sweeps|verify)$))"
    r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?$"
)
_Name = Annotated[
    str,
    _allowed(
        "letters A-Z and a-z, digits, `-`, `_` and `.`, a letter or digit first, no `.` last, "
        "at most 100 characters, not `gallery`, `proofs`, `sweeps`, `verify` nor a device name of "
        "Windows (`con`, `com1`, ...)",
        pattern=_NAME,
    ),
]


_Former = Annotated[
    str,
    _allowed("blank, or the name of another artwork of the table", pattern=f"^$|{_NAME}"),
]


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, regex_engine="python-re"
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _read(cls, value: object, handler: Any, info: Any) -> object:
        if isinstance(value, str):
            if found := _CONTROL.search(value):
                what = f"U+{ord(found[0]):04X}"
                if found[0] >= "\ud800":
                    what = 'not UTF-8: save the file as "UTF-8"'
                raise ValueError(f"Character {found.start() + 1} is {what}.")
            value = _understood(info.field_name, value)
        result = handler(value)
        if isinstance(value, bool) and result is not value:
            raise ValueError("YAML reads yes, no, on and off as true and false.")
        return result + 0.0 if isinstance(result, float) else result  # -0.0 becomes 0.0


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
    choose: _Choice = _option(
        1, "which candidate is enlarged; `auto` is the one that agrees best with the prompt"
    )
    steps: _Steps = _option(400, "denoising steps of a thumbnail, out of 1000")
    sampler: _Sampler = _option("ancestral", "how the steps are taken")
    guidance: _Guidance = _option(2.0, "how strongly the prompt pulls; 1 is no extra pull")
    guidance_interval: _Interval = _option(
        "0 to 1",
        "where on the way from noise (0) to picture (1) the guidance pulls; elsewhere a step takes "
        "half the time",
    )
    negative_prompt: _Words = _option(
        "", "what the guidance pulls away from; nothing with `guidance` 1 or `guide: clip`"
    )
    guide: Literal["text", "clip", "both"] = _option(
        "text",
        "who pulls towards the prompt: GLIDE itself, by `guidance`; CLIP, by `clip_scale`; or both",
    )
    clip_scale: _ClipScale = _option(3.0, "how strongly CLIP pulls, where `guide` lets it")
    upsample_temp: _Noise = _option(
        0.997, "strength of the upsampler's starting noise; less is smoother"
    )
    upsample_steps: _UpsampleSteps = _option("fast27", "steps of the upsampler")
    upsample_guidance: _Guidance = _option(
        1.0,
        "how strongly the prompt pulls at the upsampler; 1 is no extra pull, another number takes "
        "twice the time",
    )
    upsample_negative_prompt: _Words = _option(
        "", "what `upsample_guidance` pulls away from, unless that is 1"
    )
    texture_amount: _Grain = _option(0.037, "grey grain added at 1024 pixels")
    texture_size: _Size = _option(3, "size of that grain, in pixels")
    detail: _Switch = _option(True, "whether the detailer invents fine detail at 1024 pixels")
    final_texture_amount: _Grain = _option(0.05, "coloured grain added at 4096 pixels")
    final_texture_size: _Size = _option(3, "size of that grain, in pixels")
    format: Literal["png", "jpg", "tif"] = _option("png", "the file type of the final picture")
    dpi: _Dpi = _option(300, "pixels per inch of the final picture")
    size: _PrintSize = _option("auto", "width and height of the final picture, or one for both")
    crop: _Crop = _option(
        "50% 50%", "where the middle of the print is in the picture, if `size` is no square"
    )
    bleed: _Bleed = _option(0.0, "mirrored edge that is added on each side, in mm")
    profile: Literal["sRGB", "Adobe RGB"] = _option("sRGB", "colours of the final picture")
    jpeg_quality: _Quality = _option(95, "quality of a final picture in JPEG")


class Config(Options, RunOptions):
    """Every option of config.yaml; the default counts where a key is left out or left blank."""


class Artwork(Options):
    """One artwork of the table, from a row or a part of one; blank means config.yaml's value."""

    artwork: _Name = _option(..., "the artwork's name, and that of its folder under `results`")
    prompt: _Words = _option(
        ...,
        "what to paint, in words; GLIDE reads the first 128 tokens (about 90 words), the embedded "
        "models the first 64",
    )
    picture: _Path = _option(
        "",
        "a picture of your own, to begin with; without `strength` it is only enlarged and "
        "finished, `prompt` says what it shows, and a blank `detail` means `false`",
    )
    strength: _Strength = _option(
        None, "how strongly `picture` is painted over: 0 hardly, 1 as if it were not there"
    )
    repaint: _Former = _option("", "another artwork, of which the part in `mask` is painted anew")
    mask: _Path = _option(
        "", "a picture of the shape of that artwork, of any size: what is white is painted anew"
    )
    _sweep: str = PrivateAttr("")
    _swept: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def sweep(self) -> str:
        """The name of the row, where that lists values and so stands for several artworks."""
        return self._sweep

    @property
    def is_enlarged_only(self) -> bool:
        """Whether it is a picture of a person's own that nothing paints over."""
        return bool(self.picture) and self.strength is None

    @property
    def is_begun(self) -> bool:
        """Whether its thumbnails begin with a picture of a person's own."""
        return bool(self.picture) and self.strength is not None

    @property
    def swept(self) -> Mapping[str, str]:
        """Column -> this artwork's value, of the columns that list values (``sweeps.text``)."""
        return self._swept

    def of_sweep(self, row: str, swept: Mapping[str, str]) -> "Artwork":
        """Return the artwork as one of a sweep."""
        copy = self.model_copy()
        copy._sweep, copy._swept = row, dict(swept)
        return copy


Model = TypeVar("Model", bound=Options)
#: What a network reads; recipe and contact sheet keep it as it was written.
TEXTS = ("prompt", "negative_prompt", "upsample_negative_prompt")
_AS_WRITTEN = (*TEXTS, "models", "table", "models_table", "results", "picture", "mask")
REQUIRED = ("artwork", "prompt")
#: What an artwork begins with, where that is not noise alone.
SOURCES = ("picture", "strength", "repaint", "mask")
COLUMNS = (*REQUIRED, *Options.model_fields, *SOURCES)
DEFAULTS: Mapping[str, Any] = {name: part.default for name, part in Config.model_fields.items()}
SCHEMAS = {"config": Config.model_json_schema(), "prompts": Artwork.model_json_schema()}
PROPERTIES: Mapping[str, Any] = SCHEMAS["prompts"]["properties"] | SCHEMAS["config"]["properties"]


def allowed(name: str) -> str:
    """Say in words what an option or column takes."""
    part = PROPERTIES[name]
    kind = "whole number" if part.get("type") == "integer" else "number"
    if "enum" in part:
        return listed(map(str, part["enum"]))
    return str(part.get("x-allowed") or f"{kind} {part['minimum']} to {part['maximum']}")


def checked(
    model: type[Model], values: Mapping[str, Any], candidates: int | None = None
) -> tuple[Model | None, dict[str, str]]:
    """Return values in their types, or None and what is wrong with which.

    Text is read as the type of its option, since cells and flags are text, and Snakemake hands on
    ``--config detail=false`` as text.

    Args:
        model: ``Config`` or ``Artwork``.
        values: What YAML or the table holds; what is left out has the default.
        candidates: The largest ``choose``, where the values themselves do not say it.
    """
    is_own = bool(values.get("picture")) and values.get("strength") in (None, "")
    # a row says what is cropped, and of a picture of one's own only its file (sources.py)
    is_square = issubclass(model, Artwork) and not is_own
    context = {"candidates": candidates, "is_square": is_square}
    try:
        return model.model_validate(values, context=context), {}
    except ValidationError as error:
        hints: dict[str, str] = {}
        for detail in error.errors(include_url=False):
            name = str(detail["loc"][0])
            hints[name] = hints.get(name) or str(detail.get("ctx", {}).get("error", ""))
    return None, {name: _message(name, values.get(name), hint) for name, hint in hints.items()}


def add_option(parser: argparse._ActionsContainer, flag: str, option: str) -> None:
    """Give a command a flag, such as ``--amount``, for an option or column.

    Type, default and help are the option's; a bad value is refused in the same words, and a blank
    one is the default.
    """
    model = Config if option in DEFAULTS else Artwork
    others = {} if option in DEFAULTS else dict.fromkeys(REQUIRED, "any")

    def typed(text: str) -> Any:
        said = {option: text} if text.strip() or option in REQUIRED else {}
        found, wrong = checked(model, {**others, **said}, 100)
        if wrong:
            raise argparse.ArgumentTypeError(wrong[option])
        return getattr(found, option)

    words = f"{PROPERTIES[option]['description']}: {allowed(option)}".replace("%", "%%")
    if not (is_required := option in REQUIRED):
        words += " (default: %(default)r)"
    default = None if is_required else model.model_fields[option].default
    parser.add_argument(flag, required=is_required, default=default, type=typed, help=words)


def as_name(text: str, length: int = 90) -> str:
    """Return what an artwork may be called after a text, or nothing where no such name is left.

    Args:
        text: In any script; of letters with accents the letters stay.
        length: The most characters of the name, at most 100.
    """
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", letters)[:length].strip("-._")
    return name if re.search(_NAME, name) else ""


def _understood(name: str, text: str) -> str | int:
    """Return the text of an option as it is understood.

    Raises:
        ValueError: A whole number has marks between its thousands; 1.000 may be 1 as well.
    """
    if name in _AS_WRITTEN:
        return text.strip()
    if name in ("artwork", "repaint"):
        return plain(text)
    number = plain_number(text)
    if PROPERTIES[name].get("type") == "integer" and _THOUSANDS.fullmatch(number):
        digits = re.sub("[^0-9]", "", number)
        if int(digits) <= PROPERTIES[name]["maximum"]:
            raise ValueError(f"Write it as {digits}.")
    return int(number) if number.isdecimal() and "enum" in PROPERTIES[name] else number


def _message(name: str, value: object, hint: str) -> str:
    if value is None:
        return f"it is blank; allowed: {allowed(name)}"
    hint = hint or _hint(name, value)
    return f"found {show(value)}; allowed: {allowed(name)}{hint and f'. {hint}'}"


def _hint(name: str, value: object) -> str:
    part = PROPERTIES[name]
    if not isinstance(value, str):
        is_text = part.get("type") == "string"
        return _HINTS.get(name) or ("Put it in quotes to make it text." if is_text else "")
    if name == "artwork":
        safe = as_name(value)
        return f"For instance: `{safe}`." if safe else ""
    if "minimum" in part:
        with contextlib.suppress(ValueError):
            number = float(plain_number(value).replace(",", "."))
            is_kind = part["type"] == "number" or number.is_integer()
            if is_kind and part["minimum"] <= number <= part["maximum"]:
                return f"Write it as {number:.15g}."
    return _HINTS.get(name) or suggest(value, re.findall(r"`([\w+]+)`", allowed(name)))
