"""A sampling that is cut short goes on from where it was, and makes the same pictures."""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from bigart.commands import sampling_command
from bigart.commands.resume import SavedSampling
from bigart.metadata import recipe
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.options import BASE, UPSAMPLER, GlideOptions
from bigart.pictures import images
from bigart.running import files
from bigart.running.device import Device
from bigart.sampling.candidates import Candidates, candidate_noise
from bigart.sampling.samplers import SAMPLERS, State
from bigart.sampling.steered import SteeredCandidates
from bigart.weights.network_file import open_network
from projects import ROOT, run_command

MODELS = ROOT / "models/embedded"
SCRIPTS = ROOT / "workflow/scripts"
RESUMED = "resuming from a saved state"
STEPS, CANDIDATES = 5, 3
CPU = Device(torch.device("cpu"), "fp32")

Sampled = Callable[..., tuple[list[images.Picture], int]]


@pytest.fixture(scope="module")
def network() -> Text2ImUNet:
    path = MODELS / "base.safetensors"
    return open_network(path, Text2ImUNet, torch.device("cpu"), torch.float32)[0]


@pytest.fixture
def sampled(network: Text2ImUNet, tmp_path: Path) -> Sampled:
    """Samples with a stand-in for the network; returns the pictures and the steps it took."""

    def sample(
        sampler: str,
        batch: int,
        cut_after: int | None = None,
        key: str = "a lake",
        kind: Callable[..., Candidates] = Candidates,
    ) -> tuple[list[images.Picture], int]:
        calls = 0

        def denoise(x: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
            nonlocal calls
            if calls == cut_after:
                raise KeyboardInterrupt
            calls += 1
            return torch.sin(7 * x) + timestep / 1000, torch.cos(x)

        pictures: list[images.Picture] = []
        try:
            sampling_command.sample(
                argparse.Namespace(
                    steps=STEPS, batch=batch, out=[tmp_path / f"{k}.png" for k in (1, 2, 3)]
                ),
                "thumbnails",
                network,
                CPU,
                sampler=sampler,
                denoiser=lambda chunk: denoise,
                noise=candidate_noise(1, "thumbnails", network.options.image_size),
                passes=1,
                key=key,
                write=pictures.extend,
                kind=kind,
            )
        except KeyboardInterrupt:
            assert list(tmp_path.iterdir())
        else:
            assert not list(tmp_path.iterdir())
        return pictures, calls

    return sample


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_from_wherever_it_was_cut(sampler: str, batch: int, sampled: Sampled) -> None:
    whole, calls = sampled(sampler, batch)
    assert len(whole) == CANDIDATES
    for cut in range(1, calls):
        _, before = sampled(sampler, batch, cut_after=cut)
        pictures, after = sampled(sampler, batch)
        assert before + after == calls  # no step is taken twice
        assert all(np.array_equal(*pair) for pair in zip(pictures, whole, strict=True))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_pulled_sampling_too(sampler: str, sampled: Sampled) -> None:
    """With any number of pictures at a time, before and after."""
    steered = partial(SteeredCandidates, pull=lambda x, timestep: torch.cos(3 * x))
    usual, _ = sampled(sampler, 2)
    whole, calls = sampled(sampler, 2, kind=steered)
    assert not any(np.array_equal(*pair) for pair in zip(whole, usual, strict=True))
    for cut in range(1, calls):
        sampled(sampler, 2, cut_after=cut, kind=steered)
        pictures, _ = sampled(sampler, 1 + cut % 3, kind=steered)
        assert all(np.array_equal(*pair) for pair in zip(pictures, whole, strict=True))


def test_another_batch_than_before(sampled: Sampled) -> None:
    whole, _ = sampled("ancestral", 2)
    sampled("ancestral", 2, cut_after=2)
    pictures, _ = sampled("ancestral", 1)
    assert all(np.array_equal(*pair) for pair in zip(pictures, whole, strict=True))


def test_what_was_saved_for_something_else_is_of_no_use(
    sampled: Sampled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    whole, calls = sampled("ancestral", 3)
    sampled("ancestral", 3, cut_after=3, key="a villa")
    pictures, again = sampled("ancestral", 3)
    assert again == calls
    assert all(np.array_equal(*pair) for pair in zip(pictures, whole, strict=True))
    assert "was saved for another sampling" in caplog.text


def test_a_damaged_state_is_of_no_use(
    sampled: Sampled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, calls = sampled("ancestral", 3)
    for damage in (
        lambda content: b"",
        lambda content: content[:-100],
        lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    ):
        sampled("ancestral", 3, cut_after=3)
        (saved,) = tmp_path.iterdir()
        content = saved.read_bytes()
        assert damage(content) != content
        saved.write_bytes(damage(content))
        caplog.clear()
        assert sampled("ancestral", 3)[1] == calls
        assert "is damaged: starting again" in caplog.text


def test_the_state_is_a_minute_and_a_step_old_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of 10 s and of 4 minutes, on a clock of our own."""
    now, saved = 0.0, 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    file = SavedSampling(tmp_path / "state.safetensors", "a lake")
    for step, seconds in enumerate([10.0] * 100 + [240.0] * 20):
        now += seconds
        file.save_if_due([], State(step, torch.zeros(1)))
        if file.path.exists():
            with safe_open(file.path, "pt") as opened:
                if opened.get_tensor("step") == step:
                    saved = now
        assert now - saved <= 60 + seconds


def test_a_spoilt_state_is_not_saved(tmp_path: Path) -> None:
    file = SavedSampling(tmp_path / "state.safetensors", "a lake")
    file.save([], State(1, torch.zeros(1)))
    file.save([], State(2, torch.full((1,), torch.nan)))
    _, state = file.read(torch.device("cpu"))
    assert state is not None
    assert state.step == 1


def test_what_a_kill_left_of_saving_goes_with_the_state(tmp_path: Path) -> None:
    file = SavedSampling(tmp_path / "state.safetensors", "a lake")
    left = tmp_path / f".state{files.PARTIAL}{socket.gethostname()}-999999999.safetensors"
    left.touch()
    file.finish([])
    assert not left.exists()


def test_the_key_depends_on_all_that_decides_the_pictures(tmp_path: Path) -> None:
    for name, text in (("words", "{}"), ("other", "{ }")):
        (tmp_path / name).write_text(text)
    arguments = {"prompt": "a lake", "seed": 1, "engine": "native"}
    arguments |= dict.fromkeys(("vocabulary", "merges"), tmp_path / "words")
    script = ROOT / "workflow/scripts/thumbnails.py"
    made = recipe.extend(recipe.start(), "thumbnails", steps=4)
    picture = np.zeros((2, 2, 3), np.uint8)

    def key(
        made: recipe.Recipe = made,
        source: np.ndarray = picture,
        options: GlideOptions = BASE,
        **changed: object,
    ) -> str:
        namespace = argparse.Namespace(**(arguments | changed))
        return sampling_command.sampling_key(namespace, script, options, [made], source)

    keys = [
        key(),
        key(prompt="a villa"),
        key(seed=2),
        key(engine="upstream"),
        key(options=UPSAMPLER),
        key(vocabulary=tmp_path / "other"),
        key(merges=tmp_path / "other"),
        key(recipe.extend(recipe.start(), "thumbnails", steps=5)),
        key(source=picture + np.uint8(1)),
    ]
    assert key() == keys[0]
    assert len(set(keys)) == len(keys)


def test_sampling_goes_on_where_nothing_can_be_saved(caplog: pytest.LogCaptureFixture) -> None:
    file = SavedSampling(Path("/proc/nowhere/state.safetensors"), "a lake")
    file.save([], State(1, torch.zeros(1)))
    assert "cannot save the state" in caplog.text
    assert file.read(torch.device("cpu")) == ([], None)


# The commands themselves

TALKATIVE = """
import pathlib, runpy, sys, time
from bigart.running import progress
from bigart.commands import resume
progress.LOG_EVERY_SECONDS = 0
resume.SAVE_EVERY_SECONDS = float(sys.argv.pop(1))
go_on = pathlib.Path(sys.argv.pop(1))
advance = progress.Progress.advance

def held_after_ten(self, steps=1):
    advance(self, steps)
    while self.done == 10 and not go_on.exists():
        time.sleep(0.05)

progress.Progress.advance = held_after_ten
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


NAMES = ("1.png", "2.png")


def words(command: str, out: Path, undisturbed: Path) -> list[object]:
    own: list[object] = ["--model", MODELS / "base.safetensors", "--sampler", "dpm++sde"]
    if command == "upsample":
        own = ["--model", MODELS / "upsampler.safetensors"]
        own += ["--images", *(undisturbed / "thumbnails" / name for name in NAMES)]
    return [
        *own,
        *("--vocabulary", MODELS / "encoder.json", "--merges", MODELS / "vocab.bpe"),
        *("--prompt=a painting of a lake", "--steps", 16, "--batch", 1, "--threads", 1),
        *("--log", out / "log.txt", "--out", *(out / name for name in NAMES)),
    ]


def start(program: list[str], held: list[object], words: list[object]) -> subprocess.Popen[str]:
    """Start TALKATIVE by a program, with how often it saves and the file that lets it resume."""
    command = [*program, sys.executable, "-c", TALKATIVE, *map(str, [*held, *words])]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def expect_undisturbed(folder: Path, undisturbed: Path) -> None:
    for name in NAMES:
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()
    left = {path.name for path in folder.iterdir()}
    assert left == {*NAMES, "log.txt", ".log.txt.lock"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    for command in ("thumbnails", "upsample"):
        assert run_command(command, *words(command, folder / command, folder)) == 0
    return folder


@pytest.mark.parametrize("command", ["thumbnails", "upsample"])
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.exhaustive)]
)
def test_a_killed_command_resumes(
    command: str, number: signal.Signals, undisturbed: Path, tmp_path: Path
) -> None:
    arguments = words(command, tmp_path, undisturbed)
    every = 0 if number == signal.SIGKILL else 60
    running = start([], [every, tmp_path / "never", SCRIPTS / f"{command}.py"], arguments)
    assert running.stderr
    assert any(": 10/32" in line for line in running.stderr)
    running.send_signal(number)
    assert running.wait(timeout=60) == {signal.SIGKILL: -9, signal.SIGTERM: 143}[number]
    assert list(tmp_path.glob(".1-*.safetensors"))
    assert run_command(command, *arguments) == 0
    assert RESUMED in (tmp_path / "log.txt").read_text()
    expect_undisturbed(tmp_path, undisturbed / command)


@pytest.mark.parametrize("moment", [": 10/32", "waiting until that ends"])
def test_what_nobody_waits_for_any_more_is_kept(
    moment: str, undisturbed: Path, tmp_path: Path
) -> None:
    """A stage whose Snakemake was killed ends by itself; its pictures are asked for once more."""
    arguments = words("thumbnails", tmp_path, undisturbed)
    go_on = undisturbed / f"go-on-{tmp_path.name}"
    as_snakemake = """BIGART_SNAKEMAKE=$$ sh -c '"$@" & wait' sh "$@" & wait"""
    busy = files.locked(tmp_path / "log.txt") if "waiting" in moment else contextlib.nullcontext()
    with busy:
        held = [60, go_on, SCRIPTS / "thumbnails.py"]
        snakemake = start(["sh", "-c", as_snakemake, "sh"], held, arguments)
        assert snakemake.stderr
        assert any(moment in line for line in snakemake.stderr)
        snakemake.kill()
        snakemake.wait()
    go_on.touch()
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".1-*.safetensors")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for name in NAMES:
        (tmp_path / name).unlink()  # as Snakemake does
    assert run_command("thumbnails", *arguments) == 0
    log = (tmp_path / "log.txt").read_text()
    assert RESUMED in log
    assert "/32" not in log  # no step is taken
    expect_undisturbed(tmp_path, undisturbed / "thumbnails")
