"""MobileNetV2: Keras's layers and parameter counts, frozen batch normalisation."""

import json
from pathlib import Path

import pytest
import torch

from cutis.errors import InputError
from cutis.models.backbone import count_parameters, follow_trainable_flags
from cutis.models.heads import ClassifierHead
from cutis.models.mobilenet_v2 import MobileNetV2
from cutis.models.registry import build_classifier
from cutis.models.small_cnn import SmallCnn

KERAS = Path(__file__).with_name("keras_layers.json")


@pytest.fixture(scope="module")
def base() -> MobileNetV2:
    return MobileNetV2()


def test_has_the_154_layers_of_keras_in_its_order(base: MobileNetV2) -> None:
    published = json.loads(KERAS.read_text("utf-8"))["MobileNetV2"]
    names = [name for name, _ in base.keras_layers()]
    assert len(names) == 154
    assert names[1:] == published[1:]  # Keras counts its input layers through a session
    assert names[124] == "block_13_project_BN"
    assert names[140] == "block_15_project"


def test_counts_parameters_as_keras_does(base: MobileNetV2) -> None:
    # keras.applications.MobileNetV2(weights=None, include_top=False).count_params(), Keras 3.15.1
    assert count_parameters(base) == 2_257_984
    # the same with include_top=True
    assert count_parameters(base) + count_parameters(torch.nn.Linear(1280, 1000)) == 3_538_984


@pytest.mark.parametrize(
    ("first", "trainable"),
    [(0, 2_223_872), (30, 2_204_336), (124, 1_526_400), (140, 1_040_000), (154, 0)],
)
def test_trainable_parameters_by_keras_index(base: MobileNetV2, first: int, trainable: int) -> None:
    # The sum of w.shape over model.trainable_weights of Keras 3.15.1 after setting
    # `layer.trainable = index >= first` for every layer of the model above.
    base.train_from(first)
    assert count_parameters(base, trainable_only=True) == trainable


def test_the_notebooks_frozen_model_has_keras_counts() -> None:
    # Keras 3.15.1: frozen base, GlobalAveragePooling2D, Dense(128), Dropout(0.3), Dense(1)
    model = build_classifier("mobilenet_v2", 2, hidden=(128,), dropout=0.3, sigmoid=True)
    model.backbone.train_from(154)
    assert count_parameters(model) == 2_422_081
    assert count_parameters(model, trainable_only=True) == 164_097


def test_sigmoid_head_answers_with_zero_and_z() -> None:
    head = ClassifierHead(8, 2, sigmoid=True)
    logits = head(torch.randn(3, 8, 2, 2))
    assert logits.shape == (3, 2)
    assert torch.equal(logits[:, 0], torch.zeros(3))


def test_frozen_batch_normalisation_is_in_inference_mode(base: MobileNetV2) -> None:
    base.train_from(140)
    base.train()
    follow_trainable_flags(base)
    norms = [m for _, m in base.keras_layers() if isinstance(m, torch.nn.BatchNorm2d)]
    assert [m.training for m in norms] == [False] * 47 + [True] * 5


def test_maps_a_photo_to_a_feature_map_a_thirty_second_of_its_side(base: MobileNetV2) -> None:
    base.eval()
    assert base(torch.zeros(1, 3, 64, 96)).shape == (1, 1280, 2, 3)


def test_small_network_numbers_its_layers_as_keras_would() -> None:
    small = SmallCnn(8)
    assert [name for name, _ in small.keras_layers()][:5] == [
        "input_1", "conv1", "conv1_bn", "conv1_relu", "conv2"]  # fmt: skip
    small.train_from(len(small.keras_layers()))
    assert count_parameters(small, trainable_only=True) == 0
    assert small(torch.zeros(1, 3, 96, 96)).shape == (1, 64, 6, 6)


def test_widths_of_its_own_make_the_same_network(base: MobileNetV2) -> None:
    modules = base.modules()
    widths = [m.out_channels for m in modules if isinstance(m, torch.nn.Conv2d) and m.groups == 1]
    again = MobileNetV2(widths=widths)
    assert (len(widths), again.channels, again.pretrained) == (35, 1280, None)
    again.load_state_dict(base.state_dict())
    photos = torch.randn(2, 3, 32, 32)
    assert torch.equal(again.eval()(photos), base.eval()(photos))
    assert again.keras_layers()[124][0] == "block_13_project_BN"


def test_equal_widths_make_no_shortcut_that_was_not_there() -> None:
    pruned = MobileNetV2(widths=[16] * 35)
    blocks = list(pruned.features)[1:-1]
    assert [block.shortcut for block in blocks].count(True) == 10  # type: ignore[union-attr]
    assert pruned.widths == (16,) * 35
    with pytest.raises(ValueError, match="34 widths for 35 convolutions"):
        MobileNetV2(widths=[16] * 34)


@pytest.mark.parametrize(
    ("name", "widths"),
    [("small_cnn", [16] * 35), ("mobilenet_v2", [16] * 7), ("mobilenet_v2", [16] * 34 + [0])],
)
def test_impossible_widths_are_refused(name: str, widths: list[int]) -> None:
    with pytest.raises(InputError, match=f"'{name}' cannot be built as pruned"):
        build_classifier(name, 2, widths=widths)
