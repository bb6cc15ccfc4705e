"""From a run to a smaller one: channels are cut, then the rest is fine-tuned.

Fine-tuning is `cutis train` by the run's own recipe, shortened: its last stage with all layers, at
the rate it had. Going back to the rate of training costs less accuracy than a low one (learning
rate rewinding, Renda et al. 2020, arXiv:2003.02389).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tomlkit
import torch
from torch import Tensor

from cutis.data.batches import batch_slices
from cutis.data.catalog import Catalog
from cutis.data.splits import load_split
from cutis.errors import InputError, RecipeError
from cutis.export.prune import ChannelGroups, Importance, magnitudes, measure_statistics, taylor
from cutis.lesion import channels
from cutis.models.registry import PRUNABLE, Classifier
from cutis.recipes import Recipe, parse_recipe
from cutis.records import Provenance
from cutis.storage import sha256_file, write_file
from cutis.training.backend import Backend
from cutis.training.lesion_masks import SEGMENTER, own_segmenter
from cutis.training.run import (
    CHECKPOINT,
    RECIPE,
    WEIGHTS,
    Run,
    catalog_of,
    classifier_for,
    load_run,
)
from cutis.training.stages import batch_norm_momentum, log_prior, make_loss
from cutis.training.supply import TrainingData
from cutis.training.train import Start, add_to_answer, train_classifier

WIDTHS = "widths.json"
"""What was left of each convolution, while the run is trained."""

_SEEN = 1024
"""Training photos, at most, from which a Taylor importance is computed."""
_BATCH = 32
_FIXED = ("view", "input", "model")


def prune_run(
    run: Path,
    out: Path,
    share: float,
    *,
    data: Path | None = None,
    importance: Importance = "taylor",
    overrides: Sequence[str] = (),
) -> Run:
    """Cuts channels until the multiply-adds are at most a share, fine-tunes, and writes a run.

    The same call goes on with a run that was interrupted. The test part is not read.

    Args:
        share: of the run's multiply-adds, more than 0 and less than 1.
        data: the run's catalog, where it has moved since training.
        importance: which channels go: those of which the loss depends least, or with the smallest
            weights.
        overrides: settings of the recipe of `fine_tuning`.

    Raises InputError or RecipeError, before any training, for a run that is no classifier's or of
    an architecture that cannot be pruned, for a share out of range or out of reach, for another
    catalog or split, and for settings that would change the network.
    """
    source = load_run(run)
    refuse_impossible(source, (share,))
    plan = fine_tuning(source, overrides)
    place = data or catalog_of(run)
    _refuse_others(place, source.info.provenance)
    weights = sha256_file(run / WEIGHTS)
    licences = source.info.provenance.licences
    start = Start(
        name=f"{weights} pruned to {share:g} of the multiply-adds by {importance}",
        licences=tuple(text for text in licences if text.startswith("start weights:")),
        network=lambda training, backend: _pruned(
            source, plan, training, backend, out, share, importance
        ),
    )
    pruned = train_classifier(
        plan,
        place,
        out,
        split=source.info.provenance.split_name,
        weights="none",
        segmenter=run / SEGMENTER if own_segmenter(source) is not None else None,
        start=start,
    )
    (out / WIDTHS).unlink(missing_ok=True)
    return pruned


def refuse_impossible(source: Run, shares: Sequence[float]) -> None:
    """Raises InputError where a run cannot be pruned to one of the shares."""
    info = source.info
    for share in shares:
        if not 0 < share < 1:
            raise InputError(
                f"{share:g} of the multiply-adds is not possible",
                expected="a share of more than 0 and less than 1",
                fix="for half of them give --multiply-adds 0.5",
            )
    if info.architecture not in PRUNABLE:
        raise InputError(
            f"the backbone '{info.architecture}' cannot be pruned",
            where=source.folder,
            expected="a run of " + " or ".join(PRUNABLE),
            fix="train one of these backbones",
        )
    groups = _groups(source, classifier_for(info))
    for share in shares:
        groups.refuse_unreachable(share)


def fine_tuning(source: Run, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a run, shortened: one stage, which is its last with half of the epochs.

    All layers train. Averaged weights forget the sooner the shorter the stage is, unless the
    settings say otherwise: the average spans the same share of it.
    """
    file = source.folder / RECIPE
    if not file.is_file():
        raise InputError(
            "the run has no recipe, by which the pruned network is fine-tuned",
            where=file,
            fix="copy it back from where the run was trained",
        )
    whole = parse_recipe(file.read_text(encoding="utf-8"), where=str(file))
    last = whole.stage[-1]
    epochs = -(-last.epochs // 2)
    shortened = last.model_copy(update={"trainable": "all", "views": 0, "epochs": epochs})
    tree = whole.model_copy(update={"stage": (shortened,)}).model_dump(
        mode="json", exclude_none=True, exclude={"paper", "search"}
    )
    plan = parse_recipe(tomlkit.dumps(tree), overrides, where=str(file))
    changed = [name for name in _FIXED if getattr(plan, name) != getattr(whole, name)]
    if changed:
        raise RecipeError(
            f"the settings change {' and '.join(changed)} of the run",
            expected="settings of the fine-tuning, e.g. stage.1.epochs=3",
            fix="train a new run to change its network, input or diagnoses",
        )
    if any(setting.partition("=")[0] == "moving_average" for setting in overrides):
        return plan
    decay = whole.moving_average ** (last.epochs / plan.stage[-1].epochs)
    return plan.model_copy(update={"moving_average": decay})


def _refuse_others(data: Path, origin: Provenance) -> None:
    """Raises InputError for a catalog or split that the run was not trained on."""
    catalog = Catalog.open(data)
    split = load_split(catalog, origin.split_name)
    if (catalog.sha256, split.info.sha256) != (origin.catalog_sha256, origin.split_sha256):
        what = "catalog" if catalog.sha256 != origin.catalog_sha256 else "split"
        raise InputError(
            f"the run was trained on another {what}, or the {what} has changed since",
            where=data,
            expected=f"catalog {origin.catalog_sha256[:12]}… with the split "
            f"'{origin.split_name}' {origin.split_sha256[:12]}…",
            fix="give the catalog that the run was trained on by --data",
        )


def _groups(source: Run, model: Classifier) -> ChannelGroups:
    settings = source.info.preprocessing
    return ChannelGroups(model, settings.size, channels(settings))


def _pruned(
    source: Run,
    plan: Recipe,
    data: TrainingData,
    backend: Backend,
    out: Path,
    share: float,
    importance: Importance,
) -> Classifier:
    """The pruned network, before fine-tuning; of a run that goes on only its shape."""
    if (out / CHECKPOINT).is_file() and (out / WIDTHS).is_file():
        return _shaped(source, json.loads((out / WIDTHS).read_text(encoding="utf-8")), plan)
    model = source.model().to(backend.device)
    if source.info.log_prior is None and plan.stage[-1].imbalance == "logit_adjustment":
        add_to_answer(model, -log_prior(data.train_counts()))  # the loss adds it again
    groups = _groups(source, model)
    if importance == "taylor":
        loss = make_loss(plan.stage[-1], data.train_counts())
        ranked = taylor(groups, model, loss, _photos(data, backend, plan.seed))
    else:
        ranked = magnitudes(groups)
    groups.cut(ranked, share)
    measure_statistics(model, _photos(data, backend, plan.seed))
    widths = [
        module.out_channels
        for module in model.backbone.modules()
        if isinstance(module, torch.nn.Conv2d) and module.groups == 1
    ]
    write_file(out / WIDTHS, json.dumps(widths) + "\n")
    small = _shaped(source, widths, plan)
    small.load_state_dict(model.state_dict())
    return small


def _shaped(source: Run, widths: Sequence[int], plan: Recipe) -> Classifier:
    """A network of these widths with random weights."""
    model = classifier_for(source.info.model_copy(update={"widths": tuple(widths)}))
    batch_norm_momentum(model.modules(), plan.batch_norm_momentum)
    return model


def _photos(data: TrainingData, backend: Backend, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of some training photos, as they are, and their diagnoses."""
    drawn = np.random.default_rng(seed).permutation(data.train)[:_SEEN]
    for part in batch_slices(len(drawn), _BATCH):
        chosen = drawn[part]
        labels = torch.from_numpy(data.labels[chosen]).to(backend.device)
        yield backend.normalised(data.pixels[chosen]), labels
