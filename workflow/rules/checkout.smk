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

    Their folder is the same for every version, since Snakemake compares the paths of inputs.
    """
    commit = repository.commit(ref).hexsha
    stamp = UNPACKED / "commit"
    if not stamp.exists() or stamp.read_text() != commit:
        partial = UNPACKED.with_name(f"{UNPACKED.name}.partial-{os.getpid()}")
        with tempfile.NamedTemporaryFile(suffix=".zip") as file:
            parts = ["workflow", "config", "models"]
            repository.archive(file, commit, format="zip", path=parts)
            file.flush()
            shutil.unpack_archive(file.name, partial)
        (partial / stamp.name).write_text(commit)
        shutil.rmtree(UNPACKED, ignore_errors=True)
        partial.rename(UNPACKED)
    return UNPACKED.absolute()
