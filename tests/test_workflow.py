"""The workflow run for real on the embedded models: what it makes, and what reruns when.

One small project is painted once (`painted` in conftest.py). Every test then changes something,
reads Snakemake's list of jobs, and puts it back.
"""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from bigart.metadata import picture_file, recipe
from bigart.pictures import images
from projects import ROOT, TABLE, Project

BASE = ["thumbnails", "upsampled", "contact_sheet", "enlarged_1024", "textured_1024"]
FINISH = ["enlarged_4096", "textured_4096", "final"]


@pytest.fixture
def project(painted: Project) -> Iterator[Project]:
    """The painted project; its table, config and code are put back afterwards."""
    yield painted
    painted.table.write_text(TABLE)


def of(artwork: str, *rules: str) -> set[str]:
    return {f"{rule} {artwork}" for rule in rules}


# What is made


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
    assert not (painted.folder / "results/villa/5-detailed-1024.png").exists()
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


def test_the_final_carries_the_whole_recipe(painted: Project) -> None:
    made = picture_file.read_recipe(painted.folder / "results/villa/final.png")
    stages = [stage["stage"] for stage in made["stages"]]
    assert stages[:3] == ["thumbnails", "upsampled", "enlarged-1024"]
    assert "detailed" not in stages
    assert recipe.find(made, "prompt") == "an \"Italian\" villa; $HOME `ls` 'é' 🎨"
    assert recipe.find(made, "seed") == 42
    assert recipe.find(made, "candidate") == 1
    for stage in made["stages"]:
        for name, sha256 in stage.get("models", {}).items():
            assert name.endswith(".safetensors")
            assert re.fullmatch("[0-9a-f]{64}", sha256)


def test_a_stage_says_its_device_and_time(painted: Project) -> None:
    log = (painted.folder / "results/lake/log/1-thumbnails.log").read_text()
    assert "base.safetensors on cpu" in log
    assert "in fp32" in log
    assert re.search(r"thumbnails: \d+/8, (\d+ min )?\d+ s left", log)
    assert "thumbnails: 8/8, done in" in log


def test_a_stage_takes_less_than_its_rule_asks_for(painted: Project) -> None:
    """Next to Snakemake in a job of its own, which takes some 300 MB."""
    asked = {}
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            name = re.search(r"artwork\}\}/log/([\w-]+)[-{}\w]*\.benchmark\.tsv", rule)
            limits = re.search(r"mem_mb=grows\((\d+)\b.*\),\s+runtime=grows\((\d+)\b.*\)", rule)
            assert limits, rule
            if name:
                asked[name[1].removesuffix("-")] = tuple(map(int, limits.groups()))
    measured = sorted((painted.folder / "results/lake/log").glob("*.benchmark.tsv"))
    assert len(measured) == len(asked) == 9
    for path in measured:
        header, values = (line.split("\t") for line in path.read_text().splitlines())
        took = dict(zip(header, values, strict=True))
        memory, minutes = asked[path.name.removesuffix(".benchmark.tsv").removesuffix("-png")]
        assert float(took["max_rss"]) + 300 < memory, path.name
        assert float(took["s"]) < 60 * minutes / 2, path.name


# What reruns when


def test_nothing_to_do(project: Project) -> None:
    assert project.jobs() == set()


def test_touching_and_checking_out_reruns_nothing(project: Project) -> None:
    for path in project.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    assert project.jobs() == set()


def test_a_checkout_that_moves_reruns_nothing(project: Project, tmp_path: Path) -> None:
    shutil.copytree(project.folder, tmp_path / "elsewhere")
    moved = object.__new__(Project)
    moved.folder = tmp_path / "elsewhere"
    assert moved.jobs() == set()


@pytest.mark.parametrize(
    ("column", "cell", "rules"),
    [
        ("prompt", "a bowl of fruit", [*BASE, "detailed", *FINISH]),
        ("seed", "4", [*BASE, "detailed", *FINISH]),
        ("steps", "5", [*BASE, "detailed", *FINISH]),
        ("sampler", "ddim", [*BASE, "detailed", *FINISH]),
        ("guidance", "3.5", [*BASE, "detailed", *FINISH]),
        ("negative_prompt", "dark", [*BASE, "detailed", *FINISH]),
        ("upsample_temp", "0.9", [*BASE[1:], "detailed", *FINISH]),
        ("upsample_steps", "4", [*BASE[1:], "detailed", *FINISH]),
        ("choose", "1", ["enlarged_1024", "textured_1024", "detailed", *FINISH]),
        ("texture_amount", "0.1", ["textured_1024", "detailed", *FINISH]),
        ("texture_size", "5", ["textured_1024", "detailed", *FINISH]),
        ("detail", "no", FINISH),
        ("final_texture_amount", "0", ["textured_4096", "final"]),
        ("final_texture_size", "1", ["textured_4096", "final"]),
        ("format", "jpg", ["final"]),
    ],
)
def test_editing_a_cell_reruns_from_the_stage_it_touches(
    project: Project, column: str, cell: str, rules: list[str]
) -> None:
    project.edit(cell, "lake", column)
    assert project.jobs() == of("lake", *rules)


