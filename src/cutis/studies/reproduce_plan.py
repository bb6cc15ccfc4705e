"""What a reproduction will do: recipes, splits and trainings, checked before any of them runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cutis import __version__
from cutis.data.catalog import Catalog
from cutis.data.splits import Split, load_split, make_split, part_rows, split_names
from cutis.errors import InputError, RecipeError, nearest
from cutis.recipes import Recipe, load_recipe, recipe_names
from cutis.recipes.paper import Paper, Way
from cutis.records import Part
from cutis.storage import refuse_other_content, write_file
from cutis.studies.comparison.copies import copied_words, copies_in_training, together
from cutis.studies.comparison.record import Copied
from cutis.studies.over_sampled import FOLDER, over_sample
from cutis.studies.reproduction import Reproduction
from cutis.training.lesion_masks import open_segmenter, weights_sha256
from cutis.training.run import in_seen_groups, trained_on
from cutis.training.train import diagnoses_of, refuse_missing, start_of

MARKER = "reproduction.json"


@dataclass(frozen=True)
class Followed:
    """A recipe with what it says about its paper."""

    recipe: Recipe
    paper: Paper


@dataclass(frozen=True)
class Training:
    """One run to be made."""

    followed: Followed
    way: Way
    seed: int

    @property
    def arm(self) -> str:
        """What the comparison calls trainings that differ in their seed only."""
        return f"{self.followed.recipe.name}, {self.way.words}"

    @property
    def folder(self) -> Path:
        return Path("runs", self.followed.recipe.name, f"{self.way}-seed-{self.seed}")

    @property
    def recipe(self) -> Recipe:
        """As it is run: what was over-sampled before the split is not over-sampled again."""
        recipe = self.followed.recipe.model_copy(update={"seed": self.seed})
        if self.way == Way.LEAK_FREE or self.followed.paper.over_sampled is None:
            return recipe
        plain = [
            stage.model_copy(update={"imbalance": "none"})
            if stage.imbalance == "over_sampling"
            else stage
            for stage in recipe.stage
        ]
        return recipe.model_copy(update={"stage": tuple(plain)})

    @property
    def part(self) -> Part:
        """What it is judged on: the paper's part, or the test part that leak-free always has."""
        return Part(self.followed.paper.judged_on) if self.way == Way.PUBLISHED else Part.TEST


@dataclass(frozen=True)
class Dealt:
    """A split of a catalog, and the photos of the recipes' view in it."""

    way: Way
    catalog: Catalog
    split: Split
    judged: Part
    photos: dict[Part, int]
    siblings: float  # share of the judged photos with another photo of their group in training
    copies: dict[str, Copied]  # judged photos by diagnosis, those that stand in training as well
    known_to_segmenter: int  # judged photos of groups that the segmenter has seen

    def __str__(self) -> str:
        how = "by image, UNSAFE" if self.split.info.unsafe else "whole groups"
        photos = ", ".join(f"{held:,} {part}" for part, held in self.photos.items() if held)
        copied = together(self.copies)
        same = f"; {copied_words(copied)} stand there themselves" if copied.copied else ""
        return (
            f"{self.way.words.capitalize()}: {how}, seed {self.split.info.seed}; photos: {photos}; "
            f"judged on {self.judged}, {self.siblings:.0%} of which have another photo of their "
            f"lesion or a copy in training{same}."
        )

    @property
    def segmenter_words(self) -> str:
        """How many of the judged photos the segmenter knew."""
        seen = (
            f"Of the {self.photos[self.judged]:,} photos judged {self.way.words}, the segmenter "
            f"was trained or chosen on {self.known_to_segmenter:,} or on others of their groups"
        )
        better = ": its masks of these are better than those of new photos"
        return f"{seen}{better if self.known_to_segmenter else ''}."


@dataclass(frozen=True)
class Plan:
    """What `carry_out` will do; everything in it has been checked against the catalog."""

    out: Path
    catalog: Catalog
    segmenter: Path | None
    recipes: tuple[Followed, ...]
    dealt: dict[Way, Dealt]
    trainings: tuple[Training, ...]
    begun: Reproduction  # as it stands before the first training

    def __str__(self) -> str:
        lines = [f"{self.begun.name}: {len(self.trainings)} trainings, into {self.out}"]
        for followed in self.recipes:
            recipe = followed.recipe
            stages = " + ".join(str(stage.epochs) for stage in recipe.stage)
            lines.append(
                f"  {recipe.name}: {recipe.model.backbone} at {recipe.input.size} pixels, "
                f"{stages} epochs at most"
            )
        return "\n".join([*lines, *(f"  {dealt}" for dealt in self.dealt.values())])


