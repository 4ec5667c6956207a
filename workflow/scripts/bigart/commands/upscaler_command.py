"""What the stages that enlarge share: opening an upscaler of any architecture."""

import argparse
from collections.abc import Mapping
from typing import Any

from bigart.commands import network_command
from bigart.errors import UserError
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.srvggnet import SRVGGNet
from bigart.networks.native.unshuffled import UnshuffledRRDBNet
from bigart.networks.upstream.rrdbnet import UpstreamRRDBNet
from bigart.networks.upstream.srvggnet import UpstreamSRVGGNet
from bigart.running.device import Device
from bigart.running.engines import UPSTREAM
from bigart.weights import network_file
from bigart.weights.forms import WORDS

Native = RRDBNet | UnshuffledRRDBNet | SRVGGNet
Upstream = UpstreamRRDBNet | UpstreamSRVGGNet

_KINDS: Mapping[str, tuple[type[Native], type[Upstream] | None]] = {
    RRDBNet.architecture: (RRDBNet, UpstreamRRDBNet),
    UnshuffledRRDBNet.architecture: (UnshuffledRRDBNet, None),
    SRVGGNet.architecture: (SRVGGNet, UpstreamSRVGGNet),
}


def open_upscaler(
    arguments: argparse.Namespace,
) -> tuple[Native | Upstream, Device, dict[str, Any]]:
    """Open the upscaler of ``arguments.model``; see ``network_command.open_network``."""
    stated = network_file.load_metadata(arguments.model)["architecture"]
    native, upstream = _KINDS.get(stated, _KINDS[RRDBNet.architecture])
    if upstream is None and arguments.engine == UPSTREAM:
        raise UserError(f"engine: upstream cannot run {WORDS[stated]}; use --engine native")
    return network_command.open_network(arguments, native, upstream or UpstreamRRDBNet)
