"""docs/drug-store.md says what is so, and its examples run."""

import asyncio
import doctest
import json
import re
from pathlib import Path
from typing import Any

import pytest

from cutis.app.drug_store import catalogue, product, web
from cutis.app.drug_store.product import Form, Product
from cutis.app.drug_store.provider import StoreError
from cutis.app.drug_store.rules import YOUNGEST
from cutis.runtime.bundle import read_info
from cutis.taxonomy import Urgency

PAGE = Path(__file__).parents[3] / "docs" / "drug-store.md"
TEXT = PAGE.read_text("utf-8")
ROW = {"number": "7", "name": "Zinc", "persian": "روی", "prescription": False}
ROW |= {"for": "wart", "never": "Infected skin", "hargez": "پوست عفونی"}


def test_self_care_diagnoses_are_those_of_the_page() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert (failed, tried) == (0, 2)


def test_the_provider_of_the_page_works() -> None:
    (code,) = re.findall(r"```python\n(from cutis.*?)```", TEXT, re.DOTALL)
    made: dict[str, Any] = {}
    exec(code, made)
    (found,) = asyncio.run(made["OurPharmacy"]([ROW]).products("wart", "en"))
    assert found.over_the_counter
    assert asyncio.run(made["OurPharmacy"]([ROW]).products("milium", "en")) == ()
    with pytest.raises(StoreError):
        asyncio.run(made["OurPharmacy"](None).products("wart", "en"))


def test_the_answer_of_the_page_is_taken() -> None:
    (answer,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    (given,) = json.loads(answer)["products"]
    assert set(given) == set(Product.model_fields)
    assert Product.model_validate(given).id == "plaster-12"


def test_columns_forms_and_limits_are_those_of_the_page() -> None:
    for column in catalogue.COLUMNS:
        assert f"`{column}`" in TEXT
    forms = re.search(r"\| `form` \| (.*?) \|", TEXT)
    assert forms is not None
    assert re.split(r", | or ", forms[1]) == list(Form)
    for words in (
        f"at most {product.LONGEST_NAME} characters each",
        f"at most {product.LONGEST_TEXT} characters; never empty",
        f"between, at most {product.MOST_DIAGNOSES}.",
        f"at most {catalogue.LARGEST_FILE // 1_000_000} MB",
        f"more than {web.LARGEST_ANSWER // 1000} kB",
        f"within {web.TIME_LIMIT:.0f} seconds",
        f"alone for {web.PAUSE:.0f} seconds",
        f"again for {web.KEPT / 60:.0f} minutes",
        f"a stated age is {YOUNGEST} years or more",
    ):
        assert words in TEXT, words


def test_the_model_in_the_box_leaves_nothing_to_self_care() -> None:
    box = Path(product.__file__).parents[2] / "box"
    assert Urgency.SELF_CARE not in {one.urgency for one in read_info(box).diagnoses}
