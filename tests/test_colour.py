"""Pictures from elsewhere: turned upright, brought to sRGB by what their files say, or refused."""

import contextlib
import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms

from bigart.errors import UserError
from bigart.metadata import picture_file, recipe
from bigart.pictures import colour, images

P3 = (*colour.D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
COLOURS = np.array(
    [[255, 255, 255], [0, 0, 0], [128, 128, 128], [200, 100, 50], [40, 120, 190], [9, 30, 12]],
    np.uint8,
).reshape(1, -1, 3)


def swatches() -> Image.Image:
    return Image.fromarray(COLOURS)


def converted(linear: np.ndarray, points: tuple[float, ...]) -> np.ndarray:
    """Linear light of primaries with the white of sRGB -> sRGB, by the definition, without ICC."""

    def to_xyz(points: tuple[float, ...]) -> np.ndarray:
        x, y = np.reshape(points, (4, 2)).T
        columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
        return columns[:, 1:] * np.linalg.solve(columns[:, 1:], columns[:, 0])

    light = linear @ (np.linalg.inv(to_xyz(colour.SRGB)) @ to_xyz(points)).T
    light = np.clip(light, 0, 1)
    return 255 * np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def srgb_light(levels: np.ndarray) -> np.ndarray:
    v = levels / 255
    return np.where(v < 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def close(found: np.ndarray, expected: np.ndarray, levels: float = 1.5) -> bool:
    return bool(np.abs(found.astype(float) - expected).max() <= levels)


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)


GAMA = {g: chunk(b"gAMA", struct.pack(">I", round(100_000 * g))) for g in (0, 0.45455, 1, 1 / 1.8)}
SRGB = chunk(b"sRGB", b"\0")


def chrm(points: tuple[float, ...]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(100_000 * p) for p in points)))


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"made\0\0" + zlib.compress(profile))


def cicp(*code: int) -> bytes:
    return chunk(b"cICP", bytes(code))


def png(path: Path, *chunks: bytes, image: Image.Image | None = None) -> Path:
    """Save a PNG with these chunks in front of its pixels."""
    buffer = io.BytesIO()
    (image or swatches()).save(buffer, "PNG")
    plain = buffer.getvalue()
    path.write_bytes(plain[:33] + b"".join(chunks) + plain[33:])
    return path


