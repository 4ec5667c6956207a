"""The form of what model files state: the options of each architecture."""

import functools
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, Field

from bigart.networks.options import GlideOptions, RRDBNetOptions, VQGANOptions

NETWORKS: Mapping[str, type[Any]] = {
    "glide": GlideOptions,
    "rrdbnet": RRDBNetOptions,
    "vqgan": VQGANOptions,
}

_Size = Annotated[int, Field(ge=1, le=2**20)]
_KINDS = {int: _Size, tuple: Annotated[tuple[_Size, ...], Field(strict=False)], bool: bool}
_CHOICES = {"scale": Literal[2, 4], "noise_schedule": Literal["squaredcos_cap_v2", "linear"]}


class Form(BaseModel):
    """A group of keys and their kinds; no others are allowed."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


@functools.cache
def options_form(architecture: str) -> type[BaseModel]:
    """Return the form of the options of an architecture, with the defaults of its network."""
    options: dict[str, Any] = {}
    for option in fields(NETWORKS[architecture]) if architecture in NETWORKS else ():
        kind = _CHOICES.get(option.name) or _KINDS[type(option.default)]
        options[option.name] = kind, option.default
    return pydantic.create_model("Options", __base__=Form, **options)
