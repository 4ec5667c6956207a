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
import tarfile
import types
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bigart.errors import UserError
from bigart.networks.clip_options import ClipImageOptions, ClipTextOptions
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.network import on_meta
from bigart.networks.options import BASE, UPSAMPLER, GlideOptions, RRDBNetOptions, VQGANOptions
from bigart.weights import conversion
from bigart.weights.checkpoint import read_checkpoint
from bigart.weights.conversion import convert, open_network
from bigart.weights.inspection import inspect
from bigart.weights.layouts import Options, recognise
from bigart.weights.network_file import options_from
from parity import rule_weight

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


def state_of(architecture: str, options: Options) -> State:
    shapes = on_meta(conversion.ARCHITECTURES[architecture], options).state_dict()
    return {name: rule_weight(name, tuple(value.shape)) for name, value in shapes.items()}


def small() -> State:
    return state_of("rrdbnet", SMALL_RRDB)


def wrapped(state: State, prefix: str = "state_dict.") -> State:
    return {prefix + name: value for name, value in state.items()}


def saved(path: Path, content: object, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def converted(folder: Path, content: object, architecture: str = "rrdbnet", **more: Any) -> Any:
    """Save, convert and open again; returns the network, which carries what its file says."""
    source, target = saved(folder / "source.pth", content, **more), folder / "target.safetensors"
    metadata = convert(source, target, architecture)
    network, network.metadata = open_network(target)
    assert network.metadata == metadata
    return network


def equal(network: nn.Module, state: Mapping[str, Tensor]) -> bool:
    found = network.state_dict()
    return found.keys() == state.keys() and all(torch.equal(found[n], state[n]) for n in state)


def recognised(architecture: str, shapes: Mapping[str, Sequence[int]]) -> Options:
    """Recognise and verify a network that has only shapes."""
    found: Any = {n: types.SimpleNamespace(shape=tuple(shape)) for n, shape in shapes.items()}
    network = recognise(found, architecture)
    conversion.verify(network)
    return network.options


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
        ("clip/text_full", "clip-text", ClipTextOptions()),
        ("clip/image_full", "clip-image", ClipImageOptions()),
    ],
)
def test_every_published_layout_is_recognised(published_shapes, layout, architecture, options):
    assert recognised(architecture, published_shapes[layout]) == options


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before-1.6"])
def test_a_state_dict(tmp_path, legacy):
    network = converted(tmp_path, collections.OrderedDict(small()), legacy=legacy)
    assert json.loads(network.metadata["options"]) == asdict(SMALL_RRDB)
    assert isinstance(network, RRDBNet)
    assert not network.training
    assert equal(network, small())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before-1.6"])
def test_a_lightning_checkpoint(tmp_path, monkeypatch, legacy):
    """It names training classes that are not installed; the format before 1.6 is then refused."""
    module: Any = types.ModuleType("pytorch_lightning.callbacks")
    inside = {"__module__": module.__name__}
    module.ModelCheckpoint = type("ModelCheckpoint", (), inside)
    module.AttributeDict = type("AttributeDict", (dict,), inside)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", types.ModuleType("pytorch_lightning"))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    state, training = state_of("vqgan", SMALL_VQGAN), {"loss.logvar": torch.tensor(0.0)}
    callback = module.ModelCheckpoint()
    callback.best, callback.folder = np.float64(0.25), Path("somewhere")
    content = {
        "epoch": 3,
        "pytorch-lightning_version": "1.0.8",
        "callbacks": {module.ModelCheckpoint: {"best_model_score": torch.tensor(0.1)}},
        "instances": [callback, argparse.Namespace(lr=np.float32(1e-4)), {1, 2}, np.arange(3)],
        "hyper_parameters": [module.AttributeDict(a=1), collections.defaultdict(list, b=[2])],
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(50), "step": 7}}}],
        "state_dict": collections.OrderedDict(training | state),
    }
    if legacy:
        with pytest.raises(UserError, match=r"names \S+\. Of the format before PyTorch 1\.6 only"):
            read_checkpoint(saved(tmp_path / "last.ckpt", content, legacy))
        return
    with pytest.raises(pickle.UnpicklingError):  # why the classes get stand-ins
        torch.load(saved(tmp_path / "last.ckpt", content), weights_only=True)
    network = converted(tmp_path, content, "vqgan")
    assert isinstance(network, VQGAN)
    assert options_from(network.metadata, VQGANOptions) == SMALL_VQGAN
    assert equal(network, state)


