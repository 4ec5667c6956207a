"""Texture: the published formula, and the care taken around it."""

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bigart.pictures import texture
from bigart.pictures.texture import grain, texture_picture
from bigart.sampling.noise import standard_normal

DATA = Path(__file__).parent / "data" / "parity" / "texture.npz"
SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
CASES = [(0.037, 3, 1), (0.05, 1, 1), (0.05, 9, 1), (0.05, 3, 3), (0.15, 5, 3), (0.0, 3, 1)]


def generator(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def random_picture(height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def noise(height: int = 40, width: int = 50):
    return lambda draw: standard_normal(1, "texture", 1, draw, (height, width))


@pytest.mark.parametrize(("amount", "size", "channels"), CASES)
def test_agrees_with_the_original(amount, size, channels):
    image = generator("texture/image").rand(3, 48, 40).astype(np.float32)
    raw = generator(f"texture/{size}/{channels}").standard_normal((channels, 48, 40))
    with np.load(DATA) as expected:
        known = expected[f"amount{amount}_size{size}_ch{channels}"]
    for channel, plane in enumerate(image):
        added = grain(raw[channel % channels].astype(np.float32), amount, size)
        assert added.dtype == np.float32
        assert np.abs((plane + added).clip(0, 1) - known[channel]).max() < 1e-6


def test_amount_0_changes_nothing():
    picture = random_picture()
    assert np.array_equal(texture_picture(picture, noise(), 0, 3, colour=True), picture)


def test_size_1_does_not_blur():
    raw = np.zeros((9, 9), np.float32)
    raw[4, 4] = 1
    assert np.argwhere(grain(raw, 0.1, 1)).tolist() == [[4, 4]]


def test_monochrome_shifts_all_channels_alike_and_colour_does_not():
    grey = np.full((40, 50, 3), 128, np.uint8)
    mono = texture_picture(grey, noise(), 0.05, 3, colour=False)
    colour = texture_picture(grey, noise(), 0.05, 3, colour=True)
    assert (np.ptp(mono, axis=2) == 0).all()
    assert (np.ptp(colour, axis=2) > 0).mean() > 0.9
    assert np.array_equal(mono[..., 0], colour[..., 0])  # draw 0 is the first channel's


def test_each_channel_of_a_picture_is_textured_and_rounded_to_the_nearest_level():
    picture = random_picture()
    textured = texture_picture(picture, noise(), 0.05, 3, colour=True)
    for channel in range(3):
        values = picture[..., channel] / np.float32(255) + grain(noise()(channel), 0.05, 3)
        assert np.abs(textured[..., channel] - 255 * values.clip(0, 1)).max() <= 0.5 + 1e-4


def test_strength_is_that_of_the_formula():
    """The kernel's weight passes the mean; the spread follows from 0.25 z + 0.75 blur(z)."""
    raw = generator("strength").standard_normal((300, 300)).astype(np.float32)
    impulse = np.zeros((3, 3))
    impulse[1, 1] = 1
    kernel = 0.25 * impulse + 0.75 * gaussian_filter(impulse, 1, radius=1, mode="constant")
    spread = grain(raw, 0.05, 3).std()
    assert spread == pytest.approx(0.05 * np.sqrt((kernel**2).sum()), rel=0.02)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's memory figures")
def test_4096_in_little_memory():
    """The colour texture of a final picture needs a fraction of what the networks need."""
    code = (
        "import numpy as np, torch\n"
        "from bigart.running.device import peak_memory\n"
        "from bigart.sampling.noise import standard_normal\n"
        "from bigart.pictures.texture import texture_picture\n"
        "picture = np.full((4096, 4096, 3), 128, np.uint8)\n"
        "noise = lambda draw: standard_normal(1, 'texture', 1, draw, (4096, 4096))\n"
        "texture_picture(picture, noise, 0.05, 3, True)\n"
        "print(peak_memory(torch.device('cpu')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 1.1e9  # half of it is torch, which only measures


@pytest.mark.parametrize("colour", [True, False])
def test_strips_leave_no_seam(monkeypatch, colour):
    picture = random_picture()
    whole = texture_picture(picture, noise(), 0.05, 9, colour)
    monkeypatch.setattr(texture, "STRIP", 100)
    assert np.array_equal(texture_picture(picture, noise(), 0.05, 9, colour), whole)
