"""Placing a network: what computes faster must answer as before."""

import copy

import pytest
import torch
from torch import nn

from cutis.models.mobilenet_v2 import MobileNetV2
from cutis.records import Preprocessing
from cutis.training.backend import Backend, StridedDepthwise


def placed(network: nn.Module) -> Backend:
    backend = Backend("bfloat16", Preprocessing(size=32))
    if backend.device.type != "cpu":
        pytest.skip("only processors compute these in float32")
    backend.place(network)
    return backend


def test_strided_depthwise_convolutions_keep_their_weights() -> None:
    network = MobileNetV2(0.35)
    before = copy.deepcopy(network.state_dict())
    placed(network)
    changed = [module for module in network.modules() if isinstance(module, StridedDepthwise)]
    # the four of MobileNetV2's blocks that halve the map by a depthwise convolution
    assert [module.stride for module in changed] == [(2, 2)] * 4
    assert list(network.state_dict()) == list(before)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_gradients_are_those_of_float32() -> None:
    plain = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
    fast = nn.Sequential(copy.deepcopy(plain))
    backend = placed(fast)
    photos = torch.randn(4, 8, 10, 10)
    plain(photos).square().sum().backward()
    with backend.autocast():
        answer = fast(photos)
    answer.square().sum().backward()
    assert answer.dtype == torch.float32
    torch.testing.assert_close(fast[0].weight.grad, plain.weight.grad)


def test_without_gradients_the_lower_format_stays() -> None:
    fast = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8))
    backend = placed(fast)
    with torch.no_grad(), backend.autocast():
        assert fast(torch.randn(2, 8, 10, 10)).dtype == torch.bfloat16


def test_float32_training_leaves_the_network_as_it_is() -> None:
    network = MobileNetV2(0.35)
    Backend("float32", Preprocessing(size=32)).place(network)
    assert not [module for module in network.modules() if isinstance(module, StridedDepthwise)]
