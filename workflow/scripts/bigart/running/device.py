"""Where the networks run, and in which precision."""

import contextlib
import ctypes
import logging
import platform
import resource
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from bigart.errors import UserError
from bigart.running import gpu_lock
from bigart.running import precision as precisions

log = logging.getLogger("bigart")

#: A stage's log says so; benchmarks/artworks.py reads it there.
NETWORK_TOOK = "the network took %.1f s, after %.1f s for its turn"

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Device:
    """A device and the precision of the networks' products on it.

    Attributes:
        device: The torch device.
        precision: "fp32", "bf16" or "fp16". Weights, normalisations and the samplers' own
            arithmetic stay fp32; the two others run most convolutions and matrix products in that
            type.
        seat: This job's place at a GPU that others may use too; None on a CPU.
    """

    device: torch.device
    precision: str
    seat: gpu_lock.Seat | None = None

    @classmethod
    def choose(cls, device: str = "auto", precision: str = "auto") -> "Device":
        """Resolve what the configuration asks for, and let float32 be float32 on a GPU too.

        Args:
            device: "auto" (the GPU with the fewest jobs, else the CPU), "cpu", "cuda" (the same,
                and a fault where there is none), "cuda:N" (that one) or "mps".
            precision: "auto" (see ``bigart.running.precision``), "fp32", "bf16" or "fp16".

        Raises:
            UserError: There is no such device here, or it cannot compute so.
        """
        chosen = _device(device)
        precise = precisions.resolved(precision)
        if precise not in PRECISIONS:
            raise UserError(f"precision is {precision!r}; possible: auto, {', '.join(PRECISIONS)}")
        if precise == "fp16" and chosen.type == "cpu":
            raise UserError("precision fp16 needs a GPU; on a CPU use bf16 or fp32")
        # TF32, which torch lets convolutions use, keeps 10 bits of a float32's 23
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        if chosen.type == "cpu":
            return cls(chosen, precise)
        devices = _devices(chosen)
        seat = gpu_lock.take_seat(list(devices))
        chosen = list(devices.values())[seat.index if seat else 0]
        return cls(chosen, precise, seat)

    def __str__(self) -> str:
        """Return what a person reads: device and precision."""
        return f"{self.name} in {self.precision}"

    @property
    def name(self) -> str:
        """The device's name, with the number of threads for a CPU."""
        if self.device.type == "cuda":
            return f"{self.device} ({torch.cuda.get_device_name(self.device)})"
        if self.device.type == "cpu":
            return f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"
        return str(self.device)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other job computes on the device, and let the networks run there.

        Says in the log how long that took: what is left of a job's time is not the network's.
        """
        waiting = time.monotonic()
        with self.seat.taking_turns() if self.seat else contextlib.nullcontext():
            start = time.monotonic()
            with self.autocast():
                yield
            self.finish()
        log.info(NETWORK_TOOK, time.monotonic() - start, start - waiting)

    def finish(self) -> None:
        """Wait for what a GPU was given to do, and hand back the memory that it took."""
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


def _devices(chosen: torch.device) -> dict[str, torch.device]:
    """Return the GPUs that a choice leaves open, by names that all jobs give them."""
    if chosen.type != "cuda":
        return {chosen.type: chosen}
    indices = range(torch.cuda.device_count()) if chosen.index is None else [chosen.index]
    return {f"cuda-{_uuid(index)}": torch.device("cuda", index) for index in indices}


def _uuid(index: int) -> str:
    """Return a GPU's UUID; from the driver before torch 2.4, which has none (basicsr's is 2.1)."""
    properties = torch.cuda.get_device_properties(index)
    if hasattr(properties, "uuid"):
        return str(properties.uuid)
    driver = ctypes.CDLL("libcuda.so.1")
    device, found = ctypes.c_int(), (ctypes.c_ubyte * 16)()
    for status in (
        driver.cuInit(0),
        driver.cuDeviceGet(ctypes.byref(device), index),
        driver.cuDeviceGetUuid(ctypes.byref(found), device),
    ):
        if status:
            raise RuntimeError(f"the driver does not name GPU {index}: CUDA error {status}")
    return str(uuid.UUID(bytes=bytes(found)))


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device is {name!r}; possible: auto, cpu, cuda, cuda:N, mps") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"device is {name!r}, but torch sees {torch.cuda.device_count()} CUDA devices here; "
            "'device: auto' takes what there is"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("device is 'mps', but torch sees no Apple GPU here")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"device is {name!r}; possible: auto, cpu, cuda, cuda:N, mps")
    return device


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that this process has had: on a GPU there, else resident.

    Linux's ``ru_maxrss`` begins with what the parent had when it forked, so it is not asked.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes
