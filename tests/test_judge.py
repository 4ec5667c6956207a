"""`choose: auto`: CLIP chooses the candidate, the choice stays, and all stages know it."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bigart.config import artworks, gallery, preflight, project, recipe_row
from bigart.config.choices import Choices
from bigart.config.options import Artwork, Config, checked
from bigart.metadata import picture_file, recipe
from bigart.networks.clip_reader import clip_reader
from bigart.networks.native.clip import ClipImage
from bigart.pictures import images
from bigart.pictures.contact_sheet import contact_sheet
from bigart.sampling import noise
from bigart.sampling.judge import Judge
from bigart.weights import inspection
from bigart.weights.conversion import open_network
from bigart.weights.table import read_models
from projects import FILES, ROOT, Project, judge_files, run_command

EMBEDDED = ROOT / "models/embedded"
WORDS = ["--vocabulary", EMBEDDED / "encoder.json", "--merges", EMBEDDED / "vocab.bpe"]
TOKENS = len(json.loads((EMBEDDED / "encoder.json").read_text()))
PROMPT = "a painting of a sunset over a lake"
SIDE, COUNT = 16, 4


def pictures(folder: Path, side: int, seed: int = 0) -> list[Path]:
    """Candidates of random pixels, with the recipes that they have."""
    rng = np.random.default_rng(seed)
    paths = [folder / f"{side}-{seed}-{number}.png" for number in range(1, COUNT + 1)]
    for number, path in enumerate(paths, start=1):
        made = recipe.extend(recipe.start(), "thumbnails", prompt=PROMPT, candidate=number)
        picture = rng.integers(0, 256, (side, side, 3), np.uint8)
        picture_file.write_picture(path, picture, made)
    return paths


class Case(SimpleNamespace):
    """Candidates in a folder, and the command that chooses among them."""

    def judge(self, seed: int = 1, *, thumbnails: int = 0, prompt: str = PROMPT) -> int:
        """Run it with weights of some seed, and return its exit status."""
        files = judge_files(self.folder, TOKENS, SIDE, seed=seed)
        words = [f"--prompt={prompt}", "--images", *self.images, "--out", self.out]
        words += ["--thumbnails", *pictures(self.folder, SIDE, thumbnails)]
        for role, path in files.items():
            words += [f"--{role}", path]
        return run_command("judge", *WORDS, *words)

    def record(self) -> dict:
        """What the picture says of the choice."""
        *_, last = picture_file.read_recipe(self.out)["stages"]
        return last


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(folder=tmp_path, images=pictures(tmp_path, 64), out=tmp_path / "2-chosen.png")


def agreements(case: Case) -> list[float]:
    """What the judge in the folder says, calculated here."""
    text, image = (
        open_network(case.folder / f"judge-{kind}.safetensors")[0] for kind in ("text", "image")
    )
    ids, end = clip_reader(None, WORDS[1], WORDS[3]).context(PROMPT, text.options.text_ctx)
    vector = text.float().embed(torch.tensor([ids]), torch.tensor([end]))
    shown = [images.to_float(images.read_rgb(path)) * 2 - 1 for path in pictures(case.folder, SIDE)]
    x = torch.from_numpy(np.stack(shown))
    return (image.float().embed(x, torch.zeros(COUNT, dtype=torch.int64)) @ vector[0]).tolist()


def test_the_candidate_that_agrees_best_is_chosen(case: Case) -> None:
    assert case.judge() == 0
    record, expected = case.record(), agreements(case)
    assert record["agreement"] == pytest.approx(expected, abs=2e-4)
    assert record["candidate"] == 1 + int(np.argmax(expected))
    assert list(record["models"]) == ["judge-text.safetensors", "judge-image.safetensors"]
    chosen = images.read_rgb(case.images[record["candidate"] - 1])
    assert (images.read_rgb(case.out) == chosen).all()
    stages = picture_file.read_recipe(case.out)["stages"]
    assert [stage["stage"] for stage in stages] == ["thumbnails", "chosen"]


def test_a_choice_stays_until_the_candidates_are_others_or_it_is_deleted(case: Case) -> None:
    case.judge()
    first = case.record()
    others = {}
    for seed in range(2, 12):  # weights that say something else
        case.judge(seed)
        assert case.record() == first
        case.out.unlink()
        case.judge(seed)
        others[seed] = case.record()["candidate"]
        case.out.unlink()
        case.judge()
        assert case.record() == first
        if others[seed] != first["candidate"]:
            break
    assert {*others.values()} != {first["candidate"]}
    case.judge(thumbnails=1)
    assert case.record()["agreement"] != first["agreement"]
    case.judge(prompt="a bowl of fruit")
    assert case.record()["agreement"] != first["agreement"]
    # a picture that a person has put there is no choice
    picture_file.write_picture(case.out, images.read_rgb(case.images[0]), recipe.start())
    case.judge()
    assert case.record() == first


def test_what_cannot_be_judged_is_said(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    files = judge_files(case.folder, TOKENS, SIDE)
    words = [f"--prompt={PROMPT}", "--images", *case.images, "--out", case.out]
    for role, path in files.items():
        words += [f"--{role}", path]
    thumbnails = pictures(case.folder, SIDE)
    assert run_command("judge", *WORDS, *words, "--thumbnails", *thumbnails[1:]) == 1
    assert "4 candidates and 3 thumbnails" in capsys.readouterr().err
    assert run_command("judge", *WORDS, *words, "--thumbnails", *case.images) == 1
    assert "judges pictures of 16 pixels, not of 64" in capsys.readouterr().err
    mixed = [*thumbnails[1:], case.images[0]]
    assert run_command("judge", *WORDS, *words, "--thumbnails", *mixed) == 1
    assert "square and of one size" in capsys.readouterr().err
    judge_files(case.folder, TOKENS - 1, SIDE)
    assert run_command("judge", *WORDS, *words, "--thumbnails", *thumbnails) == 1
    assert "they do not belong together" in capsys.readouterr().err
    gpt2 = ROOT / "tests/data/gpt2-bpe"
    own = ["--vocabulary", gpt2 / "encoder.json.gz", "--merges", gpt2 / "vocab.bpe.gz"]
    judge_files(case.folder, 50257, SIDE)
    assert run_command("judge", *own, *words, "--thumbnails", *thumbnails) == 0


def test_the_strength_of_guidance_is_the_judges_own(tmp_path: Path) -> None:
    judge_files(tmp_path, TOKENS, SIDE)
    network, _ = open_network(tmp_path / "judge-image.safetensors", dtype=torch.float32)
    assert isinstance(network, ClipImage)
    prompt = torch.nn.functional.normalize(torch.ones(1, 8), dim=1)
    x = torch.from_numpy(noise.standard_normal(1, "test", 1, 0, (3, SIDE, SIDE)))[None]
    usual = Judge(network, prompt).gradient(x, 500)
    network.options = network.Options(**{**vars(network.options), "logit_scale": 25.0})
    assert torch.allclose(4 * Judge(network, prompt).gradient(x, 500), usual)


# Where the number is read


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [({"candidate": 3}, 3), ({}, 1), ({"candidate": "x"}, 1), ({"candidate": 0}, 1)],
)
def test_auto_is_the_number_in_the_recipe(recorded: dict, expected: int) -> None:
    made = recipe.extend(recipe.start(), "chosen", **recorded)
    assert recipe.candidate(made, "auto") == expected
    assert recipe.candidate(made, 2) == 2


def test_grain_is_that_of_the_chosen_candidate(case: Case) -> None:
    case.judge()
    number, made = case.record()["candidate"], []
    for choose in ("auto", str(number)):
        out = case.folder / f"{choose}.png"
        words = ["--image", case.out, "--candidate", choose, "--amount", "0.1", "--out", out]
        assert run_command("texture", *words) == 0
        made.append(images.read_rgb(out))
        assert recipe.find(picture_file.read_recipe(out), "candidate") == number
    assert (made[0] == made[1]).all()


def test_the_contact_sheet_shows_each_agreement_and_frames_the_best() -> None:
    shown = [np.full((64, 64, 3), 128, np.uint8)] * 3
    plain, judged = contact_sheet(shown, "a"), contact_sheet(shown, "a", "", [0.5, 0.25, -0.1], 2)
    assert plain.shape == judged.shape
    changed = np.argwhere((plain != judged).any(2))
    assert len(changed) > 500
    framed = contact_sheet(shown, "a", chosen=2)
    rows, columns = np.argwhere((plain != framed).any(2)).T
    assert (np.ptp(rows), np.ptp(columns)) == (64 + 9, 64 + 9)


def test_auto_is_a_value_of_a_cell_a_sweep_and_the_config(tmp_path: Path) -> None:
    table = tmp_path / "prompts.tsv"
    table.write_text("artwork\tprompt\tchoose\nlake\ta\tauto\nsea\tb\t1..2|auto\nhill\tc\t\n")
    found, errors = artworks.read(table, Config(choose="auto"))
    assert errors == []
    choices = {name: row.choose for name, row in found.items()}
    assert choices == {
        "lake": "auto",
        "sea-choose-1": 1,
        "sea-choose-2": 2,
        "sea-choose-auto": "auto",
        "hill": "auto",
    }
    assert (
        "`auto`" in checked(Artwork, {"artwork": "a", "prompt": "b", "choose": "aut"})[1]["choose"]
    )


def test_the_gallery_shows_and_replaces_a_choice_of_clip(tmp_path: Path) -> None:
    table = tmp_path / "prompts.tsv"
    table.write_text("artwork\tprompt\tchoose\nlake\ta lake\tauto\n")
    config = Config(table=str(table))
    folder = tmp_path / "lake/candidates"
    folder.mkdir(parents=True)
    facts = {"count": 3, "width": 64, "height": 64}
    (folder / "facts.json").write_text(json.dumps(facts))
    _, [waiting] = gallery.shown(config, tmp_path)
    assert (waiting.chosen, waiting.card) == (0, ("lake/candidates/1.jpg", 64, 64))
    facts |= {"chosen": 3, "agreement": [0.1, 0.2, 0.3]}
    (folder / "facts.json").write_text(json.dumps(facts))
    columns, [shown] = gallery.shown(config, tmp_path)
    assert (shown.chosen, shown.card) == (3, ("lake/candidates/3.jpg", 64, 64))
    page = gallery.page(columns, [shown], config).decode()
    assert 'data-choose="3" data-stated="auto" data-best="3"' in page
    assert ">0.300</span>" in page
    choices = Choices(table, config)
    assert choices.look()["choices"] == {"lake": "auto"}
    assert choices.choose("lake", 2)["undo"] == {"artwork": "lake", "choose": "auto"}
    assert choices.undo()["choices"] == {"lake": "auto"}
    assert "\tauto" in table.read_text()


# Before the first job


def models_with(folder: Path, **options: int) -> dict:
    """The embedded set with a judge."""
    paths = judge_files(folder, options.pop("vocab", TOKENS), options.pop("side", 64), **options)
    models = read_models()
    of_clip = models.set("glide")
    known = {
        role: of_clip[role].model_copy(update={"path": path, "urls": (), "ready": True})
        for role, path in paths.items()
    }
    return models.set("embedded") | known


def test_what_of_a_judge_does_not_fit_is_said(tmp_path: Path) -> None:
    assert inspection.check_set(models_with(tmp_path)) == []
    [told] = inspection.check_set(models_with(tmp_path, side=32))
    assert told.startswith("clip_image: `glide-clip-image` judges pictures of 32 pixels, and")
    [told] = inspection.check_set(models_with(tmp_path, embedding=9))
    assert "makes vectors of 8 numbers, and `glide-clip-image` of 9" in told
    [told] = inspection.check_set(models_with(tmp_path, vocab=7))
    assert "clip_text: `glide-clip-text`" in told
    assert "it knows 7 tokens, and the vocabulary" in told


def test_a_prompt_that_clip_does_not_read_to_its_end_is_told(tmp_path: Path) -> None:
    models = models_with(tmp_path)
    long = "a painting of a sunset over a lake, " * 12 + "with a duck"
    rows = {
        name: Artwork.model_validate(
            {"artwork": name, "prompt": prompt, **more}, context={"candidates": 7}
        )
        for name, prompt, more in [
            ("chosen", long, {"choose": "auto"}),
            ("guided", long, {"guide": "both"}),
            ("neither", long, {}),
            ("short", "a painting of " * 8, {"choose": "auto"}),
        ]
    }
    told = preflight.cut_prompts(rows, models)
    assert [line.split(",")[0] for line in told] == ["artwork `chosen`", "artwork `guided`"]
    assert all("CLIP reads 76 tokens and this has " in line for line in told)
    assert all("with a duck" in line for line in told)
    assert preflight.cut_prompts({"neither": rows["neither"]}, models) == []
    (tmp_path / "judge-text.safetensors").unlink()  # as before it is fetched
    assert preflight.cut_prompts(rows, models) == []


# The workflow


@pytest.fixture(scope="module")
def judged(tiny: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The painted project, whose lake is now painted from the candidate that CLIP chooses."""
    made = Project(tmp_path_factory.mktemp("judged") / "project", tiny.folder)
    made.use_tiny_judge()
    made.edit("auto", "lake", "choose")
    rules = {"chosen", "contact_sheet", *list(FILES)[list(FILES).index("enlarged_1024") :]}
    assert made.jobs() == {f"{rule} lake" for rule in rules}
    made.snakemake()
    return made


