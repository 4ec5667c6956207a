"""Whose network code runs: this project's own, or the original packages'.

Nothing here imports torch, nor a package before it is needed.
"""

import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from typing import Any

from bigart.errors import UserError

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
    def version(self) -> str:
        """Its name and version, as the recipe records them ("basicsr 1.4.2")."""
        try:
            return f"{self.name} {importlib.metadata.version(self.name)}"
        except importlib.metadata.PackageNotFoundError:  # a checkout in PYTHONPATH
            return self.name

    @property
    def is_installed(self) -> bool:
        """Whether this Python has it; it may fail to import all the same."""
        return importlib.util.find_spec(self.module) is not None

    @property
    def remedy(self) -> str:
        """How to get it."""
        return (
            f"`snakemake --sdm conda` makes the environment envs/{self.environment} for it; by "
            "hand, install what that file lists"
        )

    def load(self, module: str) -> Any:
        """Import one of its modules.

        Args:
            module: The name within the package.

        Raises:
            UserError: It is not installed, or cannot be imported; the message says how to get it.
        """
        try:
            return importlib.import_module(f"{self.module}.{module}")
        except Exception as error:  # also what breaks within: a torchvision of another torch
            raise UserError(
                f"engine: upstream needs {self.name}, which cannot be imported here "
                f"({type(error).__name__}: {error}). {self.remedy}"
            ) from None


#: Architecture -> the package that its authors published.
PACKAGES = {
    "glide": Package("glide-text2im", "glide_text2im", "upstream-glide.yaml"),
    "rrdbnet": Package("basicsr", "basicsr", "upstream-basicsr.yaml"),
    "vqgan": Package("taming-transformers", "taming", "upstream-taming.yaml"),
}


@dataclass(frozen=True)
class NetworkStage:
    """A stage that runs a network, as the comparison of the engines takes it.

    Attributes:
        role: Which model file of the set it reads.
        architecture: Its network's.
        before: The stage whose picture it starts from, or None.
    """

    role: str
    architecture: str
    before: str | None


#: In the order of a run; ``verification`` has what is computed in each.
STAGES = {
    "thumbnails": NetworkStage("base", "glide", None),
    "upsampled": NetworkStage("upsampler", "glide", "thumbnails"),
    "enlarged-1024": NetworkStage("enlarger", "rrdbnet", "upsampled"),
    "detailed": NetworkStage("detailer", "vqgan", "enlarged-1024"),
    "enlarged-4096": NetworkStage("enlarger", "rrdbnet", "detailed"),
}


def environment(engine: str, architecture: str) -> str:
    """Return the file in envs/ for a stage that runs such a network."""
    return PACKAGES[architecture].environment if engine == UPSTREAM else "networks.yaml"


def missing_packages() -> list[str]:
    """Return a message for each original package that this Python does not have."""
    return [
        f"engine: upstream needs {package.name}, which is not installed. {package.remedy}"
        for package in PACKAGES.values()
        if not package.is_installed
    ]
