"""Prints in a size of their own: strip by strip, they are what the whole picture would give."""

import io
import itertools
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from bigart.config import artworks, forecast, preflight, print_size, prints, project
from bigart.config.options import Artwork, Config, checked
from bigart.errors import UserError
from bigart.metadata import made, picture_file, print_file, recipe
from bigart.networks.native import rolling, rrdbnet
from bigart.networks.native.rrdbnet import RRDBNet
from bigart.networks.native.unshuffled import UnshuffledRRDBNet
from bigart.networks.options import RRDBNetOptions
from bigart.pictures import (
    colour,
    frame,
    images,
    png,
    print_grain,
    print_rows,
    strip_files,
    text_outlines,
    texture,
)
from bigart.sampling import noise
from bigart.stages import STAGES
from bigart.weights.conversion import save_network
from bigart.weights.table import read_models
from parity import fill
from projects import ROOT, Project, add_models, run_command

EMBEDDED = ROOT / "models/embedded"
FULL = 16384


def picture(height: int, width: int, seed: int = 1) -> np.ndarray:
    """Soft shapes with some grain."""
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (max(2, height // 9), max(2, width // 9), 3), np.uint8)
    soft = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(soft + generator.normal(0, 6, soft.shape), 0, 255).astype(np.uint8)


def strips(whole: np.ndarray, *cuts: int) -> Iterator[np.ndarray]:
    edges = [0, *cuts, len(whole)]
    return (whole[a:b] for a, b in itertools.pairwise(edges))


def joined(parts: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(parts))


# Files


@given(st.integers(1, 70), st.integers(1, 50), st.lists(st.integers(0, 70), max_size=4))
@settings(max_examples=25)
def test_a_file_by_strips_is_that_of_the_whole_picture(
    tmp_path_factory, height: int, width: int, cuts: list[int]
) -> None:
    """PNG to the byte; the others in pixels and in all that they say."""
    folder, whole = tmp_path_factory.mktemp("files"), picture(height, width)
    cuts = sorted(cut for cut in cuts if cut < height)
    with (
        mock.patch.object(strip_files, "BYTES", 40 * width),
        mock.patch.object(png, "STRIP", 40 * width),
    ):
        for kind in ("png", "jpg", "tif"):
            one, other = folder / f"one.{kind}", folder / f"other.{kind}"
            picture_file.write_picture(one, whole, recipe.start(), 240, 90)
            print_file.write(other, (width, height), strips(whole, *cuts), recipe.start(), 240, 90)
            with Image.open(one) as expected, Image.open(other) as found:
                assert (np.array(expected) == np.array(found)).all(), kind
                assert expected.info == found.info
            assert picture_file.read_recipe(other) == recipe.start()
            assert kind != "png" or one.read_bytes() == other.read_bytes()
            assert picture_file.write_picture.__doc__
            assert made._carries_recipe(str(other))


def test_a_jpeg_has_room_for_so_many_pixels(tmp_path: Path) -> None:
    wide = np.zeros((1, 65_536, 3), np.uint8)
    with pytest.raises(UserError, match="65,535 pixels a side, not 65536 x 1"):
        print_file.write(tmp_path / "wide.jpg", (65_536, 1), iter([wide]), recipe.start())
    assert not list(tmp_path.iterdir())


def test_a_recipe_is_read_from_more_pixels_than_pillow_takes(tmp_path: Path) -> None:
    """The height in the header is a print's; the pixels are not looked at."""
    path = tmp_path / "large.png"
    picture_file.write_picture(path, picture(4, 4), recipe.extend(recipe.start(), "final"))
    content = bytearray(path.read_bytes())
    content[16:24] = FULL.to_bytes(4) * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    path.write_bytes(content)
    with pytest.raises(UserError, match="far too large"), images.opened(path):
        pass
    assert picture_file.read_recipe(path)["stages"] == [{"stage": "final"}]


# Pixels


@given(
    source=st.tuples(st.integers(2, 150), st.integers(2, 60)),
    shrunk=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)),
    corner=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
)
@settings(max_examples=40)
def test_scaling_by_strips_is_that_of_the_whole(source, shrunk, corner) -> None:
    height, width = source
    left, upper = int(corner[0] * width), int(corner[1] * height)
    box = left, upper, width, height
    size = max(1, round((width - left) * shrunk[0])), max(1, round((height - upper) * shrunk[1]))
    image = Image.fromarray(picture(height, width))
    wide = image.crop(box).resize((size[0], height - upper), Image.Resampling.LANCZOS)
    whole = np.asarray(wide.resize(size, Image.Resampling.LANCZOS))
    with mock.patch.object(print_rows, "ROWS", 7):
        found = joined(print_rows.scaled(image, box, size, "x.png"))
    assert found.shape == whole.shape
    difference = np.abs(found.astype(int) - whole)
    assert difference.max() <= 1  # where a value lies between two levels
    assert (difference > 0).sum() <= 2 + found.size / 1000


