"""Pretrained weights: from a local file or from timm's hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from cutis.errors import InputError, MissingDependencyError, nearest
from cutis.models.backbone import Backbone
from cutis.models.timm_backbone import TimmBackbone

_WEIGHTS_FILE = "model.safetensors"


def load_backbone(backbone: Backbone, weights: str) -> None:
    """Fills a backbone with pretrained weights; a classifier in the file is left aside.

    Args:
        weights: a safetensors file with the names of the backbone's own tensors, torchvision's or
            timm's; `imagenet` for the hub, or `none` to keep the random initial weights. A fourth
            input channel of one of our backbones gets zeros where the weights have three.

    Raises InputError for a missing or damaged file, for weights of another network, and for a hub
    that cannot be reached.
    """
    if weights == "none":
        return
    if weights == "imagenet" and backbone.pretrained is None:
        raise InputError(
            "there are no pretrained weights for this backbone",
            expected="a backbone with weights, see `cutis models`, or a file of weights",
            fix="give --weights none to start from random weights, or --weights FILE",
        )
    if isinstance(backbone, TimmBackbone):
        _load_timm(backbone, weights)
    else:
        _load_ours(backbone, weights)


def weights_licence(backbone: Backbone, weights: str) -> str | None:
    """The licence of the start weights; None where training starts from random ones."""
    if weights == "none":
        return None
    if weights == "imagenet" and backbone.pretrained is not None:
        return backbone.pretrained.licence
    return "not known, from a file"


def _load_timm(backbone: TimmBackbone, weights: str) -> None:
    if weights == "imagenet":
        with _reachable_hub(backbone):
            missing = backbone.load(None)
    else:
        try:
            missing = backbone.load(_read(Path(weights)))
        except (RuntimeError, KeyError) as error:
            raise _misfit(weights, "some have another shape") from error
    if missing:
        count = len(missing)
        raise _misfit(weights, f"{count} matrices or kernels are missing, the first {missing[0]}")


def _load_ours(backbone: Backbone, weights: str) -> None:
    path = _download(backbone) if weights == "imagenet" else Path(weights)
    state = {
        name: value
        for name, value in _torchvision_names(_read(path)).items()
        if not name.startswith("classifier.")
    }
    expected = backbone.state_dict()
    _add_input_channels(state, expected)
    for name, value in expected.items():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, value)
    wrong = [n for n, v in expected.items() if n not in state or state[n].shape != v.shape]
    if wrong:
        raise _misfit(
            path,
            f"{len(wrong)} of {len(expected)} tensors are missing or have another shape, "
            f"the first is {wrong[0]}",
        )
    backbone.load_state_dict({name: state[name] for name in expected})


def _add_input_channels(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Zeros for what the first convolution reads beside the three colours that a file knows."""
    name = next(name for name, value in expected.items() if value.ndim == 4)
    missing = expected[name].shape[1] - 3
    if missing > 0 and name in state and state[name].ndim == 4 and state[name].shape[1] == 3:
        state[name] = functional.pad(state[name], (0, 0, 0, 0, 0, missing))


def _misfit(path: str | Path, problem: str) -> InputError:
    return InputError(
        f"the weights do not fit the network: {problem}",
        where=path,
        expected="weights of the recipe's backbone, torchvision's or timm's names",
        fix="choose the right file, another backbone, or --weights none",
    )


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(
            "there is no such weights file",
            where=path,
            expected="a safetensors file, 'imagenet' or 'none'",
            fix=nearest(str(path), ["imagenet", "none"]) or "check the path after --weights",
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(
            f"the weights file cannot be read ({error})",
            where=path,
            expected="a safetensors file",
            fix="download or copy it again",
        ) from error


def _download(backbone: Backbone) -> Path:
    with _reachable_hub(backbone) as repository:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(repository, _WEIGHTS_FILE))


@contextmanager
def _reachable_hub(backbone: Backbone) -> Iterator[str]:
    """Yields the repository of a backbone that has one; a failed download becomes an InputError."""
    try:
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingDependencyError("huggingface-hub", "train") from error
    if backbone.pretrained is None:
        raise ValueError("a backbone without pretrained weights")
    try:
        yield backbone.pretrained.repository
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            "the pretrained weights could not be downloaded",
            where=f"{backbone.pretrained.repository} on the Hugging Face hub",
            fix=f"check the network and run this again; or download {_WEIGHTS_FILE} of that "
            "repository elsewhere and give it as --weights FILE; or start without pretrained "
            "weights by --weights none (the result will be much weaker)",
        ) from error


def _torchvision_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames timm's MobileNetV2 tensors; a file with torchvision's names passes through."""
    if "conv_stem.weight" not in state:
        return state
    renamed: dict[str, Tensor] = {}
    index = _block_indices(state)
    for name, value in state.items():
        renamed[_renamed(name, index)] = value
    return renamed


def _block_indices(state: dict[str, Tensor]) -> dict[str, int]:
    """timm's "stage.repeat" to torchvision's running number of the block."""
    blocks = {tuple(map(int, n.split(".")[1:3])) for n in state if n.startswith("blocks.")}
    return {f"{s}.{r}": number for number, (s, r) in enumerate(sorted(blocks), start=1)}


_STEM = {"conv_stem": "features.0.0", "bn1": "features.0.1"}
_TOP = {"conv_head": "features.18.0", "bn2": "features.18.1", "classifier": "classifier.1"}
# the first block has no expansion, so its parts sit one place earlier
_PARTS_FIRST = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}
_PARTS = {
    "conv_pw": "0.0",
    "bn1": "0.1",
    "conv_dw": "1.0",
    "bn2": "1.1",
    "conv_pwl": "2",
    "bn3": "3",
}


def _renamed(name: str, index: dict[str, int]) -> str:
    if not name.startswith("blocks."):
        module, _, tensor = name.rpartition(".")
        return f"{(_STEM | _TOP)[module]}.{tensor}"
    _, stage, repeat, module, tensor = name.split(".")
    number = index[f"{stage}.{repeat}"]
    parts = _PARTS_FIRST if number == 1 else _PARTS
    return f"features.{number}.conv.{parts[module]}.{tensor}"


def cast_float32(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous float32 copies for storage; counters keep their integer type."""
    return {
        name: (value.float() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state.items()
    }
