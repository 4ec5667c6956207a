"""The benchmarks run; their figures are in docs/speed.md and docs/fidelity.md."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects import ROOT, Project

pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout with its benchmarks, and tiny models."""
    project = Project(tmp_path_factory.mktemp("benchmarks") / "checkout")
    project.use_tiny_models()
    shutil.copytree(ROOT / "benchmarks", project.folder / "benchmarks")
    shutil.copytree(ROOT / "docs/images", project.folder / "docs/images")
    return project


def printed(folder: Path, benchmark: str, *arguments: object) -> str:
    command = [sys.executable, f"benchmarks/{benchmark}.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_results_recorded_as_made_leave_nothing_to_do() -> None:
    assert re.search(
        r"^\| 3 \| \d+\.\d s ", printed(ROOT, "workflow", "--artworks", 3), re.MULTILINE
    )


def test_rounding_of_all_stages_changes_at_least_as_much_as_of_the_last(project: Project) -> None:
    table = printed(project.folder, "rounding", "--artworks", "lake", "--each", "--device", "cpu")
    means = dict(re.findall(r"^\| lake \| (\S+) \| (\d+\.\d+) ", table, re.MULTILINE))
    assert len(means) == 7
    assert float(means["all"]) >= float(means["enlarged-4096"]) > 0


def test_a_layer_that_is_all_wrong_is_found(project: Project) -> None:
    found = printed(project.folder, "sensitivity", "--scale", 100, "--only", "enlarged-1024")
    assert re.fullmatch(r"enlarger: (\d+) of \1 layers found\n", found)
    found = printed(project.folder, "sensitivity", "--scale", 1, "--only", "detailed")
    assert re.match(r"detailer: 0 of \d+ layers found\n  not ", found)


def test_every_part_of_the_gpu_benchmark_runs_without_a_gpu() -> None:
    told = printed(ROOT, "gpu", "--device", "cpu", "--tiny", "--minutes", 20, "--repeats", 1)
    assert "NOT RUN" not in told
    assert "FAILED" not in told
    assert len(re.findall(r"^\| (glide|bsrgan|vqgan)/\w+ \|", told, re.MULTILINE)) == 16
    assert len(re.findall(r"^\| .* \(stand-in\) \|", told, re.MULTILINE)) == 5
    assert (
        len(re.findall(r"^\d+\.\d s an artwork.* in the networks \d+ %", told, re.MULTILINE)) == 4
    )
    assert "not recordable: " in told


def test_reduced_precision_changes_a_little(project: Project) -> None:
    picture = project.folder / "picture.png"
    colours = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(colours).save(picture)
    table = printed(project.folder, "precision", "--picture", picture, "--device", "cpu")
    means = re.findall(r"^\| \w+ \| bf16 \| ([\d.e-]+)[/ ]", table, re.MULTILINE)
    assert len(means) == 4
    assert all(float(mean) > 0 for mean in means)