def test_a_fine_tuned_glide(tmp_path):
    """Heads leave no trace in the shapes, so a GLIDE of one's own sizes states its options."""
    state, stated = state_of("glide", SMALL_GLIDE), json.loads(json.dumps(asdict(SMALL_GLIDE)))
    convert(saved(tmp_path / "tuned.pt", state), tmp_path / "a.safetensors", "glide", stated)
    network, _ = open_network(tmp_path / "a.safetensors")
    assert isinstance(network, Text2ImUNet)
    assert network.options == SMALL_GLIDE
    assert equal(network, state)


def body_names(name: str) -> str:
    """The names of later ESRGAN trainers."""
    for old, new in (
        ("RRDB_trunk", "body"), ("RDB", "rdb"), ("trunk_conv", "conv_body"),
        ("upconv", "conv_up"), ("HRconv", "conv_hr"),
    ):  # fmt: skip
        name = name.replace(old, new)
    return name


def sequential_names(name: str, scale: int) -> str:
    """The names of the first ESRGAN: places in nested sequences."""
    tail = {
        4: {"conv_first": 0, "upconv1": 3, "upconv2": 6, "HRconv": 8, "conv_last": 10},
        2: {"conv_first": 0, "upconv1": 3, "HRconv": 5, "conv_last": 7},
    }[scale]
    parts = name.split(".")
    if parts[0] == "RRDB_trunk":
        return f"model.1.sub.{parts[1]}.{parts[2]}.{parts[3]}.0.{parts[4]}"
    if parts[0] == "trunk_conv":
        return f"model.1.sub.{SMALL_RRDB.blocks}.{parts[1]}"
    return f"model.{tail[parts[0]]}.{parts[1]}"


@pytest.mark.parametrize("scale", [4, 2])
def test_the_three_namings_of_the_esrgan_family(tmp_path, scale):
    state = state_of("rrdbnet", replace(SMALL_RRDB, scale=scale))
    for rename in (str, body_names, lambda name: sequential_names(name, scale)):
        network = converted(tmp_path, {rename(name): value for name, value in state.items()})
        assert json.loads(network.metadata["options"])["scale"] == scale
        assert equal(network, state)


def test_wrappers_are_opened(tmp_path):
    state = small()
    for content in (
        {"state_dict": state, "epoch": 1},
        {"params": {n: torch.zeros_like(v) for n, v in state.items()}, "params_ema": state},
        {"model": {"state_dict": state}},
        {"module." + n: v for n, v in state.items()},
        {n: nn.Parameter(v) for n, v in state.items()},
        {n: v.mT.contiguous().mT if v.ndim > 1 else v for n, v in state.items()},
    ):
        assert equal(converted(tmp_path, content), state)


