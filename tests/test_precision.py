"""What `precision: auto` means: the fastest that is faithful on the device and with the engine."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bigart.commands import network_command
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.upstream.network import UpstreamNetwork
from bigart.running import device, environment
from bigart.running.device import Device
from bigart.running.environment import best_precision
from projects import ROOT

WITHOUT = "fpu avx2 avx512f avx512_bf16"
AMX = f"{WITHOUT} amx_bf16 amx_tile amx_int8"
AMD = f"{WITHOUT}\nvendor_id : AuthenticAMD"
OLD_AMD = "vendor_id : AuthenticAMD\nflags : fpu avx2 avx512f"

Processor = Callable[[str], None]


class Original(UpstreamNetwork, RRDBNet):
    """A network of the other engine, without its package."""


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Processor:
    """Says which flags each core has; oneDNN and the kernel allow all of them."""
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(environment, "_CPU", cpuinfo)
    monkeypatch.setattr(environment, "_kernel_allows_amx", lambda: True)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)

    def write(flags: str) -> None:
        cores = [f"processor\t: {core}\nflags\t\t: {flags}\n\n" for core in range(2)]
        cpuinfo.write_text("".join(cores))

    return write


@pytest.mark.parametrize(
    ("flags", "expected"), [(AMX, "bf16"), (AMD, "bf16"), (WITHOUT, "fp32"), (OLD_AMD, "fp32")]
)
def test_a_cpu_computes_in_bf16_where_that_is_faster(
    processor: Processor, monkeypatch: pytest.MonkeyPatch, flags: str, expected: str
) -> None:
    processor(flags)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: flags == AMX)
    assert best_precision("cpu") == expected
    assert Device.choose("cpu", "auto").precision == expected


@pytest.mark.usefixtures("processor")
def test_a_cpu_that_does_not_say_what_it_has_computes_in_fp32() -> None:
    """As outside Linux, where there is no such file."""
    assert best_precision("cpu") == "fp32"


@pytest.mark.parametrize(
    ("flags", "allowed", "expected"),
    [
        (AMX, "ALL", "bf16"),
        (AMX, "default", "bf16"),
        (AMX, "AVX512_CORE_AMX", "bf16"),
        (AMX, "avx10_1_512_amx_fp16", "bf16"),
        (AMX, "AVX512_CORE_BF16", "fp32"),
        (AMX, "avx2", "fp32"),
        (AMD, "ALL", "bf16"),
        (AMD, "AVX512_CORE_BF16", "bf16"),
        (AMD, "avx512_core_amx", "bf16"),
        (AMD, "AVX10_1_512", "bf16"),
        (AMD, "AVX512_CORE_VNNI", "fp32"),
        (AMD, "AVX2_VNNI_2", "fp32"),
        (WITHOUT, "ALL", "fp32"),
    ],
)
def test_what_a_cpu_has_counts_where_onednn_may_use_it(
    processor: Processor, monkeypatch: pytest.MonkeyPatch, flags: str, allowed: str, expected: str
) -> None:
    processor(flags)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", allowed)
    assert best_precision("cpu") == expected


def test_amx_counts_where_the_kernel_allows_it(
    processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(AMX)
    cpu = torch.device("cpu")
    assert device.best_precision(cpu) == "bf16"
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert device.best_precision(cpu) == "fp32"
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")  # an older torch
    assert device.best_precision(cpu) == "fp32"
    monkeypatch.setattr(environment, "_kernel_allows_amx", lambda: False)
    assert best_precision("cpu") == "fp32"  # as the forecast asks, without torch


@pytest.mark.parametrize(
    ("status", "registers", "allowed"), [(0, 0x602E7, True), (0, 0x2E7, False), (-1, 0, False)]
)
def test_the_kernel_is_asked_for_amx(
    monkeypatch: pytest.MonkeyPatch, status: int, registers: int, allowed: bool
) -> None:
    class Kernel:
        def __init__(self, name: None) -> None: ...

        def syscall(self, number: int, question: int, answer: object) -> int:
            assert (number, question) == (158, 0x1021)
            answer._obj.value = registers  # type: ignore[attr-defined]
            return status

    monkeypatch.setattr(environment.ctypes, "CDLL", Kernel)
    assert environment._kernel_allows_amx() == allowed


@pytest.mark.parametrize("flags", [AMX, WITHOUT])
def test_a_gpu_of_nvidia_computes_in_fp16_and_apples_in_fp32(
    processor: Processor, flags: str
) -> None:
    processor(flags)
    assert [best_precision(kind) for kind in ("cuda", "mps")] == ["fp16", "fp32"]
    assert device.best_precision(torch.device("cuda", 1)) == "fp16"


@pytest.mark.parametrize(
    ("engine", "precision", "expected"),
    [
        ("native", "auto", "bf16"),
        ("native", "fp32", "fp32"),
        ("upstream", "auto", "fp32"),
        ("upstream", "bf16", "bf16"),
    ],
)
def test_the_original_code_computes_in_fp32_unless_told_otherwise(
    processor: Processor, engine: str, precision: str, expected: str
) -> None:
    processor(AMX)
    arguments = Namespace(
        model=ROOT / "models/embedded/enlarger.safetensors",
        device="cpu",
        precision=precision,
        engine=engine,
        threads=None,
    )
    network, chosen, made_with = network_command.open_network(arguments, RRDBNet, Original)
    assert isinstance(network, UpstreamNetwork) == (engine == "upstream")
    assert chosen.precision == made_with["precision"] == expected
