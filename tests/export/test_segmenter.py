"""A segmenter becomes a bundle, alone or beside a classifier, and finds what its run finds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cutis.errors import CheckFailedError, InputError
from cutis.export import (
    ClassifierPart,
    SegmenterPart,
    bundle,
    export_parts,
    export_run,
    runs_to_export,
)
from cutis.export.parity import LOGIT_LIMIT, reference_logits
from cutis.preprocessing import normalise
from cutis.records import ModelInfo, Preprocessing, SegmenterInfo
from cutis.runtime import Predictor, Segmenter, segment_photos
from cutis.runtime.bundle import read_info
from cutis.training.inference import run_logits
from cutis.training.lesion_masks import keep_segmenter, weights_sha256
from cutis.training.run import classifier_for, load_run, write_run
from cutis.training.segmentation import SegmenterRun, load_segmenter_run
from cutis.training.segmentation.inference import predict_masks

from .conftest import SIZE, some_photos


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
def segmenter_info(info: ModelInfo) -> SegmenterInfo:
    provenance = info.provenance.model_copy(
        update={"recipe": "outline", "sources": ("drawn",), "licences": ("CC BY 4.0",)}
    )
    return SegmenterInfo(
        cutis_version="0",
        architecture="finder",
        preprocessing=Preprocessing(size=SIZE),
        threshold=0.4,
        provenance=provenance,
        licence="CC BY 4.0",
    )


def discs(count: int, seed: int) -> NDArray[np.uint8]:
    """Dark discs on pale skin, (count, SIZE, SIZE, 3)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    photos = rng.integers(190, 230, (count, SIZE, SIZE, 3), dtype=np.uint8)
    for photo in photos:
        row, column = rng.uniform(10, 22, 2)
        photo[np.hypot(rows - row, columns - column) < rng.uniform(4, 10)] //= 4
    return photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """20 photos in JPEG, 20 pixels wider than high."""
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{index}.jpg" for index in range(20)]
    for path, pixels in zip(paths, discs(20, seed=3), strict=True):
        Image.fromarray(pixels).resize((120, 100)).save(path)
    return paths


@pytest.fixture(scope="module")
def segmenter_run(
    segmenter_info: SegmenterInfo, tmp_path_factory: pytest.TempPathFactory
) -> SegmenterRun:
    """A small U-Net that finds something on the discs: what it learns in a second."""
    folder = tmp_path_factory.mktemp("segmenter-run")
    info = segmenter_info.model_copy(update={"architecture": "unet", "filters": 2})
    return _written(folder, info, seed=0)


def _written(folder: Path, info: SegmenterInfo, seed: int) -> SegmenterRun:
    from cutis.models.segmentation import build_segmenter

    torch.manual_seed(seed)
    model = build_segmenter(info.architecture, filters=info.filters).train()
    pixels = torch.from_numpy(normalise(discs(16, seed=2), info.preprocessing))
    truth = (discs(16, seed=2).max(axis=3, keepdims=True) < 100).transpose(0, 3, 1, 2)
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


def test_a_segmenter_alone_is_a_bundle(segmenter_info: SegmenterInfo, tmp_path: Path) -> None:
    module, check, out = Finder().eval(), some_photos(9, seed=4), tmp_path / "bundle"
    summary = export_parts(out, segmenter=SegmenterPart(module, segmenter_info, check))
    assert sorted(summary.sizes) == ["MODEL_CARD.md", "parity.json", "segmenter.onnx"]
    recorded = read_info(out)
    assert (recorded.model, recorded.default_model, recorded.diagnoses) == (None, None, ())
    assert recorded.segmenter == segmenter_info
    written = json.loads((out / "parity.json").read_text())
    assert written["model"] is None
    assert written["segmenter"]["photos"] == 9
    assert 0 <= written["segmenter"]["fp32"]["largest_logit_difference"] <= LOGIT_LIMIT
    assert written["segmenter"]["fp32"]["smallest_jaccard"] > 0.99
    with torch.no_grad():
        logits = module(torch.from_numpy(normalise(check, segmenter_info.preprocessing)))
    found = Segmenter.load(out, threads=2).probabilities(check)
    np.testing.assert_allclose(found, logits.sigmoid().numpy()[:, 0], atol=1e-5)
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.startswith("# finder, outlines of lesions\n")
    assert "from a probability of 0.4 on" in card
    assert "recipe: outline, seed 7" in card
    assert "They do not say whether a lesion is harmless." in card
    assert "Weights: CC BY 4.0." in card
    assert "## Diagnoses" not in card


