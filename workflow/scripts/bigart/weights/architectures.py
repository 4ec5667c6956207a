"""The architectures that a model file can have, and the options of each.

The commands that open one network do not import this: to know the options of another one would make
its code count for them.
"""

import functools
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from bigart.networks.clip_options import ClipImageOptions, ClipTextOptions
from bigart.networks.options import GlideOptions, RRDBNetOptions, VQGANOptions
from bigart.networks.srvggnet_options import SRVGGNetOptions
from bigart.weights.forms import UNSHUFFLED, form_of

NETWORKS: Mapping[str, type[Any]] = {
    "glide": GlideOptions,
    "rrdbnet": RRDBNetOptions,
    UNSHUFFLED: RRDBNetOptions,
    "srvggnet": SRVGGNetOptions,
    "vqgan": VQGANOptions,
    "clip-text": ClipTextOptions,
    "clip-image": ClipImageOptions,
}


@functools.cache
def options_form(architecture: str) -> type[BaseModel]:
    """Return the form of the options of an architecture; one that is no network has none."""
    return form_of(NETWORKS.get(architecture))
