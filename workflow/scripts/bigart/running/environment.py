"""The environment in which the workflow's commands run."""

import contextlib
import ctypes
import importlib.metadata
import io
import logging
import os
import platform
import sys
from pathlib import Path

#: Files that there are where a driver for NVIDIA's GPUs runs: on Linux, and in Windows' Linux.
_DRIVERS = (Path("/dev/nvidiactl"), Path("/usr/lib/wsl/lib/libcuda.so.1"))

_CPU = Path("/proc/cpuinfo")
_ALL = ("ALL", "DEFAULT")  # of ONEDNN_MAX_CPU_ISA
# arch_prctl of Linux on x86-64, its question which registers a process may ask for, and AMX's
_ARCH_PRCTL, _ARCH_GET_XCOMP_SUPP, _TILES = 158, 0x1021, 1 << 18


def export(scripts: Path, models: Path) -> None:
    """Set what the rules' shell commands rely on, here and in every job.

    - ``BIGART_SCRIPTS``, ``BIGART_MODELS``: commands name the checkout by variables, so that
      their text, which Snakemake compares, stays the same when the checkout moves.
    - ``BIGART_SNAKEMAKE``: the process that waits for them (``commands.resume``).
    - ``PATH`` begins with the Python that runs Snakemake, also when its environment is not
      activated. An environment of ``--sdm conda`` still comes before it.
    """
    os.environ["BIGART_SCRIPTS"] = str(scripts)
    os.environ["BIGART_MODELS"] = str(models)
    os.environ["BIGART_SNAKEMAKE"] = str(os.getpid())
    binaries, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != binaries:
        os.environ["PATH"] = os.pathsep.join([binaries, path])


def cores() -> int:
    """Return how many processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def show_any_text() -> None:
    """Print characters that the terminal cannot show as escapes, and no traceback for a log's."""
    logging.raiseExceptions = False
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def expects_gpu(device: str) -> bool:
    """Return whether the networks will run on a GPU, as far as can be told without torch.

    Args:
        device: The option of the config. "auto" is answered for the machine at hand, which on a
            cluster is another one than the networks run on.
    """
    if device != "auto":
        return device != "cpu"
    # torch may be in an environment of its own
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        if importlib.metadata.version("torch").endswith("+cpu"):
            return False
    apple = (platform.system(), platform.machine()) == ("Darwin", "arm64")
    return apple or any(driver.exists() for driver in _DRIVERS)


def best_precision(device: str) -> str:
    """Return the fastest precision that is faithful on this machine (docs/speed.md).

    GPUs of NVIDIA compute in fp16, as the article's notebooks do. A CPU with AMX, units that
    multiply matrices, computes in bf16, and so does one of AMD with AVX512-BF16 (Zen 4 and later).
    On all others bf16 is slower than fp32, or was not measured.

    Args:
        device: The type, as torch calls it.
    """
    if device == "cuda":
        return "fp16"
    return "bf16" if device == "cpu" and (has_amx() or has_amd_bf16()) else "fp32"


def has_amx() -> bool:
    """Return whether the processor has AMX, and oneDNN, torch's CPU library, may use it."""
    return "amx_bf16" in _processor() and _kernel_allows_amx() and _onednn_may_use("AMX")


def has_amd_bf16() -> bool:
    """Return whether the processor is AMD's and has AVX512-BF16, and oneDNN may use it.

    There a product of bf16 vectors takes half the time of one in fp32.
    """
    newer = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX10", "AMX")
    return {"AuthenticAMD", "avx512_bf16"} <= _processor() and _onednn_may_use(*newer)


def _processor() -> set[str]:
    """Return the words that Linux says of the processor, none elsewhere."""
    with contextlib.suppress(OSError):
        return set(_CPU.read_text().split())
    return set()


def _onednn_may_use(*instructions: str) -> bool:
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    return allowed in _ALL or any(name in allowed for name in instructions)


def _kernel_allows_amx() -> bool:
    """Return whether a process may use AMX's registers; oneDNN asks the same question first."""
    found = ctypes.c_uint64()
    status = ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ARCH_GET_XCOMP_SUPP, ctypes.byref(found))
    return status == 0 and bool(found.value & _TILES)