def test_safetensors_from_elsewhere(tmp_path):
    safetensors.torch.save_file(small(), tmp_path / "a.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="does not say what network it is"):
        open_network(tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", "rrdbnet")
    assert equal(open_network(tmp_path / "b.safetensors")[0], small())


def test_half_precision_files_stay_half(tmp_path):
    half, brain, single, double = torch.float16, torch.bfloat16, torch.float32, torch.float64
    for mixed, kept in (
        ([half], half), ([brain], brain), ([double], single), ([half, single], single),
    ):  # fmt: skip
        state = {n: v.to(mixed[i % len(mixed)]) for i, (n, v) in enumerate(small().items())}
        network = converted(tmp_path, state)
        assert {p.dtype for p in network.parameters()} == {kept}
        assert equal(network, {n: v.to(kept) for n, v in state.items()})
        wide, _ = open_network(tmp_path / "target.safetensors", dtype=torch.float32)
        assert {p.dtype for p in wide.parameters()} == {torch.float32}


def test_tensors_that_share_a_storage(tmp_path):
    """Checkpoints may keep many tensors in one run of memory."""
    state = small()
    flat = torch.cat([value.reshape(-1) for value in state.values()])
    parts = flat.split([value.numel() for value in state.values()])
    views = {n: part.view(v.shape) for (n, v), part in zip(state.items(), parts, strict=True)}
    assert equal(converted(tmp_path, views), state)


def test_a_network_trained_here_is_saved_in_the_same_form(tmp_path):
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


def test_conversion_is_reproducible(tmp_path):
    """Also in another process, where safetensors takes another order of the metadata."""
    converted(tmp_path, small())
    code = "import sys; from bigart.weights.conversion import convert; convert(*sys.argv[1:])"
    again = [str(tmp_path / "source.pth"), str(tmp_path / "again.safetensors"), "rrdbnet"]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", code, *again], check=True, env=environment)
    first = (tmp_path / "target.safetensors").read_bytes()
    assert (tmp_path / "again.safetensors").read_bytes() == first


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


ATTACKS: dict[str, Callable[[bytes, bytes], bytes]] = {
    # the first four in the operations that torch.save writes
    "reduce": lambda function, argument: function + argument + b"\x85R",
    "newobj": lambda function, argument: function + argument + b"\x85\x81",
    # an object is given the function as its __setstate__, and is built once more
    "build": lambda function, argument: (
        b"ccollections\nOrderedDict\n)R}" + text("__setstate__") + function + b"sb"
        + argument + b"b"
    ),
    # the function that rebuilds a subclass of Tensor
    "tensor": lambda function, argument: (
        b"ctorch._tensor\n_rebuild_from_type_v2\n("
        + function + b"ctorch\nTensor\n" + argument + b"\x85}tR"
    ),
    "inst": lambda function, argument: b"(" + argument + b"i" + function[1:],
    "obj": lambda function, argument: b"(" + function + argument + b"o",
    "stack_global": lambda function, argument: (
        b"".join(map(text, function[1:-1].decode().split("\n"))) + b"\x93" + argument + b"\x85R"
    ),
}  # fmt: skip


def program(attack: str, function: str, argument: str) -> bytes:
    """A part of a pickle that calls the function (`module name`) and leaves one object."""
    return ATTACKS[attack](f"c{function}\n".replace(" ", "\n").encode(), text(argument))


def with_pickle(path: Path, pickled: bytes, state: State) -> Path:
    """Write torch's zip format with any pickle in place of its own."""
    source = io.BytesIO()
    torch.save(state, source)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            data = pickled if info.filename.endswith("data.pkl") else old.read(info)
            new.writestr(info.filename, data)
    return path


def beside(part: bytes, state: State) -> bytes:
    """The pickle of a whole state dict under "state_dict", and another part under another key."""
    source = io.BytesIO()
    torch.save(state, source)
    with zipfile.ZipFile(source) as archive:
        table = archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))
    assert table.startswith(b"\x80\x02")
    return b"\x80\x02}(" + text("a") + part + text("state_dict") + table[2:-1] + b"u."


