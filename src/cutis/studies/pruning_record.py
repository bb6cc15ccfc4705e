"""The record of a pruning to several sizes, as it stands in `pruning.json`."""

from cutis.records import FORMAT_VERSION, Record


class Cost(Record):
    """What a network costs for one photo."""

    multiply_adds: int
    parameters: int  # running statistics included
    onnx_bytes: int  # of the fp32 file
    milliseconds: float  # on one thread, from decoded pixels to logits; median


class Change(Record):
    """Balanced accuracy less that of the run, with a 95 % interval over resampled groups."""

    value: float
    low: float | None  # None: not defined, as with a single group
    high: float | None


class Network(Record):
    """One point of the curve: the run itself, or one that was pruned from it."""

    share: float | None  # of the multiply-adds that was asked for; None: the run itself
    folder: str  # name of the run's folder
    epochs: int  # of its training or fine-tuning
    cost: Cost
    accuracy: float  # on the validation photos
    balanced_accuracy: float
    change: Change | None  # None: the run itself


class Pruning(Record):
    """A run, and what is left of it at several shares of its multiply-adds."""

    format_version: int = FORMAT_VERSION
    cutis_version: str
    run_sha256: str  # of the weights of the run that was pruned
    recipe: str
    architecture: str
    size: int  # side of the square input, pixels
    importance: str
    unsafe: bool  # the split lets photos of one lesion stand on both sides
    photos: int  # of validation
    groups: int
    resamples: int
    engine: str  # that the milliseconds are of, with its version
    networks: tuple[Network, ...] = ()  # the run itself first; empty until all are trained
