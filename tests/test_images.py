"""Picture files: what is read, what is refused, what a finished file carries."""

import contextlib
import io
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.pictures import images
from conftest import run

SUFFIXES = [".png", ".jpg", ".tif"]


def picture() -> np.ndarray:
    """A gradient with a little noise: enough detail for a truncated file to show."""
    y, x = np.mgrid[0:40, 0:60]
    smooth = np.stack([4 * x, 6 * y, 255 - 4 * x], axis=2)
    noise = np.random.default_rng(0).integers(-9, 9, smooth.shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def made(prompt: str = "a corgi") -> recipe.Recipe:
    return recipe.extend(recipe.start(), "thumbnails", prompt=prompt, seed=42)


# Between files and networks


def test_every_level_survives_the_way_to_float_and_back():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    image = images.to_float(levels)
    assert (image.shape, image.dtype) == ((3, 16, 16), np.float32)
    assert (image.min(), image.max()) == (0, 1)
    assert np.array_equal(images.to_uint8(image), levels)


@given(st.floats(-10, 10, width=32))
def test_values_are_clipped_and_rounded_to_the_nearest_level(value):
    level = images.to_uint8(np.full((3, 1, 1), value, np.float32))[0, 0, 0]
    clipped = min(max(value, 0.0), 1.0)
    assert abs(float(level) - 255 * clipped) <= 0.5 + 1e-4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_network_gone_wrong_does_not_become_a_picture(value):
    image = np.zeros((3, 4, 4), np.float32)
    image[1, 2, 3] = value
    with pytest.raises(UserError, match="fp32"):
        images.to_uint8(image)


# Reading


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_8_bit_pictures_of_any_kind_are_read(tmp_path, mode):
    original = Image.fromarray(picture()).convert(mode)
    original.save(tmp_path / "a.png")
    expected = np.array(original.convert("RGB"))
    assert np.array_equal(images.read_rgb(tmp_path / "a.png"), expected)


def test_a_picture_that_is_not_8_bit_opaque_rgb_or_grey_is_refused(tmp_path):
    Image.fromarray(picture()).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(np.full((4, 4), 500, np.uint16)).save(tmp_path / "deep.png")
    clear = Image.new("RGBA", (4, 4), (1, 2, 3, 255))
    clear.putpixel((0, 0), (1, 2, 3, 254))
    clear.save(tmp_path / "clear.png")
    for name, message in [
        ("cmyk.jpg", "CMYK colours"),
        ("deep.png", "more than 8 bits"),
        ("clear.png", "partly transparent"),
    ]:
        with pytest.raises(UserError, match=message):
            images.read_rgb(tmp_path / name)


def test_16_bit_rgb_is_refused_and_not_cut_to_8(tmp_path):
    """Pillow reads such a PNG as 8-bit RGB without a word."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    rows = b"".join(b"\0" + b"\x12\x34" * 12 for _ in range(4))
    (tmp_path / "deep.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(UserError, match="more than 8 bits"):
        images.read_rgb(tmp_path / "deep.png")


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    for name, message in [("no.png", "there is no picture"), ("text.png", "not a picture")]:
        with pytest.raises(UserError, match=message):
            images.read_rgb(tmp_path / name)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the damage
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_or_overwritten_picture_is_refused_or_whole(tmp_path, suffix):
    """A cut file is read only where no pixel is missing; damage never ends in a traceback.

    (TIFF keeps its notes behind the pixels: losing the last of them loses no pixel.)
    """
    path = tmp_path / f"a{suffix}"
    picture_file.write_picture(path, picture(), made())
    whole, pixels = path.read_bytes(), images.read_rgb(path)
    for part in (0, 1, 10, 50, 400, 1500, len(whole) // 2, len(whole) * 3 // 4, len(whole) - 99):
        path.write_bytes(whole[:part])
        with contextlib.suppress(UserError):
            assert np.array_equal(images.read_rgb(path), pixels)
            assert suffix == ".tif"
    dice = random.Random(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            images.read_rgb(path)
            picture_file.recipe_so_far(path)


# Writing


def test_a_stage_picture_is_lossless_and_keeps_its_recipe(tmp_path):
    picture_file.write_picture(tmp_path / "a.png", picture(), made())
    assert np.array_equal(images.read_rgb(tmp_path / "a.png"), picture())
    with Image.open(tmp_path / "a.png") as image:
        assert recipe.from_json(image.text["bigart:recipe"]) == made()
        assert "dpi" not in image.info


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_final_picture_is_ready_for_print(tmp_path, suffix):
    path = tmp_path / f"final{suffix}"
    picture_file.write_picture(path, picture(), made("a <corgi> & 🎨"), dpi=300)
    with Image.open(path) as image:
        assert image.size == (60, 40)
        assert image.mode == "RGB"
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
        xmp = image.info["xmp"].decode()
        assert "digitalsourcetype/trainedAlgorithmicMedia" in xmp
        assert "a &lt;corgi&gt; &amp; 🎨" in xmp
    assert picture_file.read_recipe(path) == made("a <corgi> & 🎨")
    difference = np.abs(images.read_rgb(path).astype(int) - picture())
    assert difference.mean() <= (4 if suffix == ".jpg" else 0)


def test_a_jpeg_keeps_colour_at_full_resolution_and_says_so_in_exif(tmp_path):
    path = tmp_path / "a.jpg"
    picture_file.write_picture(path, picture(), made(), dpi=240)
    with Image.open(path) as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3  # sampling factors: 4:4:4
        exif = image.getexif()
        assert (exif[0x011A], exif[0x011B], exif[0x0128]) == (240, 240, 2)
        assert exif.get_ifd(0x8769)[0xA001] == 1  # sRGB


def test_a_tiff_is_compressed_and_measures_in_inches(tmp_path):
    path = tmp_path / "a.tif"
    picture_file.write_picture(path, np.zeros((400, 400, 3), np.uint8), made(), dpi=300)
    assert path.stat().st_size < 50_000
    with Image.open(path) as image:
        assert image.info["compression"] == "tiff_lzw"
        assert (image.tag_v2[296], image.tag_v2[282], image.tag_v2[317]) == (2, 300, 2)


def test_what_cannot_be_written_is_named(tmp_path):
    for name, options, message in [
        ("a.gif", {}, "must end in"),
        ("a.png", {"dpi": 0}, "1 to 10000"),
        ("a.jpg", {"quality": 0}, "1 to 100"),
    ]:
        with pytest.raises(UserError, match=message):
            picture_file.write_picture(tmp_path / name, picture(), made(), **options)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_too_long_for_a_jpeg_is_never_dropped(tmp_path):
    long = made("word " * 10_000)
    with pytest.raises(UserError, match="png or tif"):
        picture_file.write_picture(tmp_path / "a.jpg", picture(), long)
    assert list(tmp_path.iterdir()) == []
    for suffix in (".png", ".tif"):
        picture_file.write_picture(tmp_path / f"a{suffix}", picture(), long)
        assert picture_file.read_recipe(tmp_path / f"a{suffix}") == long


# The commands


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_finish(tmp_path, suffix):
    """The same picture gives the same bytes, also from another process at another time."""
    source, *finals = (tmp_path / name for name in ("7.png", f"1{suffix}", f"2{suffix}"))
    picture_file.write_picture(source, picture(), made())
    for final in finals:
        result = run("finish.py", "--image", source, "--out", final)
        assert result.returncode == 0, result.stderr
    assert finals[0].read_bytes() == finals[1].read_bytes()
    stages = picture_file.read_recipe(final)["stages"]
    assert [stage["stage"] for stage in stages] == ["thumbnails", "final"]
    assert stages[1]["dpi"] == 300
    assert ("quality" in stages[1]) == (suffix == ".jpg")


def test_texture_command(tmp_path):
    source, out, again = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"
    picture_file.write_picture(source, picture(), made())
    arguments = ["--image", source, "--amount", 0.1, "--size", 5, "--seed", 7, "--candidate", 2]
    assert run("texture.py", *arguments, "--colour", "--out", out).returncode == 0
    assert run("texture.py", *arguments, "--colour", "--out", again).returncode == 0
    assert out.read_bytes() == again.read_bytes()
    stage = {"stage": "texture", "amount": 0.1, "size": 5, "colour": True, "seed": 7}
    assert picture_file.read_recipe(out)["stages"][-1] == stage | {"candidate": 2}
    assert not np.array_equal(images.read_rgb(out), picture())
