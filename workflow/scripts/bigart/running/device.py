"""The device of the networks, and their precision."""

import contextlib
import logging
import platform
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from bigart.errors import UserError
from bigart.running import environment, gpu_lock

log = logging.getLogger("bigart")

#: A line of a stage's log, which benchmarks/artworks.py reads.
NETWORK_TOOK = "the network took %.1f s, after %.1f s of waiting for the GPU lock"

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Device:
    """A device and the precision of most convolutions and matrix products on it.

    Weights, normalisations and the samplers' own arithmetic are always fp32.
    """

    device: torch.device
    precision: str  # a key of PRECISIONS
    slot: gpu_lock.Slot | None = None  # at a GPU that other jobs may use too; None on a CPU

    @classmethod
    def choose(cls, device: str = "auto", precision: str = "auto") -> "Device":
        """Resolve the options `device` and `precision`, and turn TF32 off.

        "auto" and "cuda" are the GPU with the fewest jobs, "auto" without one is the CPU. Precision
        "auto" is ``best_precision``.

        Raises:
            UserError: There is no such device here, or it cannot compute in that precision.
        """
        chosen, slot = resolve(device, precision), None
        precise = best_precision(chosen) if precision == "auto" else precision
        # torch lets convolutions use TF32, which has 10 of float32's 23 bits of mantissa
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        if chosen.type != "cpu":
            devices = _devices(chosen)
            slot = gpu_lock.acquire_slot(list(devices))
            chosen = list(devices.values())[slot.index if slot else 0]
        return cls(chosen, precise, slot)

    def __str__(self) -> str:
        """Return device and precision for a person."""
        return f"{self.name} in {self.precision}"

    @property
    def name(self) -> str:
        """The device's name; for a CPU with the number of threads."""
        if self.device.type == "cuda":
            return f"{self.device} ({torch.cuda.get_device_name(self.device)})"
        if self.device.type == "cpu":
            return f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"
        return str(self.device)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the GPU lock (on a CPU there is none) in the context in which the networks run.

        Logs the time spent computing and the time spent waiting.
        """
        waiting = time.monotonic()
        with self.slot.locked() if self.slot else contextlib.nullcontext():
            start = time.monotonic()
            with self.autocast():
                yield
            self.finish()
        log.info(NETWORK_TOOK, time.monotonic() - start, start - waiting)

    def finish(self) -> None:
        """Wait for a GPU to finish its work, and free the memory that torch caches there."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.synchronize()
            torch.mps.empty_cache()

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context in which the networks run."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, PRECISIONS[self.precision])


def best_precision(device: torch.device) -> str:
    """Return the fastest precision that is faithful on a device."""
    best = environment.best_precision(device.type)
    if best != "bf16" or environment.has_amd_bf16():
        return best
    # an older torch cannot use AMX, nor say so; it has no public name for the question
    allowed = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return "bf16" if allowed() else "fp32"


def resolve(device: str, precision: str) -> torch.device:
    """Return the device that an option means on this machine, without taking a place at it.

    Raises:
        UserError: There is no such device here, or it cannot compute in that precision.
    """
    chosen = _device(device)
    if precision == "fp16" and chosen.type == "cpu":
        raise UserError("precision fp16 needs a GPU; on a CPU use bf16 or fp32")
    return chosen


def _devices(chosen: torch.device) -> dict[str, torch.device]:
    """Return the GPUs that a choice leaves open, by names that are the same in all jobs.

    The name is the GPU's UUID; before torch 2.4 (basicsr needs 2.1), which cannot tell it, the
    index. There jobs with different CUDA_VISIBLE_DEVICES may wait for each other without need.
    """
    if chosen.type != "cuda":
        return {chosen.type: chosen}
    found = {}
    for index in range(torch.cuda.device_count()) if chosen.index is None else [chosen.index]:
        name = getattr(torch.cuda.get_device_properties(index), "uuid", index)
        found[f"cuda-{name}"] = torch.device("cuda", index)
    return found


def _device(name: str) -> torch.device:
    counts = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if name == "auto":
        return torch.device(next((kind for kind, count in counts.items() if count), "cpu"))
    device = torch.device(name)
    count = counts.get(device.type, 1)
    if (device.index or 0) >= count:
        raise UserError(
            f"device is {name!r}, but torch sees {count} {device.type.upper()} devices here; "
            "'device: auto' chooses one that is there"
        )
    return device


def peak_memory(device: torch.device) -> int:
    """Return the peak memory of this process in bytes: of the GPU, or resident for a CPU.

    Linux's ``ru_maxrss`` is not used: it begins with the memory of the parent process.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes
