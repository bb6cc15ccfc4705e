"""Cutting channels: the promised multiply-adds, what goes first, and what must stay as it is."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cutis.errors import InputError
from cutis.export.prune import ChannelGroups, magnitudes, measure_statistics, taylor
from cutis.models.complexity import multiply_adds
from cutis.models.registry import Classifier, build_classifier

SIZE = 32


def classifier(**shape: Any) -> Classifier:
    torch.manual_seed(0)
    model = build_classifier("mobilenet_v2_035", 2, **shape)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):  # as after training: no channel like another
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
    return model.eval()


def widths_of(model: Classifier) -> list[int]:
    modules = model.backbone.modules()
    return [m.out_channels for m in modules if isinstance(m, nn.Conv2d) and m.groups == 1]


def rebuilt(model: Classifier, **shape: Any) -> Classifier:
    small = build_classifier("mobilenet_v2_035", 2, widths=widths_of(model), **shape)
    small.load_state_dict(model.state_dict())
    return small.eval()


@pytest.mark.parametrize("share", [0.9, 0.5, 0.25])
def test_a_smaller_network_of_the_promised_multiply_adds(share: float) -> None:
    model = classifier()
    full, before = multiply_adds(model, SIZE), widths_of(model)
    groups = ChannelGroups(model, SIZE, 3)
    assert groups.multiply_adds(groups.sizes) == full
    groups.cut(magnitudes(groups), share)
    left, after = multiply_adds(model, SIZE), widths_of(model)
    assert share - 0.06 < left / full <= share
    assert all(a <= b for a, b in zip(after, before, strict=True))
    assert sum(after) < sum(before)
    assert {width % 8 for width in after} == {0}
    photos = torch.randn(4, 3, SIZE, SIZE)
    assert torch.equal(rebuilt(model)(photos), model(photos))


@pytest.mark.parametrize(
    "shape", [{"attention": "se"}, {"attention": "cbam"}, {"sigmoid": True}, {"hidden": (16,)},
              {"channels": 4}]
)  # fmt: skip
def test_every_head_and_input_can_be_cut(shape: dict[str, Any]) -> None:
    model = classifier(**shape)
    channels = shape.get("channels", 3)
    full = multiply_adds(model, SIZE, channels)
    groups = ChannelGroups(model, SIZE, channels)
    groups.cut(magnitudes(groups), 0.5)
    assert multiply_adds(model, SIZE, channels) <= 0.5 * full
    photos = torch.randn(4, channels, SIZE, SIZE)
    assert torch.equal(rebuilt(model, **shape)(photos), model(photos))
    # an attention block reads the last map as it was
    assert (model.backbone.features[-1][0].out_channels == 1280) == ("attention" in shape)  # type: ignore[index, union-attr]


def test_the_least_important_channels_go_first() -> None:
    model = classifier()
    groups = ChannelGroups(model, SIZE, 3)
    first = [norms[0].weight.detach().clone() for norms in groups.norms]
    torch.manual_seed(1)
    importance = [torch.rand(size) for size in groups.sizes]
    groups.cut(importance, 0.6)
    cut = 0
    for norms, values, ranks in zip(groups.norms, first, importance, strict=True):
        kept = len(norms[0].weight)
        cut += len(values) - kept
        important = ranks.argsort(descending=True)[:kept].sort().values
        assert torch.equal(norms[0].weight, values[important])
    assert cut > 100


def test_channels_that_do_nothing_are_found_and_cut() -> None:
    """Half of the hidden channels of every block give 0: without them the answers are the same."""
    model = classifier()
    for block in list(model.backbone.features)[2:-1]:
        depthwise = block.conv[1][1]  # type: ignore[index, union-attr]
        with torch.no_grad():
            depthwise.weight[::2] = 0
            depthwise.bias[::2] = 0
    photos, answers = torch.randn(16, 3, SIZE, SIZE), torch.arange(16) % 2
    before = model(photos).detach()
    groups = ChannelGroups(model, SIZE, 3)
    importance = taylor(groups, model, functional.cross_entropy, [(photos, answers)])
    idle = sum(int((values == 0).sum()) for values in importance)
    assert idle >= sum(groups.sizes) // 4
    full = multiply_adds(model, SIZE)
    groups.cut(importance, 0.8)
    assert multiply_adds(model, SIZE) <= 0.8 * full
    assert (model(photos) - before).abs().max() < 1e-5
    assert all(p.grad is None for p in model.parameters())


def test_taylor_is_the_squared_sum_over_the_normalisations_by_batches() -> None:
    model = classifier()
    groups = ChannelGroups(model, SIZE, 3)
    batches = [(torch.randn(4, 3, SIZE, SIZE), torch.tensor([0, 1, 0, 1])) for _ in range(2)]
    found = taylor(groups, model, functional.cross_entropy, batches)
    expected = [torch.zeros(size) for size in groups.sizes]
    for photos, answers in batches:
        loss = functional.cross_entropy(model(photos), answers)
        for total, norms in zip(expected, groups.norms, strict=True):
            for_norms: list[Tensor] = []
            for norm in norms:
                pair = torch.autograd.grad(loss, [norm.weight, norm.bias], retain_graph=True)
                for_norms.append(norm.weight * pair[0] + norm.bias * pair[1])
            total += torch.stack(for_norms).sum(0).square().detach()
    for values, total in zip(found, expected, strict=True):
        assert torch.allclose(values, total / total.mean(), rtol=1e-4, atol=1e-6)


def test_fewer_channels_for_a_smaller_share() -> None:
    shares, counts = (0.9, 0.7, 0.5, 0.3), []
    for share in shares:
        model = classifier()
        groups = ChannelGroups(model, SIZE, 3)
        groups.cut(magnitudes(groups), share)
        counts.append(sum(widths_of(model)))
    assert all(more > fewer for more, fewer in pairwise(counts))


def test_a_share_out_of_reach_is_refused_before_anything_is_cut() -> None:
    model = classifier()
    groups = ChannelGroups(model, SIZE, 3)
    before = widths_of(model)
    with pytest.raises(InputError, match=r"cannot be cut to 0\.01 .*\n.*at least 0\.\d+"):
        groups.cut(magnitudes(groups), 0.01)
    assert widths_of(model) == before
    least = groups.multiply_adds(groups.least()) / groups.multiply_adds(groups.sizes)
    groups.cut(magnitudes(groups), least + 1e-9)
    assert set(widths_of(model)) == {8}


def test_statistics_are_the_means_over_the_batches() -> None:
    model = classifier(dropout=0.5)
    batches = [(torch.randn(8, 3, SIZE, SIZE), torch.zeros(8)) for _ in range(3)]
    measure_statistics(model, batches)
    first = model.backbone.features[0]
    maps = [first[0](photos).detach() for photos, _ in batches]  # type: ignore[index, operator]
    norm = first[1]  # type: ignore[index]
    means = torch.stack([m.mean(dim=(0, 2, 3)) for m in maps]).mean(0)
    variances = torch.stack([m.var(dim=(0, 2, 3)) for m in maps]).mean(0)
    assert torch.allclose(norm.running_mean, means, atol=1e-5)  # type: ignore[union-attr, arg-type]
    assert torch.allclose(norm.running_var, variances, atol=1e-5)  # type: ignore[union-attr, arg-type]
    assert not model.training
