"""The inflation of figures and its interval."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from cutis.metrics.bootstrap import Resampling
from cutis.studies.inflation import Answers, Judged, inflations

FEW = Resampling(resamples=300)
CLASSES = 3


def answered(seed: int, photos: int = 200, *, better: float = 0.0) -> Judged:
    """Random answers; `better` is the share of wrong ones that siblings set right."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, photos)
    scores = rng.dirichlet(np.ones(CLASSES), photos)
    helped = rng.random(photos) < better
    raised = np.where(helped[:, None], np.eye(CLASSES)[truth], scores)
    group = rng.integers(0, photos // 2, photos)
    table = pd.DataFrame(
        {
            "image_id": [f"a/{seed}-{n}" for n in range(photos)],
            "group": [f"g{g}" for g in group],
            "truth": truth,
            "has_sibling": rng.random(photos) < 0.5,
        }
    )
    both = [Answers(p.argmax(axis=1), p) for p in (raised, scores)]
    return Judged(table, {"made up": both[0]}, {"made up": both[1]})


def reference(truth: np.ndarray, answers: Answers) -> dict[str, float]:
    return {
        "accuracy": metrics.accuracy_score(truth, answers.predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, answers.predicted),
        "f1_macro": metrics.f1_score(truth, answers.predicted, average="macro"),
        "auroc_macro": metrics.roc_auc_score(truth, answers.probabilities, multi_class="ovr"),
    }


def test_figures_are_means_over_seeds_of_scikit_learns() -> None:
    seeds = [answered(1, better=0.3), answered(2, 150, better=0.3)]
    rows = {r.score: r for r in inflations(seeds, CLASSES, FEW) if r.test_photos == "all"}
    for name, row in rows.items():
        truths = [t.photos["truth"].to_numpy() for t in seeds]
        leaky = [
            reference(y, t.with_siblings["made up"])[name]
            for y, t in zip(truths, seeds, strict=True)
        ]
        clean = [
            reference(y, t.without_siblings["made up"])[name]
            for y, t in zip(truths, seeds, strict=True)
        ]
        assert row.with_siblings == pytest.approx(np.mean(leaky))
        assert row.without_siblings == pytest.approx(np.mean(clean))
        assert row.inflation == pytest.approx(np.mean(leaky) - np.mean(clean))
        assert row.by_seed == pytest.approx(np.subtract(leaky, clean))
    assert set(rows) == {"accuracy", "balanced_accuracy", "f1_macro", "auroc_macro"}


def test_equal_answers_have_no_inflation_and_no_width() -> None:
    rows = inflations([answered(1), answered(2)], CLASSES, FEW)
    assert {row.test_photos for row in rows} == {"all", "with siblings", "without siblings"}
    assert all((row.inflation, row.low, row.high) == (0, 0, 0) for row in rows)


def test_interval_lies_around_the_inflation_and_narrows_with_groups() -> None:
    def width(photos: int) -> float:
        row = inflations([answered(1, photos, better=0.4)], CLASSES, FEW)[0]
        assert row.low is not None
        assert row.high is not None
        assert row.inflation is not None
        assert 0 < row.low < row.inflation < row.high
        return row.high - row.low

    assert width(2000) < 0.5 * width(200)


def test_the_same_photos_under_many_seeds_do_not_narrow_the_interval() -> None:
    once = inflations([answered(1, better=0.4)], CLASSES, FEW)[0]
    often = inflations([answered(1, better=0.4)] * 5, CLASSES, FEW)[0]
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert (often.photos, often.groups) == (once.photos, once.groups)


def test_answers_without_probabilities_have_no_auroc() -> None:
    made = answered(1, better=0.4)
    bare = {"made up": Answers(made.with_siblings["made up"].predicted, None)}
    rows = inflations([Judged(made.photos, bare, bare)], CLASSES, FEW)
    assert {row.score for row in rows} == {"accuracy", "balanced_accuracy", "f1_macro"}


def test_one_group_gives_no_interval() -> None:
    made = answered(1, better=0.4)
    one = Judged(made.photos.assign(group="g"), made.with_siblings, made.without_siblings)
    row = inflations([one], CLASSES, FEW)[0]
    assert row.inflation is not None
    assert (row.low, row.high, row.groups) == (None, None, 1)
