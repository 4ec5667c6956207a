"""A sampling that is cut short goes on from where it was, and makes the same pictures."""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from bigart.commands import sampling_command
from bigart.commands.resume import Unfinished
from bigart.metadata import recipe
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.pictures import images
from bigart.running import files
from bigart.running.device import Device
from bigart.sampling.samplers import SAMPLERS, State
from bigart.weights.network_file import open_network
from projects import ROOT

MODELS = ROOT / "models/embedded"
STEPS, CANDIDATES = 5, 3
CPU = Device(torch.device("cpu"), "fp32")


@pytest.fixture(scope="module")
def network() -> Text2ImUNet:
    path = MODELS / "base.safetensors"
    return open_network(path, Text2ImUNet, torch.device("cpu"), torch.float32)[0]


@pytest.fixture
def sampled(
    network: Text2ImUNet, tmp_path: Path
) -> Callable[..., tuple[list[images.Picture], int]]:
    """Samples with a stand-in for the network; returns the pictures and the steps it took."""

    def sample(
        sampler: str, batch: int, cut_after: int | None = None, key: str = "a lake"
    ) -> tuple[list[images.Picture], int]:
        calls = 0

        def denoise(x: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
            nonlocal calls
            if calls == cut_after:
                raise KeyboardInterrupt
            calls += 1
            return torch.sin(7 * x) + timestep / 1000, torch.cos(x)

        pictures: list[images.Picture] = []
        run = sampling_command.sample(
            argparse.Namespace(
                steps=STEPS, batch=str(batch), out=[tmp_path / f"{k}.png" for k in (1, 2, 3)]
            ),
            "thumbnails",
            network,
            CPU,
            sampler=sampler,
            denoiser=lambda chunk: denoise,
            noise=sampling_command.candidate_noise(1, "thumbnails", network.options.image_size),
            passes=1,
            key=key,
        )
        try:
            for candidate, picture in run:
                assert candidate == len(pictures)
                pictures.append(picture)
        except KeyboardInterrupt:
            assert list(tmp_path.iterdir())
        else:
            assert not list(tmp_path.iterdir())
        return pictures, calls

    return sample


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_from_wherever_it_was_cut(
    sampler: str, batch: int, sampled: Callable[..., tuple[list[images.Picture], int]]
) -> None:
    whole, calls = sampled(sampler, batch)
    assert len(whole) == CANDIDATES
    for cut in range(1, calls):
        _, before = sampled(sampler, batch, cut_after=cut)
        pictures, after = sampled(sampler, batch)
        assert before + after == calls  # no step is taken twice
        assert all(np.array_equal(*pair) for pair in zip(pictures, whole, strict=True))


def test_another_batch_than_before(
    sampled: Callable[..., tuple[list[images.Picture], int]],
) -> None:
    whole, _ = sampled("ancestral", 2)
    sampled("ancestral", 2, cut_after=2)
    pictures, _ = sampled("ancestral", 1)
    assert all(np.array_equal(*pair) for pair in zip(pictures, whole, strict=True))


def test_what_was_saved_for_something_else_is_of_no_use(
    sampled: Callable[..., tuple[list[images.Picture], int]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    whole, calls = sampled("ancestral", 3)
    sampled("ancestral", 3, cut_after=3, key="a villa")
    pictures, again = sampled("ancestral", 3)
    assert again == calls
    assert all(np.array_equal(*pair) for pair in zip(pictures, whole, strict=True))
    assert "was saved for something else" in caplog.text


def test_a_damaged_state_is_of_no_use(
    sampled: Callable[..., tuple[list[images.Picture], int]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
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
        assert "is damaged: beginning anew" in caplog.text


def test_the_state_is_a_minute_and_a_step_old_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of 10 s and of 4 minutes, on a clock of our own."""
    now, saved = 0.0, 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    file = Unfinished(tmp_path / "state.safetensors", "a lake")
    for step, seconds in enumerate([10.0] * 100 + [240.0] * 20):
        now += seconds
        file.save_if_due([], State(step, torch.zeros(1)))
        if file.path.exists():
            with safe_open(file.path, "pt") as opened:
                if opened.get_tensor("step") == step:
                    saved = now
        assert now - saved <= 60 + seconds


def test_a_spoilt_state_is_not_saved(tmp_path: Path) -> None:
    file = Unfinished(tmp_path / "state.safetensors", "a lake")
    file.save([], State(1, torch.zeros(1)))
    file.save([], State(2, torch.full((1,), torch.nan)))
    _, state = file.read(torch.device("cpu"))
    assert state is not None
    assert state.step == 1


def test_what_a_kill_left_of_saving_goes_with_the_state(tmp_path: Path) -> None:
    file = Unfinished(tmp_path / "state.safetensors", "a lake")
    left = tmp_path / f".state{files.PARTIAL}{socket.gethostname()}-999999999.safetensors"
    left.touch()
    file.finish([])
    assert not left.exists()


def test_the_key_depends_on_all_that_decides_the_pictures(tmp_path: Path) -> None:
    for name, text in (("words", "{}"), ("other", "{ }")):
        (tmp_path / name).write_text(text)
    arguments = {"prompt": "a lake", "seed": 1}
    arguments |= dict.fromkeys(("model", "vocabulary", "merges"), tmp_path / "words")
    script = ROOT / "workflow/scripts/thumbnails.py"
    made, source = (
        recipe.extend(recipe.start(), "thumbnails", steps=4),
        np.zeros((2, 2, 3), np.uint8),
    )

    def key(recipe_: recipe.Recipe = made, source: np.ndarray = source, **changed: object) -> str:
        namespace = argparse.Namespace(**(arguments | changed))
        return sampling_command.sampling_key(namespace, str(script), [recipe_], source)

    keys = [
        key(),
        key(prompt="a villa"),
        key(seed=2),
        key(model=tmp_path / "other"),
        key(vocabulary=tmp_path / "other"),
        key(merges=tmp_path / "other"),
        key(recipe.extend(recipe.start(), "thumbnails", steps=5)),
        key(source=source + np.uint8(1)),
    ]
    assert key() == keys[0]
    assert len(set(keys)) == len(keys)


def test_sampling_goes_on_where_nothing_can_be_saved(caplog: pytest.LogCaptureFixture) -> None:
    file = Unfinished(Path("/proc/nowhere/state.safetensors"), "a lake")
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


def words(command: str, out: Path, *, thumbnails: Path | None = None) -> list[str]:
    network = {"thumbnails": "base", "upsample": "upsampler"}[command]
    names = [f"{k}.png" for k in (1, 2)]
    arguments: list[object] = [
        *(ROOT / f"workflow/scripts/{command}.py", "--model", MODELS / f"{network}.safetensors"),
        *("--vocabulary", MODELS / "encoder.json", "--merges", MODELS / "vocab.bpe"),
        *("--prompt=a painting of a lake", "--steps", 16, "--batch", 1, "--threads", 1),
        *("--log", out / "log.txt", "--out", *(out / name for name in names)),
    ]
    if thumbnails:
        arguments += ["--images", *(thumbnails / name for name in names)]
    else:
        arguments += ["--sampler", "dpm++sde"]
    return [str(argument) for argument in arguments]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    for command in ("thumbnails", "upsample"):
        thumbnails = folder / "thumbnails" if command == "upsample" else None
        arguments = words(command, folder / command, thumbnails=thumbnails)
        subprocess.run([sys.executable, *arguments], check=True, timeout=300)
    return folder


@pytest.mark.parametrize("command", ["thumbnails", "upsample"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_command_goes_on(
    command: str, number: signal.Signals, undisturbed: Path, tmp_path: Path
) -> None:
    thumbnails = undisturbed / "thumbnails" if command == "upsample" else None
    arguments = words(command, tmp_path, thumbnails=thumbnails)
    every = "0" if number == signal.SIGKILL else "60"
    running = subprocess.Popen(
        [sys.executable, "-c", TALKATIVE, every, str(tmp_path / "never"), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")},
    )
    try:
        for log in _log_of(running, tmp_path / "log.txt"):
            if ": 10/32" in log:
                break
        running.send_signal(number)
        assert running.wait(timeout=60) == {signal.SIGKILL: -9, signal.SIGTERM: 143}[number]
    finally:
        running.kill()
    assert (tmp_path / ".1-resume.safetensors").exists()
    subprocess.run([sys.executable, *arguments], check=True, timeout=300)
    assert "going on from a saved state" in (tmp_path / "log.txt").read_text()
    for name in ("1.png", "2.png"):
        assert (tmp_path / name).read_bytes() == (undisturbed / command / name).read_bytes()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"1.png", "2.png", "log.txt", ".log.txt.lock"}


@pytest.mark.parametrize("moment", [": 10/32", "waiting until that ends"])
def test_what_nobody_waits_for_any_more_is_kept(
    moment: str, undisturbed: Path, tmp_path: Path
) -> None:
    """A stage whose Snakemake was killed ends by itself; its pictures are asked for once more."""
    arguments = words("thumbnails", tmp_path)
    go_on = undisturbed / f"go-on-{tmp_path.name}"
    as_snakemake = """BIGART_SNAKEMAKE=$$ sh -c '"$@" & wait' sh "$@" & wait"""
    busy = files.locked(tmp_path / "log.txt") if "waiting" in moment else contextlib.nullcontext()
    with busy:
        command = [sys.executable, "-c", TALKATIVE, "60", str(go_on), *arguments]
        snakemake = subprocess.Popen(
            ["sh", "-c", as_snakemake, "sh", *command],
            env={**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert snakemake.stderr is not None
        assert any(moment in line for line in snakemake.stderr)
        snakemake.kill()
        snakemake.wait()
    go_on.touch()
    deadline = time.monotonic() + 120
    while not (tmp_path / ".1-resume.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for name in ("1.png", "2.png"):
        (tmp_path / name).unlink()  # as Snakemake does
    subprocess.run([sys.executable, *arguments], check=True, timeout=300)
    log = (tmp_path / "log.txt").read_text()
    assert "going on from a saved state" in log
    assert "/32" not in log  # no step is taken
    for name in ("1.png", "2.png"):
        assert (tmp_path / name).read_bytes() == (undisturbed / "thumbnails" / name).read_bytes()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"1.png", "2.png", "log.txt", ".log.txt.lock"}


def _log_of(running: subprocess.Popen[bytes], path: Path) -> Iterator[str]:
    """What the log holds, again and again while the command runs, for two minutes at most."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert running.poll() is None
        if path.exists():
            yield path.read_text()
        time.sleep(0.02)
    raise TimeoutError(path)
