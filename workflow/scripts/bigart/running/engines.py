"""The two engines: this project's own network code (native), or the original packages (upstream).

This module imports neither torch nor a package.
"""

import importlib.metadata
import importlib.util
import json
from dataclasses import dataclass

from bigart.errors import PackageError

NATIVE, UPSTREAM = ENGINES = ("native", "upstream")


@dataclass(frozen=True)
class Package:
    """An original package."""

    name: str  # of the distribution
    module: str
    environment: str  # the file in envs/ that pins it and its dependencies

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
        described = f"{self.name} {installed.version}"
        origin = json.loads(installed.read_text("direct_url.json") or "{}")
        if not origin.get("url", "").startswith("https:"):
            return described
        commit = origin.get("vcs_info", {}).get("commit_id")
        return f"{described} ({origin['url']}{f'@{commit}' if commit else ''})"

    def missing(self) -> PackageError | None:
        """Return the error that it is not installed, if so; its import may still fail."""
        if importlib.util.find_spec(self.module):
            return None
        return PackageError(
            f"the upstream engine needs {self.name}, which is not installed here. `snakemake --sdm "
            f"conda` makes its environment, envs/{self.environment}; by hand, run this stage's "
            "command with a Python of its own that has what that file lists"
        )

    def unusable(self, problem: str) -> PackageError:
        """Return the error that it "cannot be imported here", or another such ``problem``."""
        return PackageError(
            f"the upstream engine needs {self.name}, which {problem}. Here is {self.described}; "
            f"envs/{self.environment} says which versions work, and what they need of the system"
        )


#: Architecture -> the package of its authors.
PACKAGES = {
    "glide": Package("glide-text2im", "glide_text2im", "upstream-glide.yaml"),
    "rrdbnet": Package("basicsr", "basicsr", "upstream-basicsr.yaml"),
    "vqgan": Package("taming-transformers", "taming", "upstream-taming.yaml"),
    "clip-image": Package("glide-text2im", "glide_text2im", "upstream-glide.yaml"),
}


def environment(engine: str, architecture: str) -> str:
    """Return the file in envs/ for a stage that runs a network of this architecture."""
    return PACKAGES[architecture].environment if engine == UPSTREAM else "networks.yaml"


def missing_package(engine: str, architecture: str) -> PackageError | None:
    """Return the error that this Python lacks the package of such a network, if it does."""
    return PACKAGES[architecture].missing() if engine == UPSTREAM else None
