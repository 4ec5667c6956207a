"""Texture: the published formula, and the care taken around it."""

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from bigart import seeds
from bigart.errors import UserError
from bigart.images import to_float, to_uint8
from bigart.texture import add_texture, gaussian_kernel, texture_picture

DATA = Path(__file__).parent / "data" / "parity" / "texture.npz"
SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
CASES = [
    (0.037, 3, 1),
    (0.05, 1, 1),
    (0.05, 9, 1),
    (0.05, 3, 3),
    (0.15, 5, 3),
    (0.0, 3, 1),
]


def generator(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def random_picture(height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def noise(height: int = 40, width: int = 50):
    return lambda draw: seeds.noise(1, "texture", 1, draw, (height, width))


@pytest.mark.parametrize(("amount", "size", "channels"), CASES)
def test_agrees_with_the_original(amount, size, channels):
    image = generator("texture/image").rand(3, 48, 40).astype(np.float32)
    raw = generator(f"texture/{size}/{channels}").standard_normal((channels, 48, 40))
    result = add_texture(image, raw.astype(np.float32), amount, size)
    with np.load(DATA) as expected:
        known = expected[f"amount{amount}_size{size}_ch{channels}"]
    assert result.dtype == np.float32
    assert np.abs(result - known).max() < 1e-6


def test_strips_leave_no_seam():
    """Rows are blurred in strips of 256; the result is that of the whole frame."""
    image = np.full((3, 600, 8), 0.5, np.float32)
    raw = generator("tall").standard_normal((1, 600, 8)).astype(np.float32)
    padded = np.pad(raw[0], 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    blurred = np.einsum("hwij,i,j->hw", windows, gaussian_kernel(5), gaussian_kernel(5))
    expected = np.clip(0.5 + 0.1 * (0.25 * raw[0] + 0.75 * blurred), 0, 1)
    assert np.abs(add_texture(image, raw, 0.1, 5) - expected).max() < 1e-6


def test_amount_0_changes_nothing():
    picture = random_picture()
    assert np.array_equal(texture_picture(picture, noise(), 0, 3, colour=True), picture)
    image = to_float(picture)
    assert np.array_equal(add_texture(image, noise()(0)[None], 0, 3), image)


def test_size_1_does_not_blur():
    image = np.full((3, 9, 9), 0.5, np.float32)
    raw = np.zeros((1, 9, 9), np.float32)
    raw[0, 4, 4] = 1
    changed = add_texture(image, raw, 0.1, 1) != image
    assert changed.sum() == 3
    assert changed[:, 4, 4].all()


def test_monochrome_shifts_all_channels_alike_and_colour_does_not():
    grey = np.full((40, 50, 3), 128, np.uint8)
    mono = texture_picture(grey, noise(), 0.05, 3, colour=False)
    colour = texture_picture(grey, noise(), 0.05, 3, colour=True)
    assert (np.ptp(mono, axis=2) == 0).all()
    assert (np.ptp(colour, axis=2) > 0).mean() > 0.9
    assert np.array_equal(mono[..., 0], colour[..., 0])  # draw 0 is the first channel's


def test_a_picture_and_an_image_get_the_same_texture():
    picture, raw = random_picture(), np.stack([noise()(draw) for draw in range(3)])
    expected = to_uint8(add_texture(to_float(picture), raw, 0.05, 3))
    assert np.array_equal(texture_picture(picture, noise(), 0.05, 3, colour=True), expected)


def test_strength_is_that_of_the_formula():
    """The kernel's weight passes the mean; the spread follows from 0.25 z + 0.75 blur(z)."""
    grey = np.full((3, 300, 300), 0.5, np.float32)
    raw = generator("strength").standard_normal((1, 300, 300)).astype(np.float32)
    kernel = 0.75 * np.outer(gaussian_kernel(3), gaussian_kernel(3))
    kernel[1, 1] += 0.25
    spread = (add_texture(grey, raw, 0.05, 3) - grey).std()
    assert spread == pytest.approx(0.05 * np.sqrt((kernel**2).sum()), rel=0.02)


@pytest.mark.parametrize(
    ("amount", "size", "message"),
    [
        (-0.1, 3, "0 to 0.15"),
        (0.2, 3, "0 to 0.15"),
        (float("nan"), 3, "0 to 0.15"),
        (0.1, 4, "1, 3, 5, 7 and 9"),
        (0.1, 0, "1, 3, 5, 7 and 9"),
        (0.1, 11, "1, 3, 5, 7 and 9"),
    ],
)
def test_values_out_of_range_are_named(amount, size, message):
    with pytest.raises(UserError, match=message):
        texture_picture(random_picture(), noise(), amount, size, colour=False)


def test_a_picture_smaller_than_the_kernel_is_refused():
    with pytest.raises(UserError, match="50x4 pixels"):
        texture_picture(random_picture(4), noise(4), 0.05, 9, colour=False)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's memory figures")
def test_4096_in_little_memory():
    """The colour texture of a final picture needs a fraction of what the networks need."""
    code = (
        "import pathlib, re, numpy as np\n"
        "from bigart import seeds\n"
        "from bigart.texture import texture_picture\n"
        "picture = np.full((4096, 4096, 3), 128, np.uint8)\n"
        "noise = lambda draw: seeds.noise(1, 'texture', 1, draw, (4096, 4096))\n"
        "texture_picture(picture, noise, 0.05, 3, True)\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1])"
    )
    # Not getrusage: its peak includes the process that started this one.
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    assert int(result.stdout) * 1024 < 600e6
