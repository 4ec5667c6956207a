"""What is measured of prints at 1:1 (training/at_full_size.py)."""

import numpy as np
import pytest
from scipy import ndimage  # type: ignore[import-untyped]

import at_full_size
from at_full_size import blocking, measured, octaves, peak


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """Grey noise, which has the same power in every frequency."""
    rng = np.random.default_rng(0)
    plane = rng.normal(128, 30, (1024, 1024)).clip(0, 255).astype(np.uint8)
    return np.repeat(plane[:, :, None], 3, 2)


def test_a_blur_takes_from_each_octave_the_more_the_higher_it_is(noise: np.ndarray) -> None:
    """The highest octave comes first; what is not blurred keeps all."""
    soft = ndimage.gaussian_filter(noise, (1, 1, 0))
    kept = octaves(measured(soft).power) / octaves(measured(noise).power)
    assert kept[0] < 0.1 < kept[1] < 0.5 < kept[2] < 1
    # three octaves hold all but the lowest frequencies: an eighth along, a 64th of the square
    whole = measured(noise).power
    assert octaves(whole).sum() / whole.sum() == pytest.approx(1 - 1 / 64, abs=0.01)


def test_a_pattern_that_repeats_stands_out(noise: np.ndarray) -> None:
    """A faint grid of 8 pixels, as networks leave it, is found; noise alone has no peak."""
    rng = np.random.default_rng(1)
    found = []
    for faint in (0, 4):
        power = np.zeros((at_full_size.TILE,) * 2)
        for _ in range(16):  # the more tiles, the less does one frequency stand out by chance
            grey = rng.normal(128, 30, noise.shape[:2])
            grey[::8] += faint
            picture = np.repeat(grey.clip(0, 255).astype(np.uint8)[:, :, None], 3, 2)
            power += measured(picture).power
        found.append(peak(power))
    assert found[0] < 2
    assert found[1] > 3


def test_blocks_are_found_though_each_is_different(noise: np.ndarray) -> None:
    """Blocks of grey levels have no peak in the spectrum, for nothing comes back."""
    blocks = np.kron(noise[:256, :256, 0], np.ones((4, 4), np.uint8))
    small, large = blocking(measured(np.repeat(blocks[:, :, None], 3, 2)).steps)
    assert small > 1.5
    assert large > 1.5  # blocks of 4 are also uneven in those of 32
    assert max(blocking(measured(noise).steps)) < 0.05


def test_edges_are_compared_in_their_places(noise: np.ndarray) -> None:
    """The same picture agrees with itself, a moved one does not."""
    picture = np.zeros((1024, 1024, 3), np.uint8)
    picture[300:700, 300:700] = 200
    own, moved = measured(picture).edges, measured(np.roll(picture, 40, 1)).edges
    same = measured((picture * 0.9).astype(np.uint8)).edges
    assert np.corrcoef(own.ravel(), same.ravel())[0, 1] > 0.99
    assert np.corrcoef(own.ravel(), moved.ravel())[0, 1] < 0.7


def test_what_was_measured_of_the_painter_is_kept(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, noise: np.ndarray
) -> None:
    """A picture of 4096 px takes the painter twenty seconds."""
    drawn = []
    monkeypatch.setattr(at_full_size, "picture_at", lambda *a: drawn.append(a) or noise)
    first, again = (at_full_size.painters(7, tmp_path / "runs") for _ in range(2))
    assert drawn == [(7, at_full_size.LARGE)]
    assert np.array_equal(first.power, again.power)
    assert np.array_equal(first.edges, again.edges)
    assert np.array_equal(first.steps, again.steps)
