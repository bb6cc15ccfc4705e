"""A segmenter becomes a bundle, alone or beside a classifier, and finds what its run finds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cutis.errors import CheckFailedError, InputError
from cutis.export import (
    ClassifierPart,
    ExportSummary,
    SegmenterPart,
    export_parts,
    export_run,
    runs_to_export,
)
from cutis.export.parity import LOGIT_LIMIT
from cutis.export.photos import divide
from cutis.models.segmentation import build_segmenter
from cutis.preprocessing import load, normalise
from cutis.records import ModelInfo, Preprocessing, SegmenterInfo
from cutis.runtime import Predictor, Segmenter, segment_photos
from cutis.runtime.bundle import read_info
from cutis.runtime.engines import installed_engines
from cutis.training.inference import run_logits
from cutis.training.lesion_masks import keep_segmenter, weights_sha256
from cutis.training.run import classifier_for, load_run, write_run
from cutis.training.segmentation import SegmenterRun, load_segmenter_run
from cutis.training.segmentation.inference import mask_probabilities, predict_masks

from .conftest import SIZE, discs


class Finder(nn.Module):
    """Two convolutions at the photo's size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = 5 * self.layers(pixels)
        return logits


class DriftingFinder(Finder):
    """Answers otherwise in the first `pixels` pixels when it is exported."""

    def __init__(self, pixels: int, by: float) -> None:
        super().__init__()
        self.pixels, self.by = pixels, by

    def forward(self, pixels: Tensor) -> Tensor:
        logits = super().forward(pixels)
        if not torch.compiler.is_compiling():
            return logits
        drift = torch.zeros(1, 1, SIZE * SIZE)
        drift[..., : self.pixels] = self.by
        return logits + drift.view(1, 1, SIZE, SIZE)


@pytest.fixture(scope="module")
def segmenter_run(
    segmenter_info: SegmenterInfo, tmp_path_factory: pytest.TempPathFactory
) -> SegmenterRun:
    """A small U-Net that finds something on the discs: what it learns in a second."""
    folder = tmp_path_factory.mktemp("segmenter-run")
    info = segmenter_info.model_copy(update={"architecture": "unet", "filters": 2})
    return _written(folder, info, seed=0)