def tagged(space: bytes, pcs: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile: a header and its tags."""
    body, table = b"", struct.pack(">I", len(tags))
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, 132 + 12 * len(tags) + len(body), len(data))
        body += data
    head = struct.pack(">I4xI4s4s4s12x4s28x", 132 + 12 * len(tags) + len(body), 0x0210_0000, kind,
                       space, pcs, b"acsp")  # fmt: skip
    return head + struct.pack(">3i48x", 63190, 65536, 54061) + table + body


def grey_profile(gamma: float) -> bytes:
    white = struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)
    curve = struct.pack(">4s4xIHxx", b"curv", 1, round(256 * gamma))
    return tagged(b"GRAY", b"XYZ ", b"mntr", {b"wtpt": white, b"kTRC": curve})


def press_profile() -> bytes:
    """Of a press on which each ink darkens by its own amount: black 100, cyan 40, others 20."""
    white = struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)
    identity = bytes(range(256))
    grid = b"".join(
        bytes([max(0, 255 * (100 - 40 * c - 20 * m - 20 * y - 100 * k) // 100), 128, 128])
        for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)
    )  # fmt: skip
    matrix = struct.pack(">9i", *np.eye(3, dtype=int).ravel() * 65536)
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + identity * 4 + grid + identity * 3
    return tagged(b"CMYK", b"Lab ", b"prtr", {b"wtpt": white, b"A2B0": lut})


# Profiles


def test_a_picture_of_a_wide_gamut_is_brought_to_srgb(tmp_path):
    """In every format that carries a profile; its numbers are others, its colours the same."""
    expected = converted(srgb_light(COLOURS), P3)
    assert not close(COLOURS, expected, 5)
    profile = colour.rgb_profile(P3, colour.SRGB_CURVE, "Display P3")
    for name, options in {
        "a.png": {},
        "a.tif": {"compression": "tiff_lzw"},
        "a.webp": {"lossless": True},
        "a.jpg": {"quality": 100, "subsampling": 0},
    }.items():
        big = swatches().resize((96, 16), Image.Resampling.NEAREST)
        big.save(tmp_path / name, icc_profile=profile, **options)
        found = images.read_rgb(tmp_path / name)[8:9, 8::16]
        assert close(found, expected, 3 if name == "a.jpg" else 1.5), name


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "L", "1"])
def test_palettes_opaque_and_grey_pictures_are_converted_by_an_rgb_profile_too(tmp_path, mode):
    profile = colour.rgb_profile(colour.SRGB, colour.power(1))  # linear light
    image = swatches().convert(mode)
    image.save(tmp_path / "a.png", icc_profile=profile)
    expected = converted(np.array(image.convert("RGB")) / 255, colour.SRGB)
    assert close(images.read_rgb(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_grey_profile_is_applied(tmp_path, suffix):
    ramp = np.arange(256, dtype=np.uint8).repeat(8).reshape(1, -1).repeat(8, 0)
    options = {"quality": 100} if suffix == "jpg" else {}
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(ramp).save(path, icc_profile=grey_profile(1), **options)
    linear = np.arange(256)[:, None].repeat(3, 1) / 255
    expected = converted(linear, colour.SRGB)[8:]
    assert close(images.read_rgb(path)[0, 4::8][8:], expected, 6 if suffix == "jpg" else 1.5)


def test_cmyk_is_converted_by_its_profile(tmp_path):
    inks = {(0, 0, 0, 0): 100, (255, 0, 0, 0): 60, (0, 255, 0, 0): 80, (0, 0, 0, 255): 0}
    lightness = np.array([*inks.values()], float)
    linear = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    expected = converted(linear[:, None].repeat(3, 1), colour.SRGB)
    image = Image.new("CMYK", (64, 16))
    for i, ink in enumerate(inks):
        image.paste(ink, (16 * i, 0, 16 * i + 16, 16))
    for name, options in {"a.jpg": {"quality": 100}, "a.tif": {}}.items():
        image.save(tmp_path / name, icc_profile=press_profile(), **options)
        assert close(images.read_rgb(tmp_path / name)[8, 8::16], expected, 3), name
        image.save(tmp_path / name, **options)
        with pytest.raises(UserError, match="CMYK colours and no colour profile"):
            images.read_rgb(tmp_path / name)


def test_lab_needs_no_profile(tmp_path):
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    to_lab.apply(swatches()).save(tmp_path / "a.tif")
    assert close(images.read_rgb(tmp_path / "a.tif"), COLOURS, 5)  # 8 bits of Lab


def test_a_picture_in_srgb_keeps_its_numbers_whoever_wrote_the_profile(tmp_path):
    """Ours of today, LittleCMS's (ours until now), and one with a curve of 256 points."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for profile in (
        colour.srgb_profile(),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        colour.rgb_profile(colour.SRGB, srgb_light(np.arange(256))),
    ):
        Image.fromarray(noise).save(tmp_path / "a.png", icc_profile=profile)
        assert np.array_equal(images.read_rgb(tmp_path / "a.png"), noise)


def test_a_profile_that_cannot_be_used_is_named(tmp_path):
    damaged = iccp(colour.srgb_profile())
    damaged = chunk(b"iCCP", damaged[8:-30])
    for chunks, message in [
        (iccp(b"no profile at all"), "profile of no use"),
        (iccp(grey_profile(1)), "for GRAY, the picture is RGB"),
        (iccp(press_profile()), "for CMYK, the picture is RGB"),
        (damaged, "damaged colour profile|profile of no use"),
    ]:
        with pytest.raises(UserError, match=message) as error:
            images.read_rgb(png(tmp_path / "a.png", chunks))
        assert "8-bit RGB in sRGB" in str(error.value)


# What else says it: a PNG's chunks, a camera's Exif


WIDE = colour.rgb_profile(P3, colour.SRGB_CURVE)
LINEAR, WIDENED = COLOURS / 255, srgb_light(COLOURS)


