"""Networks found in files as people have them: under any prefix, in any wrapper, among others."""

import argparse
import collections
import re
import subprocess
import sys
import types
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import enlarge
from bigart.errors import UserError
from bigart.networks.clip_options import ClipImageOptions, ClipTextOptions
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.unshuffled import UnshuffledRRDBNet
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.options import RRDBNetOptions
from bigart.weights import inspection
from bigart.weights.conversion import convert
from bigart.weights.inspection import inspect
from bigart.weights.layouts import recognise
from bigart.weights.table import ModelFile
from parity import fill, rule_weight
from test_checkpoints import (
    SMALL_GLIDE,
    SMALL_RRDB,
    SMALL_VQGAN,
    State,
    body_names,
    converted,
    equal,
    recognised,
    saved,
    sequential_names,
    small,
    state_of,
    wrapped,
)

ROOT = Path(__file__).parents[1]


def zeros(state: Mapping[str, Tensor]) -> State:
    """Another network of the same kind, which must not be the one that is taken."""
    return {name: torch.zeros_like(value) for name, value in state.items()}


def without_dots(state: State) -> State:
    """The names of latent diffusion's moving averages."""
    return {f"model_ema.{name.replace('.', '')}": value for name, value in state.items()}


PREFIXES = [
    "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "generator.", "netG.",
    "net_g.", "G.", "model.", "first_stage_model.", "model.generator.", "module.netG.module.",
    "_fsdp_wrapped_module.", "net.1.",
]  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("naming", [str, body_names, lambda name: sequential_names(name, 4)])
def test_every_prefix_of_every_naming_is_dropped(prefix, naming):
    state = small()
    found = recognise({prefix + naming(name): value for name, value in state.items()}, "rrdbnet")
    assert found.options == SMALL_RRDB
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[name], state[name]) for name in state)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [("glide", replace(SMALL_GLIDE, super_res=False)), ("vqgan", SMALL_VQGAN)],
)
def test_prefixes_of_the_other_networks(architecture, options):
    state = state_of(architecture, options)
    for prefix in ("module.", "model._orig_mod.", "first_stage_model."):
        found = recognise(wrapped(state, prefix), architecture)
        assert found.state.keys() == state.keys()


CONTAINERS: dict[str, Any] = {
    "state_dict": lambda state: {"state_dict": state, "epoch": 1},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": {}},
    "g_ema": lambda state: {
        "g": zeros(state),
        "g_ema": state,
        "d": {"main.0.weight": torch.ones(1)},
    },
    "params_ema": lambda state: {"params": zeros(state), "params_ema": state},
    "params-ema": lambda state: {"params-ema": state, "params": zeros(state)},
    "params": lambda state: {"params": state},
    "ema beside": lambda state: {"model": zeros(state), "ema": {"module": state}},
    "timm": lambda state: {"state_dict": zeros(state), "state_dict_ema": state},
    "mmagic": lambda state: {
        "state_dict": wrapped(zeros(state), "generator.")
        | wrapped(state, "generator_ema.")
        | {"step_counter": torch.ones(1), "discriminator.conv0_0.weight": torch.ones(1)}
    },
    "swa": lambda state: {"n_averaged": torch.tensor(3)} | wrapped(state, "module."),
    "ema_pytorch": lambda state: (
        {"step": torch.ones(1), "initted": torch.ones(1)}
        | wrapped(zeros(state), "online_model.")
        | wrapped(state, "ema_model.")
    ),
    "deep": lambda state: {"checkpoint": {"models": {"net_g": {"weights": state}}}},
    "optimizer": lambda state: {
        "generator": state,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}},
        "discriminator": {"conv0_0.weight": torch.ones(1)},
    },
    "LitEma": lambda state: {"state_dict": zeros(state) | without_dots(state)},
    "inner wrapper": lambda state: {
        name.replace("RRDB_trunk.", "RRDB_trunk._orig_mod."): v for name, v in state.items()
    },
    "checkpointed": lambda state: {
        name.replace("RDB1.", "RDB1._checkpoint_wrapped_module."): v for name, v in state.items()
    },
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_is_opened_and_the_moving_average_is_taken(tmp_path, kind):
    state = small()
    assert equal(converted(tmp_path, CONTAINERS[kind](state)), state)
    assert inspect(tmp_path / "source.pth", "rrdbnet").options == SMALL_RRDB


def test_a_module_that_was_pickled_whole(tmp_path):
    """Nothing of it is built: its parts are read as what they are, dictionaries."""
    network = fill(RRDBNet(SMALL_RRDB))
    for content in (network, {"netG": network, "epoch": 3}):
        assert equal(converted(tmp_path, content), network.state_dict())
        assert inspect(tmp_path / "source.pth", "rrdbnet").options == SMALL_RRDB


