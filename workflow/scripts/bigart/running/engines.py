"""The two engines: this project's own network code (native), or the original packages (upstream).

This module imports neither torch nor, before its use, a package.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bigart.errors import PackageError

NATIVE, UPSTREAM = ENGINES = ("native", "upstream")


@dataclass(frozen=True)
class Package:
    """An original package.

    Attributes:
        name: Its name on PyPI.
        module: The module that it installs.
        environment: The file in envs/ that pins it and its dependencies.
    """

    name: str
    module: str
    environment: str

    @property
    def described(self) -> str:
        """Its name and version, as the recipe records them ("basicsr 1.4.2").

        The address follows if pip installed it from one (PEP 610): every commit of glide-text2im
        has the version 0.0.0.
        """
        try:
            installed = importlib.metadata.distribution(self.name)
        except importlib.metadata.PackageNotFoundError:  # a checkout in PYTHONPATH
            return self.name
        origin = json.loads(installed.read_text("direct_url.json") or "{}")
        address = "@".join(
            filter(None, (origin.get("url"), origin.get("vcs_info", {}).get("commit_id")))
        )
        public = f" ({address})" if address.startswith("https:") else ""
        return f"{self.name} {installed.version}{public}"

    @property
    def is_installed(self) -> bool:
        """Whether it is installed; its import may still fail."""
        return importlib.util.find_spec(self.module) is not None

    @property
    def missing(self) -> PackageError:
        """The error for a package that is not installed: how to get it."""
        return PackageError(
            f"the upstream engine needs {self.name}, which is not installed here. `snakemake --sdm "
            f"conda` makes its environment, envs/{self.environment}; by hand, run this stage's "
            "command with a Python of its own that has what that file lists"
        )

    def unusable(self, problem: str) -> PackageError:
        """Return the error for a package that is installed but cannot be used.

        Args:
            problem: The predicate, such as "cannot be imported here".
        """
        return PackageError(
            f"the upstream engine needs {self.name}, which {problem}. Here is {self.described}; "
            f"envs/{self.environment} says which versions work, and what they need of the system"
        )

    def load(self, module: str) -> Any:
        """Import one of its modules.

        Args:
            module: The name within the package.

        Raises:
            PackageError: It is not installed, or cannot be imported.
        """
        if not self.is_installed:
            raise self.missing
        try:
            return importlib.import_module(f"{self.module}.{module}")
        except Exception as error:  # also errors inside, such as of a torchvision for another torch
            raise self.unusable(
                f"cannot be imported here ({type(error).__name__}: {error})"
            ) from None

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Report AttributeError and TypeError as an incompatible version of the package.

        Raises:
            PackageError: A class or an argument is missing.
        """
        try:
            yield
        except (AttributeError, TypeError) as error:
            raise self.unusable(f"differs ({type(error).__name__}: {error})") from None


#: Architecture -> the package of its authors.
PACKAGES = {
    "glide": Package("glide-text2im", "glide_text2im", "upstream-glide.yaml"),
    "rrdbnet": Package("basicsr", "basicsr", "upstream-basicsr.yaml"),
    "vqgan": Package("taming-transformers", "taming", "upstream-taming.yaml"),
}


def environment(engine: str, architecture: str) -> str:
    """Return the file in envs/ for a stage that runs a network of this architecture."""
    return PACKAGES[architecture].environment if engine == UPSTREAM else "networks.yaml"


def missing_package(engine: str, architecture: str) -> PackageError | None:
    """Return the error that this Python lacks the package of such a network, if it does."""
    package = PACKAGES[architecture]
    return package.missing if engine == UPSTREAM and not package.is_installed else None