@pytest.mark.parametrize(
    ("chunks", "linear", "points"),
    [
        ([GAMA[1]], LINEAR, colour.SRGB),
        ([GAMA[1 / 1.8]], LINEAR**1.8, colour.SRGB),
        ([GAMA[1], chrm(P3)], LINEAR, P3),
        ([GAMA[0.45455], chrm(P3)], LINEAR**2.2, P3),
        ([chrm(P3)], WIDENED, P3),
        ([GAMA[1], chrm(P3), iccp(colour.srgb_profile())], None, None),
        ([GAMA[1], SRGB], None, None),
        ([GAMA[0.45455]], None, None),
        ([GAMA[0.45455], chrm(colour.SRGB)], None, None),
        ([SRGB, iccp(WIDE)], WIDENED, P3),
        ([cicp(12, 13, 0, 1)], WIDENED, P3),
        ([cicp(12, 13, 0, 1), iccp(colour.srgb_profile())], WIDENED, P3),
        ([GAMA[1], cicp(1, 13, 0, 1), iccp(WIDE)], None, None),
        ([cicp(1, 8, 0, 1)], LINEAR, colour.SRGB),
        ([cicp(1, 4, 0, 1)], LINEAR**2.2, colour.SRGB),
        ([chunk(b"tEXt", b"Title\0cICP"), GAMA[1]], LINEAR, colour.SRGB),
    ],
)
def test_a_png_says_it_in_chunks_of_which_the_first_in_rank_counts(
    tmp_path, chunks, linear, points
):
    expected = COLOURS if linear is None else converted(linear, points)
    found = images.read_rgb(png(tmp_path / "a.png", *chunks))
    assert close(found, expected, 0 if linear is None else 1.5)


def test_chunks_count_for_grey_pictures_too(tmp_path):
    found = images.read_rgb(png(tmp_path / "a.png", GAMA[1], image=swatches().convert("L")))
    grey = np.array(swatches().convert("L").convert("RGB"))
    assert close(found, converted(grey / 255, colour.SRGB))


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([GAMA[0]], "gAMA chunk of 0"),
        ([GAMA[1], chrm((0,) * 8)], "cHRM chunk of no colours"),
        ([chrm((0.3127, 0.329) * 4)], "cHRM chunk of no colours"),
        ([cicp(9, 16, 0, 1)], r"cICP 9/16/0/1 \(HDR: PQ\)"),
        ([cicp(9, 18, 0, 1)], "HDR: HLG"),
        ([cicp(1, 13, 1, 0)], "cICP 1/13/1/0"),
        ([cicp(2, 2, 0, 1)], "cICP 2/2/0/1"),
    ],
)
def test_chunks_that_mean_no_colours_are_named(tmp_path, chunks, message):
    with pytest.raises(UserError, match=message):
        images.read_rgb(png(tmp_path / "a.png", *chunks))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(0, 2**31), min_size=8, max_size=8))
def test_any_chunks_give_a_picture_or_a_message(tmp_path_factory, gamma, points):
    chunks = chunk(b"gAMA", gamma.to_bytes(4)), chunk(b"cHRM", struct.pack(">8I", *points))
    with contextlib.suppress(UserError):
        found = images.read_rgb(png(tmp_path_factory.getbasetemp() / "any.png", *chunks))
        assert found.shape == COLOURS.shape


def test_a_cameras_adobe_rgb_is_known_by_its_exif(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[0xA001] = 0xFFFF  # ColorSpace: uncalibrated
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {1: "R03"}
    big = swatches().resize((96, 16), Image.Resampling.NEAREST)
    big.save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    expected = converted(LINEAR ** (563 / 256), colour.ADOBE)
    assert not close(COLOURS, expected, 5)
    assert close(images.read_rgb(tmp_path / "a.jpg")[8:9, 8::16], expected, 3)


# Orientation


UPRIGHT = {  # Exif's orientation -> what the camera stored
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "lzw.tif"])
def test_a_picture_stands_upright(tmp_path, suffix, orientation):
    scene = Image.new("RGB", (48, 32), (0, 0, 160))
    scene.paste((220, 0, 0), (0, 0, 48, 8))  # a strip on top
    scene.paste((0, 180, 0), (0, 8, 8, 32))  # one on the left
    way = UPRIGHT[orientation]
    stored = scene if way is None else scene.transpose(way)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"a.{suffix}"
    lzw = {"compression": "tiff_lzw"} if "lzw" in suffix else {}
    lossless = {"lossless": True} if suffix == "webp" else {"quality": 100}
    stored.save(path, exif=exif, **(lossless if suffix in ("webp", "jpg") else lzw))
    found = images.read_rgb(path)
    assert found.shape == (32, 48, 3)
    for y, x in ((2, 24), (20, 2), (20, 30)):
        assert close(found[y, x], np.array(scene)[y, x], 6)


