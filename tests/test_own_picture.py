"""One's own picture: taken in, only enlarged and finished, or painted over."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bigart.config import artworks, print_size, prints, project, recipe_row, sources
from bigart.config.options import Artwork, Config, checked
from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.pictures import colour, images, own_picture
from bigart.pictures.enlargement import planned
from bigart.pictures.own_picture import fitted
from bigart.sampling import samplers
from bigart.sampling.begun import BegunCandidates, rest
from bigart.sampling.candidates import candidate_noise, finished
from bigart.sampling.schedule import STEPS, Schedule
from bigart.weights.table import read_models
from projects import ROOT, Project, run_command

ENHANCED = "digitalsourcetype/algorithmicallyEnhanced<"
COMPOSITE = "digitalsourcetype/compositeWithTrainedAlgorithmicMedia<"


def photograph(path: Path, width: int = 90, height: int = 60) -> np.ndarray:
    """Save a smooth picture as a phone does: turned, in Display P3, with a place; return it."""
    y, x = np.mgrid[:height, :width]
    upright = np.stack([x * 255 // width, y * 255 // height, 0 * x + 90], axis=2).astype(np.uint8)
    turned = Image.fromarray(np.rot90(upright))  # as the sensor has it
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right to show
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8825)[1] = "N"
    p3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
    profile = colour.rgb_profile(p3, colour.SRGB_CURVE)
    turned.save(path, "TIFF", exif=exif, icc_profile=profile)
    return upright


def test_it_is_taken_in_upright_in_srgb_and_without_what_it_says_of_itself(tmp_path: Path) -> None:
    source, out = tmp_path / "my photo.tif", tmp_path / "0-picture.png"
    upright = photograph(source)
    content = source.read_bytes()
    assert run_command("take_picture", "--picture", source, "--out", out) == 0
    assert source.read_bytes() == content
    taken = images.read_rgb(out)
    assert taken.shape == (60, 90, 3)
    assert (taken == images.read_rgb(source)).all()
    assert np.abs(taken[..., 1].astype(int) - upright[..., 1]).max() < 80  # else 250
    assert (taken != upright).any()  # Display P3 is wider
    assert b"a camera" not in out.read_bytes()
    assert 0x8825 not in Image.open(out).getexif()
    made = picture_file.read_recipe(out)
    [record] = made["stages"]
    assert record["picture"] == "my photo.tif"
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert ENHANCED.encode() in out.read_bytes()


def test_the_shape_of_a_picture_stays_for_one_length_and_covers_two() -> None:
    assert fitted((3000, 2000), (4096, 4096)) == (4096, 2731)
    assert fitted((2000, 3000), (600, 600)) == (400, 600)
    assert fitted((3000, 2000), (4000, 4000 - 1)) == (5998, 3999)


@pytest.mark.parametrize("sampler", samplers.SAMPLERS)
@pytest.mark.parametrize("strength", [0.0, 0.04, 0.5, 1.0])
def test_painting_over_begins_in_the_middle(sampler: str, strength: float) -> None:
    """A network that knows the picture gives it back, whatever the strength."""
    whole = Schedule.create("squaredcos_cap_v2", 25)
    schedule = rest(whole, strength)
    assert len(schedule) == sum(t < strength * STEPS for t in whole.timesteps)
    shares = dict(zip(whole.timesteps, whole.alphas_cumprod, strict=True))
    picture = torch.linspace(-0.9, 0.9, 3 * 64).reshape(1, 3, 8, 8)

    def denoise(x: torch.Tensor, timestep: int) -> tuple[torch.Tensor, torch.Tensor]:
        a = float(shares[timestep])
        return (x - a**0.5 * picture) / (1 - a) ** 0.5, torch.zeros_like(x)

    def ends(*batches: range) -> list[np.ndarray]:
        noise = candidate_noise(1, "thumbnails", 8)
        kind = BegunCandidates(
            schedule, sampler, lambda chunk: denoise, noise, torch.device("cpu"), picture
        )
        found = []
        for batch in batches:
            start = kind.start(batch)
            found += finished([start, *kind.steps(batch, start)][-1])
        return found

    kept = images.to_uint8((picture[0].numpy() + 1) / 2)
    for end in ends(range(2)):
        assert np.abs(end.astype(int) - kept).max() <= 1
    alone = ends(range(1), range(1, 2))
    assert all((a == b).all() for a, b in zip(ends(range(2)), alone, strict=True))


def test_a_stronger_start_is_farther_from_the_picture() -> None:
    schedule = Schedule.create("squaredcos_cap_v2", 50)
    picture = torch.zeros(1, 3, 8, 8)
    spreads = [
        BegunCandidates(
            rest(schedule, strength),
            "ddim",
            lambda chunk: None,  # type: ignore[arg-type,return-value]
            candidate_noise(1, "thumbnails", 8),
            torch.device("cpu"),
            picture,
        )
        .start(range(2))
        .x.std()
        for strength in (0.0, 0.2, 0.5, 1.0)
    ]
    assert spreads == sorted(spreads)
    assert spreads[0] == 0
    assert spreads[-1] > 0.85


# Sizes


def own(folder: Path, width: int, height: int, cells: str, name: str = "mine.png") -> list[str]:
    """What is wrong with a picture of one's own: in the row, or else in the file."""
    path = folder / name
    Image.new("RGB", (width, height), "teal").save(path)
    table = folder / "table.tsv"
    table.write_text(f"artwork\tprompt\tpicture\tsize\tcrop\tbleed\na\ta\t{path}\t{cells}\n")
    config = Config(results=str(folder / "results"))
    found, errors = artworks.read(table, config)
    outputs = {f"{config.results}/a/final.png"}
    return [*map(str, errors), *sources.file_errors(config, found, outputs, 4096)]


