"""Jobs share GPUs: each goes where the fewest are, one computes, a killed one frees its locks.

The GPUs are names here; the jobs are processes of their own, as in a run.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
import torch

from bigart.running import device, gpu_lock
from bigart.running.device import Device
from bigart.running.environment import expects_gpu

SCRIPTS = Path(__file__).parent.parent / "workflow/scripts"
JOB = """
import json, sys, time
from pathlib import Path
from bigart.running import gpu_lock
folder, names = json.loads(sys.argv[1])
slot = gpu_lock.acquire_slot(names, Path(folder))
print(slot.index, flush=True)
with slot.locked():
    print("begins", time.time(), flush=True)
    sys.stdin.read()
    print("ends", time.time(), flush=True)
"""


class Job:
    """A process that takes a slot, and holds the GPU lock until its input is closed."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", JOB, json.dumps([str(folder), names])],
            env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        self.index = int(self.output.readline())

    def time_of(self, what: str) -> float:
        said, moment = self.output.readline().split()
        assert said == what
        return float(moment)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def test_each_job_takes_a_device_of_its_own_and_a_killed_one_gives_it_back(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:

        def one_more() -> Job:
            job = Job(tmp_path, ["a", "b", "c", "d"])
            stack.callback(job.kill)
            return job

        jobs = [one_more() for _ in range(4)]
        assert [job.index for job in jobs] == [0, 1, 2, 3]
        assert one_more().index == 0  # a second row, when all have one
        jobs[2].kill()
        assert one_more().index == 2


def test_a_job_goes_where_the_fewest_are(tmp_path: Path) -> None:
    slots = [gpu_lock.acquire_slot(["a", "b"], tmp_path) for _ in range(4)]  # a, b, a, b
    for slot in (slots[1], slots[3]):  # then a has both its jobs
        assert slot
        assert slot.held
        slot.held.release()
    found = gpu_lock.acquire_slot(["a", "b"], tmp_path)
    assert found
    assert found.index == 1


def test_one_at_a_time_computes_while_the_next_gets_ready(tmp_path: Path) -> None:
    computing = Job(tmp_path, ["a"])
    before = 0.0
    for _ in range(5):
        assert computing.time_of("begins") >= before
        ready = Job(tmp_path, ["a"])
        time.sleep(0.3)  # in which it would begin, did it not have to wait
        computing.input.close()
        before = computing.time_of("ends")
        computing = ready
    computing.process.communicate(timeout=60)


def test_a_job_says_that_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(tmp_path, ["a"])
    job.time_of("begins")
    messages = []

    def info(message: str) -> None:
        messages.append(message)
        job.input.close()

    monkeypatch.setattr(gpu_lock.log, "info", info)
    slot = gpu_lock.acquire_slot(["a"], tmp_path)
    assert slot
    with slot.locked():
        assert job.process.wait(timeout=60) == 0
    assert messages == ["another job computes on this device; waiting for the GPU lock"]


def test_where_all_slots_are_taken_a_job_still_waits_for_the_gpu_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_lock, "MAX_SLOTS", 1)
    first, second = (gpu_lock.acquire_slot(["a"], tmp_path) for _ in range(2))
    assert first
    assert second
    assert second.held is None
    with first.locked(), pytest.raises(TimeoutError):
        second.gpu_lock.acquire(timeout=0)
    with second.locked():
        pass


def test_without_lock_files_jobs_go_on_unaware(caplog: pytest.LogCaptureFixture) -> None:
    assert gpu_lock.acquire_slot(["a"], Path("/proc/nowhere")) is None
    assert "cannot share" in caplog.text


def test_a_job_takes_the_freest_of_the_gpus_it_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    stand_ins = {name: torch.device("meta", index) for index, name in enumerate(("x", "y"))}
    monkeypatch.setattr(device, "_device", lambda name: torch.device("meta"))
    monkeypatch.setattr(device, "_devices", lambda chosen: stand_ins)
    first, second, third = (Device.choose("cuda") for _ in range(3))
    assert [job.device.index for job in (first, second, third)] == [0, 1, 0]
    with first.locked():
        assert third.slot
        with pytest.raises(TimeoutError):
            third.slot.gpu_lock.acquire(timeout=0)
    assert "the network took" in caplog.text
    with third.locked(), second.locked():
        pass


@pytest.mark.parametrize("torch_knows", [True, False])
def test_a_gpu_has_one_name_in_all_jobs(torch_knows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch 2.1, which basicsr needs, does not know the UUIDs; there it is the index."""
    names = [UUID(int=0), UUID(int=1)] if torch_knows else [0, 1]
    known = [SimpleNamespace(uuid=name) if torch_knows else SimpleNamespace() for name in names]
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: known[index])
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert list(device._devices(torch.device("cuda"))) == [f"cuda-{name}" for name in names]
    assert list(device._devices(torch.device("cuda", 1))) == [f"cuda-{names[1]}"]


def test_float32_is_float32_on_a_gpu_too() -> None:
    """Torch lets convolutions multiply in TF32 there, unless it is told otherwise."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    Device.choose("cpu", "fp32")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_where_a_gpu_is_expected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("bigart.running.environment._DRIVERS", (tmp_path / "driver",))
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0")
    answers = [expects_gpu(device) for device in ("cpu", "cuda", "cuda:1", "mps", "auto")]
    assert answers == [False, True, True, True, False]
    (tmp_path / "driver").touch()
    assert expects_gpu("auto")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0+cpu")
    assert not expects_gpu("auto")
