# What the workflow needs beyond Snakemake's public interface, each with its reason. No rules.
# tests/test_internals.py tries each with the oldest version that works and with the pinned one.

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from snakemake import persistence
from snakemake.jobs import Job
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


def only_described():
    """Return whether the jobs are only described, as `--report` does, and none will run.

    Reason: the report of a plain run shows previews where there are some. The run itself makes
    none. What the settings say is known when the jobs are listed, not before.
    """
    return workflow.execution_settings is None


def side_by_side():
    """Return how many cores and jobs with a network there are at once; cores are None on a cluster.

    Reason: how long a run takes depends on it.
    """
    gpus = workflow.global_resources.get("gpu")
    gpus = int(getattr(gpus, "value", gpus) or 0)  # in some versions a number
    if not workflow.local_exec:
        return None, min(filter(None, (workflow.nodes, gpus)), default=1)
    return workflow.cores or 1, gpus


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


def keep_former_files(results, made):
    """Leave the files of a job alone until its command replaces them, also where the job fails.

    Reason: Snakemake removes the outputs of a job before it runs and after it fails. The commands
    write whole files and need neither. (`update()` keeps outputs, but copies them, with a full disk
    not whole, and records them as made even if the job fails.) So a failed job leaves the records
    as they were: where its files are still the former ones, the next run compares these with the
    table. Where they are not, they keep their mark as incomplete. Jobs of other workflows, which
    have this one as a module, are left alone.

    Also here, for the same moments: `made` records which pictures are the workflow's own, and a
    picture that a person put there during the run is not replaced.
    """
    removed, finished, cleaned = (
        Job.remove_existing_output,
        Job.postprocess,
        Job.cleanup,
    )
    records = persistence.PersistenceBase
    started, recorded = records.started, records.finished
    failed = set()

    def pictures(job):
        artwork = job.wildcards_dict.get("artwork")
        if not command(job) or artwork is None:
            return None
        folder = f"{results}/{artwork}/"
        parts = [str(file).rpartition(folder) for file in job.output]
        return Path(folder), [name for _, found, name in parts if found]

    async def remove_existing_output(job):
        if not command(job):
            return await removed(job)
        if (stage := pictures(job)) and (theirs := made.replaced(*stage)):
            raise WorkflowError(
                f"Put there by hand since this run began, and kept: {', '.join(theirs)} in "
                f"{stage[0]}. To have the workflow's own again, delete it. Then give the same "
                "command."
            )
        for file in job.log:
            await file.remove()

    def start(self, job, *external):
        started(self, job, *external)
        if is_main_process() and (stage := pictures(job)):
            made.begin(*stage)

    async def postprocess(job, error=False, **options):
        failed.discard(job)
        if error and command(job):
            failed.add(job)
        await finished(job, error=error, **options)

    async def finish(self, job):
        # on a cluster, a job's own process leaves records and marks to the main one: if that dies,
        # the outputs look incomplete, not complete and made with nothing
        if not is_main_process():
            return
        if job not in failed:
            await recorded(self, job)
        else:
            started(self, job)  # Snakemake may have taken the marks away
            for file in job.output:
                if not await file.exists() or await unchanged(self, file):
                    self._clear_cache()
                    self._unmark_incomplete(self._get_key(file))
        if stage := pictures(job):
            made.end(*stage, failed=job in failed)

    async def unchanged(self, file):
        if record := self.metadata(file):
            return record.get("endtime") == (await file.mtime()).local_or_storage()
        return False

    async def cleanup(job, skip_outputs=()):
        if not command(job):
            await cleaned(job, skip_outputs)

    Job.remove_existing_output, Job.postprocess = remove_existing_output, postprocess
    Job.cleanup = cleanup
    records.started, records.finished = start, finish


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
