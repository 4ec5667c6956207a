"""What the three original networks share."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from torch import nn

from bigart.errors import UserError
from bigart.networks.network import Network
from bigart.running.engines import PACKAGES, Package


class UpstreamNetwork(Network):
    """A network whose modules an original package makes."""

    @property
    def package(self) -> Package:
        """The package."""
        return PACKAGES[self.architecture]

    def misfit(self, path: Path, error: RuntimeError, remedy: str) -> UserError:
        """Blame the package for weights that do not fit: the native engine takes them."""
        told = " ".join(str(error).split())[:300]
        return self.package.fault(f"has other parameters than {path} ({told} ...)")


@contextlib.contextmanager
def groups_of_normalisation(groups: int) -> Iterator[None]:
    """Let the originals build their normalisations with another number of groups.

    In their code it is fixed at the published networks' 32. Narrower networks of the same
    architecture, such as the embedded set, have fewer.
    """
    build = nn.GroupNorm.__init__

    def with_groups(self: nn.GroupNorm, num_groups: int, *shape: Any, **options: Any) -> None:
        build(self, groups, *shape, **options)

    with mock.patch.object(nn.GroupNorm, "__init__", with_groups):
        yield
