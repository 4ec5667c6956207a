# Finds the workflow's own folder, with the commands and models. No rules.
#
# Where that is not the working directory, a link in there leads to it: Snakemake compares the paths
# of inputs, and the models are some, so their path is the same for every installation and version.
#
# A module with `snakefile: github(...)`, as snakedeploy writes it, gives Snakemake the rule files
# alone. The rest then comes out of the clone of the repository that Snakemake keeps.

import os
import shutil
import tempfile
from pathlib import Path

from snakemake.sourcecache import LocalSourceFile

LINK = Path(".snakemake/bigart")


def checkout(rules):
    """Return the folder of the Snakefile, or a link to it.

    Args:
        rules: Where the rule files are, as Snakemake knows it.
    """
    if isinstance(rules, LocalSourceFile):
        folder = Path(rules.path).parent.parent
        return folder if folder.samefile(".") else linked(folder.absolute())
    if hasattr(rules, "hosted_repo"):
        return linked(unpack(rules.hosted_repo.repo, rules.ref))
    raise WorkflowError(
        f"BIG.art needs its whole folder, and Snakemake read its rules alone, from {rules}. "
        "Clone the repository, and let `snakefile:` be the path of the clone's Snakefile."
    )


def unpack(repository, ref):
    """Bring the files of a version to the working directory, where they are not there yet.

    Several processes may do this at once.

    Returns:
        The folder, as seen from the link's.
    """
    commit = repository.commit(ref).hexsha
    version = LINK.with_name(f"bigart-{commit}")
    LINK.parent.mkdir(exist_ok=True)
    if not version.exists():
        with tempfile.TemporaryDirectory(prefix="bigart-", dir=LINK.parent) as folder:
            archive, partial = Path(folder, "archive.zip"), Path(folder, "partial")
            with archive.open("wb") as file:
                parts = ["workflow", "config", "models"]
                repository.archive(file, commit, format="zip", path=parts)
            shutil.unpack_archive(archive, partial)
            os.sync()  # a power cut must not leave empty files under the final name
            try:
                partial.rename(version)
            except OSError:
                if not version.exists():  # else another process was quicker
                    raise
    return Path(version.name)


def linked(folder):
    """Let the link lead to a folder; return the link. Several processes may do this at once."""
    LINK.parent.mkdir(exist_ok=True)
    if not (LINK.is_symlink() and LINK.readlink() == folder):
        with tempfile.TemporaryDirectory(
            prefix="bigart-", dir=LINK.parent
        ) as temporary:
            link = Path(temporary, "link")
            link.symlink_to(folder)
            link.replace(LINK)
    return LINK.absolute()