def test_several_networks_are_not_chosen_from(tmp_path):
    pair = wrapped(small(), "netG_A.") | wrapped(small(), "netG_B.")
    for content, message in (
        (pair, r"several networks, under 'netG_A\.', 'netG_B\.': save one of them alone"),
        ({"ema_1": small(), "ema_2": small()}, r"several networks, under 'ema_1\.', 'ema_2\.'"),
        (small() | wrapped(small(), "module."), r"several networks, under '', 'module\.'"),
        (small() | {"_orig_mod.conv_last.bias": torch.zeros(3)}, r"'conv_last\.bias' twice"),
    ):
        with pytest.raises(UserError, match=message):
            converted(tmp_path, content)


def test_vqgans_whose_codebook_was_averaged_or_remapped(tmp_path):
    """What a codebook's training counted, and a transformer's choice of codes, make no picture."""
    state, codes = state_of("vqgan", SMALL_VQGAN), SMALL_VQGAN.codes
    average = {
        "quantize.embedding.cluster_size": torch.ones(codes),
        "quantize.embedding.embed_avg": torch.ones(codes, SMALL_VQGAN.embed_dim),
    }
    other = {"quantize.cluster_size": torch.ones(codes), "quantize.embedding_avg": torch.ones(1)}
    remapped = {"quantize.used": torch.arange(5)}
    for extra in (average, other, remapped, average | remapped):
        network = converted(tmp_path, {"state_dict": state | extra}, "vqgan")
        assert isinstance(network, VQGAN)
        assert equal(network, state)


def test_a_first_stage_is_taken_out_of_latent_diffusion_and_of_a_transformer(tmp_path):
    state = state_of("vqgan", SMALL_VQGAN)
    latent = wrapped(state, "first_stage_model.") | {
        "model.diffusion_model.input_blocks.0.0.weight": torch.ones(1),
        "model_ema.diffusion_modelinput_blocks00weight": torch.ones(1),
    }
    transformer = wrapped(state, "first_stage_model.") | wrapped(zeros(state), "cond_stage_model.")
    for content in (latent, transformer):
        assert equal(converted(tmp_path, {"state_dict": content}, "vqgan"), state)


def later_names(state: Mapping[str, Tensor]) -> State:
    return {body_names(name): value for name, value in state.items()}


