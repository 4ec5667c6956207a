"""Whatever happens to a run, the same command afterwards makes the files of an undisturbed one.

The models are tiny (`use_tiny_models`), so that a round takes seconds. What README.md and
docs/operating.md tell users to do is what the tests do: `--unlock` where it says so, then the same
command.
"""

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from projects import Project, missing

RULES = {  # in order, with the file that it makes last
    "thumbnails": "1-thumbnails/2.png",
    "upsampled": "2-upsampled/2.png",
    "contact_sheet": "candidates.png",
    "enlarged_1024": "3-enlarged-1024.png",
    "textured_1024": "4-textured-1024.png",
    "detailed": "5-detailed-1024.png",
    "enlarged_4096": "6-enlarged-4096.png",
    "textured_4096": "7-textured-4096.png",
    "final": "final.png",
}
SIGNALS = [signal.SIGTERM, signal.SIGKILL]
# On CI 24 kills of the main process, in each stage but the last, and 36 of stages; elsewhere fewer,
# since each takes 15 seconds
MAIN_ROUNDS, STAGE_ROUNDS = (range(8), range(2)) if "CI" in os.environ else (range(1), range(1))


class Tiny:
    """A painted project of tiny models, and what an undisturbed run made in it."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder)
        self.project.use_tiny_models()
        self.project.snakemake()
        self.pictures = self.project.pictures()

    def seconds(self, rule: str) -> float:
        """Return how long the rule's stage took the last time."""
        name = RULES[rule].partition("/")[0].removesuffix(".png")
        [path] = (self.project.folder / "results/lake/log").glob(f"{name}*.benchmark.tsv")
        header, values = (line.split("\t") for line in path.read_text().splitlines())
        return float(dict(zip(header, values, strict=True))["s"])

    def forget(self, rule: str) -> None:
        """Remove what a rule made for one artwork, and all that follows from it."""
        names = list(RULES)
        for later in names[names.index(rule) :]:
            path = self.project.folder / "results/lake" / RULES[later]
            for made in path.parent.glob("*.png") if "/" in RULES[later] else [path]:
                made.unlink(missing_ok=True)

    def expect_whole_files(self) -> None:
        """What is there under its final name is what it should be."""
        for name, content in self.project.pictures().items():
            assert content == self.pictures[name], name

    def expect_all(self) -> None:
        """Everything is there, nothing else is, and nothing is left to do."""
        deadline = time.monotonic() + 60
        while any(self.project.stages()):  # of a main process that was killed
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert self.project.pictures() == self.pictures
        assert self.project.leftovers() == []
        assert self.project.jobs() == set()


def kill_at(
    tiny: Tiny, rule: str, number: signal.Signals, chance: random.Random, *, main: bool, target: str
) -> None:
    """Run from a rule on, and send a signal at a random moment of that rule's stage.

    Where the stage was over by then, the run is begun again and the signal comes earlier.

    Args:
        tiny: The project.
        rule: Where to begin.
        number: The signal.
        chance: Says when.
        main: Whether the main process gets it, not the stage.
        target: What to make.
    """
    latest = tiny.seconds(rule)
    for _ in range(8):
        tiny.forget(rule)
        run = tiny.project.start(target, "--cores", "2")
        process = _stage_of(tiny, rule, run)
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


def _stage_of(tiny: Tiny, rule: str, run: subprocess.Popen[bytes]) -> psutil.Process | None:
    """The process that makes the rule's file, as soon as it is there; None if it was not seen."""
    deadline = time.monotonic() + 600
    while run.poll() is None and time.monotonic() < deadline:
        for words, process in tiny.project.stages():
            place = words.index("--out") if "--out" in words else len(words)
            if f"results/lake/{RULES[rule]}" in words[place:]:
                return process
        time.sleep(0.01)
    return None


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("faults") / "checkout")


@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGINT])
@pytest.mark.parametrize("seed", MAIN_ROUNDS)
def test_the_main_process_is_killed(tiny: Tiny, number: signal.Signals, seed: int) -> None:
    chance = random.Random(f"{number}-{seed}")
    rule = list(RULES)[seed]
    kill_at(tiny, rule, number, chance, main=True, target="all")
    tiny.expect_whole_files()
    if number == signal.SIGKILL:
        tiny.project.snakemake("--unlock")
    tiny.project.snakemake()
    tiny.expect_all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("seed", STAGE_ROUNDS)