def test_the_attacks_below_would_run(tmp_path: Path) -> None:
    for attack in ("reduce", "inst", "obj", "stack_global"):
        sentinel = tmp_path / attack
        pickle.loads(b"\x80\x04" + program(attack, "posix system", f"touch {sentinel}") + b".")
        assert sentinel.exists()


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_command_is_run(tmp_path, attack):
    path, sentinel = tmp_path / "evil.pth", tmp_path / "was-run"
    magic = [torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {}]
    legacy = b"".join(pickle.dumps(part, 2) for part in magic)
    for function in ("posix system", "subprocess getoutput"):
        part = program(attack, function, f"touch {sentinel}")
        for form in ("zip", "beside", "legacy", "bare"):
            if form == "beside":
                with_pickle(path, beside(part, small()), small())
            elif form == "zip":
                with_pickle(path, b"\x80\x02" + part + b".", {})
            else:
                start = legacy if form == "legacy" else b""
                path.write_bytes(start + b"\x80\x02" + part + b".].")
            with pytest.raises(UserError) as caught:
                read_checkpoint(path)
            with pytest.raises(UserError):
                inspect(path, "rrdbnet")
            assert not sentinel.exists()
            if attack in ("reduce", "newobj", "build", "tensor"):
                assert f"tries to call {function.replace(' ', '.')}" in str(caught.value)
            assert "weights_only" not in str(caught.value)  # torch's advice to trust the file


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_function_is_called_and_no_module_imported(tmp_path, monkeypatch, attack):
    """What is not recognised as an attack is inert, and the weights beside it may be read."""
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    path, sentinel = tmp_path / "evil.pth", tmp_path / "was-run"
    code = f"__import__('pathlib').Path({str(sentinel)!r}).touch()"
    for function in (
        "builtins exec", "builtins getattr", "torch.hub load", "torch load", "numpy load",
        "torch._utils _rebuild_parameter_with_state", "pickle loads", "operator attrgetter",
        "functools partial", "bigart.running.files sha256", "logging.config dictConfig",
        "collections OrderedDict.__reduce__", "trap Class",
    ):  # fmt: skip
        with_pickle(path, beside(program(attack, function, code), small()), small())
        with contextlib.suppress(UserError):
            assert read_checkpoint(path).keys() == wrapped(small()).keys()
        with contextlib.suppress(UserError):
            assert inspect(path, "rrdbnet").state.keys() == small().keys()
        assert not sentinel.exists(), function
    assert "trap" not in sys.modules


def test_a_pickle_cannot_change_the_reader(tmp_path):
    """BUILD sets attributes of the dict that holds the weights: nothing asks for them."""
    names = map(text, ("items", "get", "keys", "__iter__"))
    attributes = b"}(" + b"csomewhere\nUnknown\n".join([*names, b"ub"])
    pickled = beside(b"N", collections.OrderedDict(small()))
    with_pickle(tmp_path / "a.pth", pickled[:-2] + attributes + b"u.", small())
    assert read_checkpoint(tmp_path / "a.pth").keys() == wrapped(small()).keys()
    assert inspect(tmp_path / "a.pth", "rrdbnet").state.keys() == small().keys()


@pytest.fixture(scope="module")
def good_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    convert(saved(folder / "zip.pth", small()), folder / "own.safetensors", "rrdbnet")
    saved(folder / "legacy.pth", small(), legacy=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "own.safetensors"])
def test_a_truncated_file(tmp_path, good_files, name):
    path, content = tmp_path / name, good_files[name]
    for length in (0, 1, 9, 100, len(content) // 3, len(content) * 2 // 3, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=str(path)):
            convert(path, tmp_path / "out.safetensors", "rrdbnet")
        with pytest.raises(UserError, match=str(path)):
            inspect(path, "rrdbnet")
        assert not (tmp_path / "out.safetensors").exists()
        if name.endswith(".safetensors"):
            with pytest.raises(UserError, match=str(path)):
                open_network(path)


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "own.safetensors"])
def test_random_damage_ends_in_a_message_or_in_nothing(tmp_path, good_files, name):
    """Flipped bytes anywhere: a UserError, or weights of the right names and shapes."""
    path, draw = tmp_path / name, random.Random(1)
    for _ in range(100):
        content = bytearray(good_files[name])
        for _ in range(draw.choice([1, 1, 4, 40])):
            # tables of contents are small: half of the damage goes to the first kilobytes
            limit = draw.choice([len(content), 4096])
            content[draw.randrange(min(limit, len(content)))] = draw.randrange(256)
        path.write_bytes(content)
        for check_members in (True, False):
            with contextlib.suppress(UserError):
                found = conversion.open_checkpoint(path, "rrdbnet", None, check_members)
                assert all(tensor.sum().ndim == 0 for tensor in found.state.values())
        with contextlib.suppress(UserError):
            assert inspect(path, "rrdbnet").options.growth
        if name.endswith(".safetensors"):
            with contextlib.suppress(UserError):
                open_network(path)


