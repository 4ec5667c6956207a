"""What can be known before the first job is said before it, and the old pictures stay.

Each test edits a painted project, so that there is something to paint, and breaks something.
"""

import functools
import http.server
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from bigart.config import preflight, project
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.options import RRDBNetOptions
from bigart.weights.conversion import save_network
from bigart.weights.table import read_models
from projects import Project, add_models, run_command

SHEET = "results/lake/candidates.png"
MPS = torch.backends.mps.is_available()
NO_GPU = pytest.mark.skipif(torch.cuda.is_available() or MPS, reason="here is a GPU")


@pytest.fixture
def edited(tiny: Project, tmp_path: Path) -> Project:
    """A painted project in which an artwork is to be painted again."""
    project = Project(tmp_path / "edited", tiny.folder)
    project.edit("5", "lake", "seed")
    return project


def upscaler(scale: int) -> dict[str, torch.Tensor]:
    network = RRDBNet(RRDBNetOptions(scale=min(scale, 4), features=8, blocks=1, growth=4))
    state = dict(network.state_dict())
    if scale == 8:
        state |= {f"upconv3.{part}": state[f"upconv2.{part}"] for part in ("weight", "bias")}
    return state


def refused(project: Project, *arguments: str, **options: object) -> str:
    """Run, and return what was said; nothing was painted, and nothing is gone."""
    before = project.pictures()
    done = project.snakemake(*arguments, check=False, **options)
    told = done.stdout + done.stderr
    assert done.returncode == 1
    assert "Traceback" not in told
    assert project.pictures() == before
    assert not list((project.folder / ".snakemake/locks").glob("*"))
    return told


# Model files


def test_all_faults_are_said_at_once_before_anything_is_removed(edited: Project) -> None:
    """An x2 upscaler, a Gumbel VQGAN, networks in each other's place, and no such device."""
    models = edited.folder / "models"
    state = safetensors.torch.load_file(models / "embedded/detailer.safetensors")
    codes = state.pop("quantize.embedding.weight")
    torch.save(state | {"quantize.embed.weight": codes}, models / "gumbel.ckpt")
    torch.save(upscaler(2), models / "x2.pth")
    files = {
        "gumbel": {"architecture": "vqgan", "path": "models/gumbel.ckpt"},
        "x2": {"architecture": "rrdbnet", "path": "models/x2.pth"},
    }
    roles = {"base": "embedded-upsampler", "upsampler": "embedded-base"}
    add_models(edited.folder, files, enlarger="x2", detailer="gumbel", **roles)
    faults = ["--config", "models=mine", "engine=upstream"]
    for dry in ([], ["--dry-run"]):
        told = refused(edited, *dry, *faults)
        for part in (
            r"\nerror: 7 errors:",
            "\n  base: `embedded-upsampler`",
            "\n  upsampler: `embedded-base`",
            "\n  enlarger: `x2`",
            "enlarges 2 times",
            "\n  detailer: `gumbel`",
            "Gumbel",
            "needs glide-text2im",
            "needs basicsr",
            "needs taming-transformers",
        ):
            assert part.replace(r"\n", "\n") in told
        assert ("rule thumbnails:" in told) == bool(dry)


def test_with_errors_of_the_table_come_those_of_the_model_files(edited: Project) -> None:
    save_network(
        RRDBNet(RRDBNetOptions(scale=2, features=8, blocks=1, growth=4)),
        edited.folder / "models/embedded/enlarger.safetensors",
        "rrdbnet",
    )
    edited.edit("red", "villa", "seed")
    edited.configure(device="cpu", precision="fp16")
    told = refused(edited)
    assert "error: 3 errors:" in told
    assert "column `seed`: found 'red'" in told
    assert "`precision`: found 'fp16', and `device` is cpu" in told
    assert "enlarger: `embedded-enlarger`" in told


def test_what_no_job_needs_is_not_checked(tiny: Project) -> None:
    assert "Nothing to be done" in tiny.snakemake("--config", "device=mps").stderr


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and says nothing of it."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of a folder `served` on a web server."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def add_fetched(project: Project, folder: Path, address: str, scale: int) -> None:
    torch.save(upscaler(scale), folder / "served/fetched.pth")
    entry = {"architecture": "rrdbnet", "urls": [f"{address}/fetched.pth"]}
    add_models(project.folder, {"fetched": entry}, enlarger="fetched")


def test_a_fetched_model_is_checked_before_anything_is_painted(
    edited: Project, address: str, tmp_path: Path
) -> None:
    """Also with cores to spare for the sampling."""
    add_fetched(edited, tmp_path, address, 2)
    spare = ["--set-threads", "thumbnails=1"]
    told = refused(edited, "--config", "models=mine", *spare, cores=4, gpus=4)
    assert "(Rule: convert)" in told
    assert "enlarges 2 times" in told
    assert "rule thumbnails:" not in told
    (edited.folder / "weights/fetched.safetensors").unlink()
    told = refused(edited, "weights", "--config", "models=mine")
    assert "enlarges 2 times" in told
    assert "(Rule: convert)" not in told


def test_models_come_first(edited: Project, address: str, tmp_path: Path) -> None:
    add_fetched(edited, tmp_path, address, 4)
    told = edited.snakemake("--dry-run", "--config", "models=mine").stdout
    order = ["rule fetch:", "rule convert:", "rule thumbnails:", "rule contact_sheet:"]
    places = [told.index(rule) for rule in order]
    assert places == sorted(places)


