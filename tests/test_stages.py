"""The stage commands by hand: their networks must be the right ones, and faults have a message."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bigart.metadata import picture_file, recipe
from bigart.pictures import images
from projects import ROOT, run_command

MODELS = ROOT / "models/embedded"
WORDS = ["--vocabulary", MODELS / "encoder.json", "--merges", MODELS / "vocab.bpe"]


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; returns its exit status and what it says on stderr."""

    def run(command: str, *arguments: object) -> tuple[int, str]:
        status = run_command(command, *arguments)
        told = capsys.readouterr().err
        assert "Traceback" not in told
        return status, told

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    noise = np.random.default_rng(1).integers(0, 256, (64, 48, 3), np.uint8)
    picture_file.write_picture(path, noise, recipe.start())
    return path


def test_thumbnails_need_a_base_network(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "1.png"
    arguments = [*WORDS, "--prompt=a lake", "--steps", "2", "--out", out]
    status, told = run("thumbnails", "--model", MODELS / "upsampler.safetensors", *arguments)
    assert (status, out.exists()) == (1, False)
    assert "is an upsampler; this stage needs a base network" in told
    status, told = run("thumbnails", "--model", MODELS / "enlarger.safetensors", *arguments)
    assert status == 1
    assert "rrdbnet; glide is needed" in told


def test_upsampling_needs_an_upsampler(run: Run, tmp_path: Path, picture: Path) -> None:
    arguments = [*WORDS, "--prompt=a lake", "--images", picture, "--out", tmp_path / "1.png"]
    status, told = run("upsample", "--model", MODELS / "base.safetensors", *arguments)
    assert status == 1
    assert "is a base network; this stage needs an upsampler" in told


def test_the_upsampler_may_be_guided(run: Run, tmp_path: Path) -> None:
    thumbnails = [tmp_path / f"small-{k}.png" for k in (1, 2)]
    for path in thumbnails:
        noise = np.random.default_rng([*str(path).encode()]).integers(0, 256, (64, 64, 3), np.uint8)
        picture_file.write_picture(path, noise, recipe.start())

    def upsampled(name: str, *options: object) -> list[Path]:
        out = [tmp_path / f"{name}-{k}.png" for k in (1, 2)]
        words = ["--model", MODELS / "upsampler.safetensors", *WORDS, "--prompt=a lake"]
        status, _ = run(
            *("upsample", *words, "--images", *thumbnails, "--steps", 2, "--threads", 1),
            *("--out", *out, *options),
        )
        assert status == 0
        return out

    usual = upsampled("usual")
    away = "--upsample-negative-prompt=a circle"
    for plain, path in zip(usual, upsampled("off", "--upsample-guidance", 1, away), strict=True):
        assert plain.read_bytes() == path.read_bytes()
    pulled = upsampled("pulled", "--upsample-guidance", 3, away)
    one_by_one = upsampled("one-by-one", "--upsample-guidance", 3, away, "--batch", 1)
    others = upsampled("others", "--upsample-guidance", 3)
    for paths in zip(usual, pulled, one_by_one, others, strict=True):
        plain, found, same, other = (images.read_rgb(path).astype(int) for path in paths)
        assert np.abs(found - same).max() <= 1
        assert np.abs(found - plain).max() > 1
        assert np.abs(found - other).max() > 1
    made = picture_file.read_recipe(pulled[0])
    assert recipe.find(made, "upsample_guidance") == 3
    assert recipe.find(made, "upsample_negative_prompt") == "a circle"


def test_a_vocabulary_belongs_to_a_network(run: Run, tmp_path: Path) -> None:
    gpt2 = ROOT / "tests/data/gpt2-bpe"
    words = ["--vocabulary", gpt2 / "encoder.json.gz", "--merges", gpt2 / "vocab.bpe.gz"]
    model = ["--model", MODELS / "base.safetensors"]
    status, told = run("thumbnails", *model, *words, "--prompt=a", "--out", tmp_path / "1.png")
    assert status == 1
    assert "has 50257 tokens" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--steps", "1001"], "argument --steps: found '1001'"),
        (["--batch", "none"], "argument --batch: found 'none'"),
        (["--device", "cuda:9"], "device is 'cuda:9'"),
        (["--device", "gpu"], "argument --device: found 'gpu'"),
        (["--precision", "fp16"], "fp16 needs a GPU"),
        (["--precision", "int8"], "argument --precision: found 'int8'"),
        (["--threads", "0"], "--threads is 0"),
    ],
)
def test_arguments_that_cannot_be(
    run: Run, tmp_path: Path, arguments: list[str], told: str
) -> None:
    common = ["--model", MODELS / "base.safetensors", *WORDS, "--prompt=a"]
    status, said = run("thumbnails", *common, *arguments, "--out", tmp_path / "1.png")
    assert status in (1, 2)
    assert told in said
    assert not list(tmp_path.iterdir())


def test_a_prompt_that_is_cut_is_said(run: Run, tmp_path: Path) -> None:
    prompt = "a painting of a sunset over a lake, " * 30 + "with a duck"
    common = ["--model", MODELS / "base.safetensors", *WORDS, "--steps", "2"]
    status, told = run("thumbnails", *common, f"--prompt={prompt}", "--out", tmp_path / "1.png")
    assert status == 0
    assert "the models read 64; its end is cut" in told
    assert "with a duck" in told


def test_a_prompt_gives_the_picture_of_its_plain_form_and_the_recipe_keeps_it(
    run: Run, tmp_path: Path
) -> None:
    prompts = ["a sunset over a la\u00e7", "\u200ba sun\u00adset\u00a0 over\u2060 a lac\u0327"]
    out = [tmp_path / "plain.png", tmp_path / "pasted.png"]
    for prompt, path in zip(prompts, out, strict=True):
        common = ["--model", MODELS / "base.safetensors", *WORDS, "--steps", "2", "--out", path]
        words = [f"--prompt={prompt}", f"--negative-prompt={prompt}"]
        assert run("thumbnails", *common, *words)[0] == 0
        assert recipe.find(picture_file.read_recipe(path), "prompt") == prompt
    plain, pasted = map(images.read_rgb, out)
    assert (plain == pasted).all()


def test_a_picture_of_any_size_is_enlarged_and_detailed(
    run: Run, tmp_path: Path, picture: Path
) -> None:
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


def test_an_enlarger_of_another_scale_is_refused(run: Run, tmp_path: Path, picture: Path) -> None:
    common = ["--model", MODELS / "enlarger.safetensors", "--image", picture, "--scale", "2"]
    status, told = run("enlarge", *common, "--out", tmp_path / "large.png")
    assert status == 1
    assert "enlarges 4 times; 2 are needed" in told
