"""Reading checkpoints: every published format, every kind of damage, and nothing is ever run.

The files are written by torch.save with weights made from their names (the rule in
data/parity/README.md), so that each has the format, the names and the shapes of a published one.
"""

import argparse
import collections
import contextlib
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bigart.errors import UserError
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.network import on_meta
from bigart.networks.options import BASE, UPSAMPLER, GlideOptions, RRDBNetOptions, VQGANOptions
from bigart.weights import archives, conversion
from bigart.weights.conversion import convert, open_network, read_checkpoint
from bigart.weights.network_file import options_from
from bigart.weights.table import ROLES
from conftest import rule_weight

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"

SMALL_RRDB = RRDBNetOptions(scale=4, features=8, blocks=2, growth=4)
SMALL_VQGAN = VQGANOptions(
    channels=32, channel_mult=(1, 2), res_blocks=1, attention_resolutions=(128,),
    z_channels=16, embed_dim=8, codes=32,
)  # fmt: skip
SMALL_GLIDE = GlideOptions(
    channels=32, res_blocks=1, channel_mult=(1, 2), head_channels=32, text_width=32,
    text_layers=1, text_heads=2, vocab=300,
)  # fmt: skip

State = dict[str, Tensor]


def state_of(architecture: str, options: conversion.Options) -> State:
    shapes = conversion.expected_shapes(architecture, options)
    return {name: rule_weight(name, shape) for name, shape in shapes.items()}


def small() -> State:
    return state_of("rrdbnet", SMALL_RRDB)


def saved(path: Path, content: object, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def equal(network: nn.Module, state: Mapping[str, Tensor]) -> bool:
    found = network.state_dict()
    return found.keys() == state.keys() and all(torch.equal(found[n], state[n]) for n in state)


# ---- the published formats -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "architecture", "options"),
    [
        ("glide/base", "glide", BASE),
        ("glide/upsample", "glide", UPSAMPLER),
        ("glide/base_inpaint", "glide", replace(BASE, inpaint=True)),
        ("glide/upsample_inpaint", "glide", replace(UPSAMPLER, inpaint=True)),
        ("bsrgan/BSRGAN", "rrdbnet", RRDBNetOptions()),
        ("bsrgan/BSRNet", "rrdbnet", RRDBNetOptions()),
        ("bsrgan/BSRGANx2", "rrdbnet", RRDBNetOptions(scale=2)),
        ("vqgan/imagenet_f16_16384", "vqgan", VQGANOptions()),
        ("vqgan/imagenet_f16_1024", "vqgan", VQGANOptions(codes=1024)),
    ],
)
def test_every_published_layout_is_recognised_and_fits(
    published_shapes: dict[str, dict[str, list[int]]],
    layout: str,
    architecture: str,
    options: conversion.Options,
) -> None:
    state = {name: stored(tuple(shape)) for name, shape in published_shapes[layout].items()}
    assert conversion.infer_options(architecture, state) == options
    conversion.verify(state, architecture, options)


