"""Classifiers on frozen features."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from cutis.recipes import parse_recipe
from cutis.studies import probes
from cutis.studies.probes import head_logits, nearest_answers

RECIPE = 'name = "tiny"\n[[stage]]\nepochs = 1\n'


def clouds(photos: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping clouds in five dimensions of very different scales, one cloud rare."""
    rng = np.random.default_rng(0)
    labels = (rng.random(photos) < 0.2).astype(np.int64)
    features = rng.normal(size=(photos, 5)) + labels[:, None] * [1.5, 1, 0, 0, 0]
    return (features * [1, 10, 0.1, 1, 1]).astype(np.float32), labels


def logits(*settings: str) -> np.ndarray:
    features, labels = clouds()
    index = np.arange(400)
    recipe = parse_recipe(RECIPE, settings)
    return head_logits(recipe, 2, features, labels, index[:200], index[200:300], index[300:])


def test_linear_head_is_logistic_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "STRENGTHS", (0.01,))
    features, labels = clouds()
    train = features[:200]
    scaled = (features - train.mean(axis=0)) / train.std(axis=0)
    # two logits share the penalty, so each pays half of what one difference would
    reference = LogisticRegression(C=1 / (200 * 0.01 / 2), tol=1e-8, max_iter=1000)
    reference.fit(scaled[:200], labels[:200])
    expected = reference.decision_function(scaled[300:])
    found = logits()
    assert found[:, 1] - found[:, 0] == pytest.approx(expected, abs=2e-3)


def test_logit_adjustment_answers_the_rare_diagnosis_more_often() -> None:
    plain, adjusted = logits(), logits("stage.1.imbalance=logit_adjustment")
    assert adjusted.argmax(axis=1).sum() > plain.argmax(axis=1).sum() > 0


def test_balanced_sampling_is_class_weights_on_features() -> None:
    sampled = logits("stage.1.imbalance=balanced_sampling")
    assert np.array_equal(sampled, logits("stage.1.imbalance=class_weights"))
    assert not np.array_equal(sampled, logits())


def test_head_with_hidden_layers_learns_and_repeats_itself() -> None:
    settings = ("model.hidden=[16]", "model.dropout=0.1", "seed=4")
    _, labels = clouds()
    found = logits(*settings)
    assert roc_auc_score(labels[300:], found[:, 1] - found[:, 0]) > 0.8
    assert np.array_equal(found, logits(*settings))
    assert not np.array_equal(found, logits("model.hidden=[16]", "seed=5"))


def test_nearest_photo_is_found_by_direction() -> None:
    features = np.array([[1, 0], [0, 1], [9, 1], [0.1, 0.9], [0, 0]], np.float32)
    labels = np.array([5, 7, 0, 0, 0])
    answers = nearest_answers(features, labels, np.array([0, 1]), np.array([2, 3]))
    assert answers.tolist() == [5, 7]


def test_validation_chooses_the_strength(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 40)).astype(np.float32)
    labels = rng.integers(0, 2, 120)  # features say nothing: the strongest penalty is best
    index = np.arange(120)

    def found(*strengths: float) -> np.ndarray:
        monkeypatch.setattr(probes, "STRENGTHS", strengths)
        recipe = parse_recipe(RECIPE)
        return head_logits(recipe, 2, features, labels, index[:60], index[60:90], index[90:])

    assert np.array_equal(found(1.0, 0.001), found(1.0))
    assert not np.array_equal(found(1.0), found(0.001))
