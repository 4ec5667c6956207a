"""The environment in which the workflow's commands run."""

import os
import sys
from pathlib import Path


def export(scripts: Path, models: Path) -> None:
    """Set what the rules' shell commands rely on, here and in every job.

    - ``BIGART_SCRIPTS``, ``BIGART_MODELS``: commands name the checkout by variables, so that
      their text, which Snakemake compares, stays the same when the checkout moves.
    - ``PATH`` begins with the Python that runs Snakemake, also when its environment is not
      activated. An environment of ``--sdm conda`` still comes before it.

    Args:
        scripts: Folder of the stage commands.
        models: The table of models.
    """
    os.environ["BIGART_SCRIPTS"] = str(scripts)
    os.environ["BIGART_MODELS"] = str(models)
    binaries = str(Path(sys.executable).parent)
    if os.environ.get("PATH", "").split(os.pathsep)[0] != binaries:
        os.environ["PATH"] = os.pathsep.join([binaries, os.environ.get("PATH", os.defpath)])