Change = Callable[[Project], object]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def another_judge(project: Project) -> None:
    judge_files(project.folder / "models/embedded", TOKENS, seed=7)


def another_code(project: Project) -> None:
    code = project.folder / "workflow/scripts/bigart/sampling/judge.py"
    replace(code, "ON_CPU, ON_GPU = 1, 8", "ON_CPU, ON_GPU = 2, 9")


def touched(project: Project) -> None:
    for path in project.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()


FROM_ENLARGED = {f"{rule} lake" for rule in list(FILES)[list(FILES).index("enlarged_1024") :]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda project: None, set()),
        (touched, set()),
        (another_judge, set()),
        (another_code, set()),
        (
            lambda project: project.edit("2", "lake", "choose"),
            {"contact_sheet lake"} | FROM_ENLARGED,
        ),
        (
            lambda project: project.edit("4", "lake", "seed"),
            {f"{rule} lake" for rule in (*FILES, "chosen")},
        ),
        (
            lambda project: project.edit("4", "lake", "upsample_steps"),
            {f"{rule} lake" for rule in (*FILES, "chosen")} - {"thumbnails lake"},
        ),
        (
            lambda project: project.edit("clip", "lake", "guide"),
            {f"{rule} lake" for rule in (*FILES, "chosen", "thumbnails_clip")}
            - {"thumbnails lake"},
        ),
        (lambda project: project.edit("9", "lake", "clip_scale"), set()),  # where none guides
    ],
    ids=["nothing", "touch", "weights", "code", "number", "seed", "upsampler", "guide", "scale"],
)
def test_what_reruns(judged: Project, tmp_path: Path, change: Change, expected: set[str]) -> None:
    copy = Project(tmp_path / "copy", judged.folder)
    change(copy)
    assert copy.jobs() == expected


