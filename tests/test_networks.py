"""The networks load the published names and shapes and compute what the originals compute.

The vectors are in data/parity (its README says how they were recorded). Weights follow from the
parameters' names, so no checkpoint is needed; full-size networks are compared too.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import parity
from bigart.errors import UserError
from bigart.networks.clip_options import ClipImageOptions, ClipTextOptions
from bigart.networks.clip_tokenizer import ClipTokenizer
from bigart.networks.native.clip import ClipImage, ClipText
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
    "clip/text_full": (ClipText, ClipTextOptions()),
    "clip/image_full": (ClipImage, ClipImageOptions()),
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


@pytest.mark.parametrize("name", _vectors("clip"))
def test_clip(name: str) -> None:
    _assert_close(parity.clip(name))


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


def test_clip_tokens() -> None:
    tokenizer = parity.clip_tokenizer()
    for case in json.loads((PARITY / "clip_tokens.json").read_text()):
        assert tokenizer.encode(case["prompt"]) == case["encoded"], case["prompt"]
        assert tokenizer.context(case["prompt"], 77) == (case["tokens"], case["length"])


def test_what_clip_does_not_read_of_a_prompt_is_told_in_words() -> None:
    tokenizer = parity.clip_tokenizer()
    assert tokenizer.cut("a " * 75, 77) == (75, "")
    assert tokenizer.cut("A CORGI, " * 25 + "caf\u00e9  lake", 77) == (77, "caf\u00e9 lake")
    for special in ("<|endoftext|>", "a \U0001f3a8 \u65e5\u672c", ""):
        assert tokenizer.decode(tokenizer.encode(special)).strip() == special


def test_another_file_is_no_vocabulary_of_clip(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.txt.gz"
    for content, message in ((b"#version\ni n\n", "cannot be read"), (b"\x1f\x8b", "cannot be")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            ClipTokenizer.from_file(path)
