"""Backbones of timm: the same promises as our own, over families of different forms."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cutis.errors import InputError, RecipeError
from cutis.export.onnx import write_onnx
from cutis.models.backbone import count_parameters, follow_trainable_flags
from cutis.models.checkpoint import load_backbone, weights_licence
from cutis.models.registry import build_backbone, build_classifier
from cutis.models.timm_backbone import TimmBackbone, create
from cutis.preprocessing import normalise
from cutis.recipes.schema import Stage
from cutis.records import Preprocessing
from cutis.runtime.network import Network
from cutis.training.stages import apply_trainable

SIZE = 64
KERAS = Path(__file__).with_name("keras_layers.json")


class BackboneTester:
    """What training, runs and export ask of a backbone."""

    name: str
    channels: int
    side: int  # of the feature map of a photo of SIZE pixels

    @pytest.fixture(scope="class")
    @classmethod
    def backbone(cls) -> TimmBackbone:
        backbone = build_backbone(cls.name, SIZE)
        assert isinstance(backbone, TimmBackbone)
        return backbone

    def test_gives_a_feature_map(self, backbone: TimmBackbone) -> None:
        features = backbone(torch.randn(2, 3, SIZE, SIZE))
        assert features.shape == (2, self.channels, self.side, self.side)
        assert backbone.channels == self.channels

    def test_every_parameter_has_a_part_in_the_map(self, backbone: TimmBackbone) -> None:
        backbone.train_from(0)
        backbone.eval()(torch.randn(2, 3, SIZE, SIZE)).sum().backward()
        assert [n for n, p in backbone.named_parameters() if p.grad is None] == []

    def test_layers_train_from_an_index_on(self, backbone: TimmBackbone) -> None:
        layers = backbone.keras_layers()
        assert all(module is not None for _, module in layers)
        backbone.train_from(len(layers))
        assert count_parameters(backbone, trainable_only=True) == 0
        backbone.train_from(len(layers) - 1)
        last = layers[-1][1]
        assert last is not None
        assert count_parameters(backbone, trainable_only=True) == sum(
            p.numel() for p in last.parameters(recurse=False)
        )
        backbone.train_from(0)
        everything = sum(p.numel() for p in backbone.parameters())
        assert count_parameters(backbone, trainable_only=True) == everything

    def test_frozen_normalisation_keeps_its_statistics(self, backbone: TimmBackbone) -> None:
        backbone.train_from(len(backbone.keras_layers()))
        before = {n: b.clone() for n, b in backbone.named_buffers()}
        backbone.train()
        follow_trainable_flags(backbone)
        backbone(torch.randn(2, 3, SIZE, SIZE))
        assert all(torch.equal(b, before[n]) for n, b in backbone.named_buffers())

    def test_comes_back_from_its_weights(self, backbone: TimmBackbone, tmp_path: Path) -> None:
        save_file(backbone.state_dict(), tmp_path / "w.safetensors")
        again = build_backbone(self.name, SIZE)
        again.load_state_dict(load_file(tmp_path / "w.safetensors"))
        photos = torch.randn(2, 3, SIZE, SIZE)
        with torch.inference_mode():
            assert torch.equal(backbone.eval()(photos), again.eval()(photos))

    def test_takes_weights_in_timms_names(self, backbone: TimmBackbone, tmp_path: Path) -> None:
        theirs = create(backbone.architecture, SIZE)
        save_file(theirs.state_dict(), tmp_path / "w.safetensors")
        ours = build_backbone(self.name, SIZE)
        load_backbone(ours, str(tmp_path / "w.safetensors"))
        taken = ours.features[0].network.state_dict()
        assert taken
        assert all(torch.equal(v, theirs.state_dict()[n]) for n, v in taken.items())

    def test_exports(self, backbone: TimmBackbone, tmp_path: Path) -> None:
        model = build_classifier(self.name, 3, size=SIZE, attention="cbam").eval()
        with torch.no_grad():
            model.head.attention.place.weight.normal_()
        write_onnx(model, SIZE, tmp_path / "model.onnx")
        settings = Preprocessing(size=SIZE)
        photos = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)
        exported = Network((tmp_path / "model.onnx").read_bytes(), settings).logits(photos)
        with torch.inference_mode():
            expected = model(torch.from_numpy(normalise(photos, settings))).numpy()
        np.testing.assert_allclose(exported, expected, atol=1e-4)


class TestEfficientNet(BackboneTester):
    """A convolutional network with batch normalisation."""

    name, channels, side = "timm/test_efficientnet", 256, 2


class TestConvNeXt(BackboneTester):
    """Layer normalisation, the last one behind the pooling; blocks with parameters of their own."""

    name, channels, side = "timm/test_convnext", 64, 2


class TestVisionTransformer(BackboneTester):
    """Tokens with a class token, built for one input size (its own is 160)."""

    name, channels, side = "timm/test_vit", 64, 4


def test_channels_last_maps_are_turned() -> None:
    with torch.device("meta"):
        backbone = build_backbone("timm/swin_tiny_patch4_window7_224", SIZE)
        assert backbone(torch.zeros(2, 3, SIZE, SIZE)).shape == (2, 768, 2, 2)


@pytest.mark.parametrize(
    ("name", "keras", "trainable"),
    # from Keras 3.15.1 as in test_mobilenet_v2.py; what is taken off are the biases of ResNet50's
    # convolutions, which timm's network does not have
    [
        ("vgg16", "VGG16", {0: 14_714_688, 9: 13_569_280}),
        ("resnet50", "ResNet50", {0: 23_534_592 - 26_560, 87: 21_362_176 - 20_992}),
    ],
)
def test_vgg_and_resnet_have_keras_numbers(
    name: str, keras: str, trainable: dict[int, int]
) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, SIZE)
    published = json.loads(KERAS.read_text("utf-8"))[keras]
    names = [layer for layer, _ in backbone.keras_layers()]
    assert len(names) == {"vgg16": 19, "resnet50": 175}[name]
    assert names[1:] == published[1:]
    for first, count in trainable.items():
        backbone.train_from(first)
        assert count_parameters(backbone, trainable_only=True) == count


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_the_papers_networks_can_be_cut_anywhere(name: str) -> None:
    backbone = build_backbone(name, 32).eval()
    photos = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        expected = backbone(photos)
        features = photos
        for part in backbone.chain():
            features = part(features)
    assert len(backbone.chain()) > 15
    torch.testing.assert_close(features, expected)


def test_can_be_built_where_gradients_are_off() -> None:
    with torch.inference_mode():
        backbone = build_backbone("timm/test_efficientnet", SIZE)
        assert backbone(torch.zeros(1, 3, SIZE, SIZE)).shape == (1, 256, 2, 2)


def test_refuses_an_index_beyond_the_last_layer() -> None:
    model = build_classifier("timm/test_efficientnet", 2, size=SIZE)
    layers = len(model.backbone.keras_layers())
    with pytest.raises(RecipeError, match=f"the backbone has {layers}"):
        apply_trainable(model, Stage(epochs=1, trainable=f"last {layers + 1}"))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("mobilenet_v22", "did you mean 'mobilenet_v2'"),
        ("resnet18", "did you mean 'timm/resnet18'"),
        ("mobilenet_v3", "did you mean 'timm/mobilenetv3_"),
        ("timm/resnett50", "did you mean 'timm/resnet50'"),
        ("timm/resnet50.of_nobody", "did you mean 'timm/resnet50'"),
        ("bit", "see `cutis models '*bit*'`"),
    ],
)
def test_an_unknown_backbone_gets_the_nearest_spelling(wrong: str, hint: str) -> None:
    with pytest.raises(RecipeError, match="there is no backbone") as caught:
        build_backbone(wrong)
    assert hint in str(caught.value)


def test_a_network_of_one_size_says_which() -> None:
    with pytest.raises(RecipeError, match="no feature map of a photo of 69 pixels") as caught:
        build_backbone("timm/test_vit", SIZE + 5)
    assert "should be divisible by patch size" in str(caught.value)
    assert "set input.size=160" in str(caught.value)


def test_a_network_without_a_single_map_is_refused() -> None:
    with torch.device("meta"), pytest.raises(RecipeError, match="choose another backbone"):
        build_backbone("timm/coat_tiny", 224)


def test_refuses_weights_of_another_network(tmp_path: Path) -> None:
    backbone = build_backbone("timm/test_efficientnet", SIZE)
    before = {n: v.clone() for n, v in backbone.state_dict().items()}
    path = tmp_path / "w.safetensors"
    save_file(create("test_convnext", SIZE).state_dict(), path)
    with pytest.raises(InputError, match="matrices or kernels are missing, the first network"):
        load_backbone(backbone, str(path))
    wider = create("test_efficientnet", SIZE).state_dict()
    wider["conv_stem.weight"] = torch.zeros(99, 3, 3, 3)
    save_file(wider, path)
    with pytest.raises(InputError, match="some have another shape"):
        load_backbone(backbone, str(path))
    assert all(torch.equal(v, before[n]) for n, v in backbone.state_dict().items())


def test_pretrained_weights_come_from_the_hub_with_a_licence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    backbone = build_backbone("timm/test_efficientnet.r160_in1k", SIZE)
    with pytest.raises(InputError, match="could not be downloaded") as caught:
        load_backbone(backbone, "imagenet")
    assert "timm/test_efficientnet.r160_in1k on the Hugging Face hub" in str(caught.value)
    assert weights_licence(backbone, "imagenet") == "apache-2.0"
