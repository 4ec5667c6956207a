"""From a recipe back to the row and the config that make the picture again."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bigart.config import artworks, project, recipe_row
from bigart.config.options import Artwork, Config, checked
from bigart.config.plain_text import plain
from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.running import files
from bigart.stages import STAGES
from bigart.weights.table import read_models
from projects import Project, run_command

MODELS = read_models()
EMBEDDED = MODELS.set("embedded")
_FORMATS = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF"}


@functools.cache
def _model(role: str) -> dict[str, str]:
    path = EMBEDDED[role].final_path()
    return {path.name: files.sha256(path)}


def made(artwork: Artwork, until: str = "final", **of_stages: dict[str, Any]) -> recipe.Recipe:
    """The recipe of an artwork's picture, as the stages record it."""
    result = recipe.start()
    for stage in STAGES.values():
        if stage.name == "contact-sheet" or (stage.name == "detailed" and not artwork.detail):
            continue
        record: dict[str, Any] = {
            flag.removeprefix("--").replace("-", "_"): getattr(artwork, option)
            for flag, option in stage.options.items()
        }
        if stage.name == "upsampled":
            del record["prompt"], record["seed"]
        if stage.name == "thumbnails":
            record |= {"artwork": artwork.artwork, "candidate": artwork.choose}
        if stage.role:
            record |= {"engine": "native", "precision": "fp32", "models": _model(stage.role)}
        if stage.name == "final":
            record |= {"format": _FORMATS[artwork.format], "dpi": 300}
        result = recipe.extend(result, stage.name, **record | of_stages.get(stage.rule, {}))
        if stage.name == until:
            break
    return result


def _config(**options: Any) -> Config:
    config, _ = checked(Config, options)
    assert config
    return config


def pasted(text: str, folder: Path) -> tuple[Artwork, Config]:
    """The artwork and the config of what is printed."""
    table, settings = text.split(f"\n{recipe_row.CONFIG}\n")
    (folder / "prompts.tsv").write_text(table, encoding="utf-8")
    mapping = yaml.safe_load(settings) | {"table": str(folder / "prompts.tsv")}
    config, found, errors = project.read(mapping)
    assert errors == []
    return next(iter(found.values())), config


WORDS = {"artwork": "lake", "prompt": '"the" lake; # é'}
LAKE = Artwork.model_validate(
    WORDS | {"choose": 3, "seed": 7, "guidance": 3.5}, context={"candidates": 7}
)


def test_a_row_and_a_config_are_printed(tmp_path, capsysbinary):
    path = tmp_path / "final.png"
    picture_file.write_picture(path, np.zeros((8, 8, 3), np.uint8), made(LAKE))
    assert run_command("show_recipe", path, "--row") == 0
    printed = capsysbinary.readouterr().out.decode()
    head, row, blank, mark, *settings = printed.splitlines()
    assert head.startswith("artwork\tprompt\tseed\tchoose\t")
    assert row.startswith('lake\t"""the"" lake; # é"\t7\t3\t')
    assert (blank, mark) == ("", "# config/config.yaml")
    assert settings == [
        "models: embedded",
        "engine: native",
        "precision: fp32",
        "candidates: 7",
        "negative_prompt: ''",
        "upsample_negative_prompt: ''",
    ]
    artwork, config = pasted(printed, tmp_path)
    assert artwork == LAKE
    assert config == _config(precision="fp32", table=str(tmp_path / "prompts.tsv"))