def _written(folder: Path, info: SegmenterInfo, seed: int) -> SegmenterRun:
    torch.manual_seed(seed)
    model = build_segmenter(info.architecture, filters=info.filters).train()
    drawn, masks = discs(np.resize([0, 1, 2], 16).tolist(), seed=2)
    pixels = torch.from_numpy(normalise(drawn, info.preprocessing))
    truth = masks[:, None]
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        loss = nn.functional.binary_cross_entropy_with_logits(
            model(pixels), torch.from_numpy(truth).float()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    write_run(folder, model.eval(), info)
    return load_segmenter_run(folder)


@pytest.fixture(scope="module")
def lesion_run(
    info: ModelInfo, segmenter_run: SegmenterRun, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A classifier's run that takes the mask as a fourth channel."""
    folder = tmp_path_factory.mktemp("lesion-run")
    described = info.model_copy(
        update={
            "architecture": "small_cnn",
            "preprocessing": Preprocessing(size=SIZE, lesion="channel"),
            "segmenter_sha256": weights_sha256(segmenter_run),
        }
    )
    torch.manual_seed(0)
    model = classifier_for(described)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.normal_(std=3.0)
    write_run(folder, model.eval(), described)
    keep_segmenter(segmenter_run, folder)
    return folder


def test_a_segmenter_alone_is_a_bundle(
    segmenter_info: SegmenterInfo, photos: pd.DataFrame, tmp_path: Path
) -> None:
    module, out = Finder().eval(), tmp_path / "bundle"
    part = SegmenterPart(module, segmenter_info)
    summary = export_parts(out, photos, segmenter=part, networks=["fp32"], measure=False)
    assert sorted(summary.sizes) == [
        "MODEL_CARD.md",
        "bundle.json",
        "parity.html",
        "parity.json",
        "segmenter.onnx",
    ]
    recorded = read_info(out)
    assert (recorded.model, recorded.default_model, recorded.diagnoses) == (None, None, ())
    assert (recorded.segmenter, recorded.default_segmenter) == (segmenter_info, "fp32")
    engines = [name for name in ("onnxruntime", "openvino") if name in installed_engines()]
    assert recorded.passed == tuple(f"segmenter-fp32/{engine}" for engine in engines)
    assert summary.parity.networks == ()
    found = summary.parity.segmenters[0]
    assert (found.name, found.photos) == ("segmenter-fp32/onnxruntime", 120)
    assert found.bytes == summary.sizes["segmenter.onnx"]
    assert 0 < found.largest_logit_difference <= LOGIT_LIMIT
    assert found.smallest_jaccard > 0.99
    check = discs([0, 1, 2], seed=4)[0]
    with torch.no_grad():
        logits = module(torch.from_numpy(normalise(check, segmenter_info.preprocessing)))
    probabilities = Segmenter.load(out, threads=2).probabilities(check)
    np.testing.assert_allclose(probabilities, logits.sigmoid().numpy()[:, 0], atol=1e-5)
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.startswith("# finder, outlines of lesions\n")
    assert "from a probability of 0.4 on" in card
    assert "recipe: outline, seed 7" in card
    assert "They do not say whether a lesion is harmless." in card
    assert "Weights: CC BY 4.0." in card
    assert "## Diagnoses" not in card
    page = (out / "parity.html").read_text(encoding="utf-8")
    assert "<h2>Segmenter</h2>" in page
    assert "<h2>Classifier</h2>" not in page


def test_int8_runs_where_it_marks_the_same(
    segmenter_run: SegmenterRun, photos: pd.DataFrame, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    summary = export_run(segmenter_run.folder, out, photos, measure=False)
    recorded = read_info(out)
    assert {"segmenter.onnx", "segmenter-int8.onnx"} <= recorded.files.keys()
    assert recorded.default_segmenter == "int8"
    assert "segmenter-int8/onnxruntime" in recorded.passed
    assert summary.parity.methods.keys() == {"segmenter-int8.onnx"}
    (found,) = (c for c in summary.parity.segmenters if c.name == "segmenter-int8/onnxruntime")
    compared = divide(photos, segmenter_run.info.provenance.seed).compared
    settings, threshold = segmenter_run.info.preprocessing, segmenter_run.info.threshold
    pixels = np.stack([load(path, settings) for path in compared["path"]])
    expected = mask_probabilities(segmenter_run, pixels) >= threshold
    masks = Segmenter.load(out).probabilities(pixels) >= threshold
    assert Segmenter.load(out).network is not None
    assert found.mean_jaccard == pytest.approx(jaccard(masks, expected).mean(), abs=1e-6)
    assert found.smallest_jaccard == pytest.approx(jaccard(masks, expected).min(), abs=1e-6)
    assert found.mean_jaccard < 1  # else it says nothing
    # every other photo has a mask that people drew, at its own size
    drawn = compared["mask"].notna().to_numpy()
    truth = np.stack([_at_size(path) for path in compared["mask"][drawn]])
    assert found.jaccard is not None
    assert found.jaccard.run == pytest.approx(jaccard(expected[drawn], truth).mean(), abs=1e-6)
    assert found.jaccard.network == pytest.approx(jaccard(masks[drawn], truth).mean(), abs=1e-6)
    assert found.jaccard.run > 0.5


def _at_size(mask: Path) -> NDArray[np.bool_]:
    """From 40 pixels to 32: each is the mean of an area of five fourths, squared."""
    fourths = np.asarray(Image.open(mask).convert("1")).repeat(4, axis=0).repeat(4, axis=1)
    return fourths.reshape(SIZE, 5, SIZE, 5).mean(axis=(1, 3)) >= 0.5


def jaccard(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    union = (first | second).sum(axis=(1, 2))
    common = (first & second).sum(axis=(1, 2))
    return np.where(union > 0, common / np.maximum(union, 1), 1.0)


def test_both_in_one_bundle(
    part: ClassifierPart,
    segmenter_info: SegmenterInfo,
    photos: pd.DataFrame,
    files: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unsafe = segmenter_info.model_copy(
        update={"provenance": segmenter_info.provenance.model_copy(update={"unsafe": True})}
    )
    out = tmp_path / "bundle"
    export_parts(
        out,
        photos,
        classifier=part,
        segmenter=SegmenterPart(Finder().eval(), unsafe),
        networks=["fp32"],
        measure=False,
    )
    recorded = read_info(out)
    assert (recorded.model, recorded.segmenter) == (part.info, unsafe)
    assert (recorded.default_model, recorded.default_segmenter) == ("fp32", "fp32")
    assert {"fp32/onnxruntime", "segmenter-fp32/onnxruntime"} <= set(recorded.passed)
    check = discs([0, 1, 2], seed=4)[0]
    assert Predictor.load(out).logits(check).shape == (3, 3)
    assert Predictor.load(out).segmenter is None  # the model needs none
    assert Segmenter.load(out).mask(check[0]).shape == (SIZE, SIZE)
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.startswith("# small_cnn, 3 diagnoses; finder, outlines of lesions\n")
    assert "**UNSAFE.**" in card
    assert "Weights of the model: CC BY-NC 4.0. Of the segmenter: CC BY 4.0." in card
    assert card.index("## Export\n") < card.index("## Segmenter\n") < card.index("## Limits")
    assert card.count("## Figures") == 1
    assert "UNSAFE." in (out / "parity.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("pixels", "by", "said"),
    [
        (SIZE * SIZE, 2 * LOGIT_LIMIT, "100.0% of the pixels"),
        (SIZE, 2 * LOGIT_LIMIT, "3.1% of the pixels"),
        (SIZE * SIZE, float("nan"), "a logit is not a number, 100.0% of the pixels"),
        (8, -1000.0, "a mean Jaccard of 0.9"),
    ],
)
def test_another_network_is_refused(
    segmenter_info: SegmenterInfo,
    photos: pd.DataFrame,
    tmp_path: Path,
    pixels: int,
    by: float,
    said: str,
) -> None:
    module = DriftingFinder(pixels, by).eval()
    with pytest.raises(CheckFailedError, match="no exported network answers as") as caught:
        export_parts(
            tmp_path / "bundle",
            photos,
            segmenter=SegmenterPart(module, segmenter_info),
            networks=["fp32"],
            measure=False,
        )
    assert "segmenter.onnx: " in caught.value.problem
    assert said in caught.value.problem
    assert not list(tmp_path.iterdir())


def test_a_few_pixels_may_differ_and_are_recorded(
    segmenter_info: SegmenterInfo, photos: pd.DataFrame, tmp_path: Path
) -> None:
    module = DriftingFinder(4, 2 * LOGIT_LIMIT).eval()
    part = SegmenterPart(module, segmenter_info)
    summary = export_parts(
        tmp_path / "bundle", photos, segmenter=part, networks=["fp32"], measure=False
    )
    found = summary.parity.segmenters[0]
    assert found.beyond_limit == pytest.approx(4 / SIZE**2)
    assert found.largest_logit_difference == pytest.approx(2 * LOGIT_LIMIT, rel=0.01)


def test_a_segmenter_has_no_tflite(
    segmenter_info: SegmenterInfo, photos: pd.DataFrame, tmp_path: Path
) -> None:
    part = SegmenterPart(Finder().eval(), segmenter_info)
    with pytest.raises(InputError, match="there is no tflite of a segmenter") as caught:
        export_parts(tmp_path / "bundle", photos, segmenter=part, networks=["tflite"])
    assert "fp32 or int8" in str(caught.value.fix)
    assert not list(tmp_path.iterdir())


def test_a_segmentation_run_is_exported(
    segmenter_run: SegmenterRun, photos: pd.DataFrame, tmp_path: Path
) -> None:
    export_run(segmenter_run.folder, tmp_path / "b", photos, networks=["fp32"], measure=False)
    segmenter = Segmenter.load(tmp_path / "b", threads=2)
    paths = list(photos["path"][:20])
    masks = [found.mask for found in segment_photos(segmenter, paths)]
    expected = list(predict_masks(segmenter_run, paths))
    assert {mask.shape for mask in masks} == {(40, 40)}
    shares = np.array([mask.mean() for mask in expected])
    assert ((shares > 0.02) & (shares < 0.9)).mean() > 0.5  # else agreement says nothing
    apart = [(ours != theirs).mean() for ours, theirs in zip(masks, expected, strict=True)]
    assert max(apart) < 1e-3


@pytest.fixture(scope="module")
def lesion_bundle(
    lesion_run: Path, photos: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> ExportSummary:
    """Both networks in both forms; int8 of a network that has learned nothing may fail."""
    out = tmp_path_factory.mktemp("lesion") / "bundle"
    return export_run(lesion_run, out, photos, allow=True, measure=False)


def test_a_run_on_the_lesion_brings_its_segmenter(
    lesion_bundle: ExportSummary, lesion_run: Path, photos: pd.DataFrame
) -> None:
    out = lesion_bundle.folder
    assert {"model.onnx", "model-int8.onnx", "segmenter.onnx", "segmenter-int8.onnx"} <= (
        lesion_bundle.sizes.keys()
    )
    predictor = Predictor.load(out, model="fp32")
    paths = list(photos["path"][:30])
    read = [predictor.read(photo) for photo in paths]
    pixels = np.stack([seen for seen, _ in read])
    assert pixels.shape == (30, SIZE, SIZE, 4)
    assert [reason for _, reason in read].count(None) > 15
    expected = run_logits(load_run(lesion_run), paths)
    gap = np.abs(predictor.logits(pixels) - expected).max()
    assert gap < 0.02 * expected.std(axis=0).min()
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "the lesion's mask is a fourth channel, as the segmenter below finds it" in card


def test_each_network_is_compared_through_the_segmenter_that_it_will_have(
    lesion_bundle: ExportSummary, lesion_run: Path, photos: pd.DataFrame
) -> None:
    """From photo to answer: an int8 network sees the photo through the int8 segmenter."""
    run = load_run(lesion_run)
    compared = divide(photos, run.info.provenance.seed).compared
    paths = list(compared["path"])
    expected = run_logits(run, paths)
    for check in lesion_bundle.parity.networks:
        predictor = Predictor.load(lesion_bundle.folder, model=check.network, engine=check.engine)
        logits = predictor.logits(np.stack([predictor.read(path)[0] for path in paths]))
        same = (logits.argmax(axis=1) == expected.argmax(axis=1)).mean()
        assert check.agreement == pytest.approx(same, abs=0.01)
        assert predictor.segmenter is not None
    by_name = {check.name: check for check in lesion_bundle.parity.networks}
    # pixels of the fourth channel are probabilities, which int8 changes on every photo
    assert by_name["int8/onnxruntime"].other_input > 60
    assert by_name["fp32/onnxruntime"].other_input < 60


def test_which_runs_go_together(
    lesion_run: Path, segmenter_run: SegmenterRun, segmenter_info: SegmenterInfo, tmp_path: Path
) -> None:
    assert runs_to_export(segmenter_run.folder) == (segmenter_run, None)
    run, own = runs_to_export(lesion_run)
    assert own is not None
    assert (run.folder, own.folder) == (lesion_run, lesion_run / "segmenter")
    same = runs_to_export(lesion_run, segmenter_run.folder)[1]
    assert same is not None
    assert same.folder == segmenter_run.folder
    with pytest.raises(InputError, match="two segmenters do not go into one bundle"):
        runs_to_export(segmenter_run.folder, segmenter_run.folder)
    with pytest.raises(InputError, match="this is a classifier's run"):
        runs_to_export(lesion_run, lesion_run)
    other = segmenter_info.model_copy(update={"architecture": "unet", "filters": 3})
    _written(tmp_path, other, seed=5)
    with pytest.raises(InputError, match="the run was trained with another segmenter"):
        runs_to_export(lesion_run, tmp_path)
