"""The networks load the published names and shapes and compute what the originals compute.

The vectors are in data/parity (its README says how they were recorded). Weights follow from the
parameters' names, so no checkpoint is needed; full-size networks are compared too.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import parity
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import VQGAN, Codebook
from bigart.networks.network import Network, on_meta
from bigart.networks.options import BASE, UPSAMPLER, GlideOptions, RRDBNetOptions, VQGANOptions
from bigart.networks.tokenizer import Tokenizer
from parity import FAMILIES, PARITY, TOLERANCE, Compared

PUBLISHED: dict[str, tuple[type[Network], object]] = {
    "glide/base": (Text2ImUNet, BASE),
    "glide/upsample": (Text2ImUNet, UPSAMPLER),
    "glide/base_inpaint": (Text2ImUNet, replace(BASE, inpaint=True)),
    "glide/upsample_inpaint": (Text2ImUNet, replace(UPSAMPLER, inpaint=True)),
    "bsrgan/BSRGAN": (RRDBNet, RRDBNetOptions()),
    "bsrgan/BSRNet": (RRDBNet, RRDBNetOptions()),
    "bsrgan/BSRGANx2": (RRDBNet, RRDBNetOptions(scale=2)),
    "vqgan/imagenet_f16_16384": (VQGAN, VQGANOptions()),
    "vqgan/imagenet_f16_1024": (VQGAN, VQGANOptions(codes=1024)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_names_and_shapes(
    name: str, published_shapes: dict[str, dict[str, list[int]]]
) -> None:
    state = on_meta(*PUBLISHED[name]).state_dict()
    ours = {key: list(value.shape) for key, value in state.items()}
    assert ours == published_shapes[name]


@pytest.mark.parametrize(("kind", "options"), [(Text2ImUNet, GlideOptions), (VQGAN, VQGANOptions)])
def test_narrow_networks_have_fewer_groups_everywhere(kind: type[Network], options: Any) -> None:
    network = on_meta(kind, options(channels=16, groups=8, res_blocks=1))
    norms = [m for m in network.modules() if isinstance(m, nn.GroupNorm)]
    assert len(norms) > 20
    assert {norm.num_groups for norm in norms} == {8}


def _vectors(family: str) -> list[Any]:
    _, small, full = FAMILIES[family]
    return [*small, *(pytest.param(name, marks=pytest.mark.full_size) for name in full)]


def _assert_close(compared: Compared) -> None:
    for what, ours, recorded in compared:
        assert ours.shape == recorded.shape, what
        if recorded.dtype.kind in "iu":
            assert np.array_equal(ours.numpy(), recorded), what
        else:
            assert np.abs(ours.numpy() - recorded).max() < TOLERANCE, what


@pytest.mark.parametrize("name", _vectors("glide"))
def test_glide(name: str) -> None:
    _assert_close(parity.glide(name))


@pytest.mark.parametrize("name", _vectors("bsrgan"))
def test_rrdbnet(name: str) -> None:
    _assert_close(parity.rrdbnet(name))


@pytest.mark.parametrize("name", _vectors("vqgan"))
def test_vqgan(name: str) -> None:
    _assert_close(parity.vqgan(name))


def test_codes_are_compared_in_float32() -> None:
    """Also where the convolutions run in bf16, in which every third code would be another one."""
    codebook = Codebook(1024, 16)
    z = torch.randn(500, 16, generator=torch.Generator().manual_seed(1))
    exact = torch.cdist(z.double(), codebook.embedding.weight.double()).argmin(dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert (codebook.nearest(z, rows=128) == exact).float().mean() > 0.99


def test_tokens(tokenizer: Tokenizer) -> None:
    for case in json.loads((PARITY / "tokens.json").read_text()):
        assert tokenizer.encode(case["prompt"]) == case["tokens"], case["prompt"]
        assert tokenizer.decode(case["tokens"]) == case["prompt"].lower()