def of_scale_8(naming: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an RRDBNet with three upsamplings."""
    if naming != "sequence":
        rename = body_names if naming == "later" else str
        third = {rename(f"upconv3.{part}"): (8,) for part in ("weight", "bias")}
        return {rename(name): tuple(value.shape) for name, value in small().items()} | third
    found = {sequential_names(name, 4): tuple(value.shape) for name, value in small().items()}
    moved = {name.replace("model.8.", "model.11."): v for name, v in found.items()}
    moved = {name.replace("model.10.", "model.13."): v for name, v in moved.items()}
    return moved | {"model.9.weight": (8, 8, 3, 3), "model.9.bias": (8,)}


@pytest.mark.parametrize("naming", ["bsrgan", "later", "sequence"])
def test_x8_is_one_sentence_in_every_naming(naming):
    with pytest.raises(UserError) as caught:
        recognised("rrdbnet", of_scale_8(naming))
    assert str(caught.value) == "this RRDBNet enlarges 8 times; allowed: 4 times or 2 times"


def unshuffled_state(channels: int = 12) -> State:
    """RealESRGAN_x2plus in small, under its names."""
    state = state_of("rrdbnet", SMALL_RRDB)
    state["conv_first.weight"] = rule_weight("conv_first.weight", (8, channels, 3, 3))
    return later_names(state)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (48, "enlarges 1 times; allowed: 4 times or 2 times"),  # RealESRGAN's x1
        (1, "reads pictures of 1 channels; allowed: 3"),
        (4, "reads pictures of 4 channels; allowed: 3"),
        (9, "reads pictures of 9 channels; allowed: 3"),
    ],
)
def test_other_inputs_of_an_rrdbnet_are_one_sentence(tmp_path, channels, message):
    source = saved(tmp_path / "a.pth", unshuffled_state(channels=channels))
    for read in (inspect, lambda path, kind: convert(path, tmp_path / "out.safetensors", kind)):
        with pytest.raises(UserError, match=message):
            read(source, "rrdbnet")


def test_realesrgan_x2plus_in_its_published_size(published_shapes):
    shapes = {body_names(n): tuple(shape) for n, shape in published_shapes["bsrgan/BSRGAN"].items()}
    shapes["conv_first.weight"] = (64, 12, 3, 3)
    assert recognised("rrdbnet", wrapped(shapes, "params_ema.")) == RRDBNetOptions(scale=2)


def by_hand(state: State, x: Tensor) -> Tensor:
    """RealESRGAN_x2plus without this project's modules."""

    def conv(name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    def dense(name: str, x: Tensor) -> Tensor:
        seen = x
        for i in range(1, 5):
            made = F.leaky_relu(conv(f"{name}.conv{i}", seen), 0.2)
            seen = torch.cat([seen, made], dim=1)
        return x + 0.2 * conv(f"{name}.conv5", seen)

    blocks = [x[:, :, i::2, j::2] for i in range(2) for j in range(2)]
    first = conv("conv_first", torch.stack(blocks, dim=2).flatten(1, 2))
    h = first
    for i in range(SMALL_RRDB.blocks):
        inner = h
        for j in range(1, 4):
            inner = dense(f"body.{i}.rdb{j}", inner)
        h = h + 0.2 * inner
    h = first + conv("conv_body", h)
    for name in ("conv_up1", "conv_up2"):
        large = h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        h = F.leaky_relu(conv(name, large), 0.2)
    return conv("conv_last", F.leaky_relu(conv("conv_hr", h), 0.2))


def test_an_rrdbnet_with_pixel_unshuffle_enlarges_twice(tmp_path):
    state = unshuffled_state()
    network = converted(tmp_path, {"params_ema": state})
    assert isinstance(network, UnshuffledRRDBNet)
    assert network.options == replace(SMALL_RRDB, scale=2)
    x = torch.rand(1, 3, 38, 10, generator=torch.Generator().manual_seed(1))
    expected = by_hand(state, x)
    assert expected.shape == (1, 3, 76, 20)
    with torch.inference_mode():
        assert (network(x) - expected).abs().max() <= 1e-6
        for strip in (3, 256):
            assert (network.enlarge(x, strip) - expected).abs().max() <= 1e-6
        odd = network.enlarge(x[:, :, :37, :9])
        mirrored = F.pad(x[:, :, :37, :9], (0, 1, 0, 1), "reflect")
    assert (odd - by_hand(state, mirrored)[:, :, :74, :18]).abs().max() <= 1e-6
    assert network.enlarge(x[:, :, :1, :1]).shape == (1, 3, 2, 2)


def test_the_command_enlarges_with_it(tmp_path):
    source, model = saved(tmp_path / "a.pth", unshuffled_state()), tmp_path / "a.safetensors"
    convert(source, model, "rrdbnet")
    Image.fromarray(np.full((5, 7, 3), 90, np.uint8)).save(tmp_path / "in.png")
    arguments = argparse.Namespace(
        image=tmp_path / "in.png", out=tmp_path / "out.png", stage="enlarged", scale=2, strip=256,
        model=model, device="cpu", precision="fp32", engine="native", threads=None,
    )  # fmt: skip
    enlarge.run(arguments)
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (14, 10)
    arguments.scale = 4
    with pytest.raises(UserError, match="enlarges 2 times; 4 are needed"):
        enlarge.run(arguments)
    arguments.engine = "upstream"
    with pytest.raises(
        UserError, match=r"engine: upstream cannot run .*x2plus\); use --engine native"
    ):
        enlarge.run(arguments)
    file = ModelFile(name="x2", architecture="rrdbnet", path=model, ready=True)
    [error] = inspection.check_set({"enlarger": file}, tmp_path)
    assert "must enlarge 4 times" in error
    model.write_bytes(model.read_bytes()[:-1])
    [error] = inspection.check_set({"enlarger": file}, tmp_path)
    assert "damaged: its end is missing" in error
    [error] = inspection.check_set({"enlarger": file.model_copy(update={"path": source})})
    assert "does not say what network it is" in error


OTHERS = {
    "quantize.embed.weight": "a VQGAN with Gumbel quantisation",
    "quantize.embed": "a VQGAN with another codebook",
    "quantize._codebook.embed": "a VQGAN with another codebook",
    "quantize_t.embed": "a VQ-VAE-2",
    "first_stage_model.quant_conv.weight": r"an autoencoder without a codebook \(KL\)",
    "state_dict.model.diffusion_model.input_blocks.0.0.weight": "a Stable Diffusion checkpoint",
    "conditioner.embedders.0.transformer.text_model.x": "a Stable Diffusion XL checkpoint",
    "model.diffusion_model.double_blocks.0.img_attn.qkv.weight": "a Flux",
    "lora_unet_down_blocks_0_attentions_0.lora_down.weight": "a LoRA",
    "unet.down_blocks.0.attentions.0.lora_A.weight": "a LoRA",
    "control_model.input_blocks.0.0.weight": "a ControlNet",
    "down_blocks.0.resnets.0.conv1.weight": "a part of a Stable Diffusion in the form of diffusers",
    "input_blocks.0.0.weight": "a diffusion network without GLIDE's text transformer",
    "text_model.embeddings.token_embedding.weight": "a CLIP network",
    "netD.model.0.weight": "a discriminator",
    "params.conv0_0.weight": "a discriminator",
    "params.conv1.weight_orig": "a discriminator",
    "features.0.weight": "an image classifier",
    "params.body.0.weight": r"a compact Real-ESRGAN \(SRVGGNet\)",
    "params_ema.layers.0.residual_group.blocks.0.norm1.weight": "a transformer",
    "model.1.sub.0.RDB1.conv1.0.weight": r"an RRDBNet \(ESRGAN, BSRGAN\), not a VQGAN",
    "params.body.0.srdb1.conv1.weight": "an RRDBNet of another form",
    "optimizer.state.0.exp_avg": "the state of an optimizer",
    "hello\x1b[2J": r"an unknown network \(hello\\x1b\[2J",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_named_for_what_they_are(name):
    found = {name: types.SimpleNamespace(shape=(8, 8))}
    for architecture in ("vqgan", "rrdbnet", "glide"):
        if not (architecture == "rrdbnet" and "RDB1" in name):
            with pytest.raises(UserError) as caught:
                recognise(found, architecture)
            assert len(str(caught.value).splitlines()) == 1
            if architecture == "vqgan":
                caught.match(f"^this is {OTHERS[name]}")


def test_a_codebook_with_another_encoder_is_named():
    names = ("quantize.embedding.weight", "encoder.blocks.0.weight")
    with pytest.raises(UserError, match=r"another encoder than a VQGAN's .*CodeFormer"):
        recognise({name: types.SimpleNamespace(shape=(8, 8)) for name in names}, "vqgan")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:" + bytes(99), "it is an ONNX model"),
        (b"\x08\x08:\xff\x01" + bytes(99), "it is an ONNX model"),
        (b"\n\n<!DOCTYPE html>", "it is a web page"),
        (b"GGUF\x03" + bytes(99), "it is a GGUF model"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "it is an HDF5 file"),
        (b"\x1f\x8b\x08" + bytes(99), "it is an archive: unpack it"),
        (b"Rar!\x1a\x07" + bytes(99), "it is an archive: unpack it"),
        (b"\x89PNG\r\n" + bytes(99), "it is a picture"),
        (b'{"weight_map": {"a": "model-00001.safetensors"}}', "it is a JSON file"),
        (b"7767517\n75 83\n", "is one of the two files of an ncnn model"),
        (b"network_g:\n  type: RRDBNet\n", "it is a text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "a Git LFS pointer"),
        (b"", "it is empty"),
    ],
)
def test_files_of_other_programs_are_named(tmp_path, content, message):
    (tmp_path / "a.pth").write_bytes(content)
    for read in (inspect, lambda path, kind: convert(path, tmp_path / "out.safetensors", kind)):
        with pytest.raises(UserError, match=message):
            read(tmp_path / "a.pth", "rrdbnet")


def test_a_zipped_checkpoint_and_a_training_state_are_named(tmp_path):
    saved(tmp_path / "net.pth", small())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "net.pth", "models/net.pth")
    state = {"epoch": 3, "iter": 9, "optimizers": [{}], "schedulers": []}
    saved(tmp_path / "a.state", state)
    for name, message in (
        ("a.zip", r"Unpack it: .*models/net\.pth"),
        ("a.state", "training state"),
    ):
        for read in (inspect, lambda path, kind: convert(path, tmp_path / "out", kind)):
            with pytest.raises(UserError, match=message):
                read(tmp_path / name, "rrdbnet")


@pytest.mark.parametrize("form", ["zip", "before-1.6", "safetensors", "converted"])
def test_inspection_tells_what_conversion_does(tmp_path, form):
    path = tmp_path / "a"
    for architecture, options in (
        ("rrdbnet", SMALL_RRDB), ("rrdbnet", replace(SMALL_RRDB, scale=2)), ("vqgan", SMALL_VQGAN)
    ):  # fmt: skip
        state = state_of(architecture, options)
        if form == "safetensors":
            safetensors.torch.save_file(state, path)
        else:
            saved(path, collections.OrderedDict(state), legacy=form == "before-1.6")
        if form == "converted":
            convert(path, tmp_path / "b", architecture)
            path = tmp_path / "b"
        found = inspect(path, architecture, converted=form == "converted")
        assert found.options == options
        assert {n: s.shape for n, s in found.state.items()} == {
            n: v.shape for n, v in state.items()
        }


def test_inspection_needs_no_torch():
    code = (
        "import sys; from bigart.weights import inspection\n"
        "found = inspection.inspect('models/embedded/enlarger.safetensors', 'rrdbnet')\n"
        "assert found.options.scale == 4 and 'torch' not in sys.modules"
    )
    environment = {"PYTHONPATH": str(ROOT / "workflow/scripts")}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment)


