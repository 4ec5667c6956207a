# Finds the workflow's own folder, with the commands and models. No rules.
#
# A module with `snakefile: github(...)`, as snakedeploy writes it, gives Snakemake the rule files
# alone. Everything else then comes out of the clone of the repository that Snakemake keeps.

import os
import shutil
import tempfile
from pathlib import Path

import git
from snakemake.sourcecache import HostingProviderFile, LocalGitFile, LocalSourceFile

UNPACKED = Path(".snakemake/bigart")


def checkout(rules):
    """Return the folder of the Snakefile.

    Args:
        rules: The folder of the rule files, as Snakemake knows it.
    """
    match rules:
        case LocalSourceFile():
            return Path(rules.path).parent.parent
        case LocalGitFile():
            return unpack(git.Repo(rules.repo_path), rules.ref)
        case HostingProviderFile():
            return unpack(rules.hosted_repo.repo, rules.ref)
    raise WorkflowError(
        f"BIG.art needs its whole folder, and Snakemake read only the rules, from {rules}. "
        "Clone the repository, and give the path of the clone's Snakefile."
    )


def unpack(repository, ref):
    """Bring the files of a version to the working directory, where they are not yet.

    The folder's name is the same for every version: Snakemake compares the paths of inputs.
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
