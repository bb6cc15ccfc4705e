"""The eight turns form a group, and act on cosine coefficients as they act on images."""

import numpy as np
import pytest
from scipy.fft import dctn

from cutis.data.duplicates.descriptors import CHECK_DIMENSIONS, describe, turn_checks
from cutis.data.duplicates.symmetry import AFTER, INVERSE, TURNS, turn, turn_cosines

IMAGE = np.random.default_rng(0).standard_normal((12, 12))


@pytest.mark.parametrize("k", TURNS)
def test_turns_of_coefficients_are_turns_of_the_image(k):
    np.testing.assert_allclose(turn_cosines(dctn(IMAGE), k), dctn(turn(IMAGE, k)), atol=1e-4)


@pytest.mark.parametrize("k", TURNS)
def test_inverse_and_composition(k):
    np.testing.assert_array_equal(turn(turn(IMAGE, k), int(INVERSE[k])), IMAGE)
    for other in TURNS:
        np.testing.assert_array_equal(
            turn(IMAGE, int(AFTER[k, other])), turn(turn(IMAGE, k), other)
        )


@pytest.mark.parametrize("k", TURNS)
def test_checking_vectors_of_a_turned_photo_are_turned_vectors(k):
    thumbnail = np.random.default_rng(1).integers(0, 255, (96, 96), np.uint8)
    plain, turned = describe(np.stack([thumbnail, turn(thumbnail, k)])).checked()
    assert plain.shape == (CHECK_DIMENSIONS,)
    small = np.rint(127 * plain).astype(np.int8)
    moved = turn_checks(small[None], np.array([k]))[0]
    np.testing.assert_allclose(moved / 127, turned, atol=0.02)
