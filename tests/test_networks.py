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
from torch import Tensor, nn

from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import VQGAN, Codebook
from bigart.networks.network import Network, on_meta
from bigart.networks.options import BASE, UPSAMPLER, GlideOptions, RRDBNetOptions, VQGANOptions
from bigart.networks.tokenizer import Tokenizer
from conftest import PARITY, fill, glide_options, normal, uniform

TOLERANCE = 1e-4

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


def _assert_close(ours: Tensor, recorded: np.ndarray) -> None:
    assert ours.shape == recorded.shape
    assert np.abs(ours.numpy() - recorded).max() < TOLERANCE


@pytest.mark.parametrize(
    "name",
    [
        *("base_small", "upsample_small", "base_inpaint_small"),
        pytest.param("base_full", marks=pytest.mark.full_size),
        pytest.param("upsample_full", marks=pytest.mark.full_size),
    ],
)
def test_glide(name: str, vectors: dict[str, dict], tokenizer: Tokenizer) -> None:
    vector = vectors[f"glide/{name}"]
    options = glide_options(vector["options"])
    batch, side = len(vector["prompts"]), options.image_size
    inputs = {"x": torch.from_numpy(normal(f"glide/{name}/x", (batch, 3, side, side)))}
    if options.super_res:
        low_res = normal(f"glide/{name}/low_res", (batch, 3, 64, 64)).clip(-1, 1)
        inputs["low_res"] = torch.from_numpy(low_res)
    if options.inpaint:
        kept = normal(f"glide/{name}/inpaint_image", (batch, 3, side, side)).clip(-1, 1)
        mask = normal(f"glide/{name}/inpaint_mask", (batch, 1, side, side)) > 0
        inputs |= {"inpaint_image": torch.from_numpy(kept), "inpaint_mask": torch.from_numpy(mask)}
    read = [tokenizer.context(prompt, options.text_ctx) for prompt in vector["prompts"]]
    tokens, token_mask = (torch.cat(parts) for parts in zip(*read, strict=True))
    network = fill(Text2ImUNet(options))

    text = network.encode_text(tokens, token_mask)
    y = network.denoise(timesteps=torch.tensor(vector["timesteps"]), text=text, **inputs)

    recorded = np.load(PARITY / f"glide_{name}.npz")
    _assert_close(text.proj, recorded["xf_proj"])
    features = network.text_features(tokens, token_mask)
    _assert_close(features[..., :16], recorded["xf_out"])
    step = 8 if options.super_res else 1
    _assert_close(y[..., ::step, ::step], recorded["y"])


@pytest.mark.parametrize(
    "name", ["small_x4", "small_x2", pytest.param("full_x4", marks=pytest.mark.full_size)]
)
def test_rrdbnet(name: str, vectors: dict[str, dict]) -> None:
    vector = vectors[f"bsrgan/{name}"]
    options = RRDBNetOptions(vector["sf"], vector["nf"], vector["nb"], vector["gc"])
    network = fill(RRDBNet(options), gain=vector["fill_gain"])
    x = torch.from_numpy(uniform(f"bsrgan/{name}/x", (1, 3, vector["h"], vector["w"])))
    recorded = np.load(PARITY / f"bsrgan_{name}.npz")["y"]
    step = vector["stored_step"]
    _assert_close(network(x)[..., ::step, ::step], recorded)
    _assert_close(network.enlarge(x, strip=16)[..., ::step, ::step], recorded)


@pytest.mark.parametrize(
    "name", ["small", pytest.param("full_f16_16384", marks=pytest.mark.full_size)]
)
def test_vqgan(name: str, vectors: dict[str, dict]) -> None:
    vector = vectors[f"vqgan/{name}"]
    config = vector["ddconfig"]
    options = VQGANOptions(
        channels=config["ch"],
        channel_mult=tuple(config["ch_mult"]),
        res_blocks=config["num_res_blocks"],
        attention_resolutions=tuple(config["attn_resolutions"]),
        resolution=config["resolution"],
        z_channels=config["z_channels"],
        embed_dim=vector["embed_dim"],
        codes=vector["n_embed"],
    )
    network = fill(VQGAN(options))
    x = normal(f"vqgan/{name}/x", (1, 3, vector["h"], vector["w"])).clip(-1, 1)
    recorded = np.load(PARITY / f"vqgan_{name}.npz")
    indices = network.indices(network.encode(torch.from_numpy(x)))
    assert np.array_equal(indices.flatten().numpy(), recorded["indices"])
    step = vector["stored_step"]
    _assert_close(network.decode(indices)[..., ::step, ::step], recorded["y"])


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
