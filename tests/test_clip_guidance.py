"""Guidance by noised CLIP: gradients and samplings as recorded, and the stage that uses it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import parity
from bigart.metadata import picture_file, recipe
from bigart.networks.native.glide.model import Text2ImUNet
from bigart.pictures import images
from bigart.running import files as disk
from bigart.sampling import samplers, steered
from bigart.sampling.judge import Judge
from bigart.sampling.samplers import State, conditioned
from bigart.sampling.schedule import Schedule
from parity import PARITY, fill, normal
from projects import ROOT, Project, add_models, judge_files, run_command

TOLERANCE = 1e-3
VOCABULARY = ROOT / "tests/data/clip-bpe/bpe_simple_vocab_16e6.txt.gz"
EMBEDDED = ROOT / "models/embedded"


def judge_of(name: str, prompt: str) -> Judge:
    text, image = parity.clip_networks(name)
    ids, length = parity.clip_tokenizer().context(prompt, text.options.text_ctx)
    return Judge(image, text.embed(torch.tensor([ids]), torch.tensor([length])))


@pytest.mark.parametrize("name", ["small", pytest.param("full", marks=pytest.mark.full_size)])
def test_gradient(name: str) -> None:
    """Relative to the largest; the stage calls it where gradients are off."""
    vector = parity.guiding_vectors()[f"clip/{name}"]
    recorded = np.load(PARITY / f"clip_{name}.npz")["grad"]
    x = torch.from_numpy(normal(f"clip/{name}/x", (2, 3, 64, 64)).clip(-2, 2))
    step = vector["grad_stored_step"]
    for i, (prompt, timestep) in enumerate(
        zip(vector["prompts"], vector["timesteps"], strict=True)
    ):
        with torch.no_grad():
            found = judge_of(name, prompt).gradient(x[i : i + 1], timestep)
        ours = vector["grad_scale"] * found[0, :, ::step, ::step].numpy()
        assert np.abs(ours - recorded[i]).max() < TOLERANCE * np.abs(recorded).max()


def test_the_gradient_is_the_same_for_any_number_of_pictures() -> None:
    judge = judge_of("small", "a lake")
    x = torch.from_numpy(normal("several", (3, 3, 64, 64)))
    together = judge.gradient(x, 400)
    for i in range(3):
        assert torch.equal(judge.gradient(x[i : i + 1], 400)[0], together[i])


@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
def test_a_guided_sampling_is_the_recorded_one(sampler: str) -> None:
    key = f"sampling/clip_guided_{sampler}_small"
    vector = parity.guiding_vectors()[key]
    options = parity.glide_options(parity.vectors()["glide/base_small"]["options"])
    blocks, layers = vector["glide"]["num_res_blocks"], vector["glide"]["xf_layers"]
    options = dataclasses.replace(options, res_blocks=blocks, text_layers=layers)
    base = fill(Text2ImUNet(options))
    text = base.encode_text(*parity.read_tokenizer().context(vector["prompt"], 128))

    def noise(draw: int) -> Tensor:
        drawn = [normal(f"{key}/{i}/{draw}", (3, 64, 64)) for i in range(vector["candidates"])]
        return torch.from_numpy(np.stack(drawn))

    schedule = Schedule.create(vector["noise_schedule"], vector["steps"])
    gradient = judge_of(vector["clip"], vector["prompt"]).gradient
    pull = steered.pulled(gradient, vector["grad_scale"], (0, 1))
    expect = steered.expect(conditioned(base, text), schedule, pull)
    *_, end = steered.SAMPLERS[sampler](expect, schedule, State(0, noise(0)), noise)
    recorded = np.load(PARITY / f"sampling_clip_guided_{sampler}_small.npz")["samples64"]
    assert np.abs(end.x.numpy() - recorded).max() < TOLERANCE


def analytic(betas: str) -> samplers.Denoiser:
    """The perfect network for pictures that are noise of standard deviation 0.5."""
    alphas = Schedule.create(betas).alphas_cumprod

    def denoise(x: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        a = float(alphas[timestep])
        return (1 - a) ** 0.5 * x / (0.25 * a + 1 - a), torch.full_like(x, 0.3)

    return denoise


def draws(draw: int) -> Tensor:
    return torch.from_numpy(normal(f"steered/{draw}", (2, 3, 8, 8)))


@pytest.mark.parametrize("sampler", steered.SAMPLERS)
def test_without_a_pull_each_sampler_paints_what_the_usual_one_does(sampler: str) -> None:
    schedule, denoiser = Schedule.create("squaredcos_cap_v2", 15), analytic("squaredcos_cap_v2")
    *_, usual = samplers.SAMPLERS[sampler](denoiser, schedule, State(0, draws(0)), draws)
    for pull in (
        steered.pulled(lambda x, t: x, 0.0, (0, 1)),
        steered.pulled(lambda x, t: x, 3.0, (0.001, 0.002)),  # where no step is
    ):
        expect = steered.expect(denoiser, schedule, pull)
        *_, end = steered.SAMPLERS[sampler](expect, schedule, State(0, draws(0)), draws)
        assert torch.equal(end.x, usual.x)


@pytest.mark.parametrize("betas", ["linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("sampler", steered.SAMPLERS)
def test_a_pull_moves_the_picture_and_a_sampling_resumes_from_any_step(
    sampler: str, betas: str
) -> None:
    """Towards 0.2, the less the stronger the noise, as what knows of noise pulls."""
    schedule, alphas = Schedule.create(betas, 15), Schedule.create(betas).alphas_cumprod
    pull = steered.pulled(lambda x, t: float(alphas[t]) ** 0.5 * (0.2 - x), 1.0, (0, 1))
    expect = steered.expect(analytic(betas), schedule, pull)
    whole = list(steered.SAMPLERS[sampler](expect, schedule, State(0, draws(0)), draws))
    *_, usual = samplers.SAMPLERS[sampler](analytic(betas), schedule, State(0, draws(0)), draws)
    apart = [float((state.x - 0.2).abs().mean()) for state in (usual, whole[-1])]
    assert apart[1] < 0.95 * apart[0]
    assert whole[-1].x.abs().max() < 1.5
    for state in (whole[0], whole[7]):
        *_, end = steered.SAMPLERS[sampler](expect, schedule, state, draws)
        assert torch.equal(end.x, whole[-1].x)


def clip_files(folder: Path, side: int, embedding: int = 8) -> dict[str, Path]:
    """A tiny noised CLIP with CLIP's own vocabulary, by role."""
    files = judge_files(folder, 49408, side, embedding)
    return files | {"clip_vocabulary": VOCABULARY}


