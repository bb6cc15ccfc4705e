"""Every network of timm as a backbone."""

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from cutis.errors import RecipeError
from cutis.models.backbone import Backbone, Pretrained
from cutis.models.keras_order import CHAINS, KERAS_ORDER
from cutis.models.timm_library import timm_library


class TimmBackbone(Backbone):
    """A network of timm up to its last feature map, with random weights.

    What a network has behind its pooling (dense layers, the classifier) is left out, except a
    last normalisation (ConvNeXt, vision transformers that average their tokens): it is applied
    to the map before pooling. Tokens are laid out on their square grid; class and register tokens
    are left aside after the last layer.

    Args:
        architecture: timm's name, with or without a tag that chooses its pretrained weights.
        size: side of the square input, pixels; a transformer is built for this size.

    Raises RecipeError for a size that the network cannot take and for a network that gives no
    single feature map.
    """

    def __init__(self, architecture: str, size: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.size = size
        self.pretrained = pretrained_of(architecture)
        try:
            # `_prune` needs gradients, also where the caller has switched them off
            with torch.inference_mode(False), torch.enable_grad():
                feature_map = _FeatureMap(create(architecture, size))
                self.channels, self._layers = _prune(feature_map, size)
        except (RuntimeError, AssertionError, TypeError, ValueError, AttributeError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            native = native_size(architecture)
            raise RecipeError(
                f"the backbone 'timm/{architecture}' gives no feature map of a photo of "
                f"{size} pixels ({reason})",
                expected="a network with one feature map, at a size that it can take",
                fix=f"set input.size={native}" if size != native else "choose another backbone",
            ) from error
        self.features = nn.Sequential(feature_map.train())

    def chain(self) -> list[nn.Module]:
        network: nn.Module = self.features[0].network  # type: ignore[assignment]
        parts = CHAINS.get(self.architecture.partition(".")[0])
        return super().chain() if parts is None else list(parts(network))

    def keras_layers(self) -> list[tuple[str, nn.Module | None]]:
        """Keras's numbering for vgg16 and resnet50; for others a number a module with parameters.

        These are numbered in the order in which a photo passes them.
        """
        network: nn.Module = self.features[0].network  # type: ignore[assignment]
        keras = KERAS_ORDER.get(self.architecture.partition(".")[0])
        if keras is not None:
            return list(keras(network))
        return [(name or "network", network.get_submodule(name)) for name in self._layers]

    def train_from(self, index: int) -> None:
        # a transformer's position embedding lies in a module that also holds all its blocks
        for position, (_, module) in enumerate(self.keras_layers()):
            for parameter in [] if module is None else module.parameters(recurse=False):
                parameter.requires_grad_(position >= index)

    def load(self, state: dict[str, Tensor] | None) -> list[str]:
        """Takes pretrained weights: timm's from the hub, or a file's tensors with timm's names.

        timm fits position embeddings to the input size. Returns the names of matrices and kernels
        that got no weights; the network is changed only where there are none.
        """
        overlay = None if state is None else {"state_dict": state, "custom_load": False}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            untouched = _FeatureMap(create(self.architecture, self.size)).state_dict()
            torch.manual_seed(0)
            filled = create(self.architecture, self.size, pretrained=True, overlay=overlay)
        loaded = _FeatureMap(filled).state_dict()
        own = self.features[0].state_dict()
        # timm passes over names that a file lacks: what is as random as before was not in it
        missing = [n for n in own if loaded[n].ndim > 1 and torch.equal(loaded[n], untouched[n])]
        if not missing:
            self.features[0].load_state_dict({name: loaded[name] for name in own})
        return missing


class _FeatureMap(nn.Module):
    """Normalised photos (batch, 3, size, size) to a map (batch, channels, h, w)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.prefix = int(getattr(network, "num_prefix_tokens", 0))
        self.channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network.forward_features(pixels)  # type: ignore[operator]
        if features.ndim == 3:
            norm = getattr(self.network, "fc_norm", None)
            tokens: Tensor = features if norm is None else norm(features)
            # what is no patch stands in front; not every network says how many these are
            side = math.isqrt(tokens.shape[1] - self.prefix)
            patches = tokens[:, -side * side :].transpose(1, 2)
            return patches.reshape(*patches.shape[:2], side, side)
        if self.channels_last:
            return features.permute(0, 3, 1, 2)
        norm = getattr(getattr(self.network, "head", None), "norm", None)
        weight = getattr(norm, "weight", None)
        # a norm of another width stands behind a dense layer
        if norm is not None and weight is not None and weight.shape == features.shape[1:2]:
            normalised: Tensor = norm(features)
            return normalised
        return features


def pretrained_of(architecture: str) -> Pretrained | None:
    """The weights that timm knows for a name; None where there are none."""
    known = timm_library().get_pretrained_cfg(architecture)
    if not known.hf_hub_id:
        return None
    return Pretrained(known.hf_hub_id, known.license or "unknown")


def native_size(architecture: str) -> int:
    """Side of the square input for which timm's weights were trained, pixels."""
    return int(timm_library().get_pretrained_cfg(architecture).input_size[-1])


def create(
    architecture: str,
    size: int,
    *,
    pretrained: bool = False,
    overlay: dict[str, object] | None = None,
) -> nn.Module:
    """timm's network for an input size, without a classifier."""
    timm = timm_library()
    fixed = timm.get_pretrained_cfg(architecture).fixed_input_size
    network: nn.Module = timm.create_model(
        architecture,
        pretrained=pretrained,
        pretrained_cfg_overlay=overlay,
        num_classes=0,
        img_size=size if fixed else None,
    )
    return network


def _prune(feature_map: _FeatureMap, size: int) -> tuple[int, list[str]]:
    """Takes out what has no part in the feature map; names the rest in forward order.

    Returns the channels of the map and the names, which are those of the modules with parameters
    of their own; a module whose parameters are read without calling it stands behind the module
    that holds it.
    """
    network = feature_map.network
    names = {module: name for name, module in network.named_modules()}
    passed = {"": 0}

    def note(module: nn.Module, _: object) -> None:
        if module in names:
            passed.setdefault(names[module], len(passed))

    feature_map.eval()
    with register_module_forward_pre_hook(note):
        answer = feature_map(torch.zeros(1, 3, size, size))
    parameters = {n: p for n, p in network.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(answer.sum(), [*parameters.values()], allow_unused=True)
    unused = {n for n, g in zip(parameters, gradients, strict=True) if g is None}
    idle, layers = set(), []
    for module, name in names.items():
        prefix = f"{name}." if name else ""
        within = [prefix + n for n, _ in module.named_parameters()]
        own = [prefix + n for n, _ in module.named_parameters(recurse=False)]
        if within and unused.issuperset(within):
            idle.add(name)
        elif not unused.issuperset(own):
            layers.append(name)
    for name in idle:
        if name.rpartition(".")[0] not in idle:
            network.set_submodule(name, nn.Identity())

    def turn(name: str) -> int:
        while name not in passed:
            name = name.rpartition(".")[0]
        return passed[name]

    return answer.shape[1], sorted(layers, key=turn)