def system_names() -> dict[str, list[str]]:
    """The published systems, each with its recipes."""
    systems: dict[str, list[str]] = {}
    for name in recipe_names():
        paper = load_recipe(name).paper
        if paper is not None:
            systems.setdefault(paper.system, []).append(name)
    return systems


def plan_reproduction(
    name: str,
    data: Path,
    *,
    out: Path | None = None,
    seeds: int | Sequence[int] = 1,
    only: Way | None = None,
    weights: str = "imagenet",
    segmenter: Path | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """Checks everything that a reproduction needs, and makes its splits in the catalog.

    For a paper that over-sampled before its split, `out` gets a catalog of its own with the
    copies and the published split.

    Args:
        name: a recipe with a section [paper], or a system, which stands for all its recipes.
        seeds: so many, from the recipe's own on, or these; the splits stay the same.
        only: one of the two ways.
        segmenter: the segmentation run that draws the masks of recipes with `input.lesion`.
        overrides: settings of every recipe, as in `train`.

    Raises InputError or RecipeError for an unknown name, a recipe without a paper or that does not
    fit the catalog, seeds that repeat, and an `out` that holds something else or was begun with
    another segmenter.
    """
    recipes = _followed(name, overrides)
    chosen = _seeds(seeds, recipes[0].recipe.seed)
    out = out or Path(f"reproduce-{Path(name).stem if Path(name).is_file() else name}")
    refuse_other_content(out, MARKER)
    _refuse_other_name(out / MARKER, name)
    catalog = Catalog.open(data)
    masker = None
    for followed in recipes:
        masker = open_segmenter(followed.recipe.input.lesion, segmenter)
        rows = catalog.usable(followed.recipe.view)
        diagnoses = diagnoses_of(followed.recipe, rows)
        refuse_missing(followed.recipe, catalog, diagnoses, {"usable": rows})
    masked_by = None if masker is None else weights_sha256(masker)
    _refuse_other_segmenter(out / MARKER, masked_by)
    ways = [only] if only is not None else list(Way)
    begun = Reproduction(
        cutis_version=__version__,
        name=name,
        recipes=tuple(followed.recipe.name for followed in recipes),
        catalog_sha256=catalog.sha256,
        weights=weights,
        segmenter_sha256=masked_by,
        settings=tuple(overrides),
        seeds=tuple(sorted(chosen)),
        siblings={},
    )
    seen = set() if masker is None else trained_on(masker.folder)
    dealt = _dealt_ways(catalog, recipes, ways, out, begun, seen)
    trainings = tuple(
        Training(followed, way, seed) for followed in recipes for way in ways for seed in chosen
    )
    return Plan(out, catalog, segmenter, recipes, dealt, trainings, begun)


def _dealt_ways(
    catalog: Catalog,
    recipes: Sequence[Followed],
    ways: Sequence[Way],
    out: Path,
    begun: Reproduction,
    seen: set[str],
) -> dict[Way, Dealt]:
    """The splits, each with a look whether all recipes can start on it.

    `seen`: the photos of the segmenter, see `trained_on`.
    """
    dealt = {}
    copied = recipes[0].paper.over_sampled is not None
    # what does not fit is then refused before the copies are written
    for way in reversed(ways) if copied else ways:
        photos = catalog
        if way == Way.PUBLISHED and copied:
            photos = _with_copies(catalog, recipes[0], out, begun)
        split = _split(photos, recipes[0].paper, way)
        for followed in recipes:
            start_of(followed.recipe, photos, split, begun.weights)
        dealt[way] = _dealt(photos, recipes[0], split, way, seen)
    return {way: dealt[way] for way in ways}


def _refuse_other_name(marker: Path, name: str) -> None:
    if marker.is_file():
        known = Reproduction.model_validate_json(marker.read_bytes()).name
        if known != name:
            raise InputError(
                f"the folder holds a reproduction of '{known}'",
                where=marker.parent,
                expected=f"a new folder, or one that holds '{name}'",
                fix="choose another --out",
            )


def _refuse_other_segmenter(marker: Path, masked_by: str | None) -> None:
    if not marker.is_file():
        return
    known = Reproduction.model_validate_json(marker.read_bytes())
    noted = "segmenter_sha256" in known.model_fields_set  # not by an earlier Cutis
    if noted and known.segmenter_sha256 != masked_by:
        raise InputError(
            "the folder holds a reproduction with another segmenter",
            where=marker.parent,
            expected="no segmenter, for whole photos"
            if known.segmenter_sha256 is None
            else f"the segmenter whose weights have the SHA-256 {known.segmenter_sha256}",
            fix="choose another --out",
        )


def _followed(name: str, overrides: Sequence[str]) -> tuple[Followed, ...]:
    systems = system_names()
    if name in recipe_names() or Path(name).is_file():
        sources = [name]
    elif name in systems:
        sources = systems[name]
    else:
        known = sorted({*systems, *(recipe for found in systems.values() for recipe in found)})
        raise RecipeError(
            f"there is no published system or recipe '{name}'",
            expected="a TOML file with a section [paper], or one of " + ", ".join(known),
            fix=nearest(name, known) or "check the name or the path",
        )
    followed: list[Followed] = []
    for source in sources:
        recipe = load_recipe(source, overrides)
        if recipe.paper is None:
            raise RecipeError(
                f"the recipe '{recipe.name}' follows no paper",
                where=source,
                expected="a recipe with a section [paper], such as " + ", ".join(systems),
                fix="train it with cutis train, or add the section: see docs/recipes.md",
            )
        followed += [*_cut_off(recipe, recipe.paper), Followed(recipe, recipe.paper)]
    return tuple(followed)


def _cut_off(recipe: Recipe, paper: Paper) -> list[Followed]:
    """The recipe cut off after each stage but the last, where its paper tests stages."""
    lengths = range(1, len(recipe.stage)) if paper.compares_stages else ()
    unpublished = paper.model_copy(update={"published": {}})
    return [
        Followed(
            recipe.model_copy(
                update={"name": f"{recipe.name}-stage-{length}", "stage": recipe.stage[:length]}
            ),
            unpublished,
        )
        for length in lengths
    ]


def _seeds(wanted: int | Sequence[int], first: int) -> tuple[int, ...]:
    seeds = tuple(range(first, first + wanted)) if isinstance(wanted, int) else tuple(wanted)
    repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        raise InputError(
            f"seeds repeat: {', '.join(map(str, repeated))}",
            expected="different seeds; one that repeats gives the same training again",
            fix="--seeds " + ",".join(map(str, dict.fromkeys(seeds))),
        )
    if not seeds or min(seeds) < 0:
        raise InputError("these seeds are not possible", expected="one or more, from 0 on")
    return seeds


def _with_copies(catalog: Catalog, followed: Followed, out: Path, begun: Reproduction) -> Catalog:
    """The catalog inside `out` that was over-sampled as the paper did it."""
    paper = followed.paper
    if paper.over_sampled is None:
        raise ValueError("the paper did not over-sample before its split")
    if not (out / MARKER).is_file():
        # the first thing to lie in the folder: it says whose the others are
        write_file(out / MARKER, begun.model_dump_json(indent=1) + "\n")
    return over_sample(
        catalog,
        out / FOLDER,
        photos=paper.over_sampled,
        view=followed.recipe.view,
        seed=paper.seed,
    )


def _split(catalog: Catalog, paper: Paper, way: Way) -> Split:
    train_share, rest, test = paper.shares
    # where the paper judges on validation, half of it becomes the test part that it lacks
    clean = paper.shares if test else (train_share, rest / 2, rest / 2)
    name, shares = f"{way}-{paper.system}", paper.shares if way == Way.PUBLISHED else clean
    _refuse_other_split(catalog, name, paper.seed, shares)
    return make_split(
        catalog,
        name=name,
        seed=paper.seed,
        shares=shares,
        unsafe_by_image=way == Way.PUBLISHED,
    )


def _refuse_other_split(
    catalog: Catalog, name: str, seed: int, shares: tuple[float, float, float]
) -> None:
    """Runs of an earlier reproduction would lose the split that they were made with."""
    if name not in split_names(catalog):
        return
    known = load_split(catalog, name).info
    if known.catalog_sha256 == catalog.sha256 and (known.seed, known.shares) != (seed, shares):
        raise InputError(
            f"the catalog has another split '{name}', which earlier runs may stand on",
            where=catalog.folder / "splits" / name,
            expected=f"seed {seed} and shares {'/'.join(f'{share:g}' for share in shares)}",
            fix="give the recipe another paper.system, or delete that folder",
        )


def _dealt(catalog: Catalog, followed: Followed, split: Split, way: Way, seen: set[str]) -> Dealt:
    view, judged = followed.recipe.view, Training(followed, way, seed=0).part
    rows = {part: part_rows(catalog, split, part, view=view) for part in Part}
    siblings = rows[judged]["group"].isin(rows[Part.TRAIN]["group"])
    return Dealt(
        way=way,
        catalog=catalog,
        split=split,
        judged=judged,
        photos={part: len(held) for part, held in rows.items()},
        siblings=float(siblings.mean()),
        copies=copies_in_training(rows[judged], rows[Part.TRAIN]),
        known_to_segmenter=int(in_seen_groups(rows[judged], catalog, seen).sum()),
    )