Paint = Callable[..., int]


@pytest.fixture
def paint(tmp_path: Path) -> Paint:
    """Runs the stage on two candidates of the embedded base network; returns its exit status."""

    def run(files: dict[str, Path], folder: str, *arguments: object) -> int:
        words = ["--model", EMBEDDED / "base.safetensors", "--steps", 3]
        words += ["--vocabulary", EMBEDDED / "encoder.json", "--merges", EMBEDDED / "vocab.bpe"]
        for role, path in files.items():
            words += [f"--{role}", path]
        out = [tmp_path / folder / f"{candidate}.png" for candidate in (1, 2)]
        out[0].parent.mkdir()
        return run_command("thumbnails_clip", *words, *arguments, "--out", *out)

    return run


def test_the_stage_paints_and_records_who_guided(paint: Paint, tmp_path: Path) -> None:
    files = clip_files(tmp_path, 64)
    prompt = "--prompt=a sunset over a lake"
    clip = ["--guide", "clip", "--clip-scale", 40]
    assert paint(files, "clip", prompt, *clip, "--batch", 2) == 0
    assert paint(files, "single", prompt, *clip, "--batch", 1) == 0
    assert paint(files, "both", prompt, "--guide", "both", "--clip-scale", 40) == 0
    assert paint(files, "weak", prompt, "--guide", "clip", "--clip-scale", 0) == 0
    found = {
        name: images.read_rgb(tmp_path / name / "2.png").astype(int)
        for name in ("clip", "single", "both", "weak")
    }
    assert np.abs(found["clip"] - found["single"]).max() <= 1  # by rounding alone
    assert np.abs(found["clip"] - found["both"]).max() > 1
    assert np.abs(found["clip"] - found["weak"]).max() > 1
    [record] = picture_file.read_recipe(tmp_path / "clip/2.png")["stages"]
    assert (record["stage"], record["guide"], record["clip_scale"]) == ("thumbnails", "clip", 40)
    names = ["base.safetensors", "judge-text.safetensors", "judge-image.safetensors"]
    assert list(record["models"]) == names
    assert record["models"]["judge-text.safetensors"] == disk.sha256(files["clip_text"])


def test_what_does_not_fit_is_said(
    paint: Paint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / name for name in ("right", "small", "other")]
    for folder in folders:
        folder.mkdir()
    files, small = clip_files(folders[0], 64), clip_files(folders[1], 16)
    other = clip_files(folders[2], 64, embedding=9)
    cases = [
        (small, ["--guide=clip"], "judges pictures of 16 pixels, not of 64"),
        (other, ["--guide=clip"], "vectors of 8 numbers and"),
        (
            files | {"clip_vocabulary": EMBEDDED / "vocab.bpe"},
            ["--guide=clip"],
            "CLIP's vocabulary",
        ),
        (files, [], "--guide is text"),
    ]
    for number, (wrong, arguments, message) in enumerate(cases):
        assert paint(wrong, str(number), "--prompt=a lake", *arguments) == 1
        assert message in capsys.readouterr().err
    assert paint(files, "long", f"--prompt={'a lake, ' * 30}duck", "--guide=clip") == 0
    assert "has 91 tokens and CLIP reads 75; its end is cut for CLIP: " in capsys.readouterr().err


def test_only_artworks_that_clip_guides_are_painted_with_it(tiny: Project) -> None:
    """And where the set has no CLIP, that is said before anything is painted."""
    tiny.use_no_judge()
    tiny.edit("clip", "lake", "guide")
    said = tiny.snakemake("--dry-run", check=False).stderr
    assert "artwork `lake`, column `guide`: found 'clip'" in said
    assert "`embedded` has no noised CLIP; allowed: `guide: text`" in said
    assert "`glide`" in said
    folder = tiny.folder / "own"
    folder.mkdir()
    files = clip_files(folder, 16)
    kinds = {role: role.replace("_", "-") for role in files}
    entries = {
        f"my-{kind}": {"architecture": kind, "path": str(files[role]), "ready": True}
        for role, kind in kinds.items()
    }
    add_models(tiny.folder, entries, **{role: f"my-{kind}" for role, kind in kinds.items()})
    tiny.configure(models="mine")
    jobs = tiny.jobs()
    assert {job for job in jobs if "villa" in job} == set()
    assert {"thumbnails_clip lake", "upsampled lake", "final lake"} <= jobs
    assert "thumbnails lake" not in jobs
    tiny.snakemake("results/lake/1-thumbnails/1.png")
    made = picture_file.read_recipe(tiny.folder / "results/lake/1-thumbnails/2.png")
    assert recipe.find(made, "guide") == "clip"
    assert not [job for job in tiny.jobs() if job.startswith("thumbnails")]