def test_both_in_one_bundle(
    network: nn.Module,
    info: ModelInfo,
    segmenter_info: SegmenterInfo,
    calibration: NDArray[np.uint8],
    check: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    unsafe = segmenter_info.model_copy(
        update={"provenance": segmenter_info.provenance.model_copy(update={"unsafe": True})}
    )
    export_parts(
        tmp_path / "bundle",
        classifier=ClassifierPart(network, info, calibration, check),
        segmenter=SegmenterPart(Finder().eval(), unsafe, check),
    )
    recorded = read_info(tmp_path / "bundle")
    assert (recorded.model, recorded.segmenter) == (info, unsafe)
    assert Predictor.load(tmp_path / "bundle").logits(check).shape == (30, 3)
    assert Predictor.load(tmp_path / "bundle").segmenter is None  # the model needs none
    assert Segmenter.load(tmp_path / "bundle").mask(check[0]).shape == (SIZE, SIZE)
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.startswith("# small, 3 diagnoses; finder, outlines of lesions\n")
    assert "**UNSAFE.**" in card
    assert "Weights of the model: CC BY-NC 4.0. Of the segmenter: CC BY 4.0." in card
    assert card.index("## Export\n") < card.index("## Segmenter\n") < card.index("## Limits")
    assert card.count("## Figures") == 1


@pytest.mark.parametrize(
    ("pixels", "by", "said"),
    [
        (SIZE * SIZE, 2 * LOGIT_LIMIT, "100.0% of the pixels"),
        (SIZE, 2 * LOGIT_LIMIT, "3.1% of the pixels"),
        (SIZE * SIZE, float("nan"), "100.0% of the pixels"),
        (8, -1000.0, "a mean Jaccard of 0.9"),
    ],
)
def test_another_network_is_refused(
    segmenter_info: SegmenterInfo, tmp_path: Path, pixels: int, by: float, said: str
) -> None:
    module = DriftingFinder(pixels, by).eval()
    with pytest.raises(CheckFailedError, match="the exported network differs") as caught:
        export_parts(
            tmp_path / "bundle",
            segmenter=SegmenterPart(module, segmenter_info, some_photos(9, seed=4)),
        )
    assert said in caught.value.problem
    assert not list(tmp_path.iterdir())


def test_a_few_pixels_may_differ_and_are_recorded(
    segmenter_info: SegmenterInfo, tmp_path: Path
) -> None:
    module = DriftingFinder(4, 2 * LOGIT_LIMIT).eval()
    part = SegmenterPart(module, segmenter_info, some_photos(9, seed=4))
    parity = export_parts(tmp_path / "bundle", segmenter=part).parity.segmenter
    assert parity is not None
    assert parity.fp32.beyond_limit == pytest.approx(4 / SIZE**2)
    assert parity.fp32.largest_logit_difference == pytest.approx(2 * LOGIT_LIMIT, rel=0.01)


def test_no_check_photo_is_refused(segmenter_info: SegmenterInfo, tmp_path: Path) -> None:
    part = SegmenterPart(Finder().eval(), segmenter_info, some_photos(0, seed=4))
    with pytest.raises(InputError, match="there are no check photos"):
        export_parts(tmp_path / "bundle", segmenter=part)


def test_a_segmentation_run_is_exported(
    segmenter_run: SegmenterRun, photos: list[Path], tmp_path: Path
) -> None:
    export_run(segmenter_run.folder, tmp_path / "bundle", check_photos=photos[:8])
    segmenter = Segmenter.load(tmp_path / "bundle", threads=2)
    masks = [found.mask for found in segment_photos(segmenter, photos)]
    expected = list(predict_masks(segmenter_run, photos))
    assert {mask.shape for mask in masks} == {(100, 120)}
    shares = np.array([mask.mean() for mask in expected])
    assert ((shares > 0.02) & (shares < 0.9)).mean() > 0.5  # else agreement says nothing
    apart = [(ours != theirs).mean() for ours, theirs in zip(masks, expected, strict=True)]
    assert max(apart) < 1e-3


def test_a_run_on_the_lesion_brings_its_segmenter(
    lesion_run: Path, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, compared = tmp_path / "bundle", []

    def spy(module: nn.Module, pixels: NDArray[np.uint8], settings: Preprocessing) -> object:
        compared.append(pixels)
        return reference_logits(module, pixels, settings)

    monkeypatch.setattr(bundle, "reference_logits", spy)
    export_run(lesion_run, out, calibration_photos=photos[:8], check_photos=photos[8:])
    predictor = Predictor.load(out, model="fp32")
    read = [predictor.read(photo) for photo in photos]
    pixels = np.stack([seen for seen, _ in read])
    assert pixels.shape == (20, SIZE, SIZE, 4)
    of_classifier = next(seen for seen in compared if seen.shape[3] == 4)
    assert np.abs(of_classifier.astype(int) - pixels[8:]).mean() < 0.1
    assert [reason for _, reason in read].count(None) > 10
    expected = run_logits(load_run(lesion_run), photos)
    gap = np.abs(predictor.logits(pixels) - expected).max()
    assert gap < 0.02 * expected.std(axis=0).min()
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "the lesion's mask is a fourth channel, as the segmenter below finds it" in card


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
