"""Whole channels cut out of a trained classifier, until it needs few enough multiply-adds.

Channels that an addition ties together, and all weights that make or read them, can only go
together: a group's channel. Torch-Pruning finds the groups and cuts them (Fang et al. 2023,
arXiv:2301.12900, section 3). Which channels go is said by their importance, ranked over the whole
network.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cutis.errors import InputError, MissingDependencyError
from cutis.models.registry import Classifier

Importance = Literal["taylor", "magnitude"]

Batches = Iterable[tuple[Tensor, Tensor]]
"""Normalised photos (batch, channels, size, size) and their diagnoses (batch,)."""

_MULTIPLE = 8
"""Kept channels are a multiple of it, as MobileNetV2's are: what processors compute at once."""

_TINY = 1e-30  # where the loss depends on no channel of a group


class ChannelGroups:
    """The channels of a classifier that can be cut, and what they cost.

    What a head with attention reads stays whole, and so do the dense layers.

    Attributes:
        sizes: channels of each group.
        norms: the batch normalisations of each group.
    """

    def __init__(self, model: Classifier, size: int, channels: int) -> None:
        """Takes the input's side in pixels and its channels; the model is cut in place."""
        pruning = _library()
        device = next(model.parameters()).device
        example = torch.zeros(1, channels, size, size, device=device)
        graph = pruning.DependencyGraph().build_dependency(model.eval(), example)
        kept = set(model.head.modules() if model.head.attention is not None else [])
        self.groups = [
            group
            for group in graph.get_all_groups(
                ignored_layers=[model.head.answer], root_module_types=[nn.Conv2d]
            )
            if kept.isdisjoint(_modules(group))
        ]
        self.sizes = [len(group[0].idxs) for group in self.groups]
        self.norms = [
            [module for module in _modules(group) if isinstance(module, nn.BatchNorm2d)]
            for group in self.groups
        ]
        self._costs = _costs(model, example)
        self._axes: dict[nn.Module, list[int]] = {module: [] for module in self._costs}
        for number, group in enumerate(self.groups):
            for module in _modules(group):
                if module in self._axes:  # once as what it makes, and once as what it reads
                    self._axes[module].append(number)

    def multiply_adds(self, kept: Sequence[int]) -> float:
        """Multiply-adds for one photo where so many channels of each group are kept."""
        shares = [count / size for count, size in zip(kept, self.sizes, strict=True)]
        return sum(
            cost * prod(shares[group] for group in self._axes[module])
            for module, cost in self._costs.items()
        )

    def least(self) -> list[int]:
        """The fewest channels that may be kept of each group."""
        return [min(size, _MULTIPLE) for size in self.sizes]

    def cut(self, importance: Sequence[Tensor], share: float) -> None:
        """Cuts the least important channels until the multiply-adds are at most the share.

        Args:
            importance: of the channels of each group, comparable between groups.

        Raises InputError for a share that cannot be reached.
        """
        target = share * self.multiply_adds(self.sizes)
        self.refuse_unreachable(share)
        limits = torch.cat(list(importance)).sort().values.tolist()
        first, last = 0, len(limits)
        while first < last:  # the lowest limit of importance that is enough
            middle = (first + last) // 2
            if self.multiply_adds(self._kept(importance, limits[middle])) <= target:
                last = middle
            else:
                first = middle + 1
        limit = limits[first] if first < len(limits) else torch.inf
        for group, values, count in zip(
            self.groups, importance, self._kept(importance, limit), strict=True
        ):
            gone = values.argsort(stable=True)[: len(values) - count].tolist()
            if gone:
                group.prune(gone)

    def refuse_unreachable(self, share: float) -> None:
        """Raises InputError for a share of the multiply-adds that no cutting reaches."""
        least = self.multiply_adds(self.least()) / self.multiply_adds(self.sizes)
        if least > share:
            raise InputError(
                f"the network cannot be cut to {share:g} of its multiply-adds",
                expected=f"a share of at least {least:.3f}: so much is left with the fewest "
                "channels in every layer",
                fix="give a larger share, or train a smaller backbone, such as mobilenet_v2_035",
            )

    def _kept(self, importance: Sequence[Tensor], limit: float) -> list[int]:
        """Channels to keep of each group: the important ones, up to the next multiple."""
        counts = (int((values >= limit).sum()) for values in importance)
        rounded = (max(_MULTIPLE, -(-count // _MULTIPLE) * _MULTIPLE) for count in counts)
        return [min(size, count) for size, count in zip(self.sizes, rounded, strict=True)]


def magnitudes(groups: ChannelGroups) -> list[Tensor]:
    """Squared weights that make and read a channel, by the mean of its group.

    Fang et al. 2023, arXiv:2301.12900, section 3.3.
    """
    importance = _library().importance.GroupMagnitudeImportance(p=2)
    return [importance(group) for group in groups.groups]


def taylor(
    groups: ChannelGroups,
    model: Classifier,
    loss: Callable[[Tensor, Tensor], Tensor],
    batches: Batches,
) -> list[Tensor]:
    """How much the loss would change without a channel, by the mean of its group.

    Molchanov et al. 2019, arXiv:1906.10771, section 3: the square of the sum of weight times
    gradient, here over the batch normalisations behind a channel, averaged over batches.
    """
    totals = [torch.zeros_like(norms[0].weight) for norms in groups.norms]
    for pixels, targets in batches:
        model.zero_grad()
        loss(model(pixels), targets).backward()  # type: ignore[no-untyped-call]
        for total, norms in zip(totals, groups.norms, strict=True):
            total += torch.stack([_contribution(norm) for norm in norms]).sum(dim=0).square()
    model.zero_grad()
    return [total / total.mean().clamp(min=_TINY) for total in totals]


@torch.no_grad()
def measure_statistics(model: Classifier, batches: Batches) -> None:
    """Measures the running statistics of all batch normalisations anew, as means over batches.

    Those of the whole network do not fit what is left of it (Li et al. 2020, EagleEye,
    arXiv:2007.02491, adaptive batch normalisation).
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean
    model.train()
    for pixels, _ in batches:
        model(pixels)
    model.eval()


@torch.no_grad()
def _contribution(norm: nn.BatchNorm2d) -> Tensor:
    weight, bias = norm.weight, norm.bias
    if weight.grad is None or bias.grad is None:
        raise ValueError("a batch normalisation without gradients")
    return weight * weight.grad + bias * bias.grad


def _library() -> Any:
    try:
        import torch_pruning
    except ModuleNotFoundError as error:
        raise MissingDependencyError("torch-pruning", "train") from error
    return torch_pruning


def _modules(group: Any) -> list[nn.Module]:
    return [dependency.target.module for dependency, _ in group]


@torch.no_grad()
def _costs(model: nn.Module, example: Tensor) -> Counter[nn.Module]:
    """Multiply-adds of each convolution and dense layer for one photo."""
    costs: Counter[nn.Module] = Counter()

    def note(module: nn.Module, _: object, output: Tensor) -> None:
        # a layer may be called more than once
        costs[module] += module.get_parameter("weight").numel() * output[0, 0].numel()

    hooks = [
        module.register_forward_hook(note)
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    model(example)
    for hook in hooks:
        hook.remove()
    return costs
