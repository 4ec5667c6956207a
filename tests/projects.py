"""Projects that tests paint: checkouts with a small table, and Snakemake run in them."""

import atexit
import functools
import json
import logging
import os
import re
import runpy
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import filelock
import psutil
import pytest
import torch
import yaml
from torch import nn

from bigart.networks.clip_options import ClipImageOptions, ClipTextOptions
from bigart.networks.native.clip import ClipImage, ClipText
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.options import GlideOptions, RRDBNetOptions, VQGANOptions
from bigart.stages import ALL
from bigart.weights.conversion import save_network

ROOT = Path(__file__).parent.parent
PATH = "/usr/bin:/bin"
PARTS = ["Snakefile", "workflow", "config", "envs", "profiles", "models"]
# The other cores are for other workers of pytest-xdist; another number of threads rounds otherwise
CORES = 1

#: Rule -> the file of an artwork that it makes last, and its command, in the order of a run.
FILES = {s.rule: s.file.format(candidate=2, format="png") for s in ALL}
COMMANDS = {stage.rule: stage.command for stage in ALL}

TABLE = """\
artwork\tprompt\tseed\tchoose\tdetail
lake\ta painting of a sunset over a lake\t3\t2\tyes
villa\tan "Italian" villa; $HOME `ls` 'é' 🎨\t\t\tno
"""
SETTINGS = {
    **{"candidates": 2, "steps": 4, "upsample_steps": 3, "texture_amount": 0.05},
    "precision": "fp32",  # on every machine
}

# Devices that compute on the CPU and write down who computed when on which of them
STAND_INS = """
import os


def _device(name):
    return torch.device("cuda")


def _devices(chosen):
    node = os.environ.get("SLURMD_NODENAME", "here")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0,1,2,3").split(",")
    return {{f"stand-in-{{node}}-{{number}}": torch.device("cpu") for number in visible}}


class Device(Device):
    @contextlib.contextmanager
    def locked(self):
        with super().locked():
            began = time.time()
            yield
            ended = time.time()
        line = f"{{self.slot.gpu_lock.lock_file}} {{began}} {{ended}}\\n"
        with open({spans!r}, "a") as file:
            file.write(line)
"""


def missing(what: str) -> NoReturn:
    """Skip the test for what the machine lacks; on CI, where nothing may be missing, fail it."""
    if "CI" in os.environ:
        pytest.fail(what)
    pytest.skip(what)


@functools.cache
def _server() -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).with_name("snakemake_server.py"))]
    pipe = subprocess.PIPE
    server = subprocess.Popen(command, cwd="/", stdin=pipe, stdout=pipe, text=True)
    atexit.register(server.communicate)
    return server


