"""Whose network code runs: this project's own, or the original packages'.

Nothing here imports torch, nor a package before it is needed.
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
        name: As pip calls it.
        module: What it installs.
        environment: The file in envs/ that has it, pinned with all that it needs.
    """

    name: str
    module: str
    environment: str

    @property
    def described(self) -> str:
        """Its name and version, as the recipe records them ("basicsr 1.4.2").

        What was installed from an address, as PEP 610 notes it, has that besides: every commit of
        glide-text2im calls itself 0.0.0.
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
        """Whether this Python has it; it may fail to import all the same."""
        return importlib.util.find_spec(self.module) is not None

    @property
    def missing(self) -> PackageError:
        """What to say where it is not installed, and how to get it."""
        return PackageError(
            f"the upstream engine needs {self.name}, which is not installed here. `snakemake --sdm "
            f"conda` makes its environment, envs/{self.environment}; by hand, run this stage's "
            "command with a Python of its own that has what that file lists"
        )

    def fault(self, what: str) -> PackageError:
        """Return what to say where it is installed and of no use.

        Args:
            what: As in "cannot be imported here".
        """
        return PackageError(
            f"the upstream engine needs {self.name}, which {what}. Here is {self.described}; "
            f"envs/{self.environment} says which versions work, and what they need of the system"
        )

    def load(self, module: str) -> Any:
        """Import one of its modules.

        Args:
            module: The name within the package.

        Raises:
            PackageError: It is not installed, or cannot be imported; the message says what to do.
        """
        if not self.is_installed:
            raise self.missing
        try:
            return importlib.import_module(f"{self.module}.{module}")
        except Exception as error:  # also what breaks within: a torchvision of another torch
            raise self.fault(f"cannot be imported here ({type(error).__name__}: {error})") from None

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Tell as a fault of the package what only another version of it does.

        Raises:
            PackageError: A class or an argument that it should have is not there.
        """
        try:
            yield
        except (AttributeError, TypeError) as error:
            raise self.fault(f"differs ({type(error).__name__}: {error})") from None


#: Architecture -> the package that its authors published.
PACKAGES = {
    "glide": Package("glide-text2im", "glide_text2im", "upstream-glide.yaml"),
    "rrdbnet": Package("basicsr", "basicsr", "upstream-basicsr.yaml"),
    "vqgan": Package("taming-transformers", "taming", "upstream-taming.yaml"),
}


def environment(engine: str, architecture: str) -> str:
    """Return the file in envs/ for a stage that runs such a network."""
    return PACKAGES[architecture].environment if engine == UPSTREAM else "networks.yaml"


def missing_package(engine: str, architecture: str) -> PackageError | None:
    """Return the error that this Python lacks the package of such a network, if it does."""
    package = PACKAGES[architecture]
    return package.missing if engine == UPSTREAM and not package.is_installed else None