def test_scaling_to_the_same_size_changes_nothing() -> None:
    whole = picture(150, 40)
    image = Image.fromarray(whole)
    found = joined(print_rows.scaled(image, (3, 5, 33, 145), (30, 140), "x.png"))
    assert (found == whole[5:145, 3:33]).all()


@pytest.mark.parametrize("size", [1, 3, 9])
def test_grain_by_strips_is_that_of_a_whole_picture(size: int) -> None:
    whole = picture(90, 31)
    expected = texture.texture_picture(
        whole, lambda draw: noise.standard_normal(3, "t", 2, draw, (90, 31)), 0.05, size, True
    )
    noises = [noise.rows_of(3, "t", 2, draw, 31) for draw in range(3)]
    parts = print_grain.grained(strips(whole, 1, 3, 4, 60), 90, noises, 0.05, size)
    assert (joined(parts) == expected).all()


@given(st.integers(0, 20), st.lists(st.integers(1, 40), max_size=4))
@settings(max_examples=20)
def test_the_bleed_mirrors_the_edges(bleed: int, cuts: list[int]) -> None:
    whole = picture(41, 20)
    found = joined(print_rows.with_bleed(strips(whole, *sorted({*cuts})), bleed))
    assert (found == np.pad(whole, ((bleed,) * 2, (bleed,) * 2, (0, 0)), mode="symmetric")).all()


# Adobe RGB (1998) Color Image Encoding, version 2005-05, 4.3.1 and 4.3.4, and IEC 61966-2-1:
# chromaticities of red, green, blue and white; Adobe's gamma. Annex C.2: its XYZ under D50.
PRIMARIES = {
    "adobe": [(0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.329)],
    "srgb": [(0.64, 0.33), (0.3, 0.6), (0.15, 0.06), (0.3127, 0.329)],
}
ADOBE_GAMMA = 563 / 256
ADOBE_D50 = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]


def to_xyz(space: str) -> np.ndarray:
    *colours, white = [np.array([x / y, 1, (1 - x - y) / y]) for x, y in PRIMARIES[space]]
    columns = np.transpose(colours)
    return columns * np.linalg.solve(columns, white)


