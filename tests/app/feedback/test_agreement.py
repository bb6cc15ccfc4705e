"""Agreement of model and doctors: what is compared, and what is not."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from cutis.app.accounts.accounts import Account
from cutis.app.archive.archive import Archive
from cutis.app.feedback.agreement import OTHER, OWN, Figures, class_of, figures
from cutis.errors import InputError
from cutis.metrics.answer_policy import Verdict
from cutis.metrics.bootstrap import Resampling
from cutis.taxonomy import view

from ..conftest import make_account
from .conftest import BUNDLE, Say, save_case

QUICK = Resampling(resamples=50)
OWN_THREE = ("melanoma", "melanocytic_nevus", "dermatofibroma")


def found(archive: Archive, view_name: str = OWN) -> Figures:
    return figures(archive.database, view_name, QUICK)


# Classes


@pytest.mark.parametrize(
    ("diagnosis", "expected"),
    [
        ("melanoma", "melanoma"),
        ("compound_nevus", "melanocytic_nevus"),
        ("psoriasis", OTHER),
    ],
)
def test_own_classes_take_what_stands_below_them(diagnosis: str, expected: str) -> None:
    assert class_of(diagnosis, OWN_THREE, OWN) == expected


def test_own_classes_that_are_a_view_reduce_as_it_does() -> None:
    ham7 = view("ham7")
    reduced = ham7.class_of("actinic_keratosis")
    assert reduced == "actinic_keratosis_bowen"
    assert class_of("actinic_keratosis", ham7.classes[::-1], OWN) == reduced
    assert class_of("compound_nevus", ("malignant", "benign"), OWN) == "benign"


def test_a_view_takes_a_models_answer_too() -> None:
    assert class_of("melanocytic_nevus", OWN_THREE, "benign-malignant") == "benign"
    assert class_of("benign", ("benign", "malignant"), "benign-malignant") == "benign"
    assert class_of("benign", ("benign", "malignant"), "ham7") == OTHER
    with pytest.raises(InputError, match="no view"):
        class_of("melanoma", OWN_THREE, "none")


# Figures


def test_an_empty_archive_has_no_figures(archive: Archive) -> None:
    empty = found(archive)
    assert (empty.saved, empty.answered, empty.settled, empty.models) == (0, 0, 0, ())
    assert empty.doctors.undefined == "few_cases"


def test_counts_and_the_models_accuracy(
    archive: Archive, reporter: Account, ada: Account, ben: Account, say: Say
) -> None:
    right, wrong, unsure, disputed, _ = (
        save_case(archive, reporter, "melanocytic_nevus", **how)
        for how in ({}, {}, {"verdict": Verdict.CANNOT_TELL}, {}, {})
    )
    say(right, ada, "compound_nevus")
    say(wrong, ada, "melanoma")
    say(unsure, ada, "psoriasis")
    say(disputed, ada, "melanoma")
    say(disputed, ben, "lentigo")
    all_of = found(archive)
    assert (all_of.saved, all_of.answered, all_of.settled, all_of.disagreeing) == (5, 4, 3, 1)
    (model,) = all_of.models
    assert (model.bundle, model.settled, model.told) == (BUNDLE, 3, 2)
    assert float(model.accuracy.value) == pytest.approx(1 / 3)
    assert float(model.accuracy_told.value) == pytest.approx(1 / 2)
    by_class = [(one.name, one.cases, one.found) for one in model.classes]
    assert by_class == [("melanocytic_nevus", 1, 1), ("melanoma", 1, 0), (OTHER, 1, 0)]
    (coarse,) = found(archive, "benign-malignant").models
    assert float(coarse.accuracy.value) == pytest.approx(2 / 3)


def test_kappa_of_model_and_doctor_blind_and_unblind_apart(
    archive: Archive, reporter: Account, ada: Account, say: Say
) -> None:
    rng = np.random.default_rng(1)
    pairs: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
    for number in range(24):
        model, doctor = (str(OWN_THREE[rng.integers(2)]) for _ in range(2))
        blind = number % 3 > 0
        case = save_case(archive, reporter, model)
        say(case, ada, doctor, blind=blind)
        pairs[blind].append((model, doctor))
    # neither a changed opinion nor one that others have coloured counts
    say(case, ada, "dermatofibroma")
    say(case, make_account(archive, "cyd"), "melanoma", informed=True)
    (model,) = found(archive).models
    for blind, kappa in ((True, model.blind), (False, model.unblind)):
        assert kappa.cases == len(pairs[blind])
        expected = cohen_kappa_score(*zip(*pairs[blind], strict=True))
        assert float(kappa.kappa.value) == pytest.approx(expected)
        assert float(kappa.kappa.low) <= expected <= float(kappa.kappa.high)


def test_networks_are_judged_apart(
    archive: Archive, reporter: Account, ada: Account, say: Say
) -> None:
    for bundle, doctor in (("old", "lentigo"), ("new", "melanoma"), ("new", "melanoma")):
        say(save_case(archive, reporter, "melanoma", bundle=bundle), ada, doctor)
    new, old = found(archive).models
    assert (new.bundle, new.settled, float(new.accuracy.value)) == ("new", 2, 1.0)
    assert (old.bundle, old.settled, float(old.accuracy.value)) == ("old", 1, 0.0)


def test_doctors_agree_by_their_first_opinions(
    archive: Archive, reporter: Account, ada: Account, ben: Account, say: Say
) -> None:
    cyd = make_account(archive, "cyd")
    said = [("melanoma", "melanoma"), ("melanoma", "lentigo"), ("lentigo", "lentigo")]
    for first, second in said:
        case = save_case(archive, reporter)
        say(case, ada, first)
        say(case, ben, second)
        say(case, ben, first)  # he has been convinced: that is no agreement of two
    say(case, cyd, "lentigo", informed=True)
    doctors = found(archive, "ham7")
    assert [(pair.first, pair.second) for pair in doctors.pairs] == [("ada", "ben")]
    assert doctors.doctors.pairs == 3
    exact = [("melanoma", "melanoma"), ("melanoma", OTHER), (OTHER, OTHER)]
    expected = cohen_kappa_score(*zip(*exact, strict=True))
    assert float(doctors.pairs[0].agreement.kappa.value) == pytest.approx(expected)
    assert float(doctors.doctors.agreed.value) == pytest.approx(2 / 3)


def test_cases_of_one_patient_are_drawn_together(
    archive: Archive, reporter: Account, ada: Account, say: Say
) -> None:
    for number in range(8):
        case = save_case(archive, reporter, patient="p1", may_train=False)
        say(case, ada, "melanoma" if number % 2 else "lentigo")
    (model,) = found(archive).models
    assert float(model.accuracy.value) == 0.5
    assert np.isnan(model.accuracy.low)  # one patient is one group
    say(save_case(archive, reporter, patient="p2"), ada, "melanoma")
    say(save_case(archive, reporter), ada, "lentigo")
    (model,) = found(archive).models
    assert float(model.accuracy.low) < 0.5 < float(model.accuracy.high)
