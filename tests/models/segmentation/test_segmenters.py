"""Segmenters: the same promises for every network of the registry, and their papers' figures."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from cutis.data.synthetic import draw_lesion
from cutis.errors import RecipeError
from cutis.models.checkpoint import load_backbone
from cutis.models.mobilenet_v2 import MobileNetV2
from cutis.models.segmentation import SEGMENTERS, Segmenter, build_segmenter
from cutis.models.segmentation.attention_unet import AttentionGate, AttentionUNet
from cutis.models.segmentation.enet import pool, unpool

SIZE = 64
FILTERS = 8
STEPS = 12


class Trained(NamedTuple):
    """A small network after STEPS steps, and the loss before each."""

    network: Segmenter
    losses: list[float]


@pytest.fixture(scope="module")
def drawn() -> tuple[Tensor, Tensor]:
    """Eight drawn lesions, (8, 3, SIZE, SIZE), and their masks as 0 and 1, (8, 1, SIZE, SIZE)."""
    pairs = [draw_lesion("nv", seed, width=SIZE, height=SIZE) for seed in range(8)]
    photos = torch.from_numpy(np.stack([rgb for rgb, _ in pairs])).permute(0, 3, 1, 2)
    masks = torch.from_numpy(np.stack([mask for _, mask in pairs])).unsqueeze(1)
    return photos.float() / 127.5 - 1, masks.float()


@pytest.fixture(scope="module", params=SEGMENTERS)
def trained(request: pytest.FixtureRequest, drawn: tuple[Tensor, Tensor]) -> Trained:
    """As the loop trains on a CPU: channels-last, in bfloat16."""
    torch.manual_seed(0)
    network = build_segmenter(request.param, filters=FILTERS)
    network.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(STEPS):
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(drawn[0])
        assert logits.dtype == torch.bfloat16
        loss = functional.binary_cross_entropy_with_logits(logits.float(), drawn[1])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return Trained(network, losses)


def test_learns_drawn_lesions(trained: Trained) -> None:
    assert trained.losses[-1] < 0.8 * trained.losses[0]


def test_gradient_reaches_every_parameter(trained: Trained) -> None:
    still = [n for n, p in trained.network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("shape", [(64, 64), (32, 96), (128, 64)])
def test_logits_have_the_photos_size(trained: Trained, shape: tuple[int, int]) -> None:
    with torch.inference_mode():
        logits = trained.network.eval()(torch.zeros(2, 3, *shape))
    assert logits.shape == (2, 1, *shape)


def test_refuses_a_size_that_does_not_divide(trained: Trained) -> None:
    stride = trained.network.stride
    with pytest.raises(RecipeError, match=r"cannot take photos of 64x100 pixels") as caught:
        trained.network(torch.zeros(1, 3, 100, 64))
    assert f"multiples of {stride}" in str(caught.value)
    assert f"input.size=64 or input.size={64 + stride}" in str(caught.value)


def test_an_answer_depends_on_one_photo_alone(
    trained: Trained, drawn: tuple[Tensor, Tensor]
) -> None:
    network = trained.network.eval()
    with torch.inference_mode():
        alone, among = network(drawn[0][:1]), network(drawn[0])[:1]
        # kernels round by the batch; a statistic over the batch would change far more
        torch.testing.assert_close(alone, among, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # By hand: 31,031,745 weights and biases with one answer and photos in colour; each of the
        # 18 convolutions that is normalised has a factor and a shift instead of its bias.
        ("unet", 31_031_745 + 2 * (64 + 128 + 256 + 512 + 1024 + 512 + 256 + 128 + 64)),
        # By hand: blocks down 4,712,224; gates 2,352,484; blocks up 3,134,400; answer 33.
        ("attention_unet", 4_712_224 + 2_352_484 + 3_134_400 + 33),
    ],
)
def test_parameters_are_those_counted_by_hand(name: str, parameters: int) -> None:
    assert _parameters(name) == parameters


def test_parameters_are_the_papers() -> None:
    # Huang et al. 2020, table 1: U-Net 3+ without deep supervision
    assert _parameters("unet3plus") == pytest.approx(26.97e6, rel=0.001)
    # Paszke et al. 2016, table 3, with 20 classes: 19 more answers of 16 x 2 x 2 weights and a bias
    assert _parameters("enet") + 19 * 65 == pytest.approx(0.37e6, rel=0.02)


def test_the_light_network_is_light() -> None:
    # Keras's 2,223,872 without the last convolution and its normalisation, and the decoder
    encoder = 2_223_872 - 320 * 1280 - 2 * 1280
    assert encoder < _parameters("mobilenet_unet") < encoder + 0.1e6


def _parameters(name: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build_segmenter(name).parameters())


def test_the_encoder_takes_the_weights_of_a_classifier(tmp_path: Path) -> None:
    weights = MobileNetV2()
    save_file(weights.state_dict(), tmp_path / "w.safetensors")
    network = build_segmenter("mobilenet_unet")
    assert network.encoder is not None
    load_backbone(network.encoder, str(tmp_path / "w.safetensors"))
    taken = network.encoder.state_dict()
    assert len(taken) == len(weights.state_dict()) - 6
    assert all(torch.equal(value, weights.state_dict()[name]) for name, value in taken.items())
    assert network.encoder.keras_layers()[-1][0] == "block_16_project_BN"
    assert build_segmenter("unet", filters=4).encoder is None


def test_gates_weaken_the_skip() -> None:
    torch.manual_seed(0)
    gate = AttentionGate(6, 4).eval()  # whose normalisation changes nothing yet
    coarse, skip = torch.randn(2, 6, 4, 6), torch.randn(2, 4, 8, 12)
    weights = gate.coefficients(coarse, skip)
    assert weights.shape == (2, 1, 8, 12)
    assert 0 < weights.min() < weights.max() < 1
    torch.testing.assert_close(gate(coarse, skip), weights * skip, rtol=1e-4, atol=1e-4)
    nn.init.constant_(gate.weight.bias, -30)
    assert gate(coarse, skip).abs().max() < 1e-6
    nn.init.constant_(gate.weight.bias, 30)
    torch.testing.assert_close(gate(coarse, skip), skip, rtol=1e-4, atol=1e-4)


def test_closed_gates_leave_what_the_coarsest_map_knows() -> None:
    torch.manual_seed(0)
    network = AttentionUNet(4).eval()
    for gate in network.gates:
        nn.init.constant_(gate.weight.bias, -30)
    photos = torch.randn(2, 3, 32, 32)
    coarse = network.down[-1].register_forward_hook(lambda *_: torch.ones(2, 64, 2, 2))
    with torch.inference_mode():
        first, second = network(photos)
        torch.testing.assert_close(first, second)
        coarse.remove()
        first, second = network(photos)
        assert not torch.allclose(first, second)


def test_pooling_comes_back_as_torch_does_it() -> None:
    torch.manual_seed(0)
    # few values, so that windows have equal ones
    features = torch.randint(-1, 2, (2, 3, 8, 12)).float()
    values, indices = functional.max_pool2d(features, 2, return_indices=True)
    pooled = pool(features)
    torch.testing.assert_close(pooled.values, values)
    smaller = torch.randn_like(values)
    expected = functional.max_unpool2d(smaller, indices, 2)
    torch.testing.assert_close(unpool(smaller, pooled.places), expected)


def test_an_unknown_name_gets_the_nearest_spelling() -> None:
    with pytest.raises(RecipeError, match="there is no segmenter 'unet3plu'") as caught:
        build_segmenter("unet3plu")
    assert "did you mean 'unet3plus'" in str(caught.value)
    with pytest.raises(RecipeError, match="there is no segmenter 'vnet'") as caught:
        build_segmenter("vnet")
    assert "attention_unet" in str(caught.value)


def test_filters_that_enet_cannot_divide_are_refused() -> None:
    with pytest.raises(RecipeError, match="cannot have 6 filters"):
        build_segmenter("enet", filters=6)
