"""The fast paths compute convolutions, and networks in strips give the whole frame's result."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bigart.networks.native import vqgan
from bigart.networks.native.cpu.winograd import (
    CHANNELS,
    Conv3x3,
    DenseWinograd,
    UpsamplingConv3x3,
    winograd,
)
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.options import VQGANOptions
from parity import fill


def _error(result: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> float:
    exact = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    assert result.shape == exact.shape
    return float((result - exact).abs().max() / exact.std())


@given(
    batch=st.integers(1, 5),
    channels=st.integers(1, 9),
    made=st.integers(2, 9),
    height=st.integers(1, 21),
    width=st.integers(2, 21),
    chunk=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_any_size_at_any_chunk(
    batch: int, channels: int, made: int, height: int, width: int, chunk: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels, height, width, generator=generator)
    weight = torch.randn(made, channels, 3, 3, generator=generator)
    bias = torch.randn(made, generator=generator)
    assert _error(winograd(x, weight, bias, chunk), x, weight, bias) < 1e-4


@given(
    channels=st.integers(1, 5),
    growth=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    height=st.integers(1, 30),
    width=st.integers(1, 21),
    chunk=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_dense_blocks_of_any_size_at_any_chunk(
    channels: int, growth: list[int], height: int, width: int, chunk: int
) -> None:
    torch.manual_seed(0)
    read = [channels + sum(growth[:turn]) for turn in range(len(growth) + 1)]
    block = [
        nn.Conv2d(known, made, 3, padding=1).requires_grad_(False)
        for known, made in zip(read, [*growth, channels], strict=True)
    ]
    x = torch.randn(1, channels, height, width)
    dense = DenseWinograd(x, growth, slope=0.2, residual=0.5, chunk=chunk)
    dense.x.copy_(x)
    for _ in range(2):  # the second run starts with the buffers of the first
        dense.run(block)
    exact = x.double()
    for _ in range(2):
        seen = exact
        for conv in block[:-1]:
            seen = torch.cat([seen, F.leaky_relu(_exactly(conv, seen), 0.2)], dim=1)
        exact = exact + 0.5 * _exactly(block[-1], seen)
    assert (dense.x - exact).abs().max() < 1e-5


def test_upsampling_and_convolving_in_one() -> None:
    torch.manual_seed(0)
    conv, x = UpsamplingConv3x3(5, 7, 3, padding=1), torch.randn(2, 5, 1, 9)
    slow = conv(x)
    with torch.no_grad():
        fast = conv(x)
    assert slow.requires_grad
    assert (fast - slow).abs().max() < 1e-5


def _exactly(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, conv.weight.double(), conv.bias.double(), padding=1)


def test_its_error_is_a_rounding_error() -> None:
    """With the usual points 0, 1, -1, 2, -2 it is 5e-5."""
    torch.manual_seed(0)
    conv, x = nn.Conv2d(192, 192, 3, padding=1), torch.randn(1, 192, 64, 64)
    with torch.no_grad():
        assert _error(winograd(x, conv.weight, conv.bias), x, conv.weight, conv.bias) < 3e-5


@pytest.mark.parametrize("trained", [False, True])
def test_training_reduced_precision_and_few_channels_take_no_fast_path(
    trained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    monkeypatch.setattr(
        "bigart.networks.native.cpu.winograd.winograd",
        lambda x, *_: taken.append("fast") or x[:, :1],
    )
    conv = Conv3x3(CHANNELS, CHANNELS).requires_grad_(trained)
    conv(torch.randn(1, CHANNELS, 8, 8))
    with torch.autocast("cpu", torch.bfloat16):
        conv(torch.randn(1, CHANNELS, 8, 8))
    Conv3x3(CHANNELS - 1, CHANNELS).requires_grad_(False)(torch.randn(1, CHANNELS - 1, 8, 8))
    assert taken == ([] if trained else ["fast"])


@pytest.mark.parametrize("fast", [False, True])
def test_a_large_picture_in_strips_is_the_same_round_trip(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigart.networks.native.cpu.winograd.CHANNELS", 8 if fast else 10**6)
    options = VQGANOptions(channels=32, channel_mult=(1, 2, 2), res_blocks=1, groups=8, codes=64)
    network = fill(VQGAN(options))
    x = torch.rand(1, 3, 96, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        z = network.encode(x)
        whole = network.decode(network.indices(z))
        monkeypatch.setattr(vqgan, "STRIP_BYTES", 2**14)
        assert vqgan._strip(torch.empty(1, 32, 96, 40)) < 20
        assert (network.encode(x) - z).abs().max() < 1e-5
        assert (network.decode(network.indices(z)) - whole).abs().max() < 1e-5