def test_the_number_is_in_every_later_recipe_and_comes_back_as_a_row(judged: Project) -> None:
    folder = judged.folder / "results/lake"
    *_, record = picture_file.read_recipe(folder / "2-chosen.png")["stages"]
    made = picture_file.read_recipe(folder / "final.png")
    assert [s["candidate"] for s in made["stages"] if "candidate" in s] == [record["candidate"]] * 4
    assert recipe.find(made, "agreement") == record["agreement"]
    sheet = picture_file.read_recipe(folder / "candidates.png")["stages"][-1]
    assert (sheet["chosen"], sheet["agreement"]) == (record["candidate"], record["agreement"])
    text = recipe_row.text(made, read_models(judged.folder / "config/models.yaml", judged.folder))
    head, row = text.splitlines()[:2]
    cells = dict(zip(head.split("\t"), row.split("\t"), strict=True))
    assert cells["choose"] == str(record["candidate"])


def test_a_set_without_clip_is_refused_and_those_that_have_it_are_named() -> None:
    models = read_models()
    sets = models.sets | {"mine": {}}
    rows = {"lake": Artwork(artwork="lake", prompt="a", choose="auto", guide="clip")}
    models = dataclasses.replace(models, sets=sets)
    errors = project.clip_errors(Config(models="mine"), rows, models)
    guide, choose = errors
    assert guide.startswith(
        "artwork `lake`, column `guide`: found 'clip', and the model set `mine`"
    )
    assert choose.startswith("artwork `lake`, column `choose`: found 'auto', and the model set")
    assert "allowed: a number, or a set that has it (" in choose
    assert "`glide`" in choose
    assert "`mine`)" not in choose
    assert project.clip_errors(Config(models="glide"), rows, models) == []


def test_a_prompt_that_is_cut_is_told_before_the_first_job(judged: Project, tmp_path: Path) -> None:
    copy = Project(tmp_path / "copy", judged.folder)
    copy.edit("a painting of a sunset over a lake, " * 12 + "with a duck", "lake", "prompt")
    done = copy.snakemake("--dry-run")
    told = done.stdout + done.stderr
    assert told.count("artwork `lake`, column `prompt`: CLIP reads 76 tokens and this has") == 1