def stored(shape: tuple[int, ...]) -> archives.StoredTensor:
    return archives.StoredTensor(None, None, torch.float32, shape, (), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before-1.6"])
def test_a_full_size_bsrgan(
    published_shapes: dict[str, dict[str, list[int]]], tmp_path: Path, legacy: bool
) -> None:
    shapes = published_shapes["bsrgan/BSRGAN"]
    state = {name: torch.full(shape, 0.01) for name, shape in shapes.items()}
    state["HRconv.weight"] = rule_weight("HRconv.weight", tuple(shapes["HRconv.weight"]))
    source = saved(tmp_path / "BSRGAN.pth", collections.OrderedDict(state), legacy)
    assert abs(source.stat().st_size - 67_046_751) < 500_000  # as large as the published one

    metadata = convert(source, tmp_path / "bsrgan.safetensors", "rrdbnet")
    assert json.loads(metadata["options"]) == {
        "scale": 4, "features": 64, "blocks": 23, "growth": 32,
    }  # fmt: skip
    network, loaded = open_network(tmp_path / "bsrgan.safetensors")
    assert isinstance(network, RRDBNet)
    assert loaded == metadata
    assert not network.training
    assert equal(network, state)


@pytest.fixture
def lightning() -> Iterator[types.ModuleType]:
    """A stand-in for the training framework whose classes a .ckpt is full of."""
    module = types.ModuleType("pytorch_lightning.callbacks")
    callback = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = callback  # type: ignore[attr-defined]
    parent = types.ModuleType("pytorch_lightning")
    sys.modules |= {"pytorch_lightning": parent, module.__name__: module}
    yield module
    del sys.modules["pytorch_lightning"], sys.modules[module.__name__]


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before-1.6"])
def test_a_lightning_checkpoint(lightning: types.ModuleType, tmp_path: Path, legacy: bool) -> None:
    state = state_of("vqgan", SMALL_VQGAN)
    training = {
        "loss.discriminator.main.0.weight": torch.ones(4, 3, 4, 4),
        "loss.perceptual_loss.net.slice1.0.weight": torch.ones(64, 3, 3, 3),
        "loss.logvar": torch.tensor(0.0),
    }
    callback = lightning.ModelCheckpoint()
    callback.best, callback.folder = np.float64(0.25), Path("somewhere")
    content = {
        "epoch": 3,
        "global_step": 12345,
        "pytorch-lightning_version": "1.0.8",
        "callbacks": {lightning.ModelCheckpoint: {"best_model_score": torch.tensor(0.1)}},
        "instances": [callback, argparse.Namespace(lr=np.float32(1e-4)), {1, 2}, np.arange(3)],
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(50), "step": 7}}}],
        "lr_schedulers": [],
        "state_dict": collections.OrderedDict(training | state),
    }
    source = saved(tmp_path / "last.ckpt", content, legacy)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(source, weights_only=True)  # why this project has its own reader
    del content, callback
    sys.modules["pytorch_lightning.callbacks"].__dict__.pop("ModelCheckpoint")

    convert(source, tmp_path / "vqgan.safetensors", "vqgan")
    network, metadata = open_network(tmp_path / "vqgan.safetensors")
    assert isinstance(network, VQGAN)
    assert options_from(metadata, VQGANOptions) == SMALL_VQGAN
    assert equal(network, state)


def test_a_fine_tuned_glide(tmp_path: Path) -> None:
    """Heads leave no trace in the shapes, so a GLIDE of one's own sizes states its options."""
    state = state_of("glide", SMALL_GLIDE)
    source = saved(tmp_path / "tuned.pt", state)
    stated = {
        "channels": 32, "res_blocks": 1, "channel_mult": [1, 2], "head_channels": 32,
        "text_width": 32, "text_layers": 1, "text_heads": 2, "vocab": 300,
    }  # fmt: skip
    convert(source, tmp_path / "glide.safetensors", "glide", stated)
    network, _ = open_network(tmp_path / "glide.safetensors")
    assert isinstance(network, Text2ImUNet)
    assert network.options == SMALL_GLIDE
    assert equal(network, state)


def body_names(name: str) -> str:
    """The names of later ESRGAN trainers."""
    name = name.replace("RRDB_trunk", "body").replace("RDB", "rdb")
    for old, new in (
        ("trunk_conv", "conv_body"), ("upconv", "conv_up"), ("HRconv", "conv_hr"),
    ):  # fmt: skip
        name = name.replace(old, new)
    return name


def sequential_names(scale: int) -> Callable[[str], str]:
    """The names of the first ESRGAN: places in nested sequences."""
    tail = {4: {"upconv1": 3, "upconv2": 6, "HRconv": 8, "conv_last": 10}}
    tail[2] = {"upconv1": 3, "HRconv": 5, "conv_last": 7}

    def rename(name: str) -> str:
        parts = name.split(".")
        if parts[0] == "RRDB_trunk":
            return f"model.1.sub.{parts[1]}.{parts[2]}.{parts[3]}.0.{parts[4]}"
        if parts[0] == "trunk_conv":
            return f"model.1.sub.{SMALL_RRDB.blocks}.{parts[1]}"
        return f"model.{ {'conv_first': 0, **tail[scale]}[parts[0]] }.{parts[1]}"

    return rename


