"""The proof with the original packages themselves: both engines compute the same.

Each package runs in its own environment (upstream.py), made of the file that users get:

- taming-transformers: always; the environment is made from the package index where there is none.
- basicsr: where its environment has been made (2.6 GB to download): `make upstream-basicsr`.
- glide-text2im: likewise, and for a machine without GitHub from a checkout: `make upstream-glide
  CHECKOUT=FOLDER`. Elsewhere test_networks.py holds the networks to its recorded outputs.

Where all three are, Snakemake also paints an artwork with each engine, and runs `verify`.

A proof that does not run is skipped by name, and the summary shows it.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

import conda_stub
import upstream
from bigart.metadata import picture_file
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.vqgan import VQGAN
from bigart.networks.options import BASE, UPSAMPLER, RRDBNetOptions, VQGANOptions
from bigart.pictures import images
from bigart.running.engines import ENGINES, PACKAGES
from bigart.sampling import noise
from bigart.stages import COMPARED, NETWORK_STAGES
from bigart.verify import compare
from bigart.weights.conversion import open_network, save_network
from parity import fill
from projects import PATH, ROOT, Project, judge_files, missing
from test_environment import OWN_ENVIRONMENTS

pytestmark = pytest.mark.cluster

SCRIPTS = ROOT / "workflow/scripts"
EMBEDDED = ROOT / "models/embedded"
NAMES = {package: name for name, package in upstream.ENVIRONMENTS.items()}
GPT2 = ROOT / "tests/data/gpt2-bpe"
VOCABULARIES = {
    "embedded": (EMBEDDED / "encoder.json", EMBEDDED / "vocab.bpe"),
    "published": (GPT2 / "encoder.json.gz", GPT2 / "vocab.bpe.gz"),
}
# Sides of the pictures that the stages start from: as in a run, or less where that takes minutes
SIDES = {
    "embedded": {
        **{"upsampled": 64, "enlarged-1024": 96, "detailed": 256, "enlarged-4096": 160},
        "chosen": 64,
    },
    "published": {"upsampled": 64, "enlarged-1024": 256, "detailed": 512, "enlarged-4096": 256},
}
PUBLISHED = {
    "base": lambda: fill(Text2ImUNet(BASE)),
    "upsampler": lambda: fill(Text2ImUNet(UPSAMPLER)),
    "enlarger": lambda: fill(RRDBNet(RRDBNetOptions()), gain=0.5),
    "detailer": lambda: fill(VQGAN(VQGANOptions())),
}


def python_with(package: str) -> Path:
    """The interpreter of the package's environment; without one the test is skipped or fails."""
    name = NAMES[package]
    if python := upstream.python_of(name):
        return python
    if package != "taming-transformers":
        pytest.skip(
            f"PROOF NOT RUN: {package} is not here in the versions of its file; "
            f"`make upstream-{name}` gets it"
        )
    try:
        return upstream.build(name)
    except RuntimeError as error:
        missing(f"PROOF NOT RUN: {error}")


def soft_picture(side: int) -> np.ndarray:
    """Smooth colours with some grain."""
    coarse = torch.from_numpy(noise.standard_normal(1, "soft", 1, 0, (3, 8, 8)))[None]
    smooth = nn.functional.interpolate(coarse, (side, side), mode="bicubic")[0].numpy()
    grain = noise.standard_normal(1, "grain", 1, 0, (3, side, side))
    picture = 128 + 50 * smooth + 8 * grain
    return picture.clip(0, 255).astype(np.uint8).transpose(1, 2, 0).copy()


def compared(
    stage: str,
    model: Path,
    upstream_model: Path | None = None,
    *,
    folder: Path,
    sizes: str = "embedded",
    more: Sequence[str | Path] = (),
) -> list[compare.Difference]:
    """Run a stage of the proof in both engines, each in its own environment.

    Prints what `pytest -rP` shows: the differences, and what each engine took.
    """
    models = {"native": model, "upstream": upstream_model or model}
    python = {
        "native": Path(sys.executable),
        "upstream": python_with(PACKAGES[COMPARED[stage].architecture].name),
    }
    before = []
    if COMPARED[stage].before:
        before = [folder / "before.safetensors"]
        picture = {"result/picture": soft_picture(SIDES[sizes][stage])}
        facts = {"stage": COMPARED[stage].before, "engine": "native"}
        safetensors.numpy.save_file(picture, before[0], {"facts": json.dumps(facts)})
    vocabulary, merges = VOCABULARIES[sizes]
    runs = {engine: folder / f"{engine}.safetensors" for engine in python}
    for engine, source in (("native", before), ("upstream", [runs["native"]])):
        command = [python[engine], SCRIPTS / "verify_stage.py", "--engine", engine]
        command += ["--stage", stage, "--model", models[engine], "--source", *source]
        command += ["--vocabulary", vocabulary, "--merges", merges, *more]
        command += ["--out", runs[engine], "--device", "cpu", "--precision", "fp32"]
        environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "2"}
        done = subprocess.run(
            list(map(str, command)), env=environment, capture_output=True, text=True, timeout=1200
        )
        assert done.returncode == 0, done.stderr
    ours, theirs = (compare.read(path) for path in runs.values())
    assert theirs.facts["engine"].startswith(PACKAGES[COMPARED[stage].architecture].name)
    found = compare.compare(ours, theirs)
    for each in found:
        print(f"{each.what}: largest {each.largest:.2g}, mean {each.mean:.2g} {each.unit}")
    for facts in (ours.facts, theirs.facts):
        print(
            "{engine}: {seconds} s, {gigabytes:.1f} GB".format(
                gigabytes=facts["peak_bytes"] / 1e9, **facts
            )
        )
    return found


