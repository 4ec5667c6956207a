"""The workflow on a real Slurm of two nodes, by the scheduler's own records."""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import slurm as scheduler
from bigart.pictures import images
from bigart.stages import NETWORK_STAGES, STAGES
from projects import TABLE, Project
from slurm import NODES, Job, Slurm

pytestmark = pytest.mark.cluster

ENDS = ["final.png", "candidates.png"]
ON_GPU = {stage.rule for stage in NETWORK_STAGES.values()}
ASKS_AFTER = "--slurm-init-seconds-before-status-checks"
SOON = [ASKS_AFTER, "1", "--seconds-between-status-checks", "1"]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with scheduler.running(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path / "checkout")
    project.use_tiny_models()
    project.use_stand_in_gpus()
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where jobs share GPUs: with no other test's
    return project


def start(project: Project, slurm: Slurm, *arguments: str) -> subprocess.Popen[bytes]:
    profile = ["--workflow-profile", "profiles/slurm"]
    return project.start(*profile, *SOON, *arguments, **slurm.environment)


def follow(
    run: subprocess.Popen[bytes], slurm: Slurm, look: Callable[[list[Job]], bool] | None = None
) -> dict[int, Job]:
    """Watch the records until run and jobs have ended or `look` is content; return the jobs.

    The scheduler forgets which GPU a job had when it ends, so that is kept from before.
    """
    seen: dict[int, Job] = {}
    deadline = time.monotonic() + 1800
    try:
        while True:
            runs_on = run.poll() is None
            for job in slurm.jobs():
                seen[job.number] = job.with_gpus_of(seen.get(job.number))
            if runs_on and look and look(list(seen.values())):
                return seen
            if not runs_on and all(job.has_ended for job in seen.values()):
                return seen
            assert time.monotonic() < deadline
            time.sleep(0.3)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        raise


def runs(script: str, project: Project) -> list[psutil.Process]:
    """The processes of a stage of this project."""
    return [process for words, process in project.stages() if Path(words[0]).name == script]


SLOW = """

def _slow(sampler):
    import time

    def steps(*arguments):
        for state in sampler(*arguments):
            time.sleep({seconds})
            yield state

    return steps


SAMPLERS = {{name: _slow(sampler) for name, sampler in SAMPLERS.items()}}
"""


HELD = """

def _held(sampler):
    import pathlib, sys, time

    def steps(*arguments):
        for taken, state in enumerate(sampler(*arguments)):
            held = taken == {after} and pathlib.Path(sys.argv[0]).name == {stage!r}
            while held and not pathlib.Path({until!r}).exists():
                time.sleep(0.1)
            yield state

    return steps


SAMPLERS = {{name: _held(sampler) for name, sampler in SAMPLERS.items()}}
"""


def wrap_samplers(project: Project, code: str) -> None:
    """Put something around each sampling of this project."""
    path = project.folder / "workflow/scripts/bigart/sampling/samplers.py"
    path.write_text(path.read_text() + code)


def slow_down(project: Project, seconds: float) -> None:
    """Let each step of a sampling take longer by this."""
    wrap_samplers(project, SLOW.format(seconds=seconds))


def hold(project: Project, name: str, stage: str = "thumbnails.py", after: int = 0) -> Path:
    """Let a stage wait in its sampling, after so many steps, for a file; return that."""
    until = project.folder / name
    wrap_samplers(project, HELD.format(after=after, stage=stage, until=str(until)))
    return until


