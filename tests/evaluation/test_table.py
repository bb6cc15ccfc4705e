"""Reading and checking predictions tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cutis.errors import InputError
from cutis.evaluation import EvaluationContext, read_predictions
from cutis.evaluation.table import prepare_table
from cutis.metrics import softmax
from cutis.records import ModelInfo

Made = Any  # of conftest.py, which cannot be imported

NONE = EvaluationContext()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_survives_its_file(made: Made, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"predictions.{suffix}"
    if suffix == "csv":
        made.joined().to_csv(path, index=False)
    else:
        made.joined().to_parquet(path)
    table = prepare_table(read_predictions(path), None, NONE)
    np.testing.assert_array_equal(table.truth_index, made.truth_index)
    np.testing.assert_allclose(table.probabilities, made.probabilities)
    assert table.diagnoses == made.diagnoses


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "is missing"),
        ("table.xlsx", b"", "not written as '.xlsx'"),
        ("empty.csv", b"", "cannot be read"),
        ("broken.parquet", b"PAR1 and nothing", "cannot be read"),
        ("binary.csv", b"image_id,truth\n\xff\xfe,a\n", "cannot be read"),
    ],
)
def test_files_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_predictions(tmp_path / name)
    assert name in str(caught.value)


def test_truth_is_joined_by_photo_not_by_order(made: Made) -> None:
    shuffled = made.predictions.sample(frac=1, random_state=0)
    table = prepare_table(shuffled, made.truth, NONE)
    np.testing.assert_array_equal(table.truth_index, made.truth_index)
    np.testing.assert_allclose(table.probabilities, made.probabilities)
    assert table.groups == 90
    assert table.grouped
    assert table.notes == ()


def test_photos_are_found_by_path_where_there_is_no_image_id(made: Made) -> None:
    truth = made.truth.assign(path=[f"{name}.jpg" for name in made.truth["image_id"]])
    located = EvaluationContext(locate=lambda stored: Path("/data") / stored)
    predictions = made.predictions.drop(columns="image_id").assign(
        path=[f"/data/{path}" for path in truth["path"]]
    )
    table = prepare_table(predictions, truth, located)
    np.testing.assert_array_equal(table.truth_index, made.truth_index)
    assert list(table.photos["image_id"]) == list(truth["image_id"])


def test_predictions_of_other_photos_are_left_out_and_said(made: Made) -> None:
    table = prepare_table(made.predictions, made.truth.head(100), NONE)
    assert table.truth_index.size == 100
    assert any(note.startswith("20 predictions") for note in table.notes)


def test_a_photo_without_a_prediction_is_refused(made: Made) -> None:
    with pytest.raises(InputError, match=r"1 of 120 photos have no prediction, first set/p0003"):
        prepare_table(made.predictions.drop(index=3), made.truth, NONE)


def test_unreadable_photos_are_counted(made: Made) -> None:
    broken = made.predictions.assign(error=None)
    columns = [name for name in broken if name not in ("image_id", "error")]
    broken.loc[[5, 6], columns] = np.nan
    broken.loc[[5, 6], "error"] = "the photo is damaged"
    table = prepare_table(broken, made.truth, NONE)
    assert table.unreadable == 2
    assert table.truth_index.size == 118
    assert "2 photos could not be read and are left out." in table.notes


def test_labels_of_collections_are_understood(made: Made) -> None:
    short = {
        "basal_cell_carcinoma": "bcc", "melanoma": "mel",
        "melanocytic_nevus": "nv", "benign_keratosis": "bkl",
    }  # fmt: skip
    foreign = made.joined().rename(columns=short)
    foreign = foreign.drop(columns=[name for name in foreign if name.startswith("logit_")])
    foreign["truth"] = foreign["truth"].map(short)
    table = prepare_table(foreign, None, NONE)
    assert table.diagnoses == made.diagnoses
    np.testing.assert_array_equal(table.truth_index, made.truth_index)


def test_a_nearer_diagnosis_counts_as_the_class_that_contains_it(made: Made) -> None:
    nearer = made.joined()
    nevus = nearer["truth"] == "melanocytic_nevus"
    nearer.loc[nevus, "truth"] = "blue_nevus"
    table = prepare_table(nearer, None, NONE)
    np.testing.assert_array_equal(table.truth_index, made.truth_index)
    assert set(table.photos.loc[nevus, "truth_given"]) == {"blue_nevus"}
    assert any("nearer diagnosis" in note for note in table.notes)


def test_a_diagnosis_the_model_cannot_answer_is_kept_as_a_mistake(made: Made) -> None:
    beyond = made.joined()
    beyond.loc[0, "truth"] = "dermatofibroma"
    table = prepare_table(beyond, None, NONE)
    assert table.diagnoses == (*made.diagnoses, "dermatofibroma")
    assert table.known == 4
    assert table.truth_index[0] == 4
    assert table.probabilities is not None
    assert (table.probabilities[:, 4] == 0).all()
    assert any("cannot answer" in note for note in table.notes)


def test_logits_alone_are_scaled_by_the_models_temperature(made: Made, model: ModelInfo) -> None:
    logits = made.joined().drop(columns=list(made.diagnoses))
    warm = EvaluationContext(model=model.model_copy(update={"temperature": 2.0}))
    table = prepare_table(logits, None, warm)
    np.testing.assert_allclose(table.probabilities, softmax(table.logits, 2.0))


def test_answers_alone_work(made: Made) -> None:
    answers = made.joined()[["image_id", "truth"]].assign(predicted="melanoma")
    table = prepare_table(answers, None, NONE)
    assert table.probabilities is None
    assert table.logits is None
    assert set(table.diagnoses) == set(made.diagnoses)
    assert not table.grouped
    assert table.groups == 120
    assert any(note.startswith("No groups were given") for note in table.notes)


def test_answers_of_the_table_go_before_the_most_probable(made: Made) -> None:
    table = prepare_table(made.joined().assign(predicted="melanoma"), None, NONE)
    assert (table.predicted_index == 1).all()


def test_classes_of_a_view_need_no_taxonomy() -> None:
    table = prepare_table(
        pd.DataFrame(
            {
                "image_id": ["a", "b"],
                "truth": ["benign", "malignant"],
                "logit_benign": [1.0, 0.0],
                "logit_malignant": [0.0, 1.0],
                "benign": [0.73, 0.27],
                "malignant": [0.27, 0.73],
            }
        ),
        None,
        NONE,
    )
    assert table.diagnoses == ("benign", "malignant")
    assert table.predicted_index.tolist() == [0, 1]


def _edit(made: Made, row: int, column: str, value: object) -> pd.DataFrame:
    frame = made.joined()
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: _edit(m, 4, "melanoma", np.nan), r"melanoma is nan.*\n.*row 5 \(set/p0004\)"),
        (lambda m: _edit(m, 4, "logit_melanoma", "x"), r"logit_melanoma is 'x'.*\n.*row 5 "),
        (lambda m: _edit(m, 4, "melanoma", 1.5), r"1 rows have numbers outside 0 … 1\n.*row 5 "),
        (lambda m: _edit(m, 4, "melanoma", 0.999), r"of 1 rows do not sum to 1 .*\n.*row 5 "),
        (lambda m: _edit(m, 4, "truth", None), r"1 rows have no truth\n.*row 5 "),
        (lambda m: _edit(m, 4, "truth", "melanomma"), r"'melanomma' is no diagnosis\n.*row 5 "),
        (lambda m: _edit(m, 4, "truth", "melanomma"), r"did you mean '[Mm]elanoma'"),
        (lambda m: _edit(m, 4, "image_id", "set/p0003"), r"1 photos stand in more.*\n.*row 5 "),
        (lambda m: _edit(m, 4, "image_id", None), r"a photo has no image_id\n.*row 5"),
        (lambda m: m.predictions, "no column 'truth'"),
        (lambda m: m.joined().drop(columns=["image_id", "path"]), "no column that names the photo"),
        (lambda m: m.joined()[["image_id", "truth"]], "the table has no predictions"),
        (lambda m: m.joined().drop(columns="melanoma"), "columns are missing: melanoma"),
        (lambda m: m.joined().drop(columns="logit_melanoma"), "columns are missing: logit_mel"),
        (lambda m: m.joined().assign(mel=0.1), "columns 'melanoma' and 'mel' are the same"),
        (lambda m: m.joined().head(0), "no readable photo"),
        (lambda m: m.joined().assign(error="damaged"), "no readable photo"),
    ],
)
def test_bad_tables_are_refused(made: Made, edit: object, message: str, model: ModelInfo) -> None:
    assert callable(edit)
    with pytest.raises(InputError, match=message):
        prepare_table(edit(made), None, EvaluationContext(model=model))


def test_probabilities_that_do_not_sum_name_the_columns_left_out(made: Made) -> None:
    columns = ["image_id", "truth", *made.diagnoses]
    frame = made.joined()[columns].rename(columns={"melanoma": "sort_of_melanoma"})
    with pytest.raises(InputError, match="not taken as diagnoses: sort_of_melanoma"):
        prepare_table(frame, None, NONE)


def test_rows_are_named_as_in_the_table_given(made: Made) -> None:
    turned = made.predictions.iloc[::-1].reset_index(drop=True)
    turned.loc[0, "melanoma"] = np.nan
    with pytest.raises(InputError, match=r"row 1 \(set/p0119\)"):
        prepare_table(turned, made.truth, NONE)
