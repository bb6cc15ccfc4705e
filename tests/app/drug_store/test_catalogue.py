"""The catalogue: what it takes, and what it refuses with the row and the reason."""

import asyncio
import csv
import io
from pathlib import Path

import pytest

from cutis.app.drug_store.catalogue import COLUMNS, LARGEST_FILE, Catalogue
from cutis.app.drug_store.opening import open_drug_store
from cutis.app.drug_store.product import LONGEST_LINK, LONGEST_NAME, LONGEST_TEXT, Form, link_host
from cutis.app.drug_store.rules import self_care_diagnoses
from cutis.errors import InputError

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "drug-store.csv"
ROW = {
    "id": "plaster-1",
    "name_en": "Plaster",
    "name_fa": "چسب زخم",
    "form": "bandage",
    "over_the_counter": "yes",
    "diagnoses": "wart skin_tag",
    "contraindications_en": "Infected skin; allergy",
    "contraindications_fa": "پوست عفونی",
    "link": "https://shop.example/plaster?size=2&lang=en",
    "note_en": "Plain",
    "note_fa": "ساده",
}


def table(*rows: dict[str, str], separator: str = ",", columns: tuple[str, ...] = COLUMNS) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter=separator, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read(tmp_path: Path, text: str | bytes) -> Catalogue:
    path = tmp_path / "store.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Catalogue.read(path)


def refusal(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert "store.csv" in str(caught.value)
    return str(caught.value)


def test_a_row_becomes_a_product(tmp_path: Path) -> None:
    (product,) = read(tmp_path, table(ROW)).listing
    assert (product.id, product.form, product.over_the_counter) == ("plaster-1", Form.BANDAGE, True)
    assert product.name == {"en": "Plaster", "fa": "چسب زخم"}
    assert product.diagnoses == ("wart", "skin_tag")
    assert product.contraindications == {"en": "Infected skin; allergy", "fa": "پوست عفونی"}
    assert product.link == ROW["link"]
    assert product.note == {"en": "Plain", "fa": "ساده"}


def test_products_are_found_by_diagnosis_in_the_files_order(tmp_path: Path) -> None:
    rows = [
        {**ROW, "id": f"p{n}", "diagnoses": d} for n, d in enumerate(("wart", "milium", "wart"))
    ]
    store = read(tmp_path, table(*rows))
    found = asyncio.run(store.products("wart", "fa"))
    assert [product.id for product in found] == ["p0", "p2"]
    assert asyncio.run(store.products("melanoma", "en")) == ()
    assert store.host is None


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_sheets_of_all_kinds_read_alike(
    tmp_path: Path, mark: bytes, separator: str, ends: str
) -> None:
    text = table(ROW, separator=separator).replace("\r\n", ends)
    (product,) = read(tmp_path, mark + text.encode()).listing
    assert product.contraindications["en"] == "Infected skin; allergy"
    assert product.link == ROW["link"]


def test_columns_stand_in_any_order_and_empty_ones_and_rows_do_not_count(tmp_path: Path) -> None:
    text = table(ROW, columns=COLUMNS[::-1]).replace("\r\n", ",,\r\n") + ",,,\r\n\r\n"
    assert len(read(tmp_path, text).listing) == 1


def test_notes_and_link_may_be_left_out(tmp_path: Path) -> None:
    (product,) = read(tmp_path, table({**ROW, "link": ""}, columns=COLUMNS[:-2])).listing
    assert product.link is product.note is None


@pytest.mark.parametrize(
    "written", ["wart skin_tag", "wart|skin_tag", "wart; skin_tag", "wart,skin_tag\n"]
)
def test_diagnoses_are_parted_in_any_way(tmp_path: Path, written: str) -> None:
    (product,) = read(tmp_path, table({**ROW, "diagnoses": written})).listing
    assert product.diagnoses == ("wart", "skin_tag")


@pytest.mark.parametrize(
    ("written", "free"), [("Yes", True), ("TRUE", True), ("0", False), ("no", False)]
)
def test_over_the_counter(tmp_path: Path, written: str, free: bool) -> None:
    (product,) = read(tmp_path, table({**ROW, "over_the_counter": written})).listing
    assert product.over_the_counter is free


@pytest.mark.parametrize("missing", COLUMNS[:-2])
def test_a_missing_column_is_named(tmp_path: Path, missing: str) -> None:
    kept = tuple(column for column in COLUMNS if column != missing)
    assert f"the column '{missing}' is missing" in refusal(tmp_path, table(ROW, columns=kept))


def test_an_unknown_or_double_column_is_named(tmp_path: Path) -> None:
    text = table(ROW).replace("note_en", "notes_en")
    assert "did you mean 'note_en'" in refusal(tmp_path, text)
    assert "stands twice" in refusal(tmp_path, table(ROW).replace("note_en", "note_fa"))
    assert "remove the column" in refusal(tmp_path, table(ROW).replace("note_en", "price"))


def test_an_unknown_diagnosis_is_named_with_its_row_and_the_nearest(tmp_path: Path) -> None:
    text = table(ROW, {**ROW, "id": "b", "diagnoses": "wart moluscum_contagiosum"})
    said = refusal(tmp_path, text)
    assert "row 3" in said
    assert "did you mean 'molluscum_contagiosum'" in said


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("id", "", "id: "),
        ("id", "a b", "id: "),
        ("name_en", "", "name_en: it is empty"),
        ("name_fa", " ", "name_fa: it is empty"),
        ("name_en", "x" * (LONGEST_NAME + 1), f"at most {LONGEST_NAME} char"),
        ("name_en", "a\x07b", "hidden sign U+0007"),
        ("name_fa", "الف\u202eب", "hidden sign U+202E"),
        ("form", "elixir", "form: "),
        ("over_the_counter", "perhaps", "neither yes nor no"),
        ("over_the_counter", "", "neither yes nor no"),
        ("diagnoses", "", "diagnoses: "),
        ("contraindications_en", "", "contraindications_en: it is empty"),
        ("contraindications_fa", "x" * (LONGEST_TEXT + 1), f"at most {LONGEST_TEXT} char"),
        ("note_fa", "", "note: it lacks the language 'fa'"),
        ("link", "http://shop.example/", "link: it does not begin with https://"),
        ("link", "javascript:alert(1)", "link: "),
    ],
)
def test_a_wrong_cell_is_named_with_its_row(
    tmp_path: Path, column: str, value: str, said: str
) -> None:
    text = table(ROW, {}, {**ROW, "id": "other", column: value})
    found = refusal(tmp_path, text)
    assert said in found
    assert "row 4" in found


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    folded = {**ROW, "contraindications_en": "one\ntwo\nthree"}
    assert "row 3" in refusal(tmp_path, table(folded, {**ROW, "id": ""}))
    (product,) = read(tmp_path, table(folded)).listing
    assert product.contraindications["en"] == "one two three"