def test_all_that_is_wrong_with_a_set_comes_at_once(tmp_path):
    upsampler = replace(SMALL_GLIDE, super_res=True)
    networks = {
        "base": ("glide", state_of("glide", upsampler)),
        "upsampler": ("glide", state_of("glide", upsampler)),
        "enlarger": ("rrdbnet", unshuffled_state()),
        "detailer": ("vqgan", {"quantize.embed.weight": torch.ones(3)}),
    }
    files = {
        role: ModelFile(
            name=role, architecture=architecture, path=saved(tmp_path / f"{role}.pth", state)
        )
        for role, (architecture, state) in networks.items()
    }
    words = tmp_path / "encoder.json"
    words.write_text("{}")
    files["vocabulary"] = ModelFile(name="words", architecture="vocabulary", path=words, ready=True)
    errors = inspection.check_set(files, tmp_path)
    for error, message in zip(
        errors,
        [
            r"^base: `base`, .*base\.pth: it is a GLIDE of the role upsampler",
            r"^upsampler: .*knows 300 tokens, and the vocabulary .*encoder\.json has 0",
            r"^enlarger: .*enlarger\.pth: it enlarges 2 times, .* must enlarge 4 times",
            r"^detailer: .*detailer\.pth: this is a VQGAN with Gumbel quantisation",
        ],
        strict=True,
    ):
        assert re.search(message, error)