def test_check_config_says_the_same(
    tiny: Project, tmp_path: Path, monkeypatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tiny.folder)
    torch.save(upscaler(8), tmp_path / "x8.pth")
    entry = {"architecture": "rrdbnet", "path": str(tmp_path / "x8.pth")}
    (tmp_path / "config").mkdir()
    add_models(tmp_path, {"x8": entry}, enlarger="x8")
    config = tmp_path / "config.yaml"
    config.write_text(f"models: mine\nmodels_table: {tmp_path}/config/models.yaml\ndevice: mps\n")
    assert run_command("check_config", config) == 1
    assert "error: enlarger: `x8`" in capfd.readouterr().err
    config.write_text("device: mps\n")
    assert run_command("check_config", config) == 0
    assert ("warning: on this machine" in capfd.readouterr().out) == (not MPS)


# The machine


@NO_GPU
def test_a_device_that_is_not_here(edited: Project) -> None:
    assert "error: device is 'cuda', but torch sees 0" in refused(edited, "--config", "device=cuda")


@NO_GPU
@pytest.mark.parametrize(
    ("device", "precision", "words"),
    [
        ("auto", "fp16", "precision fp16 needs a GPU"),
        ("cuda:1", "auto", "torch sees 0 CUDA devices"),
        ("mps", "fp16", "torch sees 0 MPS devices"),
        ("auto", "bf16", None),
        ("cpu", "auto", None),
    ],
)
@pytest.mark.parametrize("torch_here", [True, False])
def test_what_a_machine_without_a_gpu_cannot_do(
    device: str, precision: str, words: str | None, torch_here: bool, monkeypatch
) -> None:
    """Also where torch is in an environment of its own: the driver is not there either."""
    monkeypatch.setattr(preflight.environment, "expects_gpu", lambda _: False)
    if not torch_here:
        monkeypatch.setitem(sys.modules, "bigart.running.device", None)
        words = words and "there is no GPU here"
    config, *_ = project.read({"device": device, "precision": precision})
    told = preflight.device_error(config)
    assert (words in told) if words else told is None


def test_where_a_driver_is_the_jobs_will_tell(monkeypatch) -> None:
    monkeypatch.setattr(preflight.environment, "expects_gpu", lambda _: True)
    config, *_ = project.read({"device": "cuda:7", "precision": "fp16"})
    assert preflight.device_error(config) is None


def test_a_locale_that_lacks_characters_of_a_prompt(edited: Project) -> None:
    """Python takes UTF-8 in the locale C; here it is told not to."""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    edited.edit("6", "villa", "seed")
    told = refused(edited, variables=plain)
    assert "the encoding of this locale, ascii, lacks characters in the prompt of `villa`" in told
    assert "LC_ALL=C.UTF-8" in told


def room(tiny: Project, monkeypatch, outputs: set[str], free: int) -> list[str]:
    monkeypatch.chdir(tiny.folder)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    models = read_models(tiny.folder / "config/models.yaml", tiny.folder).set("embedded")
    return preflight.room_errors(outputs, models)


@pytest.mark.parametrize(("free", "fits"), [(5_000_000, True), (4_000_000, False)])
def test_room_for_the_files_to_be_made(tiny: Project, monkeypatch, free: int, fits: bool) -> None:
    """These models paint a sixteenth of the pixels; a file that is written anew needs no more."""
    new = {f"results/new/{n}" for n in ("7-textured-4096.png", "final.tif", "6-enlarged-4096.png")}
    old = {"results/lake/final.png"}
    found = room(tiny, monkeypatch, new | old, free)
    told = [re.search(r"take about ([\d.]+ MB)", error)[1] for error in found]
    assert told == ([] if fits else ["4.5 MB"])


def test_room_for_models(tiny: Project, monkeypatch) -> None:
    models = read_models().set("glide")
    monkeypatch.chdir(tiny.folder)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    download = {"weights/downloads/vqgan-imagenet.ckpt"}
    [error] = preflight.room_errors(download | {"weights/vqgan-imagenet.safetensors"}, models)
    assert "take about 1,274.1 MB" in error
    assert preflight.room_errors(download, models) == []


def test_what_is_painted_takes_what_is_counted(tiny: Project, monkeypatch) -> None:
    """A disk with half the room that the pictures of this project take is refused."""
    monkeypatch.chdir(tiny.folder)
    config, table, _ = project.read({"candidates": 2, "table": "config/prompts.tsv"})
    models = read_models(tiny.folder / "config/models.yaml", tiny.folder).set("embedded")
    outputs = preflight.all_outputs(config, table, models)
    painted = {f"results/{name}": len(content) for name, content in tiny.pictures().items()}
    assert outputs == painted.keys()
    elsewhere = {path.replace("results/", "others/") for path in outputs}
    half = sum(painted.values()) // 2
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: SimpleNamespace(free=half))
    assert preflight.room_errors(elsewhere, models)
    assert preflight.room_errors(outputs, models) == []


# Snakemake's options


@pytest.mark.parametrize(
    ("options", "gpus", "said"),
    [([], None, "1"), ([], 3, "3"), (["--resources", "mem_mb=9000"], None, "1")],
)
def test_networks_run_one_at_a_time_unless_told_otherwise(
    tiny: Project, options: list[str], gpus: int | None, said: str
) -> None:
    """So a target may stand where it wants, but after `--resources`."""
    told = tiny.snakemake("--cores", "1", SHEET, "--forcerun", SHEET, *options, gpus=gpus).stderr
    [line] = [line for line in told.splitlines() if line.startswith("Provided resources")]
    assert re.findall(r"gpu=\D*(\d+)", line) == [said]


def test_a_home_that_cannot_be_written(tiny: Project, tmp_path: Path) -> None:
    """Snakemake's cache is then in a temporary folder, and gone afterwards."""
    variables = {"HOME": "/dev/null", "XDG_CACHE_HOME": "", "TMPDIR": str(tmp_path)}
    tiny.snakemake(SHEET, "--force", variables=variables)
    assert list(tmp_path.iterdir()) == []
