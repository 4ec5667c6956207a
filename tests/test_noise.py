"""Noise belongs to one candidate of one seed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bigart.sampling.noise import standard_normal

KEYS = st.tuples(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["thumbnails", "upsampled"]),
    st.integers(1, 100),
    st.integers(0, 1000),
)


@given(KEYS, KEYS)
def test_noise_follows_from_its_key_alone(one: tuple, other: tuple) -> None:
    first = standard_normal(*one, (3, 4, 4))
    assert np.array_equal(first, standard_normal(*one, (3, 4, 4)))
    assert np.array_equal(first, standard_normal(*other, (3, 4, 4))) == (one == other)


def test_noise_is_standard_normal() -> None:
    values = standard_normal(42, "thumbnails", 1, 0, (3, 200, 200))
    assert values.dtype == np.float32
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01


def test_noise_is_the_same_in_every_version() -> None:
    """Were these to change, every picture would: a new numpy must not do that unnoticed."""
    np.testing.assert_allclose(
        standard_normal(42, "thumbnails", 1, 0, (3,)),
        [0.68930644, -1.2795731, 0.32954654],
        rtol=1e-6,
    )
