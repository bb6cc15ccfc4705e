"""What a page shows of a drug store, in words."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from cutis.app.cases import CaseFacts, Judgement
from cutis.app.drug_store.product import Product, link_host
from cutis.app.drug_store.provider import DrugStore, StoreError
from cutis.app.drug_store.rules import Refusal, fitting, offer, self_care_diagnoses
from cutis.app.i18n import Translator
from cutis.runtime.bundle import BundleDiagnosis
from cutis.taxonomy import diagnoses

MOST_SHOWN = 12
"""Products beside a result."""


class Item(NamedTuple):
    """A product; `link` and `host` are empty where there is no shop."""

    name: str
    form: str
    meant_for: str
    contraindications: str
    note: str
    link: str
    host: str


class Shelf(NamedTuple):
    """The card of the result page."""

    items: tuple[Item, ...]
    left: int  # products that suit and are not shown
    names: str  # the possible diagnoses
    several: bool  # there is more than one of them
    refused: str  # the reason's key; empty where products may be shown
    reachable: bool
    host: str  # that was asked; empty where nothing leaves the computer


async def shelf(
    store: DrugStore,
    judgement: Judgement,
    facts: CaseFacts,
    described: Iterable[BundleDiagnosis],
    words: Translator,
    said: Collection[str] = (),
) -> Shelf:
    """The products for a case, or why there are none. A store is asked only where they may be.

    Args:
        described, said: as `offer` takes them.
    """
    host = store.host or ""
    offered = offer(judgement, facts, described, said)
    if isinstance(offered, Refusal):
        return Shelf((), 0, "", False, offered.reason, True, host)
    known, ids = diagnoses(), offered.diagnoses
    names = words.listing([words.pick(known[id].name) for id in ids], "or")
    try:
        found = fitting(offered, await store.products(ids[0], words.language))
    except StoreError:
        return Shelf((), 0, names, len(ids) > 1, "", False, host)
    shown = tuple(item(product, words) for product in found[:MOST_SHOWN])
    return Shelf(shown, len(found) - len(shown), names, len(ids) > 1, "", True, host)


def item(product: Product, words: Translator) -> Item:
    """A product in the reader's language."""
    known = diagnoses()
    meant_for = [words.pick(known[id].name) for id in self_care_diagnoses(product)]
    return Item(
        name=words.pick(product.name),
        form=words.term("drug_store.form", product.form),
        meant_for=words.listing(meant_for),
        contraindications=words.pick(product.contraindications),
        note=words.pick(product.note) if product.note else "",
        link=product.link or "",
        host=link_host(product.link) if product.link else "",
    )
