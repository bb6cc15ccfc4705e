"""MobileNetV2: Keras's layers and parameter counts, frozen batch normalisation."""

import pytest
import torch

from cutis.models.backbone import count_parameters, follow_trainable_flags
from cutis.models.heads import ClassifierHead
from cutis.models.mobilenet_v2 import MobileNetV2
from cutis.models.small_cnn import SmallCnn


@pytest.fixture(scope="module")
def base() -> MobileNetV2:
    return MobileNetV2()


def test_has_the_154_layers_of_keras_in_its_order(base: MobileNetV2) -> None:
    names = [name for name, _ in base.keras_layers()]
    assert len(names) == 154
    assert names[:5] == ["input_1", "Conv1", "bn_Conv1", "Conv1_relu", "expanded_conv_depthwise"]
    assert names[9:18] == [f"block_1_{part}" for part in (
        "expand", "expand_BN", "expand_relu", "pad", "depthwise", "depthwise_BN",
        "depthwise_relu", "project", "project_BN")]  # fmt: skip
    assert names[124] == "block_13_project_BN"
    assert names[140] == "block_15_project"
    assert names[-3:] == ["Conv_1", "Conv_1_bn", "out_relu"]
    assert sum(name.endswith("_add") for name in names) == 10


def test_counts_parameters_as_keras_does(base: MobileNetV2) -> None:
    # keras.applications.MobileNetV2(include_top=False).summary(): total 2,257,984
    assert count_parameters(base) == 2_257_984


@pytest.mark.parametrize(
    ("first", "trainable"), [(0, 2_223_872), (124, 1_526_400), (140, 1_040_000), (154, 0)]
)
def test_trainable_parameters_by_keras_index(base: MobileNetV2, first: int, trainable: int) -> None:
    base.train_from(first)
    assert count_parameters(base, trainable_only=True) == trainable


def test_notebook_head_has_164097_parameters() -> None:
    head = ClassifierHead(1280, 2, hidden=(128,), dropout=0.3, sigmoid=True)
    assert count_parameters(head, trainable_only=True) == 164_097


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
