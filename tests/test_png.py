"""PNG files: what Pillow reads in ours, and pixels that move to another file untouched."""

import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bigart.metadata import picture_file, recipe
from bigart.pictures import images, png
from projects import ROOT


def noisy(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def written(path, picture) -> recipe.Recipe:
    made = recipe.extend(recipe.start(), "textured-4096", prompt="a corgi", seed=42)
    picture_file.write_picture(path, picture, made)
    return recipe.extend(made, "final", dpi=300)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 500))
def test_pillow_reads_the_pixels_whatever_their_number_and_the_strips(height, width, strip):
    picture, usual = noisy(height, width), png.STRIP
    png.STRIP = strip
    try:
        content = png.encode(picture, b"")
    finally:
        png.STRIP = usual
    assert np.array_equal(Image.open(io.BytesIO(content)), picture)


@pytest.mark.parametrize("kind", ["flat", "gradient", "noise"])
def test_files_are_no_larger_than_pillows_quick_ones(kind):
    y, x = np.mgrid[0:600, 0:600]
    picture = {
        "flat": np.full((600, 600, 3), (1, 2, 3), np.uint8),
        "gradient": (np.stack([x, y, x + y], axis=2) // 6 + noisy(600, 600) % 3).astype(np.uint8),
        "noise": noisy(600, 600) // 16,
    }[kind]
    pillows = io.BytesIO()
    Image.fromarray(picture).save(pillows, "PNG", compress_level=1)
    assert len(png.encode(picture, b"")) < 1.1 * len(pillows.getvalue()) + 2000


def test_the_bytes_do_not_depend_on_the_number_of_cores(monkeypatch):
    picture = noisy(700, 700)
    one, many = b"", b""
    monkeypatch.setattr(png, "cores", lambda: 1)
    one = png.encode(picture, b"")
    monkeypatch.setattr(png, "cores", lambda: 5)
    many = png.encode(picture, b"")
    assert one == many


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_final_picture_is_what_it_would_be_if_it_were_encoded_anew(tmp_path, suffix):
    source, out = tmp_path / "7-textured-4096.png", tmp_path / f"final{suffix}"
    made = written(source, noisy(300, 400) // 2)
    copied = picture_file.copy_pixels(source, out, made, 300)
    assert copied == (suffix == ".png")
    if copied:
        anew = tmp_path / "anew.png"
        picture_file.write_picture(anew, images.read_rgb(source), made, 300)
        assert out.read_bytes() == anew.read_bytes()


def _by_another_program(path):
    Image.open(path).save(path, "PNG", pnginfo=_notes(Image.open(path)), icc_profile=None)


def _notes(image) -> PngInfo:
    notes = PngInfo()
    for name in (recipe.CHUNK, "XML:com.adobe.xmp"):
        notes.add_itxt(name, image.info[name])
    return notes


def _without_end(path):
    path.write_bytes(path.read_bytes()[:-12])


def _flipped(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def _with_gamma(path):
    content = path.read_bytes()
    at = content.index(b"IDAT") - 4
    path.write_bytes(content[:at] + png._chunk(b"gAMA", (45455).to_bytes(4)) + content[at:])


def _with_notes_behind(path):
    content = path.read_bytes()
    path.write_bytes(content[:-12] + png._chunk(b"tEXt", b"a\0b") + content[-12:])


@pytest.mark.parametrize(
    "change", [_by_another_program, _without_end, _flipped, _with_gamma, _with_notes_behind]
)
def test_a_file_that_is_not_as_it_was_written_is_decoded(tmp_path, change):
    source, out = tmp_path / "a.png", tmp_path / "final.png"
    made = written(source, noisy(30, 40))
    change(source)
    assert not picture_file.copy_pixels(source, out, made, 300)
    assert not out.exists()


def test_texture_and_final_import_neither_torch_nor_pandas():
    """Each takes longer to import than the command's work at 1024 px."""
    for command in ("texture.py", "finish.py"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", ROOT / "workflow/scripts" / command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "numpy" in imported
        assert not imported & {"torch", "pandas"}
