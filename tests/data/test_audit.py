"""The audit: each promise is broken once, and the certificate says which."""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from cutis.data.audit import Certificate, audit_split, sibling_rates
from cutis.data.catalog import Catalog
from cutis.data.splits import Split, make_split

MakeCatalog = Callable[..., Catalog]


def rows_of(**changes: dict[str, object]) -> list[dict[str, object]]:
    rows = [
        {"image_id": f"one/{i:03d}", "diagnosis": "melanoma" if i % 2 else "melanocytic_nevus"}
        for i in range(100)
    ]
    for row in rows:
        row["pixels_sha256"] = f"pixels of {row['image_id']}"
        row |= changes.get(str(row["image_id"]).removeprefix("one/"), {})
    return rows


def moved(split: Split, **parts: str | None) -> Split:
    """The split with some photos put elsewhere."""
    table = split.table.copy()
    for number, part in parts.items():
        table.loc[table["image_id"] == f"one/{number.strip('_')}", "part"] = part
    return replace(split, table=table)


def apart(split: Split) -> Split:
    return moved(split, _000="train", _002="test")


def failed(certificate: Certificate) -> dict[str, int]:
    return {check.name: check.found for check in certificate.checks if check.passed is False}


def test_a_sound_split_passes(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog(rows_of())
    split = make_split(catalog)
    certificate = audit_split(catalog, split)
    assert certificate.passed
    assert certificate.verdict == (
        "PASSED: split 'default' shares no lesion, patient or duplicate that is known; could not "
        "be checked: lesions across parts, patients across parts"
    )
    assert certificate == split.info.certificate
    assert Certificate.model_validate_json(certificate.model_dump_json()) == certificate
    assert certificate.counts == split.info.counts
    assert (certificate.catalog_sha256, certificate.split_sha256) == (
        catalog.sha256,
        split.info.sha256,
    )


SHARED = {
    "identical files across parts": {"sha256": "same"},
    "identical pixels across parts": {"pixels_sha256": "same"},
    "lesions across parts": {"lesion_id": "L1"},
    "patients across parts": {"patient_id": "P1"},
}


@pytest.mark.parametrize("name", SHARED)
def test_what_rows_share_is_found_without_links(make_catalog: MakeCatalog, name: str) -> None:
    catalog = make_catalog(rows_of(**{"000": SHARED[name], "002": SHARED[name]}))
    certificate = audit_split(catalog, apart(make_split(catalog)))
    assert failed(certificate) == {name: 1}
    assert not certificate.passed
    assert certificate.verdict.startswith("FAILED: split 'default'")
    check = next(check for check in certificate.checks if check.name == name)
    assert check.examples == (("one/000", "one/002"),)


def test_ids_of_two_sources_are_different_ids(make_catalog: MakeCatalog) -> None:
    changes = {"000": {"lesion_id": "1"}, "002": {"lesion_id": "1", "source": "two"}}
    catalog = make_catalog(rows_of(**changes))
    certificate = audit_split(catalog, apart(make_split(catalog)))
    assert failed(certificate) == {}
    lesions = next(check for check in certificate.checks if check.name.startswith("lesions"))
    assert lesions.passed
    assert "98 photos have no lesion_id" in lesions.detail


def test_links_across_parts_are_found(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog(rows_of(), [("one/000", "one/002", "same_photograph")])
    certificate = audit_split(catalog, apart(make_split(catalog)))
    assert failed(certificate) == {"same photograph across parts": 1, "groups across parts": 1}


def test_chains_over_unusable_photos_are_found(make_catalog: MakeCatalog) -> None:
    links = [("one/000", "one/004", "same_photograph"), ("one/002", "one/004", "same_photograph")]
    catalog = make_catalog(rows_of(**{"004": {"flags": ("unreadable",)}}), links)
    certificate = audit_split(catalog, apart(make_split(catalog)))
    assert failed(certificate) == {"groups across parts": 1}


def test_missing_and_foreign_photos_are_found(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog(rows_of())
    split = make_split(catalog)
    table = split.table[split.table["image_id"] != "one/007"]
    extra = table.head(1).assign(image_id="one/999")
    table = pd.concat([table, extra, table.tail(1)], ignore_index=True)
    certificate = audit_split(catalog, replace(split, table=table))
    assert failed(certificate)["every usable photo once"] == 3


def test_a_catalog_that_has_changed_is_found(make_catalog: MakeCatalog) -> None:
    split = make_split(make_catalog(rows_of()))
    changed = make_catalog(rows_of(**{"000": {"age": 40.0}}))
    assert failed(audit_split(changed, split)) == {"catalog unchanged": 1}


def test_shares_that_are_off_are_found(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog(rows_of())
    split = make_split(catalog)
    table = split.table.assign(part=["train"] * 90 + ["validation"] * 5 + ["test"] * 5)
    assert failed(audit_split(catalog, replace(split, table=table))) == {"shares by diagnosis": 2}


def test_an_unsafe_split_never_passes(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog(rows_of())
    certificate = audit_split(catalog, make_split(catalog, unsafe_by_image=True))
    assert failed(certificate) == {"not marked unsafe": 1}


def test_sibling_rates() -> None:
    rows = pd.DataFrame(
        {"image_id": list("abcdefgh"), "part": ["test"] * 4 + ["train"] * 4},
    )
    links = pd.DataFrame(
        [
            ("a", "e", "same_lesion"),
            ("b", "f", "identical_bytes"),
            ("c", "d", "same_photograph"),
            ("d", "h", "same_patient"),
        ],
        columns=["image_id_a", "image_id_b", "kind"],
    )
    rate, by_image = sibling_rates(rows, links)
    assert rate == 0.5  # a and b; c and d have each other inside, patients are no siblings
    assert by_image == pytest.approx(6 / 8 * 0.5)  # six photos with a sibling, half of it outside
    assert sibling_rates(rows.assign(part="train"), links) == (None, None)
    folds = rows.assign(part=["fold 0"] * 4 + ["fold 1"] * 4)
    assert sibling_rates(folds, links)[0] == 0.5
