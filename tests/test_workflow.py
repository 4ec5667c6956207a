"""The workflow run for real on the embedded models: one artwork is painted, once for all tests."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from bigart.pictures import images
from bigart.stages import ALL
from projects import Project, run_command


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("painted") / "checkout")
    project.table.write_text(project.table.read_text().partition("villa")[0])
    project.snakemake()
    return project


def test_every_stage_leaves_its_file(painted: Project) -> None:
    lake = painted.folder / "results/lake"
    sizes = {
        "1-thumbnails/1.png": 64,
        "1-thumbnails/2.png": 64,
        "2-upsampled/1.png": 256,
        "2-upsampled/2.png": 256,
        "3-enlarged-1024.png": 1024,
        "4-textured-1024.png": 1024,
        "5-detailed-1024.png": 1024,
        "6-enlarged-4096.png": 4096,
        "7-textured-4096.png": 4096,
        "final.png": 4096,
    }
    for name, side in sizes.items():
        assert images.read_rgb(lake / name).shape == (side, side, 3), name
    assert (lake / "candidates.png").exists()
    assert not [path for path in lake.rglob("*") if ".partial-" in path.name]


def test_each_stage_is_the_picture_before_it_larger_or_finer(painted: Project) -> None:
    """Shrunk to 64 px, every stage shows the picture that was chosen."""
    lake = painted.folder / "results/lake"
    thumbnail = images.read_rgb(lake / "1-thumbnails/2.png").astype(float)

    def shrunk(name: str) -> np.ndarray:
        picture = images.read_rgb(lake / name)
        side = len(picture) // 64
        return picture.reshape(64, side, 64, side, 3).mean(axis=(1, 3))

    other = np.abs(shrunk("2-upsampled/1.png") - thumbnail).mean()
    for name in ("2-upsampled/2.png", "3-enlarged-1024.png", "final.png"):
        assert np.abs(shrunk(name) - thumbnail).mean() < 0.5 * other, name


def test_a_stage_says_its_device_and_time(painted: Project) -> None:
    log = (painted.folder / "results/lake/log/1-thumbnails.log").read_text()
    assert "base.safetensors on cpu" in log
    assert "in fp32, engine native" in log
    assert re.search(r"thumbnails: \d+/8, (\d+ min )?\d+ s left", log)
    assert "thumbnails: 8/8, done in" in log


def test_a_stage_takes_less_than_its_rule_asks_for(painted: Project) -> None:
    """Next to Snakemake in a job of its own, which takes some 300 MB."""
    measured = sorted((painted.folder / "results/lake/log").glob("*.benchmark.tsv"))
    assert len(measured) == len(ALL)
    stages = {stage.log.format(format="png"): stage for stage in ALL}
    for path in measured:
        header, values = (line.split("\t") for line in path.read_text().splitlines())
        took = dict(zip(header, values, strict=True))
        stage = stages[path.name.removesuffix(".benchmark.tsv")]
        assert float(took["max_rss"]) + 300 < stage.mem_mb, path.name
        assert float(took["s"]) < 60 * stage.runtime / 2, path.name


def test_candidates_do_not_depend_on_the_batch_or_their_number(
    painted: Project, tmp_path: Path
) -> None:
    models = painted.folder / "models/embedded"
    outputs = [tmp_path / f"{k}.png" for k in (1, 2, 3)]
    arguments = [
        *("--model", models / "base.safetensors", "--vocabulary", models / "encoder.json"),
        *("--merges", models / "vocab.bpe", "--prompt=a painting of a sunset over a lake"),
        *("--seed", "3", "--steps", "4", "--batch", "1", "--threads", "1"),
        *("--precision", "fp32", "--out", *outputs),
    ]
    assert run_command("thumbnails", *arguments) == 0
    for k in (1, 2):
        alone = images.read_rgb(outputs[k - 1]).astype(int)
        together = images.read_rgb(painted.folder / f"results/lake/1-thumbnails/{k}.png")
        assert np.abs(alone - together).max() <= 4  # rounding, where threads and batch differ
    assert np.abs(images.read_rgb(outputs[2]).astype(int) - alone).max() > 50


@pytest.mark.exhaustive
@pytest.mark.parametrize(("visible", "jobs"), [("0,1,2,3", 4), ("1,3", 2)])
def test_jobs_use_different_gpus(
    visible: str, jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "checkout")
    project.use_tiny_models()
    spans_file = project.use_stand_in_gpus()
    names = [f"art-{number}" for number in range(4)]
    rows = [f"{name}\ta lake\t{number}\n" for number, name in enumerate(names)]
    project.table.write_text("artwork\tprompt\tseed\n" + "".join(rows))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    targets = [f"results/{name}/1-thumbnails/1.png" for name in names]
    project.snakemake(*targets, "--config", "device=cuda", "steps=12", cores=8, gpus=jobs)
    lines = spans_file.read_text().splitlines()
    spans = [(device, float(a), float(b)) for device, a, b in map(str.split, lines)]
    assert len(spans) == len(names)
    used = [device.rpartition("stand-in-here-")[2].removesuffix(".lock") for device, *_ in spans]
    assert set(used) == set(visible.split(","))
    for one, other in itertools.combinations(spans, 2):
        overlap = min(one[2], other[2]) - max(one[1], other[1])
        assert overlap <= 0 or one[0] != other[0]