def test_a_run_with_a_cancelled_and_a_failed_job(project: Project, slurm: Slurm) -> None:
    slow_down(project, 0.1)
    cancelled = hold(project, "cancelled", after=3)
    killed = hold(project, "killed", stage="upsample.py")
    project.table.write_text(f"{TABLE}fruit\ta bowl of fruit\t5\t\t\n")  # for the third GPU
    project.edit("60", "lake", "steps")  # 120 for two candidates
    log = project.folder / "results/lake/log/1-thumbnails.log"
    before = {job.number for job in slurm.jobs()}

    def disturb(jobs: list[Job]) -> bool:
        # held until three jobs have a GPU at one time, which are all that there are
        three = len([job for job in jobs if job.gpus and job.state == "RUNNING"]) == 3
        if three and not cancelled.exists() and log.exists() and "/120, " in log.read_text():
            painting = [job for job in jobs if job.about == "thumbnails_wildcards_lake"]
            slurm("scancel", str(painting[0].number))
            cancelled.touch()
        for upsampling in runs("upsample.py", project):
            if not killed.exists():
                with contextlib.suppress(psutil.NoSuchProcess):
                    upsampling.kill()
                    killed.touch()
        return False

    targets = [f"results/{name}/{made}" for name in ("lake", "villa") for made in ENDS]
    run = start(project, slurm, *targets, "results/fruit/1-thumbnails/1.png")
    jobs = [job for number, job in follow(run, slurm, disturb).items() if number not in before]
    assert run.returncode == 0

    # every job has what its rule says, and no GPU has two at one time
    for job in jobs:
        assert len(job.gpus) == (job.rule in ON_GPU), job
    on_gpu = [job for job in jobs if job.rule in ON_GPU]
    on_cpu = [job for job in jobs if job.rule not in ON_GPU]
    pairs = list(itertools.combinations(on_gpu, 2))
    assert not [pair for pair in pairs if pair[0].overlaps(pair[1]) and pair[0].gpus & pair[1].gpus]
    assert [pair for pair in pairs if pair[0].overlaps(pair[1])]
    assert [pair for pair in itertools.product(on_gpu, on_cpu) if pair[0].overlaps(pair[1])]

    # what was cancelled or failed was tried again with twice as much
    assert [job.rule for job in jobs if job.state == "CANCELLED"] == ["thumbnails"]
    assert [job.rule for job in jobs if job.state == "FAILED"] == ["upsampled"]
    assert len([job for job in jobs if job.state == "COMPLETED"]) == len(jobs) - 2 == 2 * 8 + 2
    states = {job.number: job.state for job in jobs}
    deadline = time.monotonic() + 60
    while slurm.accounted(jobs) != states:  # the database hears of them a little later
        assert time.monotonic() < deadline
        time.sleep(0.5)
    for rule in ("thumbnails", "upsampled"):
        *firsts, second = sorted((job.memory_mb, job.minutes) for job in jobs if job.rule == rule)
        assert len(firsts) >= 2
        assert set(firsts) == {firsts[0]}
        assert second == (2 * firsts[0][0], 2 * firsts[0][1])
    assert "resuming from a saved state" in log.read_text()

    # every GPU was given to some job, and each stage ran on the one that its job was given
    every = {f"{node}-{index}" for node, gpus in NODES.items() for index in range(len(gpus))}
    assert {gpu for job in on_gpu for gpu in job.gpus} == every
    spans = (project.folder / "spans").read_text().splitlines()
    used = [Path(line.split()[0]).stem.removeprefix("stand-in-") for line in spans]
    given = [gpu for job in on_gpu if job.state == "COMPLETED" for gpu in job.gpus]
    assert sorted(used) == sorted(given)

    made = project.pictures()
    assert project.leftovers() == []
    shutil.rmtree(project.folder / "results")
    project.snakemake(
        *targets, "results/fruit/1-thumbnails/1.png", "--config", "device=cuda", cores=2
    )
    assert made == project.pictures()


HUNGRY = """

def _hungry(sampler):
    def steps(*arguments):
        held = b"." * {megabytes} * 2**20
        yield from sampler(*arguments)
        del held

    return steps


SAMPLERS = {{name: _hungry(sampler) for name, sampler in SAMPLERS.items()}}
"""


def test_a_job_that_needs_more_memory_than_its_rule_says(project: Project, slurm: Slurm) -> None:
    """It is killed, and tried again with twice as much."""
    wrap_samplers(project, HUNGRY.format(megabytes=1000))
    stages = project.folder / "workflow/scripts/bigart/stages.py"
    text = stages.read_text()
    assert STAGES["thumbnails"].mem_mb == 8000
    stages.write_text(text.replace("mem_mb=8000,", "mem_mb=1000,", 1))
    slow_down(project, 1.0)  # memory is looked at once a second
    before = {job.number for job in slurm.jobs()}
    run = start(project, slurm, "results/lake/1-thumbnails/1.png")
    jobs = [job for number, job in follow(run, slurm).items() if number not in before]
    assert run.returncode == 0
    assert [(job.state, job.memory_mb) for job in jobs] == [("FAILED", 1000), ("COMPLETED", 2000)]


