"""What several tests share."""

import json
import os
import re
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from xdist.scheduler import LoadScopeScheduling

from bigart.networks.options import GlideOptions
from bigart.networks.tokenizer import Tokenizer
from projects import ROOT, Project, made_once

DATA = Path(__file__).parent / "data"
PARITY = DATA / "parity"

# A runner in the background ignores Ctrl-C, and so would all that it starts
signal.signal(signal.SIGINT, signal.default_int_handler)

# Machines are busy at times: no deadline. On CI the examples are the same in every run.
hypothesis.settings.register_profile("here", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("here")


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a stage command; the caller looks at its exit status."""
    command = [sys.executable, str(ROOT / "workflow/scripts" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


# Files whose tests share something costly: one worker of pytest-xdist runs all of a file's. With
# pytest 9.2, xdist's own `--dist loadgroup` groups nothing.
TOGETHER = re.compile(r"_(conda|deployment|kubernetes|resume|slurm|upstream|verify|workflow)\.py")


class _Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if TOGETHER.search(file) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _Scheduling:
    return _Scheduling(config, log)


def normal(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The noise of the parity vectors, see data/parity/README.md."""
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    return generator.standard_normal(shape).astype(np.float32)


def uniform(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    return generator.rand(*shape).astype(np.float32)


def rule_weight(name: str, shape: tuple[int, ...], gain: float = 1.0) -> Tensor:
    """The weight rule of the parity vectors: the value of a parameter follows from its name."""
    values = normal(name, shape)
    if name == "quantize.embedding.weight":
        return torch.from_numpy(values)
    if len(shape) >= 2:
        fan = 2500 if "embedding" in name else int(np.prod(shape[1:]))
        return torch.from_numpy((values * (gain / np.sqrt(fan))).astype(np.float32))
    if name.endswith("weight"):
        return torch.from_numpy(1 + np.float32(0.1) * values)
    return torch.from_numpy(np.float32(0.05) * values)


def fill(network: nn.Module, gain: float = 1.0) -> nn.Module:
    """Give a network the weights of the rule."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict({n: rule_weight(n, s, gain) for n, s in shapes.items()})
    return network.eval().requires_grad_(False)


def glide_options(recorded: dict) -> GlideOptions:
    """The options of a network that vectors.json records."""
    super_res = recorded["super_res"]
    return GlideOptions(
        image_size=recorded["image_size"],
        channels=recorded["num_channels"],
        res_blocks=recorded["num_res_blocks"],
        channel_mult=(1, 1, 2, 2, 4, 4) if super_res else (1, 2, 3, 4),
        head_channels=recorded["num_head_channels"],
        text_width=recorded["xf_width"],
        text_layers=recorded["xf_layers"],
        text_heads=recorded["xf_heads"],
        super_res=super_res,
        inpaint=recorded["inpaint"],
        noise_schedule=recorded["noise_schedule"],
    )


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """GPT-2's."""
    bpe = DATA / "gpt2-bpe"
    return Tokenizer.from_files(bpe / "encoder.json.gz", bpe / "vocab.bpe.gz")


@pytest.fixture(scope="session")
def vectors() -> dict[str, dict]:
    return json.loads((PARITY / "vectors.json").read_text())


@pytest.fixture(scope="session")
def published_shapes() -> dict[str, dict[str, list[int]]]:
    return json.loads((PARITY / "state_dicts.json").read_text())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of tiny models after its first run, under a path with a blank and an umlaut."""

    def paint(folder: Path) -> None:
        project = Project(folder)
        project.use_tiny_models()
        project.snakemake()

    made = made_once(tmp_path_factory, "tiny", paint)
    return Project(tmp_path_factory.mktemp("tiny") / "mölky art", made)
