"""The readers, links and splits on the real collections."""

from pathlib import Path

import pytest

from cutis.data.catalog import Catalog
from cutis.data.importer import import_sources
from cutis.data.sources import read_source
from cutis.data.splits import make_split, part_rows
from cutis.records import LinkKind, Part

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    ("name", "format", "photos", "masks"),
    [
        ("ham10000", "ham10000", 10015, 10015),
        ("isic2017", "isic2017", 2000, 2000),
        ("isic9", "folders", 2359, 0),
        ("split_smol", "folders", 700, 0),
        ("ph2", "ph2", 200, 200),
    ],
)
def test_readers(real_data: Path, name: str, format: str, photos: int, masks: int) -> None:
    source = read_source(real_data / name)
    assert source.format == format
    assert source.warnings == ()
    assert len(source.rows) == photos
    assert source.rows["mask"].notna().sum() == masks


@pytest.fixture(scope="module")
def ham10000(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    into = tmp_path_factory.mktemp("real") / "ham10000"
    return import_sources([real_data / "ham10000"], into).catalog


def test_ham10000_counts_and_pairs(ham10000: Catalog) -> None:
    counts = ham10000.info.counts
    assert (counts.photos, counts.lesions, counts.unreadable) == (10015, 7470, 0)
    assert counts.diagnoses == {
        "melanocytic_nevus": 6705,
        "melanoma": 1113,
        "benign_keratosis": 1099,
        "basal_cell_carcinoma": 514,
        "actinic_keratosis_bowen": 327,
        "vascular_lesion": 142,
        "dermatofibroma": 115,
    }
    links = ham10000.links
    exact = links[links["kind"] == LinkKind.IDENTICAL_BYTES.value]
    assert set(zip(exact["image_id_a"], exact["image_id_b"], strict=True)) == {
        ("ham10000/ISIC_0024366", "ham10000/ISIC_0029861"),
        ("ham10000/ISIC_0024777", "ham10000/ISIC_0029938"),
    }


def test_ham10000_split_shares_no_lesion_and_no_duplicate(ham10000: Catalog) -> None:
    split = make_split(ham10000)
    parts = {part: part_rows(ham10000, split, part) for part in Part}
    assert sum(len(rows) for rows in parts.values()) == 10015
    for column in ("lesion_id", "sha256", "pixels_sha256", "group"):
        values = [set(rows[column]) for rows in parts.values()]
        assert len(set.union(*values)) == sum(len(one) for one in values), column
    place = {name: part for part, rows in parts.items() for name in rows["image_id"]}
    links = ham10000.links
    assert all(place[a] == place[b] for a, b in links[["image_id_a", "image_id_b"]].to_numpy())
    assert split.info.certificate is not None
    assert split.info.certificate.passed
    assert split.info.certificate.sibling_rate == 0
