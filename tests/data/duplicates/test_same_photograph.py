"""Which changes a photograph may go through and still be found, and what must not be linked."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

HEIGHT, WIDTH = 225, 300


def _recompressed(photo: np.ndarray) -> np.ndarray:
    coded = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)


def _watermarked(photo: np.ndarray) -> np.ndarray:
    marked = photo.copy()
    cv2.putText(marked, "(c) ATLAS", (20, 130), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (255, 255, 255), 3)
    cv2.rectangle(marked, (220, 195), (299, 224), (240, 240, 240), -1)
    return marked


def _crop(top: float, left: float) -> Callable[[np.ndarray], np.ndarray]:
    """85 % of both sides; top and left from 0 to 1."""

    def cropped(photo: np.ndarray) -> np.ndarray:
        y, x = round(top * 0.15 * HEIGHT), round(left * 0.15 * WIDTH)
        return photo[y : y + round(0.85 * HEIGHT), x : x + round(0.85 * WIDTH)]

    return cropped


CHANGES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "half": (lambda p: cv2.resize(p, (150, 112), interpolation=cv2.INTER_AREA), "150x112"),
    "fifth": (lambda p: cv2.resize(p, (60, 45), interpolation=cv2.INTER_AREA), "60x45"),
    "stretched": (lambda p: cv2.resize(p, (256, 256)), "256x256"),
    "recompressed": (_recompressed, "ncc"),
    "crop top left": (_crop(0, 0), "cropped to 85 %"),
    "crop middle": (_crop(0.5, 0.5), "cropped to 85 %"),
    "crop bottom right": (_crop(1, 1), "cropped to 85 %"),
    "crop off the grid": (_crop(0.27, 0.77), "cropped to 85 %"),
    "crop one axis": (lambda p: p[:, 20:275], "cropped to 85 %"),
    "mirrored": (lambda p: p[:, ::-1], "mirrored left to right"),
    "upside down": (lambda p: p[::-1], "mirrored top to bottom"),
    "turned 90": (lambda p: np.rot90(p, -1), "turned by 90 degrees"),
    "turned 180": (lambda p: np.rot90(p, 2), "turned by 180 degrees"),
    "turned 270": (lambda p: np.rot90(p, 1), "turned by 270 degrees"),
    "brightened": (lambda p: np.clip(p * 1.25 + 5.0, 0, 255).astype(np.uint8), "ncc"),
    "watermarked": (_watermarked, "ncc"),
    "turned and cropped": (lambda p: np.rot90(_crop(0.8, 0.1)(p)), "turned by 270 degrees, crop"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copy_is_found_among_others_and_its_change_is_named(change, draw, link):
    alter, said = CHANGES[change]
    others = [draw(seed) for seed in range(1, 12)]
    links = link([draw(0), *others, np.ascontiguousarray(alter(draw(0)))])
    assert links[["image_id_a", "image_id_b", "kind"]].to_numpy().tolist() == [
        ["p000", "p012", "same_photograph"]
    ]
    assert said in links["reason"][0]
    assert 0.4 <= links["score"][0] <= 1


@pytest.mark.parametrize("change", [lambda p: p, _crop(0.1, 0.9)])
@pytest.mark.parametrize("copy_first", [True, False])
def test_reason_names_what_was_done_to_the_second(copy_first, change, draw, link):
    photos = [np.ascontiguousarray(np.rot90(change(draw(0)), -1)), draw(0)]
    links = link(photos if copy_first else photos[::-1])
    assert ("by 270" if copy_first else "by 90") in links["reason"][0]


def test_another_photo_of_the_same_lesion_is_no_copy(draw, link):
    """Skin stretches between two photos: detail moves by a pixel or two, more in some places."""
    photo = draw(0)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    stretched = cv2.remap(
        photo, x + 3 * np.sin(y / 25), y + 3 * np.sin(x / 30), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip
    assert link([photo, stretched]).empty
    assert len(link([photo, photo[:, ::-1]])) == 1


def test_photos_through_one_black_frame_are_not_copies(draw, link):
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    hole = (np.hypot(x, y) < 0.9)[..., None]
    assert link([draw(seed) * hole for seed in range(20)]).empty


def test_photos_without_detail_are_not_linked(link):
    plain = [np.full((90, 120, 3), level, np.uint8) for level in (0, 0, 128, 129, 255)]
    assert link(plain).empty


def test_tiny_photos_are_not_linked_by_looks(draw, link):
    tiny = cv2.resize(draw(0), (16, 16), interpolation=cv2.INTER_AREA)
    assert link([tiny, draw(0), tiny[:, ::-1]]).empty


def test_many_photos_of_one_background_make_few_links(link):
    """A smooth background with sensor noise: alike at a glance, different photographs."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:120, 0:160]
    background = 150 + 40 * np.exp(-((x - 80) ** 2 + (y - 60) ** 2) / 3000)[..., None]
    photos = [background + rng.normal(0, 4, (120, 160, 3)) for _ in range(25)]
    assert len(link([photo.astype(np.uint8) for photo in photos])) < 25


def test_copies_of_one_photo_hang_together_without_all_pairs(draw, link):
    """Thirty recompressions of one photo: one component, and links grow with n, not with n^2."""
    photo = draw(3)
    copies = []
    for quality in range(70, 100):
        coded = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        copies.append(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    links = link(copies)
    reached, grows = {"p000"}, True
    while grows:
        touching = links[links["image_id_a"].isin(reached) | links["image_id_b"].isin(reached)]
        found = reached | set(touching["image_id_a"]) | set(touching["image_id_b"])
        grows, reached = found != reached, found
    assert len(reached) == 30
    assert len(links) <= 30 * 16
