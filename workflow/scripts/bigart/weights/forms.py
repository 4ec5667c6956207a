"""The form of what model files state: their header, and the options of a network."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, Field

from bigart.errors import UserError

#: An RRDBNet that reads blocks of pixels as channels: same options, another first convolution.
UNSHUFFLED = "rrdbnet-unshuffled"

#: Architecture -> its name in messages
WORDS: Mapping[str, str] = {
    "glide": "a GLIDE network",
    "rrdbnet": "an RRDBNet (ESRGAN, BSRGAN)",
    UNSHUFFLED: "an RRDBNet with pixel-unshuffle (RealESRGAN_x2plus)",
    "srvggnet": "a compact Real-ESRGAN (SRVGGNet)",
    "vqgan": "a VQGAN",
    "clip-text": "the text encoder of noised CLIP",
    "clip-image": "the image encoder of noised CLIP",
}

FORMAT_VERSION = "1"
REDO = (
    "Remove it and run again, so that it is converted again; an embedded model comes back with "
    "`git checkout models/embedded`; a file of your own needs converting."
)

_Size = Annotated[int, Field(ge=1, le=2**20)]
_KINDS = {
    int: _Size,
    float: Annotated[float, Field(gt=0, le=1000)],
    tuple: Annotated[tuple[_Size, ...], Field(strict=False)],
    bool: bool,
}
_CHOICES = {"scale": Literal[2, 4], "noise_schedule": Literal["squaredcos_cap_v2", "linear"]}


class Form(BaseModel):
    """A group of keys and their kinds; no others are allowed."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


def check_header(path: Path, header: Mapping[str, str]) -> None:
    """Raise a UserError if the header of a converted file is not in this project's form."""
    if not {"architecture", "options"} <= header.keys():
        raise UserError(f"{path} does not say what network it is. {REDO}")
    if header.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{path} was made by another version of this program. {REDO}")


def form_of(kind: type[Any] | None) -> type[BaseModel]:
    """Return the form of the options in a dataclass, with its defaults; None has no options."""
    options: dict[str, Any] = {}
    for option in fields(kind) if kind else ():
        allowed = _CHOICES.get(option.name) or _KINDS[type(option.default)]
        options[option.name] = allowed, option.default
    return pydantic.create_model("Options", __base__=Form, **options)
