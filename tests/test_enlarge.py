"""RRDBNet in strips: exactly the whole frame's result, in little memory."""

import copy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bigart.networks.native import rrdbnet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.options import RRDBNetOptions
from bigart.weights import conversion
from parity import fill
from projects import ROOT

GIGABYTE = 10**9
SMALL = {scale: RRDBNet(RRDBNetOptions(scale, 8, 2, 4)) for scale in (2, 4)}
for network in SMALL.values():
    fill(network, gain=0.5)


@given(
    scale=st.sampled_from([2, 4]),
    height=st.integers(1, 70),
    width=st.integers(1, 12),
    strip=st.integers(1, 80),
    dense=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_strips_are_the_whole_frame(
    scale: int, height: int, width: int, strip: int, dense: bool
) -> None:
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    from_features = 1 if dense else 9
    with torch.inference_mode(), mock.patch.object(rrdbnet, "CHANNELS", from_features):
        whole = SMALL[scale](x.contiguous(memory_format=torch.channels_last))
        assert (SMALL[scale].enlarge(x, strip) - whole).abs().max() <= 1e-6


@pytest.mark.parametrize("height", [5, 40])
def test_bf16_is_near_and_takes_the_layout_that_is_fast(height: int) -> None:
    """Also for a permuted array, whose batch stride torch takes for another layout."""
    x = torch.rand(height, 12, 3, generator=torch.Generator().manual_seed(1)).permute(2, 0, 1)[None]
    network = copy.deepcopy(SMALL[4])
    layouts = set()
    for layer in network.RRDB_trunk.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_pre_hook(
                lambda _, read: layouts.add(
                    (read[0].dtype, read[0].is_contiguous(memory_format=torch.channels_last))
                )
            )
    with torch.inference_mode():
        exact = SMALL[4].enlarge(x, strip=16)
        network.reduce(torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16):
            reduced = network.enlarge(x, strip=16)
    assert layouts == {(torch.bfloat16, True)}
    assert reduced.dtype == torch.float32
    assert 0 < (reduced - exact).abs().mean() < 0.02 * exact.std()


@pytest.mark.full_size
def test_strips_are_the_whole_frame_at_full_size() -> None:
    network = RRDBNet(RRDBNetOptions())
    fill(network, gain=0.5)
    x = torch.rand(1, 3, 96, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole = network(x.contiguous(memory_format=torch.channels_last))
        assert (network.enlarge(x, strip=32) - whole).abs().max() <= 2e-6


def test_progress_reaches_its_total() -> None:
    calls: list[tuple[int, int]] = []
    SMALL[4].enlarge(torch.zeros(1, 3, 50, 4), 16, lambda *call: calls.append(call))
    assert calls == sorted(calls)
    assert calls[-1] == (8 * 50, 8 * 50)


@pytest.mark.full_size
@pytest.mark.exhaustive
def test_1024_to_4096_takes_little_memory(tmp_path: Path) -> None:
    """Peak resident memory of the command with BSRGAN's channels, where the original takes 14 GB.

    Two of the 23 blocks: all blocks use the same memory, so more add only weights.
    """
    network = RRDBNet(RRDBNetOptions(blocks=2))
    fill(network, gain=0.5)
    model, image, out = (tmp_path / name for name in ("net.safetensors", "in.png", "out.png"))
    conversion.save_network(network, model, "rrdbnet", torch.float32)
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)
    Image.fromarray(noise).save(image)
    probe = (
        "import runpy, sys, torch\n"
        "from bigart.running.device import peak_memory\n"
        "del sys.argv[0]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "print(peak_memory(torch.device('cpu')))\n"
    )
    arguments = ["enlarge.py", "--model", model, "--image", image, "--out", out, "--threads", "2"]
    command = [sys.executable, "-c", probe, *map(str, arguments)]
    scripts = ROOT / "workflow/scripts"
    done = subprocess.run(command, cwd=scripts, capture_output=True, text=True, check=True)
    assert out.exists()
    weights_of_the_other_blocks = 21 * 2.9e6
    assert int(done.stdout) + weights_of_the_other_blocks < 2.0 * GIGABYTE