def test_adding_and_removing_rows(project: Project) -> None:
    project.table.write_text(TABLE + "fruit\ta bowl of fruit\t\t\t\n")
    assert project.jobs() == of("fruit", *BASE, "detailed", *FINISH)
    project.table.write_text(TABLE.replace("\nvilla", "\n# villa"))
    assert project.jobs() == set()


def test_the_machine_reruns_nothing(project: Project) -> None:
    assert project.jobs("--config", "device=cpu", "batch=1") == set()


@pytest.mark.parametrize(
    ("code", "rules"),
    [
        ("scripts/bigart/pictures/texture.py", ["textured_1024", "detailed", *FINISH]),
        ("scripts/detail.py", ["detailed", *FINISH]),
        ("scripts/finish.py", ["final"]),
        ("scripts/bigart/sampling/samplers.py", [*BASE, "detailed", *FINISH]),
        ("scripts/fetch_weights.py", []),
    ],
)
def test_editing_code_reruns_its_stages(project: Project, code: str, rules: list[str]) -> None:
    path = project.folder / "workflow" / code
    text = path.read_text()
    try:
        path.write_text(text + "\nADDED = 1\n")
        ours = {job for job in project.jobs() if job.endswith(" lake")}
    finally:
        path.write_text(text)
    assert ours == of("lake", *rules)


def test_a_model_of_ones_own(project: Project) -> None:
    """A checkpoint is converted once; another content in it paints again, in the same run."""
    embedded = project.folder / "models/embedded/enlarger.safetensors"
    own = project.folder / "models/own.pth"
    table = project.folder / "config/models.yaml"
    text = table.read_text()
    mine = ["--config", "models=mine"]
    try:
        models = yaml.safe_load(text)
        models["sets"]["mine"] = {"like": "embedded", "enlarger": "own"}
        models["files"]["own"] = {"architecture": "rrdbnet", "path": "models/own.pth"}
        table.write_text(yaml.safe_dump(models))
        state = safetensors.torch.load_file(embedded)
        torch.save(state, own)
        enlarged = ["enlarged_1024", "textured_1024", *FINISH]
        both = of("lake", *enlarged, "detailed") | of("villa", *enlarged)
        assert project.jobs(*mine) == both | {"convert own"}
        project.snakemake("weights", *mine)
        assert project.jobs(*mine) == both
        torch.save({name: value * 1.5 for name, value in state.items()}, own)
        assert project.jobs(*mine) == both | {"convert own"}
    finally:
        table.write_text(text)
        own.unlink(missing_ok=True)


def test_candidates_stops_at_the_contact_sheets(project: Project) -> None:
    project.table.write_text(TABLE + "fruit\ta bowl of fruit\t\t\t\n")
    assert project.jobs("candidates") == of("fruit", "thumbnails", "upsampled", "contact_sheet")


def test_choosing_reruns_and_settles(project: Project) -> None:
    """After a change has run, there is nothing left to do; undone, it runs again."""
    project.edit("jpg", "villa", "format")
    project.snakemake()
    assert project.jobs() == set()
    final = project.folder / "results/villa/final.jpg"
    assert images.read_rgb(final).shape == (4096, 4096, 3)


# The same seed gives the same picture


def test_candidates_do_not_depend_on_the_batch_or_their_number(
    project: Project, tmp_path: Path
) -> None:
    models = project.folder / "models/embedded"
    outputs = [tmp_path / f"{k}.png" for k in (1, 2, 3)]
    command = [
        *(sys.executable, project.folder / "workflow/scripts/thumbnails.py"),
        *("--model", models / "base.safetensors", "--vocabulary", models / "encoder.json"),
        *("--merges", models / "vocab.bpe", "--prompt=a painting of a sunset over a lake"),
        *("--seed", "3", "--steps", "4", "--batch", "1", "--threads", "1", "--out", *outputs),
    ]
    subprocess.run([str(part) for part in command], check=True, timeout=300)
    for k in (1, 2):
        alone = images.read_rgb(outputs[k - 1]).astype(int)
        together = images.read_rgb(project.folder / f"results/lake/1-thumbnails/{k}.png")
        assert np.abs(alone - together).max() <= 4  # rounding, where threads and batch differ
    assert np.abs(images.read_rgb(outputs[2]).astype(int) - alone).max() > 50