@pytest.mark.parametrize("scale", [4, 2])
@pytest.mark.parametrize("names", ["published", "body", "sequential"])
def test_the_three_namings_of_the_esrgan_family(tmp_path: Path, names: str, scale: int) -> None:
    state = state_of("rrdbnet", replace(SMALL_RRDB, scale=scale))
    rename = {"published": str, "body": body_names, "sequential": sequential_names(scale)}[names]
    source = saved(tmp_path / "a.pth", {rename(name): value for name, value in state.items()})
    convert(source, tmp_path / "a.safetensors", "rrdbnet")
    network, metadata = open_network(tmp_path / "a.safetensors")
    assert json.loads(metadata["options"])["scale"] == scale
    assert equal(network, state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 1},
        lambda s: {"params": {n: torch.zeros_like(v) for n, v in s.items()}, "params_ema": s},
        lambda s: {"model": {"state_dict": s}},
        lambda s: {"module." + n: v for n, v in s.items()},
        lambda s: {n: nn.Parameter(v) for n, v in s.items()},
        lambda s: {n: v.t().contiguous().t() if v.ndim == 2 else v for n, v in s.items()},
    ],
    ids=["bare", "state_dict", "params_ema", "model", "module.", "parameters", "strides"],
)
def test_wrappers_are_opened(tmp_path: Path, wrap: Callable[[State], object]) -> None:
    state = small()
    convert(saved(tmp_path / "a.pth", wrap(state)), tmp_path / "a.safetensors", "rrdbnet")
    assert equal(open_network(tmp_path / "a.safetensors")[0], state)


def test_safetensors_from_elsewhere(tmp_path: Path) -> None:
    state = small()
    safetensors.torch.save_file(state, tmp_path / "a.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="does not say what network it is"):
        open_network(tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", "rrdbnet")
    assert equal(open_network(tmp_path / "b.safetensors")[0], state)
    assert safetensors.torch.load_file(tmp_path / "b.safetensors").keys() == state.keys()


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        ({torch.float16}, torch.float16),
        ({torch.bfloat16}, torch.bfloat16),
        ({torch.float64}, torch.float32),
        ({torch.float16, torch.float32}, torch.float32),
    ],
)
def test_half_precision_files_stay_half(
    tmp_path: Path, stored: set[torch.dtype], kept: torch.dtype
) -> None:
    order = sorted(stored, key=str)
    state = {n: v.to(order[i % len(order)]) for i, (n, v) in enumerate(small().items())}
    convert(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", "rrdbnet")
    network, _ = open_network(tmp_path / "a.safetensors")
    assert {p.dtype for p in network.parameters()} == {kept}
    assert equal(network, {n: v.to(kept) for n, v in state.items()})
    wide, _ = open_network(tmp_path / "a.safetensors", dtype=torch.float32)
    assert {p.dtype for p in wide.parameters()} == {torch.float32}


def test_tensors_that_share_a_storage(tmp_path: Path) -> None:
    """Checkpoints may keep many tensors in one run of memory."""
    state = small()
    flat = torch.cat([v.reshape(-1) for v in state.values()])
    at, views = 0, {}
    for name, value in state.items():
        views[name] = flat[at : at + value.numel()].view(value.shape)
        at += value.numel()
    convert(saved(tmp_path / "a.pth", views), tmp_path / "a.safetensors", "rrdbnet")
    assert equal(open_network(tmp_path / "a.safetensors")[0], state)


def test_a_network_trained_here_is_saved_in_the_same_form(tmp_path: Path) -> None:
    network = RRDBNet(SMALL_RRDB)
    conversion.save_network(network, tmp_path / "a.safetensors", "rrdbnet")
    opened, metadata = open_network(tmp_path / "a.safetensors")
    assert metadata["architecture"] == "rrdbnet"
    assert equal(opened, {n: v.half() for n, v in network.state_dict().items()})
    with torch.no_grad():
        network.conv_first.weight[0] = 1e6  # more than fp16 holds
    with pytest.raises(UserError, match=r"conv_first\.weight holds 27 values that are not finite"):
        conversion.save_network(network, tmp_path / "b.safetensors", "rrdbnet")
    assert not (tmp_path / "b.safetensors").exists()


# ---- nothing is run -----------------------------------------------------------------------------


def attack_by_reduce(module: str, name: str, argument: str) -> bytes:
    return f"c{module}\n{name}\n(V{argument}\ntR".encode()


def attack_by_inst(module: str, name: str, argument: str) -> bytes:
    return f"(V{argument}\ni{module}\n{name}\n".encode()


def attack_by_obj(module: str, name: str, argument: str) -> bytes:
    return f"(c{module}\n{name}\nV{argument}\no".encode()


def attack_by_build(module: str, name: str, argument: str) -> bytes:
    """Set ``__setstate__`` of an object to a function, then build once more."""
    function = f"c{module}\n{name}\n".encode()
    return (
        b"ccollections\nOrderedDict\n)R}V__setstate__\n"
        + function
        + (f"sb(V{argument}\nlb".encode())
    )


def attack_by_newobj(module: str, name: str, argument: str) -> bytes:
    return f"c{module}\n{name}\n(V{argument}\nt\x81".encode("latin-1")


def attack_by_stack_global(module: str, name: str, argument: str) -> bytes:
    return f"V{module}\nV{name}\n\x93(V{argument}\ntR".encode("latin-1")


def attack_through_tensor(module: str, name: str, argument: str) -> bytes:
    """Smuggle the call in as the function that rebuilds a tensor subclass."""
    inner = f"(c{module}\n{name}\nctorch\nTensor\n(V{argument}\nt}}t".encode()
    return b"ctorch._tensor\n_rebuild_from_type_v2\n" + inner + b"R"


ATTACKS = [
    attack_by_reduce, attack_by_inst, attack_by_obj, attack_by_build, attack_by_newobj,
    attack_by_stack_global, attack_through_tensor,
]  # fmt: skip


def with_pickle(path: Path, program: bytes, state: State | None = None) -> Path:
    """Write torch's zip format with any program as its table of contents."""
    source = io.BytesIO()
    torch.save(state or {}, source)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            data = program if info.filename.endswith("data.pkl") else old.read(info)
            new.writestr(info.filename, data)
    return path


def table_of(state: State) -> bytes:
    source = io.BytesIO()
    torch.save(state, source)
    with zipfile.ZipFile(source) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))