def test_crop_and_bleed_are_checked_in_the_shape_of_the_picture(tmp_path: Path) -> None:
    [told] = own(tmp_path, 4000, 3000, "30x20 cm\t50% 35%\t")
    assert "artwork `a`, column `crop`: found '50% 35%', and " in told
    assert "mine.png has 4000 x 3000 pixels. A 30x20 cm print takes 88.89% of the height" in told
    assert own(tmp_path, 3000, 4000, "30x20 cm\t50% 28%\t") == []  # of a square that is too low
    assert "0 to 100" in own(tmp_path, 3000, 4000, "30x20 cm\t50% 280%\t")[0]
    [told] = own(tmp_path, 3000, 1000, "2000\t\t60")
    assert "column `bleed`: found 60, and " in told
    assert "more than half of the shorter side, 56 mm at 300 DPI" in told
    assert own(tmp_path, 2000, 1900, "2000\t\t60") == []


def test_crop_of_a_painted_picture_is_checked_in_its_square(tmp_path: Path) -> None:
    table = tmp_path / "table.tsv"
    Image.new("RGB", (300, 400)).save(tmp_path / "mine.png")
    table.write_text(
        "artwork\tprompt\tpicture\tstrength\nlake\ta lake\t\t\n"
        f"over\ta lake\t{tmp_path / 'mine.png'}\t0.5\nown\ta lake\t{tmp_path / 'mine.png'}\t\n"
    )
    config, wrong = checked(Config, {"size": "30x20 cm", "crop": "50% 28%"})
    assert wrong == {}
    assert config
    found, errors = artworks.read(table, config)
    assert list(found) == ["own"]
    assert [error.place for error in errors] == [
        f"artwork `{name}`, `crop` of config.yaml" for name in ("lake", "over")
    ]