def test_a_phones_picture_is_its_first_upright_and_in_srgb(tmp_path):
    """Display P3, turned by the camera, and a second picture (its depth) in the file."""
    scene = Image.new("RGB", (64, 48), (40, 120, 190))
    scene.paste((200, 100, 50), (0, 0, 64, 16))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    depth = Image.new("RGB", (32, 24))
    scene.transpose(Image.Transpose.ROTATE_90).save(
        tmp_path / "IMG_0001.JPG", "MPO", save_all=True, append_images=[depth], quality=100,
        subsampling=0, exif=exif, icc_profile=WIDE,
    )  # fmt: skip
    found = images.read_rgb(tmp_path / "IMG_0001.JPG")
    assert found.shape == (48, 64, 3)
    expected = converted(srgb_light(np.array(scene)), P3)
    assert close(found[[4, 40], 30], expected[[4, 40], 30], 3)


# Files of which a part would be lost


def test_animations_and_pages_are_refused(tmp_path):
    frames = [Image.new("RGB", (8, 8), (60 * i, 0, 0)) for i in range(3)]
    for name in ("a.gif", "a.png", "a.webp", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(UserError, match="holds 3 pictures"):
            images.read_rgb(tmp_path / name)


def test_a_preview_behind_the_picture_does_not_count_and_one_in_front_is_refused(tmp_path):
    """Editors append a preview to a TIFF; camera raw (DNG, NEF) begins with one."""
    big, small = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (8, 8), "blue")
    for image, preview in ((big, 0), (small, 1)):
        image.encoderinfo = {"tiffinfo": {254: preview}}
    big.save(tmp_path / "a.tif", save_all=True, append_images=[small])
    assert images.read_rgb(tmp_path / "a.tif").shape == (32, 32, 3)
    small.save(tmp_path / "raw.nef", "TIFF", tiffinfo={254: 1})
    with pytest.raises(UserError, match="camera raw"):
        images.read_rgb(tmp_path / "raw.nef")


@pytest.mark.parametrize("compression", [1, 8])
def test_a_scanners_48_bits_are_refused_and_not_cut_to_24(tmp_path, compression):
    """Pillow reads such a TIFF as 8-bit RGB without a word."""
    pixels = bytes(96)
    data = zlib.compress(pixels) if compression == 8 else pixels
    tags = {256: 4, 257: 4, 258: 8 + len(data), 259: compression, 262: 2, 273: 8, 277: 3, 278: 4,
            279: len(data)}  # fmt: skip
    entries = b"".join(
        struct.pack("<HHII", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1, value)
        for tag, value in tags.items()
    )
    (tmp_path / "scan.tif").write_bytes(
        struct.pack("<2sHI", b"II", 42, 8 + len(data) + 6)
        + data
        + struct.pack("<4H", 16, 16, 16, len(tags))
        + entries
        + bytes(4)
    )
    with pytest.raises(UserError, match="more than 8 bits"):
        images.read_rgb(tmp_path / "scan.tif")


def test_other_formats_are_named_with_what_to_do(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(500))
    swatches().save(tmp_path / "a.avif")
    swatches().save(tmp_path / "a.jp2")
    for name, message in [
        ("a.heic", "is HEIC, .* export it as JPEG"),
        ("a.avif", "format AVIF; save it as PNG, JPEG or TIFF"),
        ("a.jp2", "format JPEG2000"),
    ]:
        with pytest.raises(UserError, match=message):
            images.read_rgb(tmp_path / name)


# Our own profile


def test_our_profile_is_srgb_in_version_2_of_icc_and_always_the_same_bytes():
    content = colour.srgb_profile()
    profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
    assert profile.profile.version == pytest.approx(2.1)
    assert content[12:24] == b"mntrRGB XYZ "
    assert content[24:36] == struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # no time of writing
    assert int.from_bytes(content[:4]) == len(content) < 3000
    assert hashlib.sha256(content).hexdigest()[:16] == "26e5446e7fc4f97f"
    colours = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    other = ImageCms.createProfile("sRGB")
    for way in ((profile, other), (other, profile)):
        for intent in ImageCms.Intent:
            transform = ImageCms.buildTransform(*way, "RGB", "RGB", intent)
            assert close(np.array(transform.apply(Image.fromarray(colours))), colours, 1)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_every_format_carries_it(tmp_path, suffix):
    picture_file.write_picture(tmp_path / f"a{suffix}", COLOURS, recipe.start())
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.info["icc_profile"] == colour.srgb_profile()
