"""Base class of the three original networks."""

import contextlib
import importlib
from collections.abc import Iterator
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

    @contextlib.contextmanager
    def imported(self, *names: str) -> Iterator[list[Any]]:
        """Import modules of the package, for a block that builds the original from them.

        Its normalisations get the number of groups of the options. The packages' code has the
        published networks' 32; narrower networks, such as the embedded set, have fewer.

        Raises:
            PackageError: It is not installed or cannot be imported, or the block raises an
                AttributeError or TypeError: a class or an argument is missing in its version.
        """
        build, options = nn.GroupNorm.__init__, self.options

        def with_groups(self: nn.GroupNorm, num_groups: int, *shape: Any, **more: Any) -> None:
            build(self, options.groups, *shape, **more)

        if missing := self.package.missing():
            raise missing
        try:
            found = [importlib.import_module(f"{self.package.module}.{name}") for name in names]
        except Exception as error:  # also errors inside, such as of a torchvision for another torch
            told = f"cannot be imported here ({type(error).__name__}: {error})"
            raise self.package.unusable(told) from None
        try:
            with mock.patch.object(nn.GroupNorm, "__init__", with_groups):
                yield found
        except (AttributeError, TypeError) as error:
            told = f"differs ({type(error).__name__}: {error})"
            raise self.package.unusable(told) from None

    def misfit(self, path: Path, error: RuntimeError, remedy: str) -> UserError:
        """Report weights that do not fit as an error of the package; they fit the native engine."""
        details = " ".join(str(error).split())[:300]
        return self.package.unusable(f"has other parameters than {path} ({details} ...)")