def with_attack_beside(state: State, attack: bytes) -> bytes:
    """A complete state dict under "state_dict", and an attack under another key."""
    table = table_of(state)
    assert table.startswith(b"\x80\x02")
    assert table.endswith(b".")
    return b"\x80\x02}(Vcallbacks\n" + attack + b"Vstate_dict\n" + table[2:-1] + b"u."


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("posix", "system"), ("subprocess", "getoutput")]
)
@pytest.mark.parametrize("form", ["zip", "beside", "legacy", "bare"])
def test_no_command_is_run(
    tmp_path: Path, attack: Callable[[str, str, str], bytes], module: str, name: str, form: str
) -> None:
    sentinel = tmp_path / "was-run"
    program = attack(module, name, f"touch {sentinel}")
    path = tmp_path / "evil.pth"
    if form == "zip":
        with_pickle(path, b"\x80\x04" + program + b".")
    elif form == "beside":
        with_pickle(path, with_attack_beside(small(), program), small())
    elif form == "legacy":
        magic = pickle.dumps(archives._LEGACY_MAGIC, 2) + pickle.dumps(1001, 2)
        path.write_bytes(magic + pickle.dumps({}, 2) + b"\x80\x04" + program + b"." + b"].")
    else:
        path.write_bytes(b"\x80\x04" + program + b".")
    with pytest.raises(UserError) as caught:
        read_checkpoint(path)
    assert not sentinel.exists()
    if attack is not attack_by_build:
        assert f"tries to call {module}.{name}" in str(caught.value)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("__builtin__", "eval"),
        ("torch.hub", "load"),
        ("torch", "load"),
        ("torch.serialization", "load"),
        ("numpy", "load"),
        ("pickle", "loads"),
        ("operator", "attrgetter"),
        ("functools", "partial"),
        ("bigart.running.files", "sha256"),
        ("logging.config", "dictConfig"),
        ("collections", "OrderedDict.__reduce__"),
    ],
)
def test_no_function_is_called(
    tmp_path: Path, attack: Callable[[str, str, str], bytes], module: str, name: str
) -> None:
    """What is not recognised as an attack is inert, and the weights beside it are read."""
    sentinel = tmp_path / "was-run"
    code = f"__import__('pathlib').Path({str(sentinel)!r}).touch()"
    path = tmp_path / "evil.pth"
    program = attack(module, name, code)
    with_pickle(path, with_attack_beside(small(), program), small())
    try:
        state = read_checkpoint(path)
    except UserError:
        pass
    else:
        assert state.keys() == small().keys()
    assert not sentinel.exists()