def test_a_job_that_meets_its_time_limit_goes_on(project: Project, slurm: Slurm) -> None:
    target = "results/lake/1-thumbnails/1.png"
    project.edit("20", "lake", "steps")
    project.snakemake(target, "--config", "device=cuda")
    expected = images.read_rgb(project.folder / target)
    shutil.rmtree(project.folder / "results")
    ended = hold(project, "ended", after=10)
    before = {job.number for job in slurm.jobs()}

    def go_on(jobs: list[Job]) -> bool:
        if any(job.state == "TIMEOUT" and job.number not in before for job in jobs):
            ended.touch()
        return False

    run = start(project, slurm, target, "--set-resources", "thumbnails:runtime=1")
    jobs = [job for number, job in follow(run, slurm, go_on).items() if number not in before]
    assert run.returncode == 0
    assert [job.state for job in jobs] == ["TIMEOUT", "COMPLETED"]
    log = project.folder / "results/lake/log/1-thumbnails.log"
    assert "resuming from a saved state" in log.read_text()
    assert np.array_equal(images.read_rgb(project.folder / target), expected)


def test_an_interrupted_main_process_cancels_its_jobs(project: Project, slurm: Slurm) -> None:
    hold(project, "never", after=3)
    project.edit("200", "lake", "steps")
    log = project.folder / "results/lake/log/1-thumbnails.log"
    before = {job.number for job in slurm.jobs()}
    # while the plugin asks what became of the jobs, an interrupt would cancel none (2.8.0)
    run = start(project, slurm, "results/lake/1-thumbnails/1.png", ASKS_AFTER, "60")
    follow(run, slurm, lambda jobs: log.exists() and "/400, " in log.read_text())
    run.send_signal(signal.SIGINT)
    [job] = [job for number, job in follow(run, slurm).items() if number not in before]
    assert job.state == "CANCELLED"
    assert [path.name for path in project.leftovers()] == [".1-unfinished.safetensors"]


def test_a_killed_main_process(project: Project, slurm: Slurm) -> None:
    """Its job goes on. The next run submits it again, and that one waits for the first."""
    go_on = hold(project, "go-on")
    rows = "fruit\ta bowl of fruit\t5\t\t\nagain\ta bowl of fruit\t5\t\t\n"
    project.table.write_text(TABLE + rows)
    before = {job.number for job in slurm.jobs()}
    fruit = "results/fruit/1-thumbnails/1.png"
    run = start(project, slurm, fruit)
    follow(run, slurm, lambda jobs: bool(runs("thumbnails.py", project)))
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()

    def let_go(jobs: list[Job]) -> bool:
        logs = (project.folder / ".snakemake/slurm_logs").rglob("*.log")
        waiting = "is at work on it; waiting"
        if not go_on.exists() and any(waiting in log.read_text() for log in logs):
            go_on.touch()
        return False

    project.snakemake("--unlock")
    run = start(project, slurm, fruit)
    jobs = [job for number, job in follow(run, slurm, let_go).items() if number not in before]
    assert run.returncode == 0
    first, second = jobs
    assert first.overlaps(second)
    assert first.gpus != second.gpus
    assert [job.state for job in jobs] == ["COMPLETED", "COMPLETED"]
    spans = sorted(
        (float(begin), float(end))
        for _, begin, end in map(str.split, (project.folder / "spans").read_text().splitlines())
    )
    assert len(spans) == 2
    assert spans[0][1] <= spans[1][0]

    project.snakemake("results/again/1-thumbnails/1.png", "--config", "device=cuda")
    made, expected = (
        project.folder / f"results/{name}/1-thumbnails/1.png" for name in ("fruit", "again")
    )
    assert np.array_equal(images.read_rgb(made), images.read_rgb(expected))


def test_what_ends_after_the_main_process_was_killed_is_made_again(
    project: Project, slurm: Slurm
) -> None:
    """Nobody recorded what it was made with, so an edit would not be noticed."""
    go_on = hold(project, "go-on")
    thumbnails = "results/lake/1-thumbnails/1.png"
    run = start(project, slurm, thumbnails)
    follow(run, slurm, lambda jobs: bool(runs("thumbnails.py", project)))
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    go_on.touch()
    [*_, job] = follow(run, slurm).values()
    assert job.state == "COMPLETED"
    of_the_old_seed = (project.folder / thumbnails).read_bytes()

    project.snakemake("--unlock")
    project.edit("77", "lake", "seed")
    project.snakemake(thumbnails, "--config", "device=cuda")
    assert (project.folder / thumbnails).read_bytes() != of_the_old_seed
    assert project.jobs(thumbnails, "--config", "device=cuda") == set()
