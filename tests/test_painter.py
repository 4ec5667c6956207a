"""The painter that draws the pictures the embedded models learn from, and its captions."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import vocabulary
from bigart.networks.tokenizer import Tokenizer
from painter import FAMILIES, Scene, caption, is_held_out, paint, sample_scene
from painter.canvas import HORIZONTAL, Canvas
from painter.colours import NAMED, SYNONYMS

ROOT = Path(__file__).parents[1]

# a scene of the grammar for every prompt of the article
ARTICLE = {
    "an abstract painting with colored circles": Scene("circles"),
    "an abstract painting with orange triangles": Scene("triangles", ("orange",)),
    "a splatter of thin yellow and black lines": Scene("splatter", ("yellow", "black")),
    "color blocks of purple and green squares": Scene("blocks", ("purple", "green")),
    "a painting of an italian villa": Scene("villa"),
    "sunset over a lake": Scene("lake", time="sunset"),
    "snowy mountains": Scene("mountains"),
    "a painting of rolling farmland": Scene("farmland"),
    "a seascape with crashing waves": Scene("sea"),
    "boston city skyline": Scene("skyline", detail="boston"),
    "a still life painting of colored glass bottles": Scene("bottles"),
    "a bowl of fruit": Scene("fruit"),
    "goldfish in a glass bowl": Scene("goldfish"),
    "a corgi": Scene("corgi", detail="sitting meadow"),
    "a tabby cat": Scene("cat", detail="lying rug"),
    "a wood shop": Scene("workshop"),
    "microorganisms": Scene("microbes"),
    "a traffic jam": Scene("traffic"),
}


def scenes() -> list[Scene]:
    return [FAMILIES[name].sample(np.random.default_rng(3)) for name in FAMILIES]


@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.family)
def test_a_scene_and_a_seed_are_always_the_same_picture(scene: Scene) -> None:
    first = paint(scene, 64, seed=5)
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, paint(scene, 64, seed=5))
    assert np.abs(first.astype(int) - paint(scene, 64, seed=6)).mean() > 2, "another seed"


@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.family)
@pytest.mark.parametrize("medium", ["oil", "watercolor", "pastel"])
def test_a_picture_is_the_same_at_every_size(scene: Scene, medium: str) -> None:
    scene = replace(scene, medium=medium)
    small = paint(scene, 64, seed=1).astype(int)
    large = Image.fromarray(paint(scene, 512, seed=1)).reduce(8)
    assert np.abs(small - np.asarray(large, int)).mean() < 6


@pytest.mark.exhaustive
def test_strokes_have_smooth_edges_in_the_largest_pictures() -> None:
    """A tile of half the size gave their edges steps of two pixels."""
    picture = Canvas(4096, np.random.default_rng(0), "oil")
    part = picture.axis[:512]
    stroke = picture.brush(part[None], part[:, None], HORIZONTAL, 1.0)[..., 0]
    steps = np.abs(np.diff(stroke, axis=0)).mean(1)
    assert 0.5 < steps[::2].mean() / steps[1::2].mean() < 2, "rows are no pairs"
    seen = stroke.reshape(256, 2, 256, 2).mean((1, 3))
    coarse = Canvas(2048, np.random.default_rng(0), "oil")
    half = coarse.axis[:256]
    same = coarse.brush(half[None], half[:, None], HORIZONTAL, 1.0)[..., 0]
    assert np.abs(seen - same).mean() < 0.1 * same.std(), "the same strokes"


@pytest.mark.parametrize("prompt", ARTICLE)
def test_the_grammar_says_the_prompts_of_the_article(prompt: str) -> None:
    rng = np.random.default_rng(0)
    assert prompt in {caption(ARTICLE[prompt], rng) for _ in range(3000)}


@given(st.integers(0, 2**32 - 1))
def test_a_caption_names_the_colours_it_was_painted_with(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng)
    said = caption(scene, rng)
    assert said == said.lower()
    words = set(said.replace(",", " ").split())
    for colour in scene.colours:
        assert {colour, *SYNONYMS.get(colour, ())} & words
    others = set(NAMED) - set(scene.colours)
    for colour in others & words:
        # weather has colours of its own, "under a gray sky", and so have some subjects
        assert f"{colour} sky" in said or "white mountains" in said


@pytest.mark.parametrize("change", [{"time": "night"}, {"weather": "fog"}, {"season": "winter"}])
def test_time_weather_and_season_are_seen(change: dict[str, str]) -> None:
    plain = Scene("farmland")
    pictures = [paint(scene, 64, seed=2).astype(int) for scene in (plain, replace(plain, **change))]
    assert np.abs(pictures[0] - pictures[1]).mean() > 15


def test_two_subjects_stand_side_by_side() -> None:
    picture = paint(Scene("shapes", ("red", "blue"), 2, detail="circles squares"), 64, seed=3) / 255
    for name, half in (("red", picture[:, :32]), ("blue", picture[:, 32:])):
        near = np.abs(half - np.array(NAMED[name])).max(axis=2) < 0.25
        assert near.mean() > 0.08, name


def test_some_combinations_of_colours_are_kept_for_testing() -> None:
    rng = np.random.default_rng(0)
    assert not any(is_held_out(sample_scene(rng)) for _ in range(500))
    assert all(is_held_out(sample_scene(rng, held_out=True)) for _ in range(50))


def test_the_colours_of_the_caption_are_in_the_picture() -> None:
    for name in ("red", "green", "blue", "yellow"):
        picture = paint(Scene("blocks", (name,)), 64, seed=0) / 255
        distance = np.abs(picture - np.array(NAMED[name])).max(axis=2)
        assert (distance < 0.25).mean() > 0.4, name


def test_the_shipped_vocabulary_says_every_caption_within_the_context() -> None:
    tokenizer = Tokenizer.from_files(
        ROOT / "models/embedded/encoder.json", ROOT / "models/embedded/vocab.bpe"
    )
    rng = np.random.default_rng(1)
    for _ in range(3000):
        said = caption(sample_scene(rng, held_out=None), rng)
        tokens = tokenizer.encode(said)
        assert len(tokens) < 64  # the text contexts of the embedded networks
    assert max(tokenizer.encoder.values()) == tokenizer.encoder[vocabulary.END]


def test_the_shipped_list_of_words_is_of_the_grammar() -> None:
    """The painter may know more: the list says what the shipped weights were shown."""
    known = set((ROOT / "models/embedded/words.txt").read_text().split())
    rng = np.random.default_rng(1)
    captions = " ".join(caption(sample_scene(rng, held_out=None), rng) for _ in range(20_000))
    assert known <= {*re.findall(r"\w+", captions), *vocabulary.FILLERS.split()}


def test_a_vocabulary_encodes_any_text(tmp_path: Path) -> None:
    words = vocabulary.words_of(["a painting of a lake", "a painting of a cat"])
    merges = vocabulary.train(words, 20)
    size = vocabulary.write(tmp_path, merges)
    assert size == 256 + len(merges) + 1
    tokenizer = Tokenizer.from_files(tmp_path / "encoder.json", tmp_path / "vocab.bpe")
    assert len(tokenizer.encode("a painting")) == 2
    for text in ("ein bild 🎨", "日本", "tab\tnew\nline"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