def test_a_stage_is_killed(tiny: Tiny, rule: str, number: signal.Signals, seed: int) -> None:
    chance = random.Random(f"{rule}-{number}-{seed}")
    kill_at(tiny, rule, number, chance, main=False, target=f"results/lake/{RULES[rule]}")
    tiny.expect_whole_files()
    tiny.project.snakemake()
    tiny.expect_all()


def mounted(folder: Path, *options: str) -> None:
    """Mount a file system in memory there; skip where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", *options, "none", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        missing(f"no file system can be mounted here: {done.stderr.strip()}")


def test_the_disk_is_full(tmp_path: Path) -> None:
    """At several sizes, so that another stage finds it full each time; then there is room."""
    tiny = Tiny(tmp_path / "checkout")
    results = tiny.project.folder / "results"
    needed = sum(map(len, tiny.pictures.values())) // 1024
    subprocess.run(["rm", "-r", results], check=True)
    mounted(results, "-o", "size=4k")
    try:
        for share in (0.0, 0.02, 0.2, 0.4, 0.6, 0.8):
            size = f"remount,size={max(4, round(share * needed))}k"
            subprocess.run(["mount", "-o", size, str(results)], check=True)
            done = tiny.project.snakemake(check=False)
            told = done.stdout + done.stderr
            assert done.returncode != 0
            assert re.search("the disk is full|No space left on device", told), told
            tiny.expect_whole_files()
        subprocess.run(["mount", "-o", "remount,size=64m", str(results)], check=True)
        tiny.project.snakemake()
        tiny.expect_all()
    finally:
        subprocess.run(["umount", str(results)], check=True)


def test_the_disk_is_full_for_the_comparison_of_the_engines(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path / "checkout")
    results = tiny.project.folder / "results/verify"
    mounted(results, "-o", "size=64k")  # the second stage writes more
    try:
        done = tiny.project.snakemake(
            "results/verify/native/enlarged-1024.safetensors", check=False
        )
    finally:
        subprocess.run(["umount", str(results)], check=True)
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "verify_stage: error: the disk is full" in told, told
    assert "Traceback" not in done.stdout + done.stderr


def test_results_are_read_only(tiny: Tiny) -> None:
    results = tiny.project.folder / "results"
    tiny.forget("textured_1024")
    if subprocess.run(["mount", "--bind", str(results), str(results)]).returncode:
        missing("no folder can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(results)], check=True)
        done = tiny.project.snakemake(check=False)
        assert done.returncode != 0
        assert re.search("[Rr]ead-only", done.stdout + done.stderr)
    finally:
        subprocess.run(["umount", str(results)], check=True)
    tiny.expect_whole_files()
    tiny.project.snakemake()
    tiny.expect_all()


def test_the_weights_vanish_under_a_run(tiny: Tiny) -> None:
    models = tiny.project.folder / "models/embedded"
    tiny.forget("upsampled")
    log = tiny.project.folder / "results/lake/log/2-upsampled.log"
    log.unlink(missing_ok=True)
    run = tiny.project.start("--cores", "2")
    deadline = time.monotonic() + 120
    while not log.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    away = models.rename(models.with_name("away"))
    assert run.wait(timeout=600) != 0
    tiny.expect_whole_files()
    done = tiny.project.snakemake(check=False)
    told = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in told
    assert "models/embedded" in told
    away.rename(models)
    tiny.project.snakemake()
    tiny.expect_all()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", None),
        (b"\xff\x00 no list of files", "UnicodeDecodeError"),
        (b"results/lake/final.png\n", "cannot be locked"),
    ],
)
def test_a_broken_lock(tiny: Tiny, content: bytes, expected: str | None) -> None:
    """Snakemake's own, as a run that was killed leaves it, or a disk that was full."""
    locks = tiny.project.folder / ".snakemake/locks"
    tiny.forget("final")
    for kind in ("input", "output"):
        (locks / f"0.{kind}.lock").write_bytes(content)
    done = tiny.project.snakemake(check=False)
    assert (done.returncode != 0) == (expected is not None)
    assert (expected or "") in done.stdout + done.stderr
    tiny.project.snakemake("--unlock")
    tiny.project.snakemake()
    tiny.expect_all()


def test_a_picture_was_damaged(tiny: Tiny) -> None:
    """Cut short by something else than the workflow: a stage that reads it says so."""
    path = tiny.project.folder / "results/lake/4-textured-1024.png"
    tiny.forget("detailed")
    path.write_bytes(path.read_bytes()[:5000])
    done = tiny.project.snakemake(check=False)
    assert done.returncode != 0
    assert "4-textured-1024.png is damaged or cut short" in done.stdout + done.stderr
    path.unlink()
    tiny.project.snakemake()
    tiny.expect_all()