def test_a_flipped_bit_in_the_weights_shows_in_the_check_sum(tmp_path, good_files):
    content = bytearray(good_files["zip.pth"])
    content[len(content) // 2] ^= 1
    source, target = tmp_path / "a.pth", tmp_path / "a.safetensors"
    source.write_bytes(content)
    with pytest.raises(UserError, match=r"data/\d+ has a wrong check sum"):
        convert(source, target, "rrdbnet")
    convert(source, target, "rrdbnet", sha256="compared")  # the hash says more than the check sums
    assert target.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>sign in</html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"", "it is empty"),
        (random.Random(1).randbytes(1000), "no checkpoint"),
        (pickle.dumps({"a": 1}), "no checkpoint"),
        (tarfile.TarInfo("storages").tobuf() + bytes(1024), r"legacy \.tar format\.$"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path, content, message):
    path = tmp_path / "a.pth"
    with pytest.raises(UserError, match="is missing"):
        read_checkpoint(path)
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_checkpoint(path)
    with pytest.raises(UserError, match=r"holds no weights \(found: epoch\)"):
        read_checkpoint(saved(path, {"epoch": 3}))


@pytest.mark.parametrize(
    ("names", "compression", "message"),
    [
        (["readme.txt"], zipfile.ZIP_STORED, "without weights"),
        (["m/data.pkl", "m/constants.pkl"], zipfile.ZIP_STORED, "TorchScript"),
        (["m/data.pkl"], zipfile.ZIP_DEFLATED, "compressed"),  # it may unpack to any size
    ],
)
def test_archives_that_are_no_checkpoint(tmp_path, names, compression, message):
    with zipfile.ZipFile(tmp_path / "a.pth", "w", compression) as archive:
        for name in names:
            archive.writestr(name, bytes(2**16))
    with pytest.raises(UserError, match=message):
        read_checkpoint(tmp_path / "a.pth")


def one_tensor(path: Path, count: int, offset: int, shape: list[int], stride: list[int]) -> Path:
    """Write a file of one tensor, its storage of ten numbers, with free choice of its numbers."""

    def numbers(*values: int) -> bytes:
        return b"".join(b"\x8a\x08" + struct.pack("<q", value) for value in values)

    pickled = (
        b"\x80\x02}" + text("conv_first.weight") + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
        + numbers(count) + b"tQ" + numbers(offset) + b"(" + numbers(*shape) + b"t("
        + numbers(*stride) + b"t\x89NtRs."
    )  # fmt: skip
    return with_pickle(path, pickled, {"x": torch.arange(10.0)})


def test_tensors_that_reach_beyond_their_data(tmp_path):
    path = tmp_path / "a.pth"
    good = read_checkpoint(one_tensor(path, 10, 2, [2, 3], [3, 1]))
    assert good["conv_first.weight"].tolist() == [[2, 3, 4], [5, 6, 7]]
    for count, offset, shape, stride in [
        (10, 0, [11], [1]),  # longer than its storage
        (10, 5, [6], [1]),
        (10, -1, [2], [1]),
        (10, 0, [-1], [1]),
        (10, 0, [4], [-1]),
        (10, 0, [10**9, 10**9], [0, 0]),  # 4 exabytes from one number
        (10, 0, [4], [1, 1]),
        (10**15, 0, [10**15], [1]),  # longer than the file
        (-5, 0, [4], [1]),
        (2**62, 2**62, [4], [2**62]),
    ]:
        with pytest.raises(UserError, match="damaged"):
            read_checkpoint(one_tensor(path, count, offset, shape, stride))


