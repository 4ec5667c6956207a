"""Base class of the three original networks."""

import contextlib
from pathlib import Path
from typing import Any
from unittest import mock

from torch import nn

from bigart.errors import UserError
from bigart.networks.network import Network
from bigart.running.engines import PACKAGES, Package


class UpstreamNetwork(Network):
    """A network built from an original package's modules."""

    @property
    def package(self) -> Package:
        """The original package."""
        return PACKAGES[self.architecture]

    def misfit(self, path: Path, error: RuntimeError, remedy: str) -> UserError:
        """Report weights that do not fit as an error of the package; they fit the native engine."""
        details = " ".join(str(error).split())[:300]
        return self.package.unusable(f"has other parameters than {path} ({details} ...)")


def groups_of_normalisation(groups: int) -> contextlib.AbstractContextManager[object]:
    """Let the originals build their normalisations with another number of groups.

    Their code has the published networks' 32. Narrower networks of the same architecture, such as
    the embedded set, have fewer.
    """
    build = nn.GroupNorm.__init__

    def with_groups(self: nn.GroupNorm, num_groups: int, *shape: Any, **options: Any) -> None:
        build(self, groups, *shape, **options)

    return mock.patch.object(nn.GroupNorm, "__init__", with_groups)