# Mistakes and accidents


def test_faults_of_the_table_are_told_together(project: Project) -> None:
    project.table.write_text("artwork\tprompt\tchose\n../out\ta\t9\nlake\t\t1\n")
    done = project.snakemake("--dry-run", check=False)
    told = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in told
    for part in ("`../out`", "`chose`", "`choose`", "`lake`", "line 3"):
        assert part in told


@pytest.mark.parametrize("config", ["models=embeded", "candidates=0", "colour=red"])
def test_faults_of_the_config(project: Project, config: str) -> None:
    done = project.snakemake("--dry-run", "--config", config, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert config.split("=")[0] in done.stdout + done.stderr


def test_a_target_that_is_not_in_the_table(project: Project) -> None:
    done = project.snakemake("--dry-run", "results/leke/final.png", check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 1
    assert "error: config/prompts.tsv has no artwork `leke`. Did you mean `lake`?" in told
    assert "Traceback" not in told


def test_a_killed_run_goes_on(project: Project) -> None:
    """After kill -9 of everything: unlock, run again, and the pictures are the undisturbed ones."""
    rows = "fruit\ta bowl of fruit\t\t\t\nagain\ta bowl of fruit\t\t\t\n"
    project.table.write_text(TABLE + rows)
    targets = ["results/fruit/candidates.png"]
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", "2"]
    running = subprocess.Popen(
        command,
        cwd=project.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    log = project.folder / "results/fruit/log/1-thumbnails.log"
    deadline = time.monotonic() + 120
    while not (log.exists() and "thumbnails: 2/8" in log.read_text()):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()

    project.snakemake("--unlock")
    project.snakemake(*targets, "results/again/candidates.png")
    results = project.folder / "results"
    for name in ("1-thumbnails/1.png", "2-upsampled/2.png"):
        fruit, again = (images.read_rgb(results / artwork / name) for artwork in ("fruit", "again"))
        assert np.array_equal(fruit, again)
    assert not list(results.rglob("*.partial-*"))


def test_a_missing_or_broken_model_is_named(project: Project) -> None:
    path = project.folder / "models/embedded/detailer.safetensors"
    content = path.read_bytes()
    try:
        path.write_bytes(content[: len(content) // 2])
        project.edit("yes", "villa", "detail")
        done = project.snakemake("results/villa/5-detailed-1024.png", check=False)
        told = done.stdout + done.stderr
        assert done.returncode != 0
        assert "detailer.safetensors is damaged" in told
        assert "Traceback" not in told
        assert not list((project.folder / "results/villa").glob("*5-detailed*"))
        path.unlink()
        done = project.snakemake("--dry-run", check=False)
        assert "embedded-detailer" in done.stdout + done.stderr
    finally:
        path.write_bytes(content)


# Several GPUs in one machine


@pytest.mark.parametrize(("visible", "jobs"), [("0,1,2,3", 4), ("1,3", 2)])
def test_jobs_use_different_gpus(
    visible: str, jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "checkout")
    turns_file = project.use_stand_in_gpus()
    names = [f"art-{number}" for number in range(4)]
    rows = [f"{name}\ta lake\t{number}\n" for number, name in enumerate(names)]
    project.table.write_text("artwork\tprompt\tseed\n" + "".join(rows))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    targets = [f"results/{name}/1-thumbnails/1.png" for name in names]
    project.snakemake(*targets, "--config", "device=cuda", "steps=12", cores=8, gpus=jobs)
    lines = turns_file.read_text().splitlines()
    turns = [(device, float(a), float(b)) for device, a, b in map(str.split, lines)]
    assert len(turns) == len(names)
    used = [device.rpartition("stand-in-here-")[2].removesuffix(".turn") for device, *_ in turns]
    assert set(used) == set(visible.split(","))
    for one, other in itertools.combinations(turns, 2):
        overlap = min(one[2], other[2]) - max(one[1], other[1])
        assert overlap <= 0 or one[0] != other[0]
