# What the workflow needs beyond Snakemake's public interface, each with its reason. No rules.
# tests/test_internals.py tries each with the oldest version that works and with the pinned one.

import os
import shutil
import tempfile
from pathlib import Path

from snakemake import persistence

LINK = Path(".snakemake/bigart")


def is_main_process():
    """Return whether this is the process that a person started, not one that runs a job.

    Reason: only the former greets and warns. `onstart` does not run in modules.
    """
    return getattr(workflow, "is_main_process", True)


def config_files():
    """Return the files that the config comes from.

    Reason: messages name the file and line of an option.
    """
    return getattr(workflow, "configfiles", [])


def deploys_software():
    """Return whether jobs run in environments of their own (`--sdm`).

    Reason: otherwise a missing original package is an error that can be told before the first job.
    """
    return bool(workflow.deployment_settings.deployment_method)


def keep_incomplete_marks():
    """Leave the marks of incomplete outputs to the main process.

    Reason: on a cluster, two processes take away the mark of a job's outputs: the one on the node,
    and the main one, which records at the same time what they were made with. If the main process
    dies before, the outputs look complete but have no record, so later edits go unnoticed. With
    their mark, they are made by the next run.
    """

    async def finished(self, job):
        pass

    # 9.17 moved the method to a base class
    name = (
        "PersistenceBase" if hasattr(persistence, "PersistenceBase") else "Persistence"
    )
    getattr(persistence, name).finished = finished


def checkout():
    """Return the folder of the Snakefile, or a link to it from the working directory.

    Reason: Snakemake reruns when the path of an input changes, and model files are inputs. The link
    keeps their paths constant wherever the workflow is installed. A module from a git host, as
    snakedeploy writes it, gives Snakemake nothing but its rules; the other files are unpacked from
    Snakemake's own clone of the repository. (`workflow.basedir` is another workflow's when this one
    is a module of it.)
    """
    rules = workflow.current_basedir
    if hasattr(rules, "hosted_repo"):
        return _linked(_unpacked(rules.hosted_repo.repo, rules.ref))
    folder = Path(getattr(rules, "path", "")).absolute().parent.parent
    if not folder.joinpath("workflow", "rules").is_dir():
        raise WorkflowError(
            f"BIG.art needs its whole folder, and Snakemake read its rules alone, from {rules}. "
            "Clone the repository, and let `snakefile:` be the path of the clone's Snakefile."
        )
    return folder if folder.samefile(".") else _linked(folder)


def _unpacked(repository, ref):
    """Unpack a version beside the link, unless it is there; return its folder as the link sees it.

    Several processes may do this at once.
    """
    commit = repository.commit(ref).hexsha
    version = LINK.with_name(f"bigart-{commit}")
    LINK.parent.mkdir(exist_ok=True)
    if not version.exists():
        with tempfile.TemporaryDirectory(prefix="bigart-", dir=LINK.parent) as folder:
            archive, partial = Path(folder, "archive.zip"), Path(folder, "partial")
            with archive.open("wb") as file:
                parts = ["workflow", "config", "models", "envs"]
                repository.archive(file, commit, format="zip", path=parts)
            shutil.unpack_archive(archive, partial)
            os.sync()  # a power cut must not leave empty files under the final name
            try:
                partial.rename(version)
            except OSError:
                if not version.exists():  # else another process was quicker
                    raise
    return Path(version.name)


def _linked(folder):
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