def test_a_product_that_stands_twice_is_named_with_both_rows(tmp_path: Path) -> None:
    said = refusal(tmp_path, table(ROW, {**ROW, "id": "b"}, ROW))
    assert "'plaster-1' stands twice" in said
    assert "row 4, first in row 2" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the column 'id' is missing"),
        (table(), "holds no products"),
        (table(ROW) + "a,b\r\n", "2 cells"),
        (table(ROW).rstrip() + ",more\r\n", "12 cells"),
        (table(ROW) + '"open,', "not a table"),
        (table(ROW) + "x" * 200_000, "not a table"),
        (table(ROW).encode("utf-16"), "not UTF-8"),
        (table(ROW).encode("cp1256", "replace"), "not UTF-8"),
        (b"PK\x03\x04\x14\x00\xff\xfe", "not UTF-8"),
        ("id\x00" + table(ROW), "the column 'id' is missing"),
    ],
)
def test_what_is_no_catalogue_is_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert said in refusal(tmp_path, text)


def test_a_file_that_is_missing_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Catalogue.read(tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot be read"):
        Catalogue.read(tmp_path)
    large = tmp_path / "large.csv"
    with large.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(InputError, match="too large"):
        Catalogue.read(large)


def test_a_megabyte_of_rows_is_fine(tmp_path: Path) -> None:
    text = table(*({**ROW, "id": f"p{n}"} for n in range(7000)))
    assert len(text.encode()) > 1_000_000
    assert len(read(tmp_path, text).listing) == 7000


@pytest.mark.parametrize(
    "link",
    [
        "",
        "http://shop.example/",
        "HTTP://shop.example/",
        "javascript:alert(1)",
        "JavaScript://shop.example/%0aalert(1)",
        "data:text/html,<script>",
        "vbscript:x",
        "//shop.example/x",
        "/drug-store",
        "https:shop.example",
        "https:///x",
        "https://",
        "https://name@shop.example/",
        "https://name:word@shop.example/",
        "https://shop.example:8443/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://shop.example\\@evil.example/",
        "https://shop.example/\n",
        "https://shop.ex\tample/",
        " https://shop.example/",
        "https://shop.example/a b",
        'https://shop.example/"onmouseover="x',
        "https://shop.example/<b>",
        "https://shоp.example/",  # a Cyrillic o
        "https://فروشگاه.example/",
        "https://-shop.example/",
        "https://shop..example/",
        "https://shop.example/" + "x" * LONGEST_LINK,
    ],
)
def test_links_that_are_refused(link: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        link_host(link)


@pytest.mark.parametrize(
    ("link", "host"),
    [
        ("https://shop.example", "shop.example"),
        ("https://Shop.Example/a/b?c=d&e=%D8%A7#f", "shop.example"),
        ("https://xn--mgbh0fb.example/", "xn--mgbh0fb.example"),
    ],
)
def test_links_that_are_taken(link: str, host: str) -> None:
    assert link_host(link) == host


def test_the_example_is_loaded_and_says_that_it_is_one() -> None:
    store = Catalogue.read(EXAMPLE)
    assert len(store.listing) >= 8
    for product in store.listing:
        assert product.note is not None
        assert "EXAMPLE" in product.note["en"]
        assert "نمونه" in product.note["fa"]
        assert set(product.diagnoses) == set(self_care_diagnoses(product)) or (
            not product.over_the_counter and "never shown" in product.note["en"]
        )
    assert sum(product.over_the_counter for product in store.listing) == len(store.listing) - 1


def test_a_path_or_an_address_opens_a_store() -> None:
    assert open_drug_store(str(EXAMPLE)).host is None
    assert open_drug_store("https://pharmacy.example/products").host == "pharmacy.example"