values = st.fixed_dictionaries(
    {
        "artwork": st.just("lake"),
        "prompt": st.text(max_size=30).filter(plain),
        "seed": st.integers(0, 2**32 - 1),
        "choose": st.integers(1, 100),
        "steps": st.integers(2, 1000),
        "sampler": st.sampled_from(["ancestral", "ddim", "dpm++", "dpm++sde"]),
        "guidance": st.floats(0, 20),
        "guidance_interval": st.sampled_from(["0 to 1", "0.2 to 0.85"]),
        "negative_prompt": st.just("") | st.text(max_size=10).filter(plain),
        "upsample_temp": st.floats(0, 2),
        "upsample_steps": st.sampled_from(["fast27", "ddim50", "3"]),
        "upsample_guidance": st.floats(0, 20),
        "upsample_negative_prompt": st.just("") | st.text(max_size=10).filter(plain),
        "texture_amount": st.floats(0, 0.15),
        "texture_size": st.sampled_from([1, 3, 9]),
        "detail": st.booleans(),
        "final_texture_amount": st.floats(0, 0.15),
        "final_texture_size": st.sampled_from([1, 3, 9]),
        "format": st.sampled_from(["png", "jpg", "tif"]),
    }
)


@settings(max_examples=30)
@given(values)
def test_any_artwork_comes_back_from_its_recipe(tmp_path_factory, row):
    artwork, _ = checked(Artwork, row, 100)
    if artwork is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe_row, "_set", lambda *_: "embedded")  # hashing takes its time
        text = recipe_row.text(made(artwork), MODELS)
    found, config = pasted(text, tmp_path_factory.getbasetemp())
    assert found == artwork
    assert config.candidates == max(7, artwork.choose)


def test_what_a_picture_on_the_way_does_not_know_is_left_out():
    cells = recipe_row.row(made(LAKE, until="upsampled"))
    assert cells["upsample_steps"] == "fast27"
    assert not {"texture_amount", "detail", "format"} & cells.keys()


def test_what_a_project_has_painted(tiny: Project, tmp_path):
    table, errors = artworks.read(tiny.table, _config(candidates=2))
    assert errors == []
    models = read_models(tiny.folder / "config/models.yaml", root=tiny.folder)
    settings = {"steps": 4, "upsample_steps": 3, "texture_amount": 0.05}
    for name, artwork in table.items():
        painted = picture_file.read_recipe(tiny.folder / f"results/{name}/final.png")
        found, config = pasted(recipe_row.text(painted, models), tmp_path)
        assert found == artwork.model_copy(update=settings)
        assert (config.candidates, config.models) == (2, "embedded")


# What no row makes


@pytest.mark.parametrize(
    ("of_stages", "said"),
    [
        ({"textured_1024": {"seed": 8}}, "different values of `seed`"),
        ({"textured_4096": {"candidate": 4}}, "different values of `choose`"),
        ({"detailed": {"precision": "bf16"}}, "different values of `precision`"),
        ({"detailed": {"engine": "taming-transformers 0.0.1"}}, "different values of `engine`"),
        (
            {"detailed": {"models": {"detailer.safetensors": "0" * 64}}},
            "has another `detailer.safetensors`",
        ),
        ({"detailed": {"models": {"my-own.safetensors": "0" * 64}}}, "my-own.safetensors"),
        ({"thumbnails": {"prompt": "\x07"}}, "`prompt`: found '\\x07'"),
        ({"thumbnails": {"candidate": "x"}}, "`choose`"),
        ({"thumbnails": {"candidate": None}, "textured_1024": {"candidate": None}}, "`choose`"),
        ({"thumbnails": {"seed": [1, {}]}}, "`seed`"),
        ({"thumbnails": {"models": None, "precision": None, "engine": 3}}, "`engine`"),
        ({"thumbnails": {"candidates": "x"}}, "`candidates`: found 'x'"),
    ],
)
def test_a_picture_that_one_row_does_not_make(of_stages, said):
    with pytest.raises(UserError, match="this picture") as refused:
        recipe_row.text(made(LAKE, **of_stages), MODELS)
    assert said in str(refused.value)


@pytest.mark.parametrize("first", ["picture from elsewhere", "contact sheet", "enlarged-1024"])
def test_a_picture_that_did_not_begin_with_a_prompt(first):
    with pytest.raises(UserError, match="no row of the table makes this picture again"):
        recipe_row.row(recipe.extend(recipe.start(), first, file="own.png"))
    with pytest.raises(UserError, match="does not begin with thumbnails"):
        recipe_row.row(recipe.start())