def test_adobe_rgb_is_that_of_the_published_encoding() -> None:
    """Converted by lcms with our profile, by the published formulas, and back again."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 64, 3)
    profile = print_rows.adobe_rgb_profile()
    found = joined(print_rows.converted(strips(colours, 10), profile))
    value = colours / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    adobe = light @ to_xyz("srgb").T @ np.linalg.inv(to_xyz("adobe")).T
    expected = 255 * np.clip(adobe, 0, 1) ** (1 / ADOBE_GAMMA)
    assert np.abs(found - expected).max() < 1
    assert np.abs(found - expected).mean() < 0.3
    image = Image.fromarray(found)
    image.info["icc_profile"] = profile
    back = np.asarray(colour.to_srgb(image, "x.tif")).astype(int)
    # saturated colours have a channel near black, where a level is a large step of light
    assert np.abs(back - colours).max() <= 6
    assert np.abs(back - colours).mean() < 0.4
    named = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    assert ImageCms.getProfileDescription(named).strip() == "Compatible with Adobe RGB (1998)"
    colorants = [getattr(named.profile, f"{name}_colorant")[0] for name in ("red", "green", "blue")]
    assert np.abs(np.subtract(colorants, ADOBE_D50)).max() < 2e-5


# Networks


@given(
    kind=st.sampled_from([(RRDBNet, 4), (RRDBNet, 2), (UnshuffledRRDBNet, 2)]),
    height=st.integers(1, 60),
    width=st.integers(1, 9),
    step=st.integers(1, 30),
    dense=st.booleans(),
)
@settings(max_examples=30)
def test_rows_are_enlarged_to_the_whole_frame(kind, height, width, step, dense) -> None:
    network = kind[0](RRDBNetOptions(kind[1], 8, 2, 4))
    fill(network, gain=0.5)
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    values = mock.patch.multiple(rolling, VALUES=100 * width, TAIL_VALUES=800 * width)
    from_features = 1 if dense else 9
    with torch.inference_mode(), values, mock.patch.object(rrdbnet, "CHANNELS", from_features):
        whole = network.enlarge(x, 16)
        found = torch.cat(list(rolling.enlarge(network, x.split(step, 2), height)), 2)
    assert found.shape == whole.shape
    assert (found - whole).abs().max() <= 1e-6


def test_rows_in_bf16_are_near() -> None:
    network = RRDBNet(RRDBNetOptions(4, 8, 2, 4))
    fill(network, gain=0.5)
    x = torch.rand(1, 3, 40, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        network.reduce(torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16):
            whole = network.enlarge(x, 16)
            found = torch.cat(list(rolling.enlarge(network, x.split(7, 2), 40)), 2)
    assert (found - whole).abs().max() <= 0.02 * whole.std()


def test_a_second_enlargement_has_no_seams(tmp_path: Path) -> None:
    """The embedded upscaler, twice in one go and from file to file: the same, row by row."""
    small, once, twice, print_ = (tmp_path / f"{name}.png" for name in ("a", "b", "c", "d"))
    picture_file.write_picture(small, picture(14, 9), recipe.start())
    model = ["--model", EMBEDDED / "enlarger.safetensors"]
    assert run_command("enlarge", *model, "--image", small, "--out", once) == 0
    assert run_command("enlarge", *model, "--image", once, "--out", twice) == 0
    with mock.patch.object(rolling, "VALUES", 20_000):  # strips of some rows
        arguments = ["--image", small, "--size", "100x60", "--out", print_]
        assert run_command("enlarge_print", *model, *arguments) == 0
    difference = np.abs(images.read_rgb(print_).astype(int) - images.read_rgb(twice))
    assert difference.shape == (224, 144, 3)
    assert difference.max() <= 1  # where a value lies between two levels, rounding decides
    assert (difference > 0).mean() < 1e-3
    [stage] = picture_file.read_recipe(print_)["stages"]
    assert (stage["stage"], stage["scale"]) == ("enlarged-print", 16)


# Sizes


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("8192", (8192, 8192)),
        (8192, (8192, 8192)),
        ("6000 X 4000", (6000, 4000)),
        ("50 cm", (5906, 5906)),
        ("20x30in", (6000, 9000)),
        ("210×297 mm", (2480, 3508)),
        ("auto", None),
    ],
)
def test_sizes_are_exact_pixels(text: object, pixels: tuple[int, int] | None) -> None:
    options, wrong = checked(Config, {"size": text})
    assert wrong == {}
    assert print_size.pixels(options.size, options.dpi) == pixels


@pytest.mark.parametrize(
    ("cells", "column", "words"),
    [
        ({"size": "20000"}, "size", "16 to 16384 pixels a side are possible"),
        ({"size": "200 cm"}, "size", "these are 23622x23622 pixels.*`dpi` can be 208 at most"),
        ({"size": "3"}, "size", "16 to 16384"),
        ({"size": "20 feet"}, "size", "allowed: `auto`"),
        ({"size": "20x30 in", "crop": "20% 50%"}, "crop", "33.33% to 66.67% of the width"),
        ({"size": "30x20 in", "crop": "20% 101%"}, "crop", "Percentages are 0 to 100"),
        ({"size": "10x20 cm", "bleed": "60"}, "bleed", "more than half of the shorter side, 100"),
        ({"bleed": "3,5"}, "bleed", "Write it as 3.5"),
        ({"dpi": "10"}, "dpi", "20 to 2400"),
        ({"profile": "CMYK"}, "profile", "allowed: `sRGB`, `Adobe RGB`"),
        ({"format": "webp"}, "format", "allowed: `png`, `jpg`, `tif`"),
        ({"jpeg_quality": "0"}, "jpeg_quality", "1 to 100"),
    ],
)
def test_faults_are_told_of_the_row(tmp_path: Path, cells, column: str, words: str) -> None:
    table = tmp_path / "prompts.tsv"
    names, values = zip(*cells.items(), strict=True)
    rows = ["artwork", "prompt", *names], ["lake", "a lake", *values]
    table.write_text("\n".join(map("\t".join, rows)))
    _, [error] = artworks.read(table, Config())
    assert error.place == f"artwork `lake`, column `{column}`"
    assert re.search(words, error.message)


def test_a_size_of_the_config_that_does_not_go_with_a_row_is_told(tmp_path: Path) -> None:
    table = tmp_path / "prompts.tsv"
    table.write_text("artwork\tprompt\tdpi\nlake\ta lake\t2400\nsea\tthe sea\t\n")
    found, [error] = artworks.read(table, Config(size="50 cm"))
    assert list(found) == ["sea"]
    assert error.place == "artwork `lake`, `size` of config.yaml"
    wrong = {"dpi": 1, "size": "200 cm", "bleed": 90, "table": str(table)}
    assert "`dpi`" in "\n".join(map(str, project.read(wrong)[2]))


@given(
    source=st.tuples(st.integers(16, 5000), st.integers(16, 5000)),
    target=st.tuples(st.integers(16, FULL), st.integers(16, FULL)),
    by_two=st.booleans(),
)
def test_a_print_never_has_more_pixels_than_what_it_is_made_from(source, target, by_two) -> None:
    factors = frame.factors(source, target, (2, 4) if by_two else (4,))
    scale = int(np.prod(factors))
    enlarged = source[0] * scale, source[1] * scale
    left, upper, right, lower = frame.box(enlarged, target, (0.5, 0.5))
    width, height = right - left, lower - upper
    assert left >= 0
    assert upper >= 0
    assert right <= enlarged[0]
    assert lower <= enlarged[1]
    assert width >= target[0]
    assert height >= target[1]
    assert abs(width / target[0] - height / target[1]) <= 1 / min(target)
    # and no enlargement is for nothing
    without = scale // factors[-1] if factors else 0
    assert not factors or max(t / (s * without) for s, t in zip(source, target, strict=True)) > 1


def test_the_crop_is_around_its_centre() -> None:
    assert frame.box((4096, 4096), (6000, 9000), (0.4, 0.9)) == (273, 0, 3004, 4096)
    with pytest.raises(UserError, match=r"takes 66\.67% of the width, and its centre is at 20%"):
        frame.box((4096, 4096), (6000, 9000), (0.2, 0.5))


def test_limits_grow_with_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    small, row = (Artwork(artwork="a", prompt="p", size=size) for size in ("8192", "16384"))
    models = read_models(root=ROOT).set("embedded")
    by_two_models = models | {"enlarger_x2": models["enlarger"]}
    for stage in (STAGES["enlarged-print"], STAGES["final-print"]):
        for limit in (prints.megapixels, prints.runtime, prints.mem_mb, prints.file_bytes):
            by_two = limit(stage, small, by_two_models, 4096)
            by_four = limit(stage, small, models, 4096)
            largest = limit(stage, row, models, 4096)
            is_network = limit == prints.mem_mb and stage.role  # it reads the same width
            assert by_two == by_four == largest if is_network else by_two < largest
            assert by_four <= largest
    assert prints.mem_mb(STAGES["final-repaint"], row, models, 4096) >= 2 * 3706  # as measured
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**8))
    plain = Artwork(artwork="a", prompt="p")
    for one, fits in ((plain, True), (row, False)):
        found = preflight.room_errors({"results/a/final.png"}, models, table={"a": one})
        assert (found == []) == fits
    for name in ("8-enlarged-print.png", "final.png"):
        machine, outputs = forecast.Machine(2, 1, 2), {f"results/a/{name}"}
        said = forecast.forecast(Config(device="cpu"), {"a": row}, models, outputs, machine)
        rule = "enlarged_print" if name.startswith("8") else "final_print"
        assert f"longest stage: {rule}, " in said


# The workflow


@pytest.fixture
def project_(tiny: Project) -> Iterator[Project]:
    table = tiny.table.read_text()
    yield tiny
    tiny.table.write_text(table)


def x2(folder: Path) -> None:
    torch.manual_seed(2)
    network = RRDBNet(RRDBNetOptions(scale=2, features=8, blocks=1, growth=4))
    save_network(network, folder / "models/x2.safetensors", "rrdbnet")
    entry = {"architecture": "rrdbnet", "path": "models/x2.safetensors", "ready": True}
    add_models(folder, {"x2": entry}, enlarger_x2="x2")


def test_only_the_print_is_made_anew(project_: Project) -> None:
    """1024 pixels are painted here."""
    for column, cell in (("dpi", "240"), ("jpeg_quality", "90")):
        project_.edit(cell, "lake", column)
        assert project_.jobs() == {"final lake"}
    project_.edit("1000x600", "lake", "size")
    assert project_.jobs() == {"final_print lake"}
    project_.edit("2048", "lake", "size")
    assert project_.jobs() == {"enlarged_print lake", "final_print lake"}
    project_.edit("auto", "lake", "size")
    project_.edit("3", "lake", "bleed")
    assert project_.jobs() == {"final_print lake"}
    assert project_.jobs("proofs") == {"final_print lake", "proof lake", "proof villa"}


def test_a_print_is_painted_from_the_table(project_: Project) -> None:
    x2(project_.folder)
    mine = ["--config", "models=mine"]
    results = project_.folder / "results"
    before = (results / "villa/final.png").read_bytes()
    for column, cell in {
        "size": "20x30 cm",
        "dpi": "200",
        "crop": "40% 50%",
        "bleed": "3",
        "profile": "Adobe RGB",
        "format": "tif",
    }.items():
        project_.edit(cell, "lake", column)
    project_.snakemake(*mine)
    print_ = results / "lake/final.tif"
    with Image.open(print_) as image:
        assert image.size == (1575 + 2 * 24, 2362 + 2 * 24)
        assert image.info["dpi"] == (200, 200)
        assert image.info["icc_profile"] == print_rows.adobe_rgb_profile()
        pixels = np.array(image)
    inner = pixels[24:-24, 24:-24]
    assert (pixels == np.pad(inner, ((24, 24), (24, 24), (0, 0)), mode="symmetric")).all()
    stages = [stage["stage"] for stage in picture_file.read_recipe(print_)["stages"]]
    assert stages[-4:] == ["enlarged-4096", "enlarged-print", "textured-4096", "final"]
    assert recipe.find(picture_file.read_recipe(print_), "scale") == 4
    assert (results / "villa/final.png").read_bytes() == before
    assert project_.jobs(*mine) == set()
    # another size from the same enlargement; a smaller one needs only a factor of two
    project_.edit("21x30 cm", "lake", "size")
    assert project_.jobs(*mine) == {"final_print lake"}
    project_.edit("2000x1500", "lake", "size")
    assert project_.jobs(*mine) == {"enlarged_print lake", "final_print lake"}
    project_.edit("50% 50%", "lake", "crop")
    project_.snakemake(*mine)
    with Image.open(results / "lake/8-enlarged-print.png") as enlarged:
        assert enlarged.size == (2048, 2048)
    assert recipe.find(picture_file.read_recipe(print_), "models") == {"x2.safetensors": mock.ANY}
    assert project_.jobs(*mine) == set()


def test_a_retouched_picture_is_what_is_printed(project_: Project) -> None:
    """Of a picture of the last stage before the print, grain and all."""
    retouched = project_.folder / "results/villa/7-textured-4096.png"
    before = retouched.read_bytes()
    Image.new("RGB", (1024, 1024), (200, 30, 60)).save(retouched)
    project_.edit("1024", "villa", "size")
    try:
        project_.snakemake()
        with Image.open(project_.folder / "results/villa/final.png") as image:
            assert image.getcolors() == [(1024**2, (200, 30, 60))]
    finally:
        retouched.write_bytes(before)


def test_the_original_packages_cannot_enlarge_further(project_: Project) -> None:
    project_.edit("4096", "lake", "size")
    config, table, _ = project.read({"engine": "upstream", "table": str(project_.table)})
    outputs = {"results/lake/8-enlarged-print.png"}
    [error] = prints.engine_errors(config, table, {}, outputs)
    assert "`lake` needs an enlargement" in error
    assert prints.engine_errors(config, table, {}, {"results/lake/final.png"}) == []


@pytest.mark.parametrize("size", ["1024", "1024x1024"])
def test_the_size_that_there_is_gives_the_same_pixels(tiny: Project, tmp_path, size: str) -> None:
    """The grain of a print is that of the stage before it."""
    lake, out = tiny.folder / "results/lake", tmp_path / "out.png"
    arguments = ["--image", lake / "6-enlarged-4096.png", "--out", out, "--size", size]
    row = ["--seed", "3", "--candidate", "2"]
    assert run_command("finish_print", *arguments, *row) == 0
    assert (images.read_rgb(out) == images.read_rgb(lake / "final.png")).all()


# The proof


def proof_of(folder: Path, final: Path, *arguments: object) -> bytes:
    out = folder / "proof.pdf"
    prompt = "--prompt=a lake, 湖, بحيرة, 🎨"
    assert run_command("proof", "--image", final, "--out", out, prompt, *arguments) == 0
    return out.read_bytes()


def streams(pdf: bytes) -> list[bytes]:
    found = re.findall(rb"/Filter \[ /FlateDecode \].*?stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    return [zlib.decompressobj().decompress(part) for part in found]


def test_a_proof_shows_parts_in_their_printed_size(tmp_path: Path) -> None:
    final = tmp_path / "final.png"
    picture_file.write_picture(final, picture(900, 1300), recipe.start(), 100)
    pdf = proof_of(tmp_path, final, "--dpi", "100", "--bleed", "2.54")
    assert pdf == proof_of(tmp_path, final, "--dpi", "100", "--bleed", "2.54")
    pixels = round(85 / 25.4 * 100)
    assert pdf.count(b"/Width %d" % pixels) == 4
    first, second = streams(pdf)
    widths = map(float, re.findall(rb"([\d.]+) 0 0 [\d.]+ [\d.]+ [\d.]+ cm", second))
    assert [width for width in widths if width > 100] == pytest.approx(
        [pixels / 100 * 72] * 4, abs=0.01
    )
    assert len(re.findall(rb" c\n| c ", first)) > 500  # the text, as outlines
    # a program sees that this is no person's file
    assert made._carries_recipe(str(tmp_path / "proof.pdf"))


@pytest.mark.parametrize("size", [(40, 300), (16, 16)])
def test_a_proof_of_a_small_print(tmp_path: Path, size: tuple[int, int]) -> None:
    final = tmp_path / "final.jpg"
    picture_file.write_picture(final, picture(*size), recipe.start(), 300)
    assert proof_of(tmp_path, final).startswith(b"%PDF")


def test_text_in_any_script_becomes_outlines() -> None:
    for words in ("Lake", "湖", "بحيرة", "เล", "🎨"):
        line = text_outlines.text.line_of(words)
        found = text_outlines.outlines(line, 10, 20, 5)
        xs, ys = zip(*(point for curve in found for point in curve.points), strict=True)
        assert 9 < min(xs) < max(xs) < 11 + text_outlines.length(line, 5)
        assert 17 < min(ys) < max(ys) < 27


# Memory

MEASURED = """
import resource, runpy, sys
script, *sys.argv[1:] = sys.argv[1:]
sys.argv[0] = script
sys.path.insert(0, script.rpartition("/")[0])
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as leaving:
    assert not leaving.code, leaving.code