@pytest.mark.parametrize("stage", NETWORK_STAGES)
def test_the_engines_agree_on_the_embedded_models(stage: str, tmp_path: Path) -> None:
    found = compared(stage, EMBEDDED / f"{NETWORK_STAGES[stage].role}.safetensors", folder=tmp_path)
    assert len(found) >= 2
    assert [each for each in found if not each.agrees] == []


def test_the_engines_agree_on_noised_clip(tmp_path: Path) -> None:
    tokens = len(json.loads((EMBEDDED / "encoder.json").read_text()))
    files = judge_files(tmp_path, tokens, side=64)
    text = ["--clip_text", files["clip_text"]]
    found = compared("chosen", files["clip_image"], folder=tmp_path, more=text)
    assert {"prompt", "picture at step 0", "gradient at step 500"} < {each.what for each in found}
    assert [each for each in found if not each.agrees] == []


@pytest.mark.full_size
@pytest.mark.parametrize("stage", NETWORK_STAGES)
def test_the_engines_agree_at_the_published_size(stage: str, tmp_path: Path) -> None:
    python_with(PACKAGES[NETWORK_STAGES[stage].architecture].name)
    network = PUBLISHED[NETWORK_STAGES[stage].role]()
    model = tmp_path / "network.safetensors"
    save_network(network, model, NETWORK_STAGES[stage].architecture, torch.float32)
    del network  # the originals need the memory
    found = compared(stage, model, folder=tmp_path, sizes="published")
    assert [each for each in found if not each.agrees] == []


def test_a_weight_that_is_a_hundredth_larger_is_found(tmp_path: Path) -> None:
    """The tests above can fail."""
    python_with("taming-transformers")
    network, _ = open_network(EMBEDDED / "detailer.safetensors", dtype=torch.float32)
    models = []
    for name, scale in (("native", 1.0), ("upstream", 1.01)):
        network.decoder.up[0].block[0].conv2.weight.mul_(scale)
        models.append(tmp_path / name / "network.safetensors")
        save_network(network, models[-1], "vqgan", torch.float32, source_sha256="0" * 64)
    found = compared("detailed", *models, folder=tmp_path)
    assert {each.what for each in found if not each.agrees} >= {"decoded"}
    assert {each.what for each in found if each.agrees} >= {"vectors", "codes"}


def test_a_whole_run_in_each_engine_through_snakemake(tmp_path: Path) -> None:
    """With the embedded models, each stage in its own environment; then the comparison."""
    ready = {path: Path(sys.prefix) for path in OWN_ENVIRONMENTS}
    ready |= {upstream.file_of(NAMES[p]): python_with(p).parent.parent for p in NAMES}
    binaries = conda_stub.install(tmp_path / "conda", ready)
    options: dict[str, Any] = {"variables": {"PATH": f"{binaries}:{PATH}"}}
    project = Project(tmp_path / "project")
    project.table.write_text("artwork\tprompt\nlake\ta painting of a sunset over a lake\n")
    pictures, engines = [], {}
    for engine in ENGINES:
        project.snakemake("--config", f"engine={engine}", "--sdm", "conda", **options)
        final = project.folder / "results/lake/final.png"
        results = project.folder / "results"
        pictures.append({path: images.read_rgb(results / path) for path in project.pictures()})
        stages = picture_file.read_recipe(final)["stages"]
        engines = {stage["stage"]: stage["engine"] for stage in stages if "engine" in stage}
    assert engines.keys() == NETWORK_STAGES.keys()
    for stage, engine in engines.items():
        name, version = engine.split()[:2]  # an address may follow
        assert name == PACKAGES[NETWORK_STAGES[stage].architecture].name
        assert re.match(r"\d+\.", version)
    for path in pictures[0]:
        off = np.abs(pictures[0][path].astype(np.int16) - pictures[1][path])
        print(f"{path}: largest {off.max()}, mean {off.mean():.2g} of 255")
        before_vqgan = re.search("/[1-4]-|candidates", path)  # which may choose other codes
        assert off.mean() < (0.15 if before_vqgan else 0.7)
    project.snakemake("verify", "--sdm", "conda", **options)
    found = json.loads((project.folder / "results/verify/report.json").read_text())
    assert found["agrees"] is True
    proven = {stage["stage"]: stage["upstream"]["engine"] for stage in found["stages"]}
    assert engines.items() <= proven.items()
    assert proven.keys() - engines.keys() <= {"chosen"}
