"""Whatever happens to a run, the same command afterwards makes the files of an undisturbed one.

The tests do what README.md and docs tell users: `--unlock` where they say so, then the same
command. The models are tiny, so that a round takes seconds.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from projects import FILES, Project, missing

# The kills that `make test` has: in a sampling, by what cannot be caught, and by Ctrl-C.
FIRST = {("thumbnails", signal.SIGKILL), ("thumbnails", signal.SIGINT)}


def rounds(rules: list[str], signals: list[signal.Signals]) -> list[object]:
    """Parameters of kills: rule, signal."""
    return [
        pytest.param(
            *(rule, number),
            id=f"{rule}-{number.name}",
            marks=[] if (rule, number) in FIRST else pytest.mark.exhaustive,
        )
        for rule in rules
        for number in signals
    ]


class Disturbed:
    """A painted project, and what the undisturbed run made in it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.pictures = project.pictures()

    def seconds(self, rule: str) -> float:
        """Return how long the rule's stage took the last time."""
        name = FILES[rule].partition("/")[0].removesuffix(".png")
        [path] = (self.project.folder / "results/lake/log").glob(f"{name}*.benchmark.tsv")
        header, values = (line.split("\t") for line in path.read_text().splitlines())
        return float(dict(zip(header, values, strict=True))["s"])

    def forget(self, rule: str) -> None:
        """Remove what a rule made for one artwork, and all that follows from it."""
        names = list(FILES)
        for later in names[names.index(rule) :]:
            path = self.project.folder / "results/lake" / FILES[later]
            for made in path.parent.glob("*.png") if "/" in FILES[later] else [path]:
                made.unlink(missing_ok=True)

    def fails(self, *expected: str, options: Sequence[str] = ()) -> None:
        """Run; expect an error with one of these texts, and only whole files."""
        done = self.project.snakemake("all", *options, check=False)
        assert done.returncode != 0
        assert re.search("|".join(expected), done.stdout + done.stderr), done.stderr
        self.expect_whole_files()

    def expect_whole_files(self) -> None:
        """What is there under its final name is what it should be."""
        for name, content in self.project.pictures().items():
            assert content == self.pictures[name], name

    def expect_all_files(self) -> None:
        """Nothing is lost or changed."""
        assert self.project.pictures() == self.pictures

    def recovers(self) -> None:
        """Run again: everything is there, nothing else is, and nothing is left to do."""
        self.project.snakemake()
        deadline = time.monotonic() + 60
        while any(self.project.stages()):  # of a main process that was killed
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self.expect_all_files()
        assert self.project.leftovers() == []
        assert self.project.jobs() == set()


@pytest.fixture(scope="module")
def disturbed(tiny: Project) -> Disturbed:
    return Disturbed(tiny)


def kill_at(
    disturbed: Disturbed,
    rule: str,
    number: signal.Signals,
    *,
    main: bool,
    target: str,
    former: bool,
) -> None:
    """Run and kill at a random moment of a rule's stage, at an earlier one if it ended before.

    Args:
        disturbed: The project.
        rule: Where to begin.
        number: The signal.
        main: Whether the main process gets it, not the stage.
        target: What to make.
        former: Whether it was made before.
    """
    latest = disturbed.seconds(rule)
    chance = random.Random(f"{rule}-{number}")
    for _ in range(8):
        if former:
            run = disturbed.project.start(target, "--forcerun", rule)
        else:
            disturbed.forget(rule)
            run = disturbed.project.start(target)
        process = _stage_of(disturbed, rule, run)
        time.sleep(chance.uniform(0, latest))
        if process and process.is_running() and run.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                if not main:
                    process.send_signal(number)
                elif number == signal.SIGINT:
                    os.killpg(run.pid, number)  # Ctrl-C in a terminal reaches the stages as well
                else:
                    run.send_signal(number)  # its stages go on
                if run.wait(timeout=600) != 0:
                    return
        run.wait(timeout=600)
        latest /= 2
    raise AssertionError(f"{rule} ended before it could be killed")


def _stage_of(
    disturbed: Disturbed, rule: str, run: subprocess.Popen[bytes]
) -> psutil.Process | None:
    """The process that makes the rule's file, as soon as it is there; None if it was not seen."""
    deadline = time.monotonic() + 600
    while run.poll() is None and time.monotonic() < deadline:
        for words, process in disturbed.project.stages():
            place = words.index("--out") if "--out" in words else len(words)
            if f"results/lake/{FILES[rule]}" in words[place:]:
                return process
        time.sleep(0.01)
    return None


@pytest.mark.parametrize(
    ("rule", "number"),
    rounds(list(FILES)[:8], [signal.SIGTERM, signal.SIGKILL, signal.SIGINT]),
)
def test_the_main_process_is_killed(
    disturbed: Disturbed, rule: str, number: signal.Signals
) -> None:
    former = number != signal.SIGTERM
    kill_at(disturbed, rule, number, main=True, target="all", former=former)
    disturbed.expect_whole_files()
    if former:
        disturbed.expect_all_files()
    if number == signal.SIGKILL:
        disturbed.project.snakemake("--unlock")
    disturbed.recovers()


