"""Pretrained weights: files of both naming schemes, and what goes wrong with them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cutis.errors import InputError
from cutis.models.checkpoint import load_backbone, weights_licence
from cutis.models.mobilenet_v2 import MobileNetV2
from cutis.models.timm_library import timm_library


def test_reads_a_file_with_our_names_and_leaves_its_classifier(tmp_path: Path) -> None:
    source, target = MobileNetV2(0.35), MobileNetV2(0.35)
    state = source.state_dict() | {"classifier.1.weight": torch.zeros(1000, 1280)}
    save_file(state, tmp_path / "w.safetensors")
    load_backbone(target, str(tmp_path / "w.safetensors"))
    assert torch.equal(target.features[5].conv[2].weight, source.features[5].conv[2].weight)


def test_none_keeps_the_random_weights() -> None:
    backbone = MobileNetV2(0.35)
    before = backbone.features[0][0].weight.clone()
    load_backbone(backbone, "none")
    assert torch.equal(before, backbone.features[0][0].weight)


def test_refuses_weights_of_another_width(tmp_path: Path) -> None:
    save_file(MobileNetV2(0.5).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="do not fit the network"):
        load_backbone(MobileNetV2(0.35), str(tmp_path / "w.safetensors"))


def test_says_when_the_file_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such weights file"):
        load_backbone(MobileNetV2(0.35), str(tmp_path / "absent.safetensors"))
    (tmp_path / "bad.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(InputError, match="cannot be read"):
        load_backbone(MobileNetV2(0.35), str(tmp_path / "bad.safetensors"))


def test_unreachable_hub_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refuse(*_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(InputError, match="could not be downloaded") as caught:
        load_backbone(MobileNetV2(), "imagenet")
    assert "--weights FILE" in str(caught.value)


def test_imagenet_weights_exist_for_the_full_width_only() -> None:
    with pytest.raises(InputError, match="no pretrained weights for this backbone"):
        load_backbone(MobileNetV2(0.35), "imagenet")


def test_the_licence_is_that_of_the_start_weights() -> None:
    backbone = MobileNetV2()
    assert weights_licence(backbone, "imagenet") == "Apache-2.0"
    assert weights_licence(backbone, "none") is None
    assert weights_licence(backbone, "w.safetensors") == "not known, from a file"


def test_timm_weights_give_timm_output(tmp_path: Path) -> None:
    theirs = timm_library().create_model("mobilenetv2_050", pretrained=False).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    save_file(theirs.state_dict(), tmp_path / "timm.safetensors")
    ours = MobileNetV2(0.5).eval()
    load_backbone(ours, str(tmp_path / "timm.safetensors"))
    photo = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        difference = (ours(photo) - theirs.forward_features(photo)).abs().max()
    assert difference < 1e-4


@pytest.mark.real
def test_reads_the_weights_of_the_data_folder(real_data: Path) -> None:
    backbone = MobileNetV2().eval()
    load_backbone(backbone, str(real_data / "weights" / "mobilenet_v2_imagenet.safetensors"))
    with torch.inference_mode():
        features = backbone(torch.zeros(1, 3, 224, 224))
    assert 0 < features.mean() < 6