from pathlib import Path
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def peak(command: str, *arguments: object) -> float:
    """Run a command; return its peak resident memory in bytes."""
    script = ROOT / f"workflow/scripts/{command}.py"
    words = [sys.executable, "-c", MEASURED, str(script), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return 1024 * float(done.stdout.split()[-1])


@pytest.mark.exhaustive
def test_the_largest_print_takes_little_memory(tmp_path: Path) -> None:
    """16384 pixels with bleed, in each format; and the proof of it."""
    large = tmp_path / "8-enlarged-print.png"
    part = np.tile(picture(256, 256), (1, FULL // 256, 1))  # quick to compress
    print_file.write(large, (FULL, FULL), (part for _ in range(FULL // 256)), recipe.start())
    for kind in ("tif", "jpg", "png"):
        out = tmp_path / f"final.{kind}"
        options = ["--size", FULL, "--bleed", "5", "--profile", "Adobe RGB"]
        assert peak("finish_print", "--image", large, "--out", out, *options) < 2.5e9
        with print_rows.opened_large(out) as image:
            assert image.size == (FULL + 118, FULL + 118)
    assert peak("proof", "--image", out, "--out", tmp_path / "proof.pdf", "--prompt=p") < 2.5e9


@pytest.mark.exhaustive
@pytest.mark.full_size
def test_the_widest_enlargement_takes_little_memory(tmp_path: Path) -> None:
    """At the published size: it grows by what 4096 pixels of width need, which become 16384.

    Memory grows with the width, and does not depend on the number of rows, once the network is
    full. So two narrow pictures tell, in less than half the time.
    """
    network = RRDBNet(RRDBNetOptions())
    fill(network, gain=0.5)
    model, small = tmp_path / "bsrgan.safetensors", tmp_path / "small.png"
    save_network(network, model, "rrdbnet")
    peaks = []
    for width in (512, 1024):
        picture_file.write_picture(small, picture(400, width), recipe.start())
        arguments = ["--model", model, "--image", small, "--size", f"{4 * width}x1600"]
        peaks.append(peak("enlarge_print", *arguments, "--out", tmp_path / "large.png"))
    assert peaks[1] > peaks[0]
    assert peaks[0] + (4096 - 512) / 512 * (peaks[1] - peaks[0]) < 2.5e9
