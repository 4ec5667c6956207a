# What the workflow needs beyond Snakemake's public interface, each with its reason. No rules.
# tests/test_internals.py tries each with the oldest version that works and with the pinned one.

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from snakemake import persistence
from snakemake.scheduling.job_scheduler import JobScheduler

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


def runs_here():
    """Return whether jobs will run on this machine, as far as is known; not in a dry run.

    Reason: a GPU of this machine says nothing about those of a cluster.
    """
    return workflow.local_exec and not workflow.dryrun


def deploys_software():
    """Return whether jobs run in environments of their own (`--sdm`).

    Reason: otherwise a missing original package is an error that can be told before the first job.
    """
    return bool(workflow.deployment_settings.deployment_method)


def one_network_at_a_time():
    """Let `--resources gpu=1` be the default where jobs run on this machine.

    Reason: a profile's resources would hold for clusters as well, and for modules not at all.
    """
    if workflow.nodes is None and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", 1)


def check_first(check, command_comes_first):
    """Check before the first job, and let some of our jobs come first.

    Reason: Snakemake has no hook between its list of jobs and the first one that also runs in
    modules and dry runs. What must be there before others begin would be an input of theirs, and a
    new input reruns them.

    Args:
        check: Returns an error in the jobs to come, or None. It is called before they begin (in
            a dry run after their list), and when those that come first are done.
        command_comes_first: Whether jobs of a command come before all others of this workflow.
    """
    schedule, open_jobs = JobScheduler.schedule, JobScheduler.open_jobs.fget
    first = []

    def checked_schedule(scheduler):
        jobs = list(scheduler.workflow.dag.needrun_jobs())
        first.extend(filter(comes_first, jobs))
        done = schedule(scheduler) if scheduler.dryrun or scheduler.touch else None
        if not scheduler.touch and (error := check(jobs)):
            sys.exit(f"error: {error}")
        return schedule(scheduler) if done is None else done

    def comes_first(job):
        return command_comes_first(command(job))

    def ready(scheduler):
        jobs = open_jobs(scheduler)
        if not first:
            return jobs
        dag = scheduler.workflow.dag
        if all(map(dag.finished, first)):
            first.clear()
            if not (scheduler.dryrun or scheduler.touch):
                if error := check(list(dag.needrun_jobs(exclude_finished=False))):
                    raise WorkflowError(f"error: {error}")
            return jobs
        # a group of jobs (`--groups`) is looked at by its members
        return [
            job
            for job in jobs
            if any(
                comes_first(part) or not command(part)
                for part in getattr(job, "jobs", [job])
            )
        ]

    JobScheduler.schedule, JobScheduler.open_jobs = checked_schedule, property(ready)


def command(job):
    """Return the command of workflow/scripts that a job runs; empty for another workflow's.

    Reason: a module's rules have other names, and its files may have other paths.
    """
    found = re.search(r"\$BIGART_SCRIPTS/(\w+)\.py", job.rule.shellcmd or "")
    return found[1] if found else ""


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
