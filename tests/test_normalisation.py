"""Group normalisation keeps float32's precision where channels lie last."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bigart.networks.native.cpu.group_norm import GroupNorm
from bigart.networks.native.glide import model
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.weights.network_file import open_network
from projects import ROOT


def norm_and_picture(shape: tuple[int, ...], mean: float, groups: int) -> tuple[GroupNorm, Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    norm = GroupNorm(groups, shape[1])
    for parameter in (norm.weight, norm.bias):
        parameter.data = torch.randn(shape[1], generator=generator)
    x = mean + torch.randn(shape, generator=generator)
    return norm.requires_grad_(False), x.contiguous(memory_format=torch.channels_last)


def exactly(norm: GroupNorm, x: Tensor) -> Tensor:
    weight, bias = norm.weight.double(), norm.bias.double()
    return F.group_norm(x.double(), norm.num_groups, weight, bias, norm.eps)


@given(
    shape=st.tuples(
        st.integers(1, 3), st.sampled_from([4, 12]), st.integers(2, 70), st.integers(2, 70)
    ),
    mean=st.sampled_from([0.0, 1.0, 100.0]),
    groups=st.sampled_from([1, 2, 4]),
)
def test_any_shape(shape: tuple[int, ...], mean: float, groups: int) -> None:
    norm, x = norm_and_picture(shape, mean, groups)
    assert (norm(x) - exactly(norm, x)).abs().max() < 1e-5 * max(1, mean)


@pytest.mark.parametrize("mean", [0.0, 10.0])
def test_a_large_picture(mean: float) -> None:
    norm, x = norm_and_picture((1, 64, 256, 256), mean, 32)
    assert (norm(x) - exactly(norm, x)).abs().max() < 1e-5


def test_a_modulation_is_part_of_the_same_step() -> None:
    norm, x = norm_and_picture((2, 8, 20, 30), 1.0, 4)
    scale, shift = torch.randn(2, 2, 8, 1, 1)
    expected = exactly(norm, x) * (1 + scale.double()) + shift
    assert (norm.modulated(x, scale, shift) - expected).abs().max() < 1e-5
    norm.requires_grad_(True)  # as in training
    assert (norm.modulated(x, scale, shift) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("brightness", [0.0, 1.0])
def test_the_upsampler_is_exact_on_flat_pictures(
    brightness: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the means are large and the variances small."""
    monkeypatch.setattr(model, "in_float32", lambda layer, x: layer(x))  # nor float64 less exact
    path = ROOT / "models/embedded/upsampler.safetensors"
    results = []
    for dtype in (torch.float32, torch.float64):
        network, _ = open_network(path, Text2ImUNet, dtype=dtype)
        tokens = torch.ones(1, network.options.text_ctx, dtype=torch.int64)
        text = network.encode_text(tokens, tokens.bool())
        x = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(1)).to(dtype)
        low_res = torch.full((1, 3, 64, 64), 2 * brightness - 1, dtype=dtype)
        results.append(network.denoise(x, torch.tensor([950]), text, low_res))
    ours, exact = results
    apart = (ours - exact).abs() / exact.std(dim=(0, 2, 3), keepdim=True)
    assert apart.max() < 5e-5
    assert apart.mean() < 5e-6