def test_a_pickle_cannot_change_the_reader(tmp_path: Path) -> None:
    """BUILD sets attributes: neither on the functions nor on the tensors does it do anything."""
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    program = rebuild + b"(NV__defaults__\n" + rebuild + b"sl" + b"b"
    with_pickle(tmp_path / "a.pth", with_attack_beside(small(), b"N"), small())
    with pytest.raises(UserError):
        read_checkpoint(with_pickle(tmp_path / "b.pth", b"\x80\x02" + program + b"."))

    state = read_checkpoint(tmp_path / "a.pth")
    tensor = next(iter(state.values()))
    tensor.__setstate__({"load": print, "shape": (9,)})
    assert tensor.load().shape == tensor.shape != (9,)


def test_foreign_classes_are_never_imported(tmp_path: Path) -> None:
    """Importing a module runs it; even that does not happen."""
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    program = with_attack_beside(small(), attack_by_reduce("trap", "Class", "x"))
    with_pickle(tmp_path / "a.pth", program, small())
    sys.path.insert(0, str(tmp_path))
    try:
        assert read_checkpoint(tmp_path / "a.pth").keys() == small().keys()
    finally:
        sys.path.remove(str(tmp_path))
    assert "trap" not in sys.modules


# ---- damage -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("good")
    convert(saved(folder / "zip.pth", small()), folder / "own.safetensors", "rrdbnet")
    saved(folder / "legacy.pth", small(), legacy=True)
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "own.safetensors"])
def test_a_truncated_file(tmp_path: Path, good_files: dict[str, bytes], name: str) -> None:
    content = good_files[name]
    for length in (0, 1, 9, 100, len(content) // 3, len(content) * 2 // 3, len(content) - 1):
        path = tmp_path / name
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=str(path)):
            convert(path, tmp_path / "out.safetensors", "rrdbnet")
        assert not (tmp_path / "out.safetensors").exists()
        if name.endswith(".safetensors"):
            with pytest.raises(UserError, match=str(path)):
                open_network(path)


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "own.safetensors"])
def test_random_damage_ends_in_a_message_or_in_nothing(
    tmp_path: Path, good_files: dict[str, bytes], name: str
) -> None:
    """Flipped bytes anywhere: a UserError, or weights of the right names and shapes."""
    draw = random.Random(1)
    for _ in range(150):
        content = bytearray(good_files[name])
        for _ in range(draw.choice([1, 1, 4, 40])):
            # tables of contents are small: half of the damage goes to the first kilobytes
            limit = draw.choice([len(content), 4096])
            content[draw.randrange(min(limit, len(content)))] = draw.randrange(256)
        path = tmp_path / name
        path.write_bytes(content)
        try:
            state, options = conversion.open_checkpoint(path, "rrdbnet")
            conversion.verify(state, "rrdbnet", options)
            for tensor in state.values():
                tensor.load().sum()
        except UserError:
            pass
        with contextlib.suppress(UserError):
            conversion.check_zip(path)
        if name.endswith(".safetensors"):
            with contextlib.suppress(UserError):
                open_network(path)


