"""From what stands after `--drug-store` to a drug store."""

from pathlib import Path

from cutis.app.drug_store.catalogue import Catalogue
from cutis.app.drug_store.provider import DrugStore
from cutis.app.drug_store.web import WebStore


def open_drug_store(place: str) -> DrugStore:
    """The catalogue of a file, or the store at a web address; InputError as they raise it."""
    return WebStore(place) if "://" in place else Catalogue.read(Path(place))
