import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from cutis.app.layers import heat_map, measures, outline
from cutis.app.server import create_app
from cutis.app.settings import Settings
from cutis.metrics.lesion_colours import to_lab
from cutis.metrics.lesion_measures import MEASURE_TEXTS
from cutis.records import Preprocessing
from cutis.runtime import Predictor, Segmenter

from .conftest import HOST, encoded

HEIGHT, WIDTH = 60, 80
NAMES = ("first", "second", "third")


def spot(height=HEIGHT, width=WIDTH, row=30, column=40, radius=15):
    rows, columns = np.mgrid[:height, :width]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


def photo(mask):
    return np.where(mask[..., None], (90, 50, 40), (230, 200, 190)).astype(np.uint8)


def opened(png: bytes):
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert "transparency" in image.info
    return np.asarray(image.convert("RGBA")).astype(int)


class Watcher:
    """A model whose first diagnosis rests on how bright a corner of what it sees is."""

    def __init__(self, weight=40.0, temperature=1.0, lesion="none", mask=None) -> None:
        self.model_info = SimpleNamespace(
            diagnoses=NAMES,
            preprocessing=Preprocessing(size=32, lesion=lesion),
            temperature=temperature,
        )
        self.segmenter = None if mask is None else Finder(mask)
        self.weight = weight
        self.passes = 0

    def logits(self, pixels):
        self.passes += len(pixels)
        corner = pixels[:, :16, :16, :3].mean(axis=(1, 2, 3)) / 255 * self.weight
        return np.stack([corner, 0 * corner, 0 * corner - 99], axis=1).astype(np.float32)

    def calibrated(self, logits):
        return logits.astype(np.float64) / self.model_info.temperature


class Finder:
    """A segmenter that gives one mask."""

    def __init__(self, mask) -> None:
        self.info = SimpleNamespace(preprocessing=Preprocessing(size=64), threshold=0.5)
        self.mask = np.asarray(Image.fromarray(mask).resize((64, 64)))

    def probabilities(self, pixels):
        assert pixels.shape == (1, 64, 64, 3)
        return self.mask[None].astype(np.float32)


def strength(png: bytes):
    return opened(png)[..., 3]


BRIGHT = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)


def test_the_outline_follows_the_border() -> None:
    mask = spot()
    drawn = opened(outline(photo(mask), mask))
    assert drawn.shape == (HEIGHT, WIDTH, 4)
    shown = drawn[..., 3] > 0
    rows, columns = np.nonzero(shown)
    away = np.abs(np.hypot(rows - 30, columns - 40) - 15)
    assert away.max() < 3.5
    assert not shown[30, 40]
    assert not shown[0, 0]
    assert {tuple(colour) for colour in drawn[shown]} == {(29, 39, 51, 255), (240, 228, 66, 255)}


def test_an_empty_mask_draws_nothing() -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    assert not opened(outline(photo(mask), mask))[..., 3].any()
    assert measures(photo(mask), mask) == {}


def test_the_heat_map_shows_where_the_answer_hangs() -> None:
    model = Watcher()
    shown = strength(heat_map(model, BRIGHT, "first"))
    assert shown.shape == (HEIGHT, WIDTH)
    assert model.passes <= 64
    corner = shown[: HEIGHT // 2, : WIDTH // 2]
    assert corner.max() == round(255 * 0.8)
    assert corner.mean() > 100
    assert not shown[45:].any()
    assert not shown[:, 60:].any()


def test_what_speaks_against_a_diagnosis_stays_clear() -> None:
    assert not strength(heat_map(Watcher(), BRIGHT, "second")).any()
    assert strength(heat_map(Watcher(weight=-40.0), BRIGHT, "second")).any()


def test_weak_evidence_stays_faint() -> None:
    assert not strength(heat_map(Watcher(weight=0.0), BRIGHT, "first")).any()
    weak = strength(heat_map(Watcher(weight=2.0), BRIGHT, "first")).max()
    calm = strength(heat_map(Watcher(weight=2.0, temperature=2.0), BRIGHT, "first")).max()
    assert 0 < calm < weak < 100
    assert calm == pytest.approx(weak / 2, abs=4)


@pytest.mark.parametrize("lesion", ["crop", "mask"])
def test_a_model_of_the_lesion_is_asked_about_the_lesion(lesion: str) -> None:
    mask = spot(240, 320, row=60, column=80, radius=30)
    bright = np.full((240, 320, 3), 255, np.uint8)
    shown = strength(heat_map(Watcher(lesion=lesion, mask=mask), bright, "first"))
    assert shown.any()
    assert not shown[110:].any()
    assert not shown[:, 130:].any()


def test_a_model_that_sees_lesion_and_photo_is_asked_about_both() -> None:
    mask = spot(240, 320, row=200, column=280, radius=30)
    bright = np.full((240, 320, 3), 255, np.uint8)
    shown = strength(heat_map(Watcher(lesion="channel", mask=mask), bright, "first"))
    assert shown[20, 20] > 100


def test_without_a_lesion_all_of_the_photo_is_covered() -> None:
    nothing = np.zeros((HEIGHT, WIDTH), bool)
    found = heat_map(Watcher(lesion="crop", mask=nothing), BRIGHT, "first")
    assert strength(found)[3, 3] > 100


def test_stronger_is_lighter_and_less_transparent() -> None:
    drawn = opened(heat_map(Watcher(), BRIGHT, "first")).reshape(-1, 4)
    ranked = np.unique(drawn[drawn[:, 3] > 0], axis=0)
    ranked = ranked[np.argsort(ranked[:, 3])]
    lightness = to_lab(ranked[:, :3].astype(np.uint8))[:, 0]
    assert len(ranked) > 10
    assert (np.diff(lightness) > 0).all()


def test_a_bundle_draws_a_heat_map(predictor: Predictor) -> None:
    mask = spot()
    drawn = opened(heat_map(predictor, photo(mask), predictor.model_info.diagnoses[1]))
    assert drawn.shape == (HEIGHT, WIDTH, 4)


def test_measures_are_those_that_have_words_and_fit_json() -> None:
    mask = spot()
    found = measures(photo(mask), mask)
    assert list(found) == list(MEASURE_TEXTS)
    assert json.loads(json.dumps(found)) == found
    assert found["area_share"] == pytest.approx(mask.mean())
    assert found["pieces"] == 1
    assert found["touches_frame"] is False
    assert found["longest_diameter"] == pytest.approx(30, abs=1)


def test_the_app_draws_these_unless_told_otherwise(
    predictor: Predictor, segmenter: Segmenter
) -> None:
    app = create_app(predictor, segmenter, Settings(workers=1))
    with TestClient(app, base_url=HOST) as client:
        sent = client.post("/api/v1/cases", files={"photos": ("a", encoded(quality=90))})
        assert sent.status_code == 201
        assert sent.json()["judgement"]["prediction_set"]
        drawn = sent.json()["photos"][0]
        for layer in ("outline", "heat"):
            answer = client.get(drawn[layer])
            assert answer.status_code == 200
            assert opened(answer.content).shape == (60, 80, 4)
        assert opened(client.get(drawn["outline"]).content)[..., 3].any()
        assert list(client.get(drawn["measures"]).json()) == list(MEASURE_TEXTS)