def test_a_flipped_bit_in_the_weights_shows_in_the_check_sum(
    tmp_path: Path, good_files: dict[str, bytes]
) -> None:
    content = bytearray(good_files["zip.pth"])
    content[len(content) // 2] ^= 1
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"data/\d+ has a wrong check sum"):
        conversion.check(tmp_path / "a.pth", "rrdbnet")
    with pytest.raises(UserError, match="wrong check sum"):
        convert(tmp_path / "a.pth", tmp_path / "a.safetensors", "rrdbnet")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>sign in</html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"", "is empty"),
        (b"hello", "no checkpoint"),
        (os.urandom(1000), "no checkpoint|not a PyTorch"),
        (pickle.dumps({"a": 1}), "not a PyTorch checkpoint"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_checkpoint(tmp_path / "a.pth")


def test_archives_that_are_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with pytest.raises(UserError, match="is missing"):
        read_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(UserError, match="without weights"):
        read_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", "x")
        archive.writestr("m/constants.pkl", "x")
    with pytest.raises(UserError, match="TorchScript"):
        read_checkpoint(path)
    with pytest.raises(UserError, match=r"holds no weights \(found: epoch\)"):
        read_checkpoint(saved(path, {"epoch": 3}))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A compressed gigabyte of zeros, or a table of contents of that size."""
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(2**24))
    with pytest.raises(UserError, match="compressed"):
        read_checkpoint(path)
    with pytest.raises(UserError, match="compressed"):
        conversion.check_zip(path)


def tensor_program(count: int, offset: int, shape: str, stride: str) -> bytes:
    """The pickle of one tensor with free choice of its numbers."""
    return (
        b"\x80\x02}Vconv_first.weight\nctorch._utils\n_rebuild_tensor_v2\n"
        b"((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\n"
        + f"I{count}\ntQI{offset}\n({shape}t({stride}tI00\nNtRs.".encode()
    )


@pytest.mark.parametrize(
    ("count", "offset", "shape", "stride"),
    [
        (10, 0, "I11\n", "I1\n"),  # longer than its storage
        (10, 5, "I6\n", "I1\n"),
        (10, -1, "I2\n", "I1\n"),
        (10, 0, "I-1\n", "I1\n"),
        (10, 0, "I4\n", "I-1\n"),
        (10, 0, "I1000000000\nI1000000000\n", "I0\nI0\n"),  # 4 exabytes from one number
        (10, 0, "I4\n", "I1\nI1\n"),
        (10**15, 0, "I4\n", "I1\n"),  # longer than the file
        (-5, 0, "I4\n", "I1\n"),
    ],
)
def test_tensors_that_reach_beyond_their_data(
    tmp_path: Path, count: int, offset: int, shape: str, stride: str
) -> None:
    program = tensor_program(count, offset, shape, stride)
    path = with_pickle(tmp_path / "a.pth", program, {"x": torch.zeros(10)})
    with pytest.raises(UserError, match="damaged"):
        read_checkpoint(path)


def test_the_program_above_is_a_tensor_when_its_numbers_are_right(tmp_path: Path) -> None:
    program = tensor_program(10, 2, "I2\nI3\n", "I3\nI1\n")
    path = with_pickle(tmp_path / "a.pth", program, {"x": torch.arange(10.0)})
    found = read_checkpoint(path)["conv_first.weight"].load()
    assert found.tolist() == [[2, 3, 4], [5, 6, 7]]


def test_pickles_that_ask_for_much_memory(tmp_path: Path) -> None:
    for program in (
        b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".",  # a memo of 4 billion places
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",  # a terabyte of bytes
        b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",  # a frame of exabytes
        b"\x80\x02" + b"(" * 100_000 + b"N" + b"t" * 100_000 + b".",  # a deep nest
    ):
        with pytest.raises(UserError):
            read_checkpoint(with_pickle(tmp_path / "a.pth", program))


# ---- the wrong network ---------------------------------------------------------------------------


def test_swapped_files_are_named(tmp_path: Path) -> None:
    rrdb = saved(tmp_path / "rrdb.pth", small())
    vqgan = saved(tmp_path / "vqgan.ckpt", {"state_dict": state_of("vqgan", SMALL_VQGAN)})
    options = replace(SMALL_GLIDE, super_res=True)
    glide = saved(tmp_path / "up.pt", state_of("glide", options))
    for path, architecture, message in [
        (vqgan, "rrdbnet", "is a VQGAN, not an RRDBNet"),
        (rrdb, "vqgan", r"is an RRDBNet \(ESRGAN, BSRGAN\), not a VQGAN"),
        (glide, "rrdbnet", "is a GLIDE upsampler, not an RRDBNet"),
        (rrdb, "glide", "is an RRDBNet .*, not a GLIDE network"),
    ]:
        with pytest.raises(UserError, match=message):
            convert(path, tmp_path / "out.safetensors", architecture)
    with pytest.raises(UserError, match="is a GLIDE upsampler, not a GLIDE base"):
        convert(glide, tmp_path / "out.safetensors", "glide", {"super_res": False})
    with pytest.raises(UserError, match="not a GLIDE inpainting upsampler"):
        convert(glide, tmp_path / "out.safetensors", "glide", {"inpaint": True})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["model.diffusion_model.input_blocks.0.0.weight"], "Stable Diffusion"),
        (["visual.conv1.weight", "logit_scale"], "a CLIP network"),
        (["body.0.weight", "body.0.bias"], "SRVGGNet"),
        (["quantize.embed.weight"], "Gumbel"),
        (["layer.weight"], r"an unknown network \(layer\.weight"),
    ],
)
def test_other_networks_are_named(tmp_path: Path, names: list[str], message: str) -> None:
    path = saved(tmp_path / "a.pth", {name: torch.zeros(2) for name in names})
    with pytest.raises(UserError, match=message):
        convert(path, tmp_path / "out.safetensors", "rrdbnet")


def test_differences_are_listed(tmp_path: Path) -> None:
    state = small()
    del state["conv_last.bias"]
    state["extra.weight"] = torch.zeros(1)
    state["HRconv.bias"] = torch.zeros(9)
    with pytest.raises(UserError) as caught:
        convert(saved(tmp_path / "a.pth", state), tmp_path / "out.safetensors", "rrdbnet")
    message = str(caught.value)
    assert "missing (1): conv_last.bias" in message
    assert "unexpected (1): extra.weight" in message
    assert "wrong shape (1): HRconv.bias: [9] instead of [8]" in message

    many = {f"a{i}": torch.zeros(1) for i in range(9)}
    with pytest.raises(UserError, match=r"unexpected \(9\): a0, a1, a2, a3, a4, \.\.\."):
        convert(saved(tmp_path / "b.pth", small() | many), tmp_path / "b.safetensors", "rrdbnet")


def test_rrdbnets_of_other_kinds_are_refused(tmp_path: Path) -> None:
    state = small() | {"conv_first.weight": torch.zeros(8, 12, 3, 3)}
    with pytest.raises(UserError, match=r"not supported \(12 input channels\)"):
        convert(saved(tmp_path / "a.pth", state), tmp_path / "a.safetensors", "rrdbnet")


ZERO_VQGAN = {
    "encoder.conv_in.weight": (0, 3, 3, 3),
    "encoder.down.0.block.0.conv1.weight": (0, 0, 3, 3),
    "encoder.conv_out.weight": (8, 0, 3, 3),
    "quantize.embedding.weight": (4, 8),
}
GLIDE_SIGNS = {"transformer_proj.weight": (4, 4)}


@pytest.mark.parametrize(
    ("architecture", "shapes", "message"),
    [
        ("rrdbnet", {"RRDB_trunk.0.a": (1,)}, r"conv_first\.weight is missing"),
        (
            "rrdbnet",
            {"RRDB_trunk.0.a": (1,), "conv_first.weight": (64,)},
            r"incomplete or damaged: conv_first\.weight has the shape \[64\]",
        ),
        (
            "rrdbnet",
            {"model.1.sub.0.RDB1.conv1.0.weight": (4, 8, 3, 3)},
            r"conv_first\.weight is missing",
        ),
        ("vqgan", ZERO_VQGAN, r"conv_in\.weight has the shape \[0, 3, 3, 3\]"),
        (
            "vqgan",
            ZERO_VQGAN | {"encoder.conv_in.weight": (8, 3, 3, 3), "encoder.down.7.a": (1,)},
            r"encoder\.down\.7\.a is there, and not all that come before it",
        ),
        (
            "glide",
            GLIDE_SIGNS | {"input_blocks.0.0.weight": (192,)},
            r"input_blocks\.0\.0\.weight has the shape \[192\]",
        ),
    ],
)
def test_what_the_sizes_are_read_from_may_be_damaged(
    architecture: str, shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        recognised(architecture, shapes)


def recognised(architecture: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    state = {name: stored(shape) for name, shape in shapes.items()}
    state = conversion.to_published_names(state)
    options = conversion.infer_options(architecture, state)
    conversion.verify(state, architecture, options)


TELLING = [
    "conv_first.weight", "upconv1.weight", "upconv2.weight", "RRDB_trunk.0.RDB1.conv1.weight",
    "model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight", "body.0.rdb1.conv1.weight",
    "encoder.conv_in.weight", "encoder.conv_out.weight", "quantize.embedding.weight",
    "encoder.down.0.block.0.conv1.weight", "encoder.down.1.block.0.conv1.weight",
    "encoder.down.1.attn.0.q.weight", "transformer_proj.weight", "input_blocks.0.0.weight",
]  # fmt: skip
names = st.sampled_from(TELLING) | st.from_regex(
    r"(model|RRDB_trunk|encoder\.down|encoder\.down\.0\.block)\.\d{1,12}\.weight", fullmatch=True
)
shapes = st.lists(st.sampled_from([0, 1, 3, 6, 32, 2**40]), max_size=5).map(tuple)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(conversion.ARCHITECTURES)), st.dictionaries(names, shapes))
def test_any_names_and_shapes_end_in_a_message(
    architecture: str, found: dict[str, tuple[int, ...]]
) -> None:
    """Most of the names tell something; with these shapes none makes a whole network."""
    with pytest.raises(UserError):
        recognised(architecture, found)


stated_values = (
    st.none()
    | st.booleans()
    | st.integers(-1, 4)
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers(-1, 3) | st.text(max_size=2), max_size=3)
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(conversion.ARCHITECTURES)), st.data())
def test_any_options_in_a_header_end_in_a_network_or_a_message(
    name: str, data: st.DataObject
) -> None:
    kind = conversion.ARCHITECTURES[name]
    some = st.sampled_from([field.name for field in fields(kind.options)])
    stated = data.draw(st.dictionaries(some, stated_values) | stated_values)
    metadata = {"architecture": name, "options": json.dumps(stated)}
    with contextlib.suppress(UserError):
        on_meta(kind.network, options_from(metadata, kind.options))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_named(tmp_path: Path, value: float) -> None:
    state = small()
    state["RRDB_trunk.1.RDB2.conv3.weight"][0, 0, 0, :2] = value
    source = saved(tmp_path / "a.pth", state)
    message = r"RRDB_trunk\.1\.RDB2\.conv3\.weight holds 2 values that are not finite"
    with pytest.raises(UserError, match=message):
        convert(source, tmp_path / "a.safetensors", "rrdbnet")
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]
    with pytest.raises(UserError, match=message):
        conversion.check(source, "rrdbnet")


# ---- converted files ---------------------------------------------------------------------------


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the header of a safetensors file."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format_version="0"), "another version"),
        (lambda m: m.update(architecture="gan"), "an unknown architecture, gan"),
        (lambda m: m.pop("options"), "does not say what network"),
        (lambda m: m.update(options="{"), "options in the header cannot be read"),
        (lambda m: m.update(options='{"depth": 3}'), r"unknown options of rrdbnet: \['depth'\]"),
        (lambda m: m.update(options="[]"), "cannot be read: not a table of options"),
        (lambda m: m.update(options="[" * 100_000), "options in the header cannot be read"),
        (lambda m: m.update(options='{"blocks": "many"}'), "option blocks .* cannot be 'many'"),
        (lambda m: m.update(options='{"features": -1}'), "option features .* cannot be -1"),
        (lambda m: m.update(options='{"scale": 3}'), "do not fit together"),
        (lambda m: m.update(options='{"scale": 2}'), "does not fit its own header"),
    ],
)
def test_headers_that_are_wrong(
    tmp_path: Path,
    good_files: dict[str, bytes],
    change: Callable[[dict[str, str]], None],
    message: str,
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(good_files["own.safetensors"])
    rewritten(path, lambda header: change(header["__metadata__"]))
    with pytest.raises(UserError, match=message):
        open_network(path)


def test_conversion_is_reproducible(tmp_path: Path, good_files: dict[str, bytes]) -> None:
    convert(saved(tmp_path / "zip.pth", small()), tmp_path / "a.safetensors", "rrdbnet")
    assert (tmp_path / "a.safetensors").read_bytes() == good_files["own.safetensors"]


def test_the_command(tmp_path: Path) -> None:
    source = saved(tmp_path / "mine.pth", small())
    entries = {role: {"architecture": kind, "path": "x"} for role, kind in ROLES.items()}
    entries["mine"] = {"architecture": "rrdbnet", "path": str(source)}
    table = {"sets": {"all": {role: role for role in ROLES}}, "files": entries}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(table))
    command = [sys.executable, str(SCRIPTS / "convert_weights.py"), "mine"]
    command += ["--models", str(tmp_path / "models.yaml"), "--weights", str(tmp_path / "w")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "w" / "mine.safetensors")
    assert equal(open_network(done.stdout.strip())[0], small())

    def message() -> str:
        failed = subprocess.run(command, capture_output=True, text=True)
        assert failed.returncode == 1
        assert failed.stderr.startswith("convert_weights: error: ")
        assert "Traceback" not in failed.stderr
        return failed.stderr

    source.write_bytes(b"rubbish")
    assert "no checkpoint" in message()

    entries["mine"]["sha256"] = "0" * 64
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(table))
    assert "mine.pth is another file: its sha256 is" in (said := message())
    assert f"its entry in models.yaml says {'0' * 64}" in said