def test_a_converted_file_may_be_of_an_earlier_checkpoint(tmp_path):
    """It is converted again then, so only the checkpoint says what will be used."""
    source, target = saved(tmp_path / "my.pth", unshuffled_state()), tmp_path / "my.safetensors"
    files = {"enlarger": ModelFile(name="my", architecture="rrdbnet", path=source)}
    assert len(inspection.check_set(files, tmp_path)) == 1
    convert(source, target, "rrdbnet")
    saved(source, small())
    assert inspection.check_set(files, tmp_path) == []
    target.write_bytes(target.read_bytes()[:-1])
    assert "its end is missing" in "".join(inspection.check_set(files, tmp_path))
    convert(source, target, "rrdbnet")
    source.unlink()
    assert inspection.check_set(files, tmp_path) == []
    convert(saved(source, unshuffled_state()), target, "rrdbnet")
    source.unlink()
    assert "must enlarge 4 times" in "".join(inspection.check_set(files, tmp_path))


SMALL_CLIP = {
    "clip-text": ClipTextOptions(vocab=90, text_ctx=7, width=32, layers=2, heads=2, embedding=8),
    "clip-image": ClipImageOptions(image_size=8, timesteps=9, width=32, layers=2, embedding=8),
}


@pytest.mark.parametrize("architecture", SMALL_CLIP)
def test_the_encoders_of_noised_clip_are_known_by_their_names(tmp_path, architecture):
    state = state_of(architecture, replace(SMALL_CLIP[architecture], heads=1))
    for content in (state, {"model": wrapped(state, "module.")}):
        network = converted(tmp_path, content, architecture)
        assert equal(network, state)
        assert network.options == replace(SMALL_CLIP[architecture], heads=1)
    found = inspect(tmp_path / "target.safetensors", architecture, {"heads": 1}, converted=True)
    assert found.architecture == architecture
    assert recognise(state, architecture, {"heads": 4}).options.heads == 4
    with pytest.raises(UserError, match=r"options state layers 3, and the shapes .* say layers 2"):
        recognise(state, architecture, {"layers": 3})
    other = next(kind for kind in SMALL_CLIP if kind != architecture)
    with pytest.raises(UserError, match=r"this is the (text|image) encoder of noised CLIP"):
        converted(tmp_path, state, other)
    del state["blocks.output.f.w"]
    with pytest.raises(UserError, match=r"incomplete or damaged: blocks\.output\.f\.w is missing"):
        converted(tmp_path, state, architecture)
