"""Merging as a view: which appearance is kept, what it learns from the others, who is believed."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutis import taxonomy
from cutis.data.catalog import Catalog, CatalogOptions
from cutis.data.conflicts import Decision, Judge, Kind, Rule, most_exact, parse_policy
from cutis.data.merge import LEFT_OUT, NO_CLASS, NOT_MERGED, Merged, merge
from cutis.data.splits import make_split
from cutis.records import CATALOG_SCHEMA, LINK_SCHEMA, LinkKind

MakeCatalog = Callable[..., Catalog]
Draw = Callable[..., Path]

NEVUS, MELANOMA = "melanocytic_nevus", "melanoma"
AKIEC, KERATOSIS, BOWEN = "actinic_keratosis_bowen", "actinic_keratosis", "bowen_disease"
SQUAMOUS = "squamous_cell_carcinoma"


def row(image_id: str, diagnosis: str | None = NEVUS, size: int = 100, **more: object) -> dict:
    source = image_id.partition("/")[0]
    facts = {"image_id": image_id, "source": source, "diagnosis": diagnosis}
    return facts | {"width": size, "height": size} | more


def copies(*ids: str, kind: LinkKind = LinkKind.SAME_PHOTOGRAPH) -> list[tuple[str, str, str]]:
    return [(ids[0], other, str(kind)) for other in ids[1:]]


def merged(
    rows: list[dict],
    links: list[tuple[str, str, str]],
    policy: str = "drop",
    view: str | None = None,
    order: tuple[str, ...] = (),
) -> Merged:
    photos = pd.DataFrame(rows).reindex(columns=CATALOG_SCHEMA.names).astype(object)
    photos = photos.astype({"age": "float32", "width": "int32", "height": "int32"})
    pairs = [(*sorted((a, b)), kind, 1.0, "made up") for a, b, kind in links]
    linked = pd.DataFrame(pairs, columns=LINK_SCHEMA.names)
    return merge(photos, linked, parse_policy(policy), view=view, order=order)


def of(result: Merged, image_id: str) -> Mapping[str, object]:
    found = result.photos.set_index("image_id").loc[image_id].to_dict()
    return {k: None if not isinstance(v, tuple) and pd.isna(v) else v for k, v in found.items()}


def with_policy(catalog: Catalog, policy: str) -> Catalog:
    options = CatalogOptions(view=catalog.info.options.view, conflicts=policy)
    return dataclasses.replace(catalog, info=catalog.info.model_copy(update={"options": options}))


# Which appearance is kept


def test_the_largest_appearance_is_kept_and_the_others_are_named() -> None:
    rows = [row("a/1", size=90), row("b/1", size=200), row("c/1", size=120), row("c/2")]
    result = merged(rows, [*copies("a/1", "b/1"), *copies("b/1", "c/1")])
    assert list(result.photos["image_id"]) == ["b/1", "c/2"]
    assert of(result, "b/1")["appearances"] == ("b/1", "c/1", "a/1")
    assert of(result, "c/2")["appearances"] == ("c/2",)
    assert result.disagreements.empty


def test_equal_sizes_go_by_trust_then_by_the_order_of_sources_then_by_name() -> None:
    rows = [row("a/1"), row("b/2"), row("b/1")]
    links = copies("a/1", "b/1", "b/2")
    assert list(merged(rows, links, order=("b", "a")).photos["image_id"]) == ["b/1"]
    assert list(merged(rows, links, order=("a", "b")).photos["image_id"]) == ["a/1"]
    assert list(merged(rows, links, "trust:b", order=("a", "b")).photos["image_id"]) == ["b/1"]


@pytest.mark.parametrize("kind", list(LinkKind))
def test_only_links_of_copies_make_one_photograph(kind: LinkKind) -> None:
    result = merged([row("a/1"), row("b/1")], copies("a/1", "b/1", kind=kind))
    another = kind in (LinkKind.SAME_LESION, LinkKind.SAME_PATIENT)
    assert len(result.photos) == (2 if another else 1)


def test_source_label_and_size_are_those_of_the_kept_photo() -> None:
    big = row("b/1", NEVUS, 200, source_label="nv", path="big.jpg", source_part="test")
    small = row("a/1", NEVUS, 100, source_label="nevus", path="small.jpg", source_part="train")
    kept = of(merged([small, big], copies("a/1", "b/1")), "b/1")
    found = [kept[name] for name in ("source", "source_label", "path", "width", "source_part")]
    assert found == ["b", "nv", "big.jpg", 200, "test"]


# What the kept row learns


def test_unknown_fields_are_filled_where_the_others_agree() -> None:
    rows = [
        row("a/1", size=200, sex="male"),
        row("b/1", age=40.0, sex="female", site="back", modality="dermoscopic"),
        row("c/1", age=40.0, site="trunk", modality="dermoscopic"),
    ]
    kept = of(merged(rows, copies("a/1", "b/1", "c/1")), "a/1")
    assert {name: kept[name] for name in ("age", "sex", "site", "modality")} == {
        "age": 40.0,
        "sex": "male",  # known in the kept row, whatever others say
        "site": None,  # the others differ
        "modality": "dermoscopic",
    }


def test_an_id_from_another_source_carries_its_name() -> None:
    rows = [row("a/1", size=200), row("b/1", lesion_id="7", patient_id="p"), row("a/2")]
    result = merged(rows, copies("a/1", "b/1"))
    assert (of(result, "a/1")["lesion_id"], of(result, "a/1")["patient_id"]) == ("b/7", "b/p")
    own = merged([row("a/1", size=200), row("a/2", lesion_id="7")], copies("a/1", "a/2"))
    assert of(own, "a/1")["lesion_id"] == "7"
    two = [row("a/1", size=200), row("b/1", lesion_id="7"), row("c/1", lesion_id="7")]
    assert of(merged(two, copies("a/1", "b/1", "c/1")), "a/1")["lesion_id"] is None


def test_a_mask_comes_only_from_equal_pixels() -> None:
    rows = [
        row("a/1", size=200, pixels_sha256="x"),
        row("b/1", size=100, pixels_sha256="y", mask="small.png"),
    ]
    assert of(merged(rows, copies("a/1", "b/1")), "a/1")["mask"] is None
    rows.append(row("c/1", size=200, pixels_sha256="x", mask="same.png"))
    assert of(merged(rows, copies("a/1", "b/1", "c/1")), "a/1")["mask"] == "same.png"


def test_a_confirmation_belongs_to_the_diagnosis_that_it_confirmed() -> None:
    rows = [
        row("a/1", MELANOMA, 200, confirmed_by="histology"),
        row("b/1", NEVUS, confirmed_by="follow_up"),
    ]
    links = copies("a/1", "b/1")
    assert of(merged(rows, links, "trust:a"), "a/1")["confirmed_by"] == "histology"
    assert of(merged(rows, links, "trust:b"), "a/1")["confirmed_by"] == "follow_up"
    general = [row("a/1", AKIEC, 200, confirmed_by="histology"), row("b/1", KERATOSIS)]
    refined = of(merged(general, links), "a/1")
    assert (refined["diagnosis"], refined["confirmed_by"]) == (KERATOSIS, None)


def test_the_diagnosis_may_come_from_a_smaller_appearance() -> None:
    result = merged([row("a/1", None, 200), row("b/1", MELANOMA)], copies("a/1", "b/1"))
    assert of(result, "a/1")["diagnosis"] == MELANOMA
    assert result.disagreements.empty


def test_nothing_is_known_where_nobody_knows() -> None:
    result = merged([row("a/1", None), row("b/1", None)], copies("a/1", "b/1"))
    assert of(result, "a/1")["diagnosis"] is None
    assert of(result, "a/1")["age"] is None


# Who is believed


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("drop", None),
        ("majority", MELANOMA),
        ("trust:b", NEVUS),
        ("trust:a", MELANOMA),
        ("trust:elsewhere,b,a", NEVUS),
        ("trust:elsewhere", None),
    ],
)
def test_policies(policy: str, expected: str | None) -> None:
    rows = [row("a/1", MELANOMA), row("b/1", NEVUS), row("c/1", MELANOMA)]
    result = merged(rows, copies("a/1", "b/1", "c/1"), policy)
    assert result.photos["diagnosis"].tolist() == [expected] or pd.isna(
        result.photos["diagnosis"].iloc[0]
    )
    (listed,) = result.disagreements.to_dict("records")
    assert listed["kind"] == Kind.CONFLICT
    assert listed["decision"] == (expected or LEFT_OUT)
    assert set(listed["diagnoses"]) == {MELANOMA, NEVUS}


def judge(policy: str = "drop", view: str | None = None) -> Judge:
    return Judge(parse_policy(policy), taxonomy.view(view) if view else None)


def decide(told: set[tuple[str, str]], policy: str = "drop", view: str | None = None) -> Decision:
    return judge(policy, view).decide(frozenset(told))


def test_a_source_counts_once_however_many_copies_it_holds() -> None:
    rows = [row(f"a/{n}", MELANOMA) for n in range(3)] + [row("b/1"), row("c/1")]
    links = copies("a/0", "a/1", "a/2", "b/1", "c/1")
    assert of(merged(rows, links, "majority"), "a/0")["diagnosis"] == NEVUS


def test_a_tie_and_a_source_that_contradicts_itself_decide_nothing() -> None:
    assert decide({("a", MELANOMA), ("b", NEVUS)}, "majority").left_out
    assert decide({("a", MELANOMA), ("a", NEVUS)}, "trust:a").left_out
    assert decide({("a", MELANOMA), ("a", NEVUS), ("b", NEVUS)}, "majority").diagnosis == NEVUS
    # The first trusted source has spoken, if not clearly; the second is not asked.
    assert decide({("a", MELANOMA), ("a", NEVUS), ("b", NEVUS)}, "trust:a,b").left_out


@pytest.mark.parametrize(
    ("general", "exact"),
    [(AKIEC, KERATOSIS), ("benign_keratosis", "seborrheic_keratosis"), (NEVUS, "blue_nevus")],
)
def test_on_one_branch_the_more_exact_diagnosis_wins(general: str, exact: str) -> None:
    told = {("a", general), ("b", exact)}
    assert decide(told) == Decision(Kind.REFINEMENT, exact)
    result = merged([row("a/1", general, 200), row("b/1", exact)], copies("a/1", "b/1"))
    assert result.disagreements["decision"].tolist() == [exact]


def test_two_diagnoses_below_a_general_one_still_contradict_each_other() -> None:
    told = {("a", AKIEC), ("b", KERATOSIS), ("c", BOWEN)}
    assert decide(told) == Decision(Kind.CONFLICT, None, left_out=True)
    # akiec speaks for both, so it does not break the tie; a second voice for one of them does
    assert decide(told, "majority").left_out
    assert decide(told | {("d", BOWEN)}, "majority").diagnosis == BOWEN
    assert decide(told, "trust:b").diagnosis == KERATOSIS


def test_a_general_diagnosis_votes_for_the_exact_one_below_it() -> None:
    told = {("a", AKIEC), ("b", KERATOSIS), ("c", NEVUS)}
    assert decide(told, "majority").diagnosis == KERATOSIS
    assert decide(told, "trust:a").diagnosis == KERATOSIS


# Views


def test_what_a_view_does_not_tell_apart_is_no_conflict_in_it() -> None:
    told = {("a", KERATOSIS), ("b", BOWEN)}
    assert decide(told).kind is Kind.CONFLICT
    assert decide(told, view="ham7") == Decision(Kind.SAME_CLASS, AKIEC)
    rows = [row("a/1", KERATOSIS), row("b/1", BOWEN)]
    result = merged(rows, copies("a/1", "b/1"), view="ham7")
    assert result.photos["diagnosis"].tolist() == [AKIEC]
    assert result.disagreements["kind"].tolist() == [Kind.SAME_CLASS]


def test_a_group_that_the_view_divides_agrees_with_each_of_its_classes() -> None:
    """HAM10000 calls akiec what the Kaggle arrangement calls squamous cell carcinoma (192 photos):
    the view isic9 has no class for akiec, and Bowen's disease below it is the class in question.
    """
    told = {("ham10000", AKIEC), ("isic9", SQUAMOUS)}
    assert decide(told).left_out
    assert decide(told, view="isic9") == Decision(Kind.SAME_CLASS, SQUAMOUS)
    assert decide({("a", AKIEC)}, view="isic9") == Decision(Kind.AGREEMENT, None)
    assert decide(told | {("c", NEVUS)}, view="isic9").left_out
    assert decide(told | {("c", NEVUS)}, "majority", "isic9").diagnosis == SQUAMOUS


def test_a_diagnosis_outside_the_view_contradicts_one_inside() -> None:
    told = {("a", MELANOMA), ("b", "psoriasis")}
    assert decide(told, view="ham7") == Decision(Kind.CONFLICT, None, left_out=True)
    assert decide(told, "trust:b", "ham7") == Decision(Kind.CONFLICT, None)
    rows = [row("a/1", MELANOMA), row("b/1", "psoriasis")]
    result = merged(rows, copies("a/1", "b/1"), "trust:b", "ham7")
    assert result.disagreements["decision"].tolist() == [NO_CLASS]


def test_refinement_comes_before_the_view() -> None:
    """The view isic9 has a class for either, and the general label does not deny the exact one."""
    told = {("a", "benign_keratosis"), ("b", "seborrheic_keratosis")}
    assert decide(told, view="isic9") == Decision(Kind.REFINEMENT, "seborrheic_keratosis")


names = st.sampled_from([NEVUS, "blue_nevus", MELANOMA, AKIEC, KERATOSIS, BOWEN, SQUAMOUS])
tellings = st.frozensets(st.tuples(st.sampled_from("abc"), names), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    told=tellings,
    policy=st.sampled_from(["drop", "majority", "trust:a,b"]),
    view=st.sampled_from([None, "ham7", "isic9", "benign-malignant"]),
)
def test_a_decision_is_always_one_of_the_diagnoses_given(
    told: frozenset[tuple[str, str]], policy: str, view: str | None
) -> None:
    decision = decide(set(told), policy, view)
    assert not (decision.left_out and decision.diagnosis)
    below = {d for _, name in told for d in taxonomy.diagnoses() if taxonomy.is_within(d, name)}
    assert decision.diagnosis in {judge(view=view).class_of(d) for d in below} | {None}
    if view is None and decision.diagnosis:
        assert decision.diagnosis in most_exact(name for _, name in told)
    if decision.kind is not Kind.CONFLICT:
        assert decision == decide(set(told), "drop", view)


# The catalog


ROWS = [
    row("one/a", NEVUS, 90, lesion_id="1"),
    row("two/a", MELANOMA, 200),
    row("one/b", MELANOMA),
    row("two/b", None, 50),
    row("two/c", MELANOMA, 300, flags=("unreadable",)),
]
LINKS = [*copies("one/a", "two/a"), *copies("one/b", "two/b", "two/c")]


def test_keep_merges_nothing_and_still_lists_conflicts(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog(ROWS, LINKS)
    assert list(catalog.usable()["image_id"]) == ["one/a", "one/b", "two/a"]
    assert catalog.usable()["appearances"].map(len).eq(1).all()
    listed = catalog.merged().disagreements
    assert listed["photograph"].tolist() == ["two/a"]
    assert listed["decision"].tolist() == [NOT_MERGED]


def test_usable_rows_follow_the_policy_and_rows_are_never_deleted(
    make_catalog: MakeCatalog,
) -> None:
    catalog = make_catalog(ROWS, LINKS)
    dropped = with_policy(catalog, "drop")
    # the unreadable two/c is the largest, and is not kept
    assert list(dropped.usable()["image_id"]) == ["one/b"]
    assert dropped.usable()["appearances"].tolist() == [("one/b", "two/b")]
    trusting = with_policy(catalog, "trust:one").usable().set_index("image_id")
    assert trusting["diagnosis"].to_dict() == {"one/b": MELANOMA, "two/a": NEVUS}
    assert trusting.loc["two/a", "lesion_id"] == "one/1"
    assert len(dropped.photos) == len(trusting) + 3 == 5


def test_the_policy_is_part_of_the_content_hash(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog(ROWS, LINKS)
    hashes = {catalog.sha256}
    for policy in ("drop", "majority", "trust:one"):
        from cutis.data.catalog import write_catalog

        again = write_catalog(
            catalog.folder.with_name(policy.replace(":", "-")),
            catalog.photos,
            catalog.links,
            sources=catalog.info.sources,
            options=CatalogOptions(conflicts=policy),
        )
        hashes.add(again.sha256)
    assert len(hashes) == 4


def test_a_catalog_from_before_the_option_opens(make_catalog: MakeCatalog) -> None:
    path = make_catalog(ROWS, LINKS).folder / "catalog.json"
    text = path.read_text()
    assert '"conflicts": "keep"' in text
    path.write_text(text.replace(',\n  "conflicts": "keep"', ""))
    assert Catalog.open(path.parent).info.options.conflicts == Rule.KEEP


# Policies in words


def test_a_held_out_source_keeps_its_photographs_out_of_training(make_catalog: MakeCatalog) -> None:
    """The appearance that is kept of two/a stands in the other source."""
    rows = [row(f"one/{n}", (NEVUS, MELANOMA)[n % 2], 200) for n in range(8)]
    rows += [row("two/a", NEVUS), row("two/b", MELANOMA)]
    catalog = make_catalog(rows, copies("one/0", "two/a"))
    merging = with_policy(catalog, "drop")
    split = make_split(merging, hold_out="two", shares=(80, 20, 0))
    tested = split.table.loc[split.table["part"] == "test", "image_id"]
    assert sorted(tested) == ["one/0", "two/b"]
