"""Batch normalisation over several workers is that of one over all photos."""

import copy
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cutis.errors import RecipeError
from cutis.models.timm_library import timm_library
from cutis.scale.batch_norm import SharedBatchNorm, shared_statistics


class Meeting:
    """Threads that add up their tensors."""

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count, timeout=20)
        self._brought: list[Tensor] = [torch.empty(0)] * count

    def total_of(self, number: int) -> Callable[[Tensor], Tensor]:
        def total(values: Tensor) -> Tensor:
            self._brought[number] = values.clone()
            self._barrier.wait()
            summed = torch.stack(self._brought).sum(0)
            self._barrier.wait()
            return summed

        return total


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU6(), nn.Conv2d(4, 4, 3, groups=4),
        nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 8 * 8, 2),
    )  # fmt: skip


def summed_loss(model: nn.Module, photos: Tensor) -> Tensor:
    answers = torch.arange(len(photos)) % 2
    return functional.cross_entropy(model(photos), answers, reduction="sum")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_and_statistics_are_those_of_one(layout: torch.memory_format) -> None:
    photos = torch.randn(7, 3, 12, 12).contiguous(memory_format=layout)
    parts = [slice(0, 4), slice(4, 7)]  # the second begins with an even number too
    one, several = network().train(), [network().train() for _ in parts]
    summed_loss(one, photos).backward()
    meeting = Meeting(len(parts))

    def work(number: int) -> None:
        with shared_statistics(several[number], meeting.total_of(number)):
            summed_loss(several[number], photos[parts[number]]).backward()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, parameter in one.named_parameters():
        found = sum(model.get_parameter(name).grad for model in several)
        assert torch.allclose(found, parameter.grad, atol=1e-5), name
    for name, buffer in one.named_buffers():
        for model in several:
            assert torch.allclose(model.get_buffer(name), buffer, atol=1e-6), name
            assert model.get_buffer(name).dtype == buffer.dtype


def test_frozen_layers_stay_and_all_are_given_back() -> None:
    model = network().train()
    model[1].requires_grad_(False)
    with shared_statistics(model, lambda values: values):
        assert [type(model[n]) for n in (1, 4)] == [nn.BatchNorm2d, SharedBatchNorm]
    assert [type(model[n]) for n in (1, 4)] == [nn.BatchNorm2d] * 2
    assert "total" not in vars(model[4])
    copy.deepcopy(model)


def test_in_evaluation_it_is_as_any_other() -> None:
    model, photos = network().eval(), torch.randn(2, 3, 12, 12)
    expected = model(photos)
    with shared_statistics(model, lambda values: values.fill_(torch.nan)):
        assert torch.equal(model(photos), expected)


def test_the_layer_of_timm_keeps_its_activation() -> None:
    layer = timm_library().layers.BatchNormAct2d(3).train()
    photos = torch.randn(4, 3, 5, 5)
    expected = layer(photos)
    with shared_statistics(layer, lambda values: values):
        assert torch.allclose(layer(photos), expected, atol=1e-6)
    assert expected.min() == 0


def test_an_unknown_kind_is_refused() -> None:
    with (
        pytest.raises(RecipeError, match=r"BatchNorm1d.*\n(.*\n)*.*--workers 1"),
        shared_statistics(nn.Sequential(nn.BatchNorm1d(3)), lambda values: values),
    ):
        pass
