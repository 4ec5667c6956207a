"""What several tests share."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

import parity
from bigart.networks.tokenizer import Tokenizer
from projects import ROOT, Project, made_once

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
TOGETHER = re.compile(
    r"_(conda|deployment|judge|kubernetes|own_picture|repaint|resume|slurm|upstream|verify|workflow)"
    r"\.py"
)


class _Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if TOGETHER.search(file) else nodeid


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: a test that waits leaves its core to another."""
    return 1 + len(os.sched_getaffinity(0))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _Scheduling:
    return _Scheduling(config, log)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """GPT-2's."""
    return parity.read_tokenizer()


@pytest.fixture(scope="session")
def vectors() -> dict[str, dict]:
    return parity.vectors()


@pytest.fixture(scope="session")
def published_shapes() -> dict[str, dict[str, list[int]]]:
    files = (parity.PARITY / name for name in ("state_dicts.json", "state_dicts_clip.json"))
    return {name: shapes for file in files for name, shapes in json.loads(file.read_text()).items()}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of tiny models after its first run, under a path with a blank and an umlaut."""

    def paint(folder: Path) -> None:
        project = Project(folder)
        project.use_tiny_models()
        project.snakemake()

    made = made_once(tmp_path_factory, "tiny", paint)
    return Project(tmp_path_factory.mktemp("tiny") / "mölky art", made)
