"""The CNN of sene-2024 as a backbone, and backbones that take a mask as a fourth channel."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cutis.errors import InputError, RecipeError
from cutis.models.backbone import count_parameters
from cutis.models.checkpoint import load_backbone
from cutis.models.lesion_cnn import LesionCnn
from cutis.models.registry import build_backbone, build_classifier

OURS = ["mobilenet_v2_035", "small_cnn", "lesion_cnn"]


def test_has_the_papers_layers() -> None:
    with torch.device("meta"):
        model = build_classifier("lesion_cnn", 7, size=224, hidden=(64, 64, 16, 16))
    # By hand: convolutions 10,144 + 55,424 + 221,440; dense layers 28 x 28 x 128 x 64 + 64,
    # 64 x 64 + 64, 64 x 16 + 16, 16 x 16 + 16, 16 x 7 + 7
    dense = 6_422_528 + 64 + 4_160 + 1_040 + 272 + 119
    assert count_parameters(model.backbone) == 10_144 + 55_424 + 221_440
    assert count_parameters(model.head) == dense


def test_layers_train_from_keras_index() -> None:
    backbone = LesionCnn((4, 8, 16))
    names = [name for name, _ in backbone.keras_layers()]
    assert names == [
        "input_1",
        "block1_conv1", "block1_conv2", "block1_pool",
        "block2_conv1", "block2_conv2", "block2_pool",
        "block3_conv1", "block3_conv2", "block3_pool",
    ]  # fmt: skip
    backbone.train_from(8)  # the last convolution: 16 filters of 3 x 3 x 16, and their biases
    assert count_parameters(backbone, trainable_only=True) == 2_304 + 16
    backbone.train_from(0)
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_the_dense_layers_see_every_place() -> None:
    torch.manual_seed(0)
    model = build_classifier("lesion_cnn", 7, size=32, hidden=(8,)).eval()
    photo = torch.rand(1, 3, 32, 32)
    assert model.backbone(photo).shape == (1, 128, 4, 4)
    assert not model.head.pooled_input
    with torch.inference_mode():
        features = model.backbone(photo)
        assert model.head(features).shape == (1, 7)
        assert not torch.allclose(model.head(features), model.head(features.flip(3)))


def test_weights_are_he_normal() -> None:
    torch.manual_seed(0)
    model = build_classifier("lesion_cnn", 7, size=32, hidden=(64, 64))
    last = [layer for layer in model.backbone.features if isinstance(layer, torch.nn.Conv2d)][-1]
    dense = model.head.layers[0]
    for layer, inputs in ((last, 128 * 9), (dense, 128 * 16)):
        assert layer.weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.05)
        # a normal distribution has a twentieth beyond two deviations, a uniform one nothing
        beyond = (layer.weight.abs() > 2 * layer.weight.std()).float().mean().item()
        assert beyond == pytest.approx(0.0455, rel=0.15)
        assert not layer.bias.any()


@pytest.mark.parametrize("name", OURS)
def test_a_mask_tells_nothing_before_training(name: str) -> None:
    torch.manual_seed(0)
    three = build_classifier(name, 3, size=32)
    torch.manual_seed(0)
    four = build_classifier(name, 3, size=32, channels=4)
    photos, mask = torch.randn(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    logits = four(torch.cat([photos, mask], dim=1))
    torch.testing.assert_close(logits, three(photos))
    logits.square().sum().backward()
    first = next(m for m in four.modules() if isinstance(m, torch.nn.Conv2d))
    assert not first.weight[:, 3].any()
    assert first.weight.grad[:, 3].any()


@pytest.mark.parametrize("name", OURS)
def test_weights_for_photos_fill_three_of_four_channels(name: str, tmp_path: Path) -> None:
    source = build_backbone(name)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    target = build_backbone(name, channels=4)
    first = next(n for n, v in target.state_dict().items() if v.ndim == 4)
    torch.nn.init.ones_(target.get_parameter(first))
    load_backbone(target, str(tmp_path / "w.safetensors"))
    for tensor, value in source.state_dict().items():
        taken = target.state_dict()[tensor]
        assert torch.equal(taken[:, :3] if tensor == first else taken, value)
    assert not target.get_parameter(first)[:, 3].any()
    # what has four channels is taken as it is
    torch.nn.init.ones_(target.get_parameter(first))
    save_file(target.state_dict(), tmp_path / "w4.safetensors")
    again = build_backbone(name, channels=4)
    load_backbone(again, str(tmp_path / "w4.safetensors"))
    assert again.get_parameter(first)[:, 3].all()
    # and there is no place for the fourth where there are three
    with pytest.raises(InputError, match="do not fit the network"):
        load_backbone(source, str(tmp_path / "w4.safetensors"))


def test_a_network_of_timm_takes_no_mask() -> None:
    with pytest.raises(RecipeError, match="takes photos only") as caught:
        build_classifier("timm/test_efficientnet", 2, size=64, channels=4)
    assert "input.lesion=crop" in str(caught.value)
    with pytest.raises(RecipeError, match="there is no backbone"):
        build_classifier("timm/nothing", 2, channels=4)
