"""Noise belongs to one candidate of one seed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bigart.seeds import noise

KEYS = st.tuples(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["thumbnails", "upsampled"]),
    st.integers(1, 100),
    st.integers(0, 1000),
)


@given(KEYS, KEYS)
def test_noise_follows_from_its_key_alone(one: tuple, other: tuple) -> None:
    first = noise(*one, (3, 4, 4))
    assert np.array_equal(first, noise(*one, (3, 4, 4)))
    assert np.array_equal(first, noise(*other, (3, 4, 4))) == (one == other)


def test_noise_is_standard_normal() -> None:
    values = noise(42, "thumbnails", 1, 0, (3, 200, 200))
    assert values.dtype == np.float32
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01


def test_noise_is_the_same_in_every_version() -> None:
    """Were these to change, every picture would: a new numpy must not do that unnoticed."""
    np.testing.assert_allclose(
        noise(42, "thumbnails", 1, 0, (3,)), [0.68930644, -1.2795731, 0.32954654], rtol=1e-6
    )