def test_pickles_that_ask_for_much_memory_or_time(tmp_path):
    for pickled in (
        b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".",  # a memo of 4 billion places
        b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"x.",  # text of 4 GB
        b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",  # a frame of exabytes
        b"\x80\x02" + b"(" * 100_000 + b"N" + b"t" * 100_000 + b".",  # a deep nest
        b"\x80\x02}q\x00" + text("model") + b"h\x00s.",  # a dict that holds itself
        b"\x80\x02" + (b"}" + text("a")) * 2000 + b"N" + b"s" * 2000 + b".",
    ):
        with pytest.raises(UserError):
            read_checkpoint(with_pickle(tmp_path / "a.pth", pickled, {}))
        with pytest.raises(UserError):
            inspect(tmp_path / "a.pth", "rrdbnet")


def test_swapped_files_are_named(tmp_path):
    glide = state_of("glide", replace(SMALL_GLIDE, super_res=True))
    for state, architecture, stated, message in [
        (state_of("vqgan", SMALL_VQGAN), "rrdbnet", {}, "is a VQGAN, not an RRDBNet"),
        (small(), "vqgan", {}, r"is an RRDBNet \(ESRGAN, BSRGAN\), not a VQGAN"),
        (glide, "rrdbnet", {}, "is a GLIDE network, not an RRDBNet"),
        (glide, "glide", asdict(SMALL_GLIDE), "super_res false, and the shapes .* super_res true"),
    ]:
        source = saved(tmp_path / "a.pth", state)
        with pytest.raises(UserError, match=message):
            convert(source, tmp_path / "out.safetensors", architecture, stated)


def test_differences_are_listed(tmp_path):
    state = small()
    del state["conv_last.bias"]
    state |= {f"a{i}": torch.zeros(1) for i in range(9)} | {"HRconv.bias": torch.zeros(9)}
    with pytest.raises(UserError) as caught:
        converted(tmp_path, state)
    message = str(caught.value)
    assert "missing (1): conv_last.bias\n" in message
    assert "unexpected (9): a0, a1, a2, a3, a4, ...\n" in message
    assert "wrong shape (1): HRconv.bias: [9] instead of [8]" in message


VQGAN_OF_ZERO = {
    "encoder.conv_in.weight": (0, 3, 3, 3),
    "encoder.down.0.block.0.conv1.weight": (0, 0, 3, 3),
    "encoder.conv_out.weight": (8, 0, 3, 3),
    "quantize.embedding.weight": (4, 8),
}
HOLES = {"encoder.conv_in.weight": (8, 3, 3, 3), "encoder.down.7.a": (1,)}
TRUNK = {"RRDB_trunk.0.a": (1,)}
UNSHUFFLED = {"conv_first.weight": (8, 12, 3, 3), "RRDB_trunk.0.RDB1.conv1.weight": (4, 8, 3, 3)}
GLIDE_OF_ONE_DIMENSION = {"transformer_proj.weight": (4, 4), "input_blocks.0.0.weight": (192,)}
SHAPES: list[tuple[str, dict[str, tuple[int, ...]], str]] = [
    ("rrdbnet", {"model.diffusion_model.input_blocks.0.0.weight": (2,)}, "Stable Diffusion"),
    ("rrdbnet", {"visual.conv1.weight": (2,), "logit_scale": (2,)}, "a CLIP network"),
    ("rrdbnet", {"body.0.weight": (2,), "body.0.bias": (2,)}, "SRVGGNet"),
    ("rrdbnet", {"quantize.embed.weight": (2,)}, "Gumbel"),
    ("rrdbnet", {"layer.weight": (2,)}, r"an unknown network \(layer\.weight"),
    ("rrdbnet", UNSHUFFLED, "enlarges 0.5 times; allowed: 4 times or 2 times"),
    # damaged in what the sizes are read from
    ("rrdbnet", TRUNK, r"conv_first\.weight is missing"),
    ("rrdbnet", TRUNK | {"conv_first.weight": (64,)}, r"damaged: conv_first\.weight has the shape"),
    ("rrdbnet", {"model.1.sub.0.RDB1.conv1.0.weight": (4, 8, 3, 3)}, "conv_first.* is missing"),
    ("vqgan", VQGAN_OF_ZERO, r"conv_in\.weight has the shape \[0, 3, 3, 3\]"),
    ("vqgan", VQGAN_OF_ZERO | HOLES, r"block\.0\.conv1\.weight has the shape \[0, 0, 3, 3\]"),
    ("glide", GLIDE_OF_ONE_DIMENSION, r"input_blocks\.0\.0\.weight has the shape \[192\]"),
]


