"""Attention blocks: their formulas, their start, and heads that have one."""

import pytest
import torch
from torch import Tensor, nn

from cutis.models.attention import ConvolutionalAttention, SqueezeExcitation
from cutis.models.backbone import count_parameters
from cutis.models.heads import ClassifierHead
from cutis.records import HeadInfo

BLOCKS = (SqueezeExcitation, ConvolutionalAttention)


@pytest.fixture
def features() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 32, 4, 5)


def randomised(block: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_()
    return block


@pytest.mark.parametrize("block", BLOCKS)
def test_starts_as_one_factor_for_the_whole_map(block: type[nn.Module], features: Tensor) -> None:
    gates = 1 if block is SqueezeExcitation else 2
    factor = torch.sigmoid(torch.tensor(2.0)) ** gates
    torch.testing.assert_close(block(32)(features), factor * features)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_parameter_learns(block: type[nn.Module], features: Tensor) -> None:
    attention = randomised(block(32))
    attention(features).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in attention.parameters())


def test_squeeze_and_excitation_is_that_of_the_paper(features: Tensor) -> None:
    block = randomised(SqueezeExcitation(32, reduction=16))
    narrow, _, wide = block.excite
    assert narrow.weight.shape == (2, 32)
    hidden = torch.relu(features.mean(dim=(2, 3)) @ narrow.weight.T + narrow.bias)
    gate = torch.sigmoid(hidden @ wide.weight.T + wide.bias)
    torch.testing.assert_close(block(features), features * gate[..., None, None])


def test_cbam_weights_channels_then_places(features: Tensor) -> None:
    block = randomised(ConvolutionalAttention(32))
    mean, largest = features.flatten(2).mean(2), features.flatten(2).max(2).values
    channel = torch.sigmoid(block.excite(mean) + block.excite(largest))[..., None, None]
    weighted = features * channel
    both = torch.stack([weighted.mean(1), weighted.max(1).values], dim=1)
    place = torch.sigmoid(nn.functional.conv2d(both, block.place.weight, block.place.bias, 1, 3))
    torch.testing.assert_close(block(features), weighted * place)


@pytest.mark.parametrize(("attention", "more"), [("none", 0), ("se", 162), ("cbam", 261)])
def test_a_head_holds_the_block_that_it_names(attention: str, more: int) -> None:
    # 32 channels: 32*2+2 + 2*32+32 for the bottleneck, 2*49+1 for the 7x7 convolution
    plain, head = ClassifierHead(32, 3), ClassifierHead(32, 3, attention=attention)
    assert count_parameters(head) - count_parameters(plain) == more


def test_only_a_head_without_attention_takes_pooled_features(features: Tensor) -> None:
    pooled = features.mean(dim=(2, 3), keepdim=True)
    plain = ClassifierHead(32, 3).eval()
    assert plain.pooled_input
    torch.testing.assert_close(plain(features), plain(pooled))
    head = ClassifierHead(32, 3, attention="cbam").eval()
    randomised(head)
    assert not head.pooled_input
    assert (head(features) - head(pooled)).abs().max() > 1e-3


def test_runs_from_before_attention_can_be_read() -> None:
    assert HeadInfo.model_validate({"hidden": [128], "sigmoid": True}).attention == "none"
    assert not any("attention" in name for name in ClassifierHead(8, 2).state_dict())