def _served(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    server = _server()
    assert server.stdin
    assert server.stdout
    with tempfile.TemporaryDirectory() as outputs:
        output = f"{outputs}/output"
        request = json.dumps([str(folder), arguments, dict(environment), output])
        print(request, file=server.stdin, flush=True)
        assert select.select([server.stdout], [], [], 1200)[0], "Snakemake does not end"
        status = int(server.stdout.readline())
        texts = [Path(f"{output}.{stream}").read_text() for stream in ("stdout", "stderr")]
    return subprocess.CompletedProcess(arguments, status, *texts)


def snakemake_in(
    folder: Path,
    *arguments: str,
    check: bool = True,
    cores: int = CORES,
    gpus: int | None = 1,
    python: str | Path | None = None,
    variables: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake: as a process of its own with ``python``, ``variables`` or ``before``."""
    words = [*arguments, "--cores", str(cores)]
    words += ["--resources", f"gpu={gpus}"] if gpus else []
    environment = {**os.environ, "PATH": PATH, "OMP_NUM_THREADS": str(cores), **(variables or {})}
    if python or variables or before:
        command = [*before, str(python or sys.executable), "-m", "snakemake", *words]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200
        )
    else:
        done = _served(folder, words, environment)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def run_command(command: str, *arguments: object) -> int:
    """Run a command of workflow/scripts in this process; return its exit status."""
    script = ROOT / f"workflow/scripts/{command}.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        patch.setattr(logging.getLogger(), "handlers", [])
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as leaving:
            return int(leaving.code or 0)
    return 0


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that one worker of pytest-xdist makes for all of them."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.exists():
            make(folder.with_suffix(".partial"))
            folder.with_suffix(".partial").rename(folder)
    return folder


def add_models(folder: Path, files: Mapping[str, Any], **roles: str) -> None:
    """Add files to the table of models, and a set `mine`: the embedded one with these."""
    table = folder / "config/models.yaml"
    models = yaml.safe_load((table if table.exists() else ROOT / "config/models.yaml").read_text())
    models["sets"]["mine"] = models["sets"]["embedded"] | roles
    models["files"] |= files
    table.write_text(yaml.safe_dump(models))


def judge_files(
    folder: Path, vocab: int, side: int = 16, embedding: int = 8, seed: int = 1
) -> dict[str, Path]:
    """Write a tiny noised CLIP for pictures of some side; return its files by role."""
    torch.manual_seed(seed)
    text = ClipText(ClipTextOptions(vocab=vocab, width=8, layers=1, heads=1, embedding=8))
    image = ClipImage(
        ClipImageOptions(image_size=side, width=16, layers=1, heads=1, embedding=embedding)
    )
    names = {"clip_text": "judge-text", "clip_image": "judge-image"}
    paths = {role: folder / f"{name}.safetensors" for role, name in names.items()}
    save_network(text, paths["clip_text"], "clip-text", torch.float32)
    save_network(image, paths["clip_image"], "clip-image", torch.float32)
    return paths


class Project:
    """A checkout with a small table.

    Args:
        folder: Where to make it.
        source: A project to copy, with all that was made in it; the repository by default.
    """

    def __init__(self, folder: Path, source: Path | None = None) -> None:
        self.folder = folder
        if source:
            shutil.copytree(source, folder, symlinks=True)
            return
        folder.mkdir()
        for part in PARTS:
            if (ROOT / part).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(ROOT / part, folder / part, symlinks=True, ignore=ignored)
            else:
                shutil.copy(ROOT / part, folder / part)
        self.configure(**SETTINGS)
        self.table.write_text(TABLE)

    def configure(self, **options: object) -> None:
        """Set options in config.yaml."""
        path = self.folder / "config/config.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | options))

    @property
    def table(self) -> Path:
        return self.folder / "config/prompts.tsv"

    def snakemake(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return snakemake_in(self.folder, *arguments, **options)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start Snakemake in a process group of its own, with these variables besides."""
        environment = {**os.environ, "PATH": PATH, "OMP_NUM_THREADS": "1", **variables}
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", *arguments, "--cores", str(CORES)],
            cwd=self.folder,
            env=environment,
            start_new_session=True,
        )

    def stages(self) -> Iterator[tuple[list[str], psutil.Process]]:
        """The stages that run now: the words of the command, the script first, and the process."""
        scripts = str(self.folder / "workflow/scripts")
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or [""]
            if Path(words[0]).name == "python" and words[1:] and words[1].startswith(scripts):
                yield words[1:], process

    def jobs(self, *arguments: str, **options: Any) -> set[str]:
        """What would run, as "rule artwork" or "rule model"."""
        done = self.snakemake("--dry-run", *arguments, **options)
        found = set()
        for block in re.split(r"\n(?=\[|Job stats)", done.stdout + done.stderr):
            rule = re.search(r"^(?:local)?rule (\w+):", block, re.MULTILINE)
            subject = re.search(r"wildcards: .*?(?:artwork|model)=([\w.-]+)", block)
            if rule and subject:
                found.add(f"{rule[1]} {subject[1]}")
        return found

    def jobs_with_a_new_statement(self, module: str, *arguments: str) -> set[str]:
        """What would run if a module of the library had another statement."""
        code = self.folder / "workflow/scripts/bigart" / module
        content = code.read_text()
        code.write_text(content + "\nADDED = 1\n")
        found = self.jobs(*arguments)
        code.write_text(content)
        return found

    def edit(self, cell: str, row: str, column: str) -> None:
        lines = [line.split("\t") for line in self.table.read_text().splitlines()]
        if column not in lines[0]:
            lines = [[*line, column if i == 0 else ""] for i, line in enumerate(lines)]
        for line in lines[1:]:
            if line[0] == row:
                line[lines[0].index(column)] = cell
        self.table.write_text("".join("\t".join(line) + "\n" for line in lines))

    def use_stand_in_gpus(self) -> Path:
        """Let `device: cuda` mean stand-ins, by the numbers in CUDA_VISIBLE_DEVICES.

        Returns the file in which each hold of a GPU lock leaves a line: its lock, beginning, end.
        """
        spans = self.folder / "spans"
        with (self.folder / "workflow/scripts/bigart/running/device.py").open("a") as code:
            code.write(STAND_INS.format(spans=str(spans)))
        return spans

    def use_tiny_models(self) -> None:
        """Put networks in the embedded ones' place that compute next to nothing (64 -> 1024 px).

        They show nothing, but the same bytes every time, and a stage takes little more than its
        start.
        """
        torch.manual_seed(1)
        vocabulary = len(json.loads((self.folder / "models/embedded/encoder.json").read_text()))
        glide = GlideOptions(
            image_size=16,
            channels=8,
            res_blocks=1,
            channel_mult=(1, 2),
            head_channels=8,
            attention_resolutions=(8,),
            text_ctx=16,
            text_width=16,
            text_layers=1,
            text_heads=2,
            vocab=vocabulary,
            groups=4,
        )
        upsampler = replace(glide, image_size=64, super_res=True, noise_schedule="linear")
        networks: dict[str, tuple[nn.Module, str]] = {
            "base": (Text2ImUNet(glide), "glide"),
            "upsampler": (Text2ImUNet(upsampler), "glide"),
            "enlarger": (RRDBNet(RRDBNetOptions(features=8, blocks=1, growth=4)), "rrdbnet"),
            "detailer": (
                VQGAN(
                    VQGANOptions(
                        channels=8,
                        channel_mult=(1, 2),
                        res_blocks=1,
                        attention_resolutions=(),
                        resolution=64,
                        z_channels=8,
                        embed_dim=8,
                        codes=16,
                        groups=4,
                    )
                ),
                "vqgan",
            ),
        }
        for name, (network, architecture) in networks.items():
            path = self.folder / f"models/embedded/{name}.safetensors"
            save_network(network, path, architecture)
        judge_files(self.folder / "models/embedded", vocabulary)

    def use_no_judge(self) -> None:
        """Take noised CLIP out of the embedded set, if it is there."""
        table = self.folder / "config/models.yaml"
        models = yaml.safe_load(table.read_text())
        roles = models["sets"]["embedded"].items()
        models["sets"]["embedded"] = {role: f for role, f in roles if not role.startswith("clip_")}
        table.write_text(yaml.safe_dump(models))

    def use_tiny_judge(self) -> None:
        """Give the embedded set, which is tiny already, noised CLIP of random weights."""
        table = self.folder / "config/models.yaml"
        models = yaml.safe_load(table.read_text())
        for kind in ("text", "image"):
            models["sets"]["embedded"][f"clip_{kind}"] = f"embedded-judge-{kind}"
            models["files"][f"embedded-judge-{kind}"] = {
                "architecture": f"clip-{kind}",
                "path": f"models/embedded/judge-{kind}.safetensors",
                "ready": True,
            }
        table.write_text(yaml.safe_dump(models))

    def pictures(self) -> dict[str, bytes]:
        """Every file under its final name in results/, but for logs and benchmarks."""
        results = self.folder / "results"
        return {
            str(path.relative_to(results)): path.read_bytes()
            for path in sorted(results.rglob("*"))
            if path.is_file() and path.parent.name != "log" and not path.name.startswith(".")
        }

    def leftovers(self) -> list[Path]:
        """Hidden files in results/, but for locks: temporary ones and states of samplings."""
        hidden = (self.folder / "results").rglob(".*")
        return [path for path in hidden if path.is_file() and path.suffix != ".lock"]
