"""The stage commands by hand: their networks must be the right ones, and faults have a message."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bigart.metadata import picture_file, recipe
from bigart.pictures import images

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "models/embedded"
WORDS = ["--vocabulary", MODELS / "encoder.json", "--merges", MODELS / "vocab.bpe"]


def run(command: str, *arguments: object) -> tuple[int, str]:
    """Exit status and what was said on stderr."""
    script = ROOT / "workflow/scripts" / f"{command}.py"
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    noise = np.random.default_rng(1).integers(0, 256, (64, 48, 3), np.uint8)
    picture_file.write_picture(path, noise, recipe.start())
    return path


def test_thumbnails_need_a_base_network(tmp_path: Path) -> None:
    out = tmp_path / "1.png"
    arguments = [*WORDS, "--prompt=a lake", "--steps", "2", "--out", out]
    status, told = run("thumbnails", "--model", MODELS / "upsampler.safetensors", *arguments)
    assert (status, out.exists()) == (1, False)
    assert "is an upsampler; this stage needs a base network" in told
    status, told = run("thumbnails", "--model", MODELS / "enlarger.safetensors", *arguments)
    assert status == 1
    assert "rrdbnet; glide is needed" in told


def test_upsampling_needs_an_upsampler(tmp_path: Path, picture: Path) -> None:
    arguments = [*WORDS, "--prompt=a lake", "--images", picture, "--out", tmp_path / "1.png"]
    status, told = run("upsample", "--model", MODELS / "base.safetensors", *arguments)
    assert status == 1
    assert "is a base network; this stage needs an upsampler" in told


def test_a_vocabulary_belongs_to_a_network(tmp_path: Path) -> None:
    gpt2 = ROOT / "tests/data/gpt2-bpe"
    words = ["--vocabulary", gpt2 / "encoder.json.gz", "--merges", gpt2 / "vocab.bpe.gz"]
    model = ["--model", MODELS / "base.safetensors"]
    status, told = run("thumbnails", *model, *words, "--prompt=a", "--out", tmp_path / "1.png")
    assert status == 1
    assert "has 50257 tokens" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--steps", "1001"], "cannot keep 1001 of 1000 timesteps"),
        (["--batch", "none"], "--batch is 'none'"),
        (["--device", "cuda:9"], "device is 'cuda:9'"),
        (["--device", "gpu"], "device is 'gpu'"),
        (["--precision", "fp16"], "fp16 needs a GPU"),
        (["--precision", "int8"], "precision is 'int8'"),
        (["--threads", "0"], "--threads is 0"),
    ],
)
def test_arguments_that_cannot_be(tmp_path: Path, arguments: list[str], told: str) -> None:
    common = ["--model", MODELS / "base.safetensors", *WORDS, "--prompt=a"]
    status, said = run("thumbnails", *common, *arguments, "--out", tmp_path / "1.png")
    assert status == 1
    assert told in said
    assert not list(tmp_path.iterdir())


def test_a_prompt_that_is_cut_is_said(tmp_path: Path) -> None:
    prompt = "a painting of a sunset over a lake, " * 30 + "with a duck"
    common = ["--model", MODELS / "base.safetensors", *WORDS, "--steps", "2"]
    status, told = run("thumbnails", *common, f"--prompt={prompt}", "--out", tmp_path / "1.png")
    assert status == 0
    assert "the models read 64; this end of it is cut" in told
    assert "with a duck" in told


def test_a_picture_of_any_size_is_enlarged_and_detailed(tmp_path: Path, picture: Path) -> None:
    large, detailed = tmp_path / "large.png", tmp_path / "detailed.png"
    model = ["--model", MODELS / "enlarger.safetensors"]
    assert run("enlarge", *model, "--image", picture, "--out", large)[0] == 0
    assert images.read_rgb(large).shape == (256, 192, 3)
    # 50 x 48 is no multiple of the code's size
    picture_file.write_picture(picture, images.read_rgb(picture)[:50], recipe.start())
    model = ["--model", MODELS / "detailer.safetensors"]
    assert run("detail", *model, "--image", picture, "--out", detailed)[0] == 0
    assert images.read_rgb(detailed).shape == (50, 48, 3)
    stages = [stage["stage"] for stage in picture_file.read_recipe(detailed)["stages"]]
    assert stages == ["detailed"]


def test_an_enlarger_of_another_scale_is_refused(tmp_path: Path, picture: Path) -> None:
    common = ["--model", MODELS / "enlarger.safetensors", "--image", picture, "--scale", "2"]
    status, told = run("enlarge", *common, "--out", tmp_path / "large.png")
    assert status == 1
    assert "enlarges 4 times; 2 are needed" in told
