# Finds the workflow's own folder, with the commands and models. No rules.
#
# A module with `snakefile: github(...)`, as snakedeploy writes it, gives Snakemake the rule files
# alone. The rest then comes out of the clone of the repository that Snakemake keeps.

import os
import shutil
import tempfile
from pathlib import Path

from snakemake.sourcecache import LocalSourceFile

UNPACKED = Path(".snakemake/bigart")


def checkout(rules):
    """Return the folder of the Snakefile.

    Args:
        rules: Where the rule files are, as Snakemake knows it.
    """
    if isinstance(rules, LocalSourceFile):
        return Path(rules.path).parent.parent
    if hasattr(rules, "hosted_repo"):
        return unpack(rules.hosted_repo.repo, rules.ref)
    raise WorkflowError(
        f"BIG.art needs its whole folder, and Snakemake read its rules alone, from {rules}. "
        "Clone the repository, and let `snakefile:` be the path of the clone's Snakefile."
    )


def unpack(repository, ref):
    """Bring the files of a version to the working directory, where they are not there yet.

    Their path is the same for every version, since Snakemake compares the paths of inputs: a link
    to the version at hand. Several processes may do this at once.
    """
    commit = repository.commit(ref).hexsha
    version = UNPACKED.with_name(f"bigart-{commit}")
    UNPACKED.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bigart-", dir=UNPACKED.parent) as folder:
        if not version.exists():
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
        link = Path(folder, "link")
        link.symlink_to(version.name)
        link.replace(UNPACKED)
    return UNPACKED.absolute()