@pytest.mark.parametrize(("rule", "number"), rounds(list(FILES), [signal.SIGTERM, signal.SIGKILL]))
def test_a_stage_is_killed(disturbed: Disturbed, rule: str, number: signal.Signals) -> None:
    target, former = f"results/lake/{FILES[rule]}", number == signal.SIGKILL
    kill_at(disturbed, rule, number, main=False, target=target, former=former)
    disturbed.expect_whole_files()
    if former:
        disturbed.expect_all_files()
    disturbed.recovers()


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Mount something there; skip where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode:
        missing(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def small_disk(project: Project, options: str) -> Iterator[Path]:
    """Mount a small disk in place of the results; yield where they are meanwhile.

    Snakemake's records, which are of the files there, go with it.
    """
    results, records = project.folder / "results", project.folder / ".snakemake"
    away, kept = results.rename(results.with_name("away")), records.with_name("records")
    shutil.copytree(records, kept)
    try:
        with mounted(results, "-t", "tmpfs", "-o", options, "none"):
            yield away
    finally:
        results.rmdir()
        away.rename(results)
        shutil.rmtree(records)
        kept.rename(records)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.mark.exhaustive
def test_the_disk_is_full(disturbed: Disturbed) -> None:
    """Of files, so that another stage finds it full each time; then there is room.

    Of too little room in bytes the first run speaks before its first job.
    """
    results = disturbed.project.folder / "results"
    needed = sum(1 for _ in results.rglob("*"))
    with small_disk(disturbed.project, "size=4k,nr_inodes=2"):
        disturbed.fails("error: the files to be made take about")
        assert list(results.iterdir()) == []
        for share in (0.0, 0.02, 0.2, 0.4, 0.6, 0.8):
            remount(results, f"size=64m,nr_inodes={max(2, round(share * needed))}")
            disturbed.fails("the disk is full", "No space left on device")
        remount(results, "nr_inodes=1000")
        disturbed.recovers()


@pytest.mark.exhaustive
@pytest.mark.parametrize("rule", FILES)
def test_the_disk_is_full_of_former_pictures(disturbed: Disturbed, rule: str) -> None:
    results = disturbed.project.folder / "results"
    with small_disk(disturbed.project, "size=64m,nr_inodes=1000") as away:
        shutil.copytree(away, results, dirs_exist_ok=True)
        disk = os.statvfs(results)
        remount(results, f"nr_inodes={disk.f_files - disk.f_ffree}")
        disturbed.fails("the disk is full", "No space left on device", options=["-R", rule])
        disturbed.expect_all_files()
        if "/" not in FILES[rule]:  # of several files, a failed job may have replaced the first
            assert disturbed.project.jobs() == set(), disturbed.project.snakemake("-n").stdout
        remount(results, "nr_inodes=1000")
        disturbed.recovers()


def test_the_disk_is_full_for_the_comparison_of_the_engines(disturbed: Disturbed) -> None:
    project = disturbed.project
    # the second stage writes more than there is room for
    with mounted(project.folder / "results/verify", "-t", "tmpfs", "-o", "size=64k", "none"):
        target = "results/verify/native/enlarged-1024.safetensors"
        done = project.snakemake(target, check=False)
    assert done.returncode != 0
    assert "verify_stage: error: the disk is full" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.exhaustive
def test_results_are_read_only(disturbed: Disturbed) -> None:
    results = disturbed.project.folder / "results"
    disturbed.forget("textured_1024")
    with mounted(results, "--bind", str(results)):
        remount(results, "bind,ro")
        disturbed.fails("[Rr]ead-only")
    disturbed.recovers()


@pytest.mark.exhaustive
def test_the_weights_vanish_under_a_run(disturbed: Disturbed) -> None:
    models = disturbed.project.folder / "models/embedded"
    disturbed.forget("upsampled")
    log = disturbed.project.folder / "results/lake/log/2-upsampled.log"
    log.unlink(missing_ok=True)
    run = disturbed.project.start()
    deadline = time.monotonic() + 120
    while not log.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    away = models.rename(models.with_name("away"))
    assert run.wait(timeout=600) != 0
    disturbed.expect_whole_files()
    disturbed.fails("models/embedded/base.safetensors, and is not there")
    away.rename(models)
    disturbed.recovers()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", None),
        (b"\xff\x00 no list of files", "UnicodeDecodeError"),
        (b"results/lake/final.png\n", "cannot be locked"),
    ],
)
def test_a_broken_lock(disturbed: Disturbed, content: bytes, expected: str | None) -> None:
    """Snakemake's own, as a run that was killed leaves it, or a disk that was full."""
    locks = disturbed.project.folder / ".snakemake/locks"
    locks.mkdir(parents=True, exist_ok=True)  # a run that ends well removes it
    disturbed.forget("final")
    for kind in ("input", "output"):
        (locks / f"0.{kind}.lock").write_bytes(content)
    done = disturbed.project.snakemake(check=False)
    assert (done.returncode != 0) == (expected is not None)
    assert (expected or "") in done.stdout + done.stderr
    disturbed.project.snakemake("--unlock")
    disturbed.recovers()


@pytest.mark.exhaustive
def test_a_picture_was_damaged(disturbed: Disturbed) -> None:
    """Cut short by something else than the workflow: a stage that reads it says so."""
    path = disturbed.project.folder / "results/lake/4-textured-1024.png"
    disturbed.forget("detailed")
    path.write_bytes(path.read_bytes()[:5000])
    done = disturbed.project.snakemake(check=False)
    assert done.returncode != 0
    assert "4-textured-1024.png is damaged or cut short" in done.stdout + done.stderr
    path.unlink()
    disturbed.recovers()
