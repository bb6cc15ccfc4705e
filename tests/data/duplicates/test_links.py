"""Exact copies, the strongest kind of a pair, the table's form, and bad input."""

import numpy as np
import pandas as pd
import pytest

from cutis.data.duplicates import FINGERPRINT, find_links, fingerprint
from cutis.errors import InputError


def _photos(*rows: tuple[str, str | None, str | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image_id", "sha256", "pixels_sha256"])


def _blank(count: int) -> np.ndarray:
    return np.zeros(count, FINGERPRINT)


def test_exact_copies_make_a_star_around_the_smallest_id():
    photos = _photos(("d", "x", "p"), ("a", "x", "p"), ("c", "x", "p"), ("b", "y", "q"))
    links = find_links(photos, _blank(4))
    assert links.to_numpy().tolist() == [
        ["a", "c", "identical_bytes", 1.0, "the files are equal byte for byte"],
        ["a", "d", "identical_bytes", 1.0, "the files are equal byte for byte"],
    ]


def test_strongest_kind_only_and_groups_joined_through_their_centres(draw):
    """Two pairs of equal files with equal pixels, and a mirror image of them."""
    photo = draw(0)
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    photos = _photos(
        ("a", "1", "p"), ("b", "1", "p"), ("c", "2", "p"), ("d", "2", "p"), ("e", "3", "m")
    )
    marks = np.array([fingerprint(image) for image in [photo] * 4 + [mirrored]], FINGERPRINT)
    links = find_links(photos, marks)
    assert links[["image_id_a", "image_id_b", "kind"]].to_numpy().tolist() == [
        ["a", "b", "identical_bytes"],
        ["a", "c", "identical_pixels"],
        ["a", "e", "same_photograph"],
        ["c", "d", "identical_bytes"],
    ]


@pytest.mark.parametrize("unknown", [None, np.nan, pd.NA])
def test_unknown_hashes_are_not_equal(unknown):
    photos = _photos(("a", unknown, unknown), ("b", unknown, unknown))
    assert find_links(photos, _blank(2)).empty


def test_order_of_the_rows_and_their_index_do_not_matter(draw):
    images = [draw(0), draw(1), draw(2), draw(0)[::-1], draw(1)[:, ::-1]]
    marks = np.array([fingerprint(np.ascontiguousarray(image)) for image in images], FINGERPRINT)
    photos = _photos(*((name, None, None) for name in "abcde"))
    order = [3, 1, 4, 0, 2]
    expected = find_links(photos, marks, threads=1)
    shuffled = find_links(photos.iloc[order], marks[order], threads=1)
    pairs = ["image_id_a", "image_id_b", "kind"]
    assert expected[pairs].to_numpy().tolist() == [
        ["a", "d", "same_photograph"],
        ["b", "e", "same_photograph"],
    ]
    pd.testing.assert_frame_equal(shuffled[pairs], expected[pairs])


def test_fingerprints_may_lie_in_a_file(draw, tmp_path):
    images = [draw(0), draw(1), np.ascontiguousarray(draw(0)[::-1])]
    marks = np.array([fingerprint(image) for image in images], FINGERPRINT)
    marks.tofile(tmp_path / "marks")
    mapped = np.memmap(tmp_path / "marks", FINGERPRINT, mode="r")
    links = find_links(_photos(("a", None, None), ("b", None, None), ("c", None, None)), mapped)
    assert links[["image_id_a", "image_id_b"]].to_numpy().tolist() == [["a", "c"]]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare_gives_an_empty_table_with_its_columns(count, draw):
    photos = _photos(*[("a", "x", "p")] * count)
    links = find_links(photos, np.array([fingerprint(draw(0))] * count, FINGERPRINT))
    assert links.empty
    assert list(links.columns) == ["image_id_a", "image_id_b", "kind", "score", "reason"]


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="2 photos and 3 fingerprints"):
        find_links(_photos(("a", "x", "p"), ("b", "y", "q")), _blank(3))
    with pytest.raises(InputError, match="'a' stands in two rows"):
        find_links(_photos(("a", "x", "p"), ("a", "y", "q")), _blank(2))
    with pytest.raises(InputError, match="no column pixels_sha256"):
        find_links(_photos(("a", "x", "p")).drop(columns="pixels_sha256"), _blank(1))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((9, 9, 3), np.float32),
        np.zeros((0, 9, 3), np.uint8),
    ],
)
def test_only_decoded_photos_have_fingerprints(image):
    with pytest.raises(InputError, match="cannot fingerprint"):
        fingerprint(image)


def test_fingerprint_is_small_and_says_the_size():
    mark = fingerprint(np.full((1, 5000, 3), 7, np.uint8))
    assert mark.dtype == FINGERPRINT
    assert FINGERPRINT.itemsize <= 12_000
    assert (mark["width"], mark["height"]) == (5000, 1)
    assert (mark["thumbnail"] == 7).all()