def test_no_print_is_written_whose_bleed_its_shape_cannot_give(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture_file.write_picture(
        tmp_path / "a.png", np.zeros((100, 300, 3), np.uint8), recipe.start()
    )
    arguments = ["--grained", tmp_path / "a.png", "--size", "300", "--out", tmp_path / "b.png"]
    assert run_command("finish_print", *arguments, "--bleed", "5") == 1
    assert "more than half of the shorter side, 8 mm" in capsys.readouterr().err
    assert run_command("finish_print", *arguments, "--bleed", "4") == 0
    assert images.read_rgb(tmp_path / "b.png").shape == (100 + 2 * 47, 300 + 2 * 47, 3)


def test_two_lengths_cut_and_one_does_not() -> None:
    assert print_size.normal("30.0 CM") == "30 cm"
    assert print_size.normal("30 x 30cm") == "30x30 cm"
    assert [print_size.cuts(size) for size in ("auto", "30 cm", 600, "30x30 cm")] == [0, 0, 0, 1]
    whole = planned((3000, 2000), (600, 600), None, [4])
    assert (whole.box, whole.target) == ((0, 0, 3000, 2000), (600, 400))
    cut = planned((3000, 2000), (600, 600), (0.5, 0.5), [4])
    assert (cut.box, cut.target) == ((500, 0, 2500, 2000), (600, 600))
    with pytest.raises(UserError, match="the crop lies outside"):
        planned((3000, 2000), (600, 600), (0.3, 0.5), [4])


def test_what_is_cut_out_is_where_the_crop_says(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (60, 90, 3), np.uint8)
    picture_file.write_picture(tmp_path / "a.png", picture, recipe.start())
    command = ["enlarge_picture", "--model", ROOT / "models/embedded/enlarger.safetensors"]
    command += ["--image", tmp_path / "a.png", "--out", tmp_path / "b.png"]
    assert run_command(*command, "--size", "40x40", "--crop", "40% 50%") == 0
    expected = Image.fromarray(picture[:, 6:66]).resize((40, 40), Image.Resampling.LANCZOS)
    found = images.read_rgb(tmp_path / "b.png")
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 2
    assert run_command(*command, "--size", "40", "--crop", "40% 50%") == 0
    assert images.read_rgb(tmp_path / "b.png").shape == (27, 40, 3)


def test_no_more_is_enlarged_than_the_print_takes() -> None:
    """A panorama of 8 megapixels as 50x70 cm: its middle."""
    plan = planned((8000, 1000), (5906, 8268), (0.5, 0.5), [2, 4])
    assert plan.box == (3643, 0, 4357, 1000)
    assert plan.factors == (4, 2)
    assert plan.large == (5912, 8272)
    assert planned((4000, 3000), (4096, 4096), None, [4]).factors == ()  # the filter does it


@pytest.mark.parametrize("name", ["final-print", "enlarged-picture"])
def test_what_is_the_same_print_is_not_made_again(name: str) -> None:
    """As it always was for what is painted, and for one length."""

    def compared(option: str, **cells: object) -> object:
        row, wrong = checked(Artwork, {"artwork": "a", "prompt": "a", **cells}, 7)
        assert row, wrong
        return prints.compared(name, row, option)

    own = {"picture": "mine.png"}
    for source in ({}, own, {**own, "strength": "0.5"}):
        assert compared("size", size="30 cm", **source) == "30x30 cm"
        assert compared("size", size="8192", **source) == "8192x8192"
        assert compared("size", size="auto", **source) == "auto"
    assert compared("size", size="30x30 cm") == "30x30 cm"
    assert compared("size", size="30x30 cm", **own) != "30x30 cm"
    usual = "50% 50%" if name == "enlarged-picture" else "40% 50%"
    assert compared("crop", size="30 cm", crop="40% 50%", **own) == usual
    assert compared("crop", size="30x20 cm", crop="50% 40%", **own) == "50% 40%"


def test_sweeps_are_called_as_ever(tmp_path: Path) -> None:
    (tmp_path / "mine.png").touch()
    table = tmp_path / "table.tsv"
    rows = f"own\ta\t{tmp_path / 'mine.png'}\t30 cm|40 cm\nlake\ta\t\t8192|20x20 cm\n"
    table.write_text(f"artwork\tprompt\tpicture\tsize\n{rows}")
    found, _ = artworks.read(table, Config())
    assert list(found) == [
        *("own-size-30x30-cm", "own-size-40x40-cm", "lake-size-8192x8192", "lake-size-20x20-cm")
    ]
    assert [row.size for row in found.values()] == ["30 cm", "40 cm", "8192", "20x20 cm"]


# Files


def read_errors(folder: Path, rows: str, **config: object) -> list[str]:
    (folder / "table.tsv").write_text(f"artwork\tprompt\tpicture\tmask\trepaint\n{rows}")
    _, errors = artworks.read(folder / "table.tsv", Config(**config))
    return [f"{error.place}: {error.message}" for error in errors]


def test_a_result_of_the_table_is_no_picture_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not be painted before, and no change of it would be followed."""
    monkeypatch.chdir(tmp_path)
    for path in ("results/lake/final.png", "results/mine.png", "results/old/final.png"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    lake = "lake\ta lake\t\t\t\n"
    [told] = read_errors(tmp_path, f"{lake}a\ta\tresults/lake/final.png\t\t\n")
    assert told.startswith(
        "artwork `a`, column `picture`: found 'results/lake/final.png', which is"
    )
    assert told.endswith("a copy of it outside of results, or its artwork in `repaint`")
    [told] = read_errors(tmp_path, f"{lake}a\ta\t\t./results/sweeps/a.png\tlake\n")
    assert "column `mask`: found 'results/sweeps/a.png', which is a result of this table" in told
    for other in ("results/mine.png", "results/old/final.png"):
        assert read_errors(tmp_path, f"{lake}a\ta\t{other}\t\t\n") == []
    assert read_errors(tmp_path, f"{lake}a\ta\tresults/mine.png\t\t\n", results=str(tmp_path)) == []


def test_a_picture_that_may_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.png"
    path.touch()
    may = os.access
    monkeypatch.setattr(os, "access", lambda file, mode: file != str(path) and may(file, mode))
    [told] = read_errors(tmp_path, f"a\ta\t{path}\t\t\n")
    assert "column `picture`" in told
    assert "that file may not be read" in told


def test_each_file_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.jpg").write_text("no picture")
    table = tmp_path / "table.tsv"
    table.write_text(f"artwork\tprompt\tpicture\tseed\na\ta\t{tmp_path / 'mine.jpg'}\t1..200\n")
    found, _ = artworks.read(table, Config())
    looked, check = [], own_picture.check
    monkeypatch.setattr(own_picture, "check", lambda path: (looked.append(path), check(path)))
    outputs = {f"results/{name}/0-picture.png" for name in found}
    [told] = sources.file_errors(Config(), found, outputs, 4096)
    assert told.startswith("artwork `a-seed-1` and 199 more, column `picture`: ")
    assert len(looked) == 1


def test_nothing_is_read_of_a_prompt_that_is_not_painted() -> None:
    models = read_models(root=ROOT).set("embedded")
    cells = {"artwork": "a", "prompt": "a zeppelin", "guide": "both", "choose": "auto"}
    for source, paints in (({"picture": "mine.jpg"}, False), ({}, True)):
        row, _ = checked(Artwork, {**cells, **source}, 7)
        assert row
        assert bool(project.by_clip({"a": row})) == paints
        assert bool(project.unknown_words(Config(), {"a": row}, models)) == paints


TABLE = """\
artwork\tprompt\tpicture\tstrength\tdetail\tsize
photo\ta lake, by me\tmine.tif\t\t\t
over\ta sunset over a lake\tmine.tif\t0.5\t\t
print\ta lake, by me\tmine.tif\t\tyes\t300
square\ta lake, by me\tmine.tif\t\t\t200x200
"""


@pytest.fixture(scope="module")
def painted(tiny: Project) -> Project:
    """A tiny project with pictures of one's own, painted."""
    photograph(tiny.folder / "mine.tif")
    tiny.table.write_text(TABLE)
    tiny.snakemake("gallery")
    return tiny


def source_type(path: Path) -> str:
    found = re.search(rb"digitalsourcetype/(\w+)<", path.read_bytes())
    assert found
    return found[1].decode()


def stages(path: Path) -> list[str]:
    return [stage["stage"] for stage in picture_file.read_recipe(path)["stages"]]


def test_a_picture_is_only_enlarged_and_finished(painted: Project) -> None:
    results = painted.folder / "results"
    final = results / "photo/final.png"
    assert images.read_rgb(final).shape == (683, 1024, 3)  # the tiny models' prints have 1024
    assert stages(final) == ["picture", "enlarged-picture", "textured-4096", "final"]
    made = picture_file.read_recipe(final)
    assert (recipe.find(made, "artwork"), recipe.find(made, "prompt")) == ("photo", None)
    assert source_type(final) == "algorithmicallyEnhanced"
    assert "parameters" not in Image.open(final).info
    assert not [*(results / "photo").glob("[1-5]*"), *(results / "photo").glob("candidates*")]
    page = (results / "gallery/index.html").read_text()
    assert "mine.tif" in page
    assert (results / "gallery/photo/final/picture.jpg").is_file()


def test_with_detail_it_goes_through_1024_pixels_and_a_size_is_its_longer_side(
    painted: Project,
) -> None:
    folder = painted.folder / "results/print"
    assert images.read_rgb(folder / "3-enlarged-1024.png").shape == (171, 256, 3)
    assert images.read_rgb(folder / "final.png").shape == (200, 300, 3)
    assert source_type(folder / "final.png") == "compositeWithTrainedAlgorithmicMedia"
    assert stages(folder / "final.png")[:4] == [
        *("picture", "picture-1024", "textured-1024", "detailed")
    ]


def test_an_enlargement_of_it_names_its_row(painted: Project) -> None:
    made = picture_file.read_recipe(painted.folder / "results/photo/6-enlarged-4096.png")
    models = read_models(painted.folder / "config/models.yaml", root=painted.folder)
    assert "mine.tif" in recipe_row.text(made, models)


def test_a_picture_is_painted_over(painted: Project) -> None:
    folder = painted.folder / "results/over"
    assert images.read_rgb(folder / "final.png").shape == (1024, 1024, 3)
    made = picture_file.read_recipe(folder / "final.png")
    assert stages(folder / "final.png")[:3] == ["picture", "thumbnails", "upsampled"]
    assert (recipe.find(made, "strength"), recipe.find(made, "picture")) == (0.5, "mine.tif")
    assert source_type(folder / "final.png") == "compositeWithTrainedAlgorithmicMedia"
    assert "Denoising strength: 0.5" in Image.open(folder / "final.png").info["parameters"]
    cells = recipe_row.row(made)
    assert (cells["picture"], cells["strength"]) == ("mine.tif", "0.5")


def test_what_a_changed_picture_reruns(painted: Project) -> None:
    assert painted.jobs() == set()
    source = painted.folder / "mine.tif"
    source.touch()
    assert painted.jobs() == set()
    painted.edit("0.6", "over", "strength")
    assert {job.split()[1] for job in painted.jobs()} == {"over"}
    assert "thumbnails_picture over" in painted.jobs()
    assert "picture over" not in painted.jobs()
    painted.edit("0.5", "over", "strength")
    content = source.read_bytes()
    photograph(source, 80)
    jobs = painted.jobs()
    assert {"picture photo", "enlarged_picture photo", "final photo", "picture over"} <= jobs
    source.write_bytes(content)
    assert painted.jobs() == set()


def test_a_size_of_two_lengths_is_cut_out_before_it_is_enlarged(painted: Project) -> None:
    folder = painted.folder / "results/square"
    enlarged = images.read_rgb(folder / "6-enlarged-4096.png")
    assert enlarged.shape == images.read_rgb(folder / "final.png").shape == (200, 200, 3)
    painted.edit("40% 50%", "square", "crop")
    assert painted.jobs() == {"enlarged_picture square", "final_print square"}
    painted.edit("200", "square", "size")
    assert painted.jobs() == {"enlarged_picture square", "final_print square"}
    painted.edit("200x200", "square", "size")
    painted.edit("50% 50%", "square", "crop")
    painted.edit("40% 50%", "print", "crop")  # has one length, so nothing is cut
    assert painted.jobs() == {"final_print print"}
    painted.edit("50% 50%", "print", "crop")
    assert painted.jobs() == set()


def test_code_for_masks_reruns_nothing_of_a_print(painted: Project) -> None:
    assert painted.jobs_with_a_new_statement("pictures/masks.py", "gallery") == set()


def test_a_file_may_be_called_like_a_flag(painted: Project) -> None:
    former = painted.table.read_text()
    photograph(painted.folder / "-photo.tif")
    painted.edit("-photo.tif", "photo", "picture")
    target = "results/photo/0-picture.png"
    told = painted.snakemake("--dry-run", "--printshellcmds", target)
    assert "--picture=-photo.tif" in told.stdout + told.stderr
    painted.table.write_text(former)


def test_what_cannot_be_is_said_together(painted: Project, tmp_path: Path) -> None:
    former = painted.table.read_text()
    (painted.folder / "text.jpg").write_text("no picture")
    header = "artwork\tprompt\tpicture\tstrength\tguide\n"
    painted.table.write_text(
        header + "a\ta lake\tnone.jpg\t\t\nb\ta lake\t\t0.5\t\nc\ta lake\tmine.tif\t0.5\tclip\n"
        "d\ta lake\tmine.tif\t1.5\t\n"
    )
    told = painted.snakemake("--dry-run", check=False).stderr
    for part in (
        "line 2, artwork `a`, column `picture`: found 'none.jpg', and there is no such file",
        "line 3, artwork `b`, column `strength`: it is how strongly `picture` is painted over",
        "line 4, artwork `c`, column `guide`: found 'clip', which does not go with `strength`",
        "line 5, artwork `d`, column `strength`: found '1.5'; allowed: blank, or a number 0 to 1",
    ):
        assert part in told
    painted.table.write_text(header + "a\ta lake\ttext.jpg\t\t\nb\ta lake\ttext.jpg\t0.5|0.6\t\n")
    told = painted.snakemake("--dry-run", check=False).stderr
    assert "artwork `a` and 2 more, column `picture`: text.jpg is empty or not a picture" in told
    painted.table.write_text(former)


def test_detail_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    photograph(tmp_path / "mine.tif")
    table = tmp_path / "table.tsv"
    path = tmp_path / "mine.tif"
    table.write_text(
        "artwork\tprompt\tpicture\tstrength\tdetail\n"
        f"a\ta\t{path}\t\t\nb\ta\t{path}\t\ttrue\nc\ta\t{path}\t0.5\t\nd\ta\t\t\t\n"
    )
    found, errors = artworks.read(table, Config())
    assert errors == []
    assert [found[name].detail for name in "abcd"] == [False, True, True, True]