@pytest.mark.parametrize(("architecture", "shapes", "message"), SHAPES)
def test_other_and_damaged_networks_are_named(architecture, shapes, message):
    with pytest.raises(UserError, match=message):
        recognised(architecture, shapes)


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
architectures = st.sampled_from(sorted(conversion.ARCHITECTURES))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["glide", "rrdbnet", "vqgan"]), st.dictionaries(names, shapes))
def test_any_names_and_shapes_end_in_a_message(architecture, found):
    """Most of the names tell something; with these shapes none makes a whole network."""
    with pytest.raises(UserError):
        recognised(architecture, found)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_values_that_are_not_finite_are_named(tmp_path, value):
    state = small()
    state["RRDB_trunk.1.RDB2.conv3.weight"][0, 0, 0, :2] = float(value)
    message = r"RRDB_trunk\.1\.RDB2\.conv3\.weight holds 2 values that are not finite"
    with pytest.raises(UserError, match=message):
        converted(tmp_path, state)
    assert [path.name for path in tmp_path.iterdir()] == ["source.pth"]


few = st.lists(st.integers(-1, 3) | st.text(max_size=2), max_size=3)
stated_values = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 4), st.floats(), st.text(max_size=3), few
)


@settings(max_examples=150, deadline=None)
@given(architectures, st.data())
def test_any_options_in_a_header_end_in_a_network_or_a_message(name, data):
    network = conversion.ARCHITECTURES[name]
    some = st.sampled_from([field.name for field in fields(network.Options)])
    stated = data.draw(st.dictionaries(some, stated_values) | stated_values)
    metadata = {"architecture": name, "options": json.dumps(stated)}
    with contextlib.suppress(UserError):
        on_meta(network, options_from(metadata, network.Options))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": "0"}, "another version"),
        ({"architecture": "gan"}, "an unknown architecture, gan"),
        ({"options": None}, "does not say what network"),
        ({"options": "{"}, "Invalid JSON"),
        ({"options": '{"depth": 3}'}, "options in its header: depth: Extra inputs"),
        ({"options": "[]"}, "Input should be an object"),
        ({"options": "[" * 100_000}, "recursion limit"),
        ({"options": '{"blocks": "many"}'}, "blocks: Input should be a valid integer"),
        ({"options": '{"features": -1}'}, "features: Input should be greater than"),
        ({"options": '{"scale": 3}'}, "scale: Input should be 2 or 4"),
        ({"options": '{"scale": 2}'}, "does not fit its own header"),
    ],
)
def test_headers_that_are_wrong(tmp_path, change, message):
    metadata = converted(tmp_path, small()).metadata | change
    metadata = {key: value for key, value in metadata.items() if value is not None}
    safetensors.torch.save_file(small(), tmp_path / "a.safetensors", metadata)
    with pytest.raises(UserError, match=message):
        open_network(tmp_path / "a.safetensors")
