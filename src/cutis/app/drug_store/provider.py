"""What the app asks of a drug store. docs/drug-store.md says how to write one."""

from typing import Protocol

from cutis.app.drug_store.product import Product


class StoreError(Exception):
    """The drug store cannot be reached, or its answer cannot be used; the page goes on without."""


class DrugStore(Protocol):
    """Products by diagnosis. What may be shown of them is decided by `rules`, never here."""

    @property
    def host(self) -> str | None:
        """Where the products are asked for; None where nothing leaves this computer."""

    @property
    def listing(self) -> tuple[Product, ...]:
        """All products; empty where the store only answers to a diagnosis."""

    async def products(self, diagnosis: str, language: str) -> tuple[Product, ...]:
        """Those for a diagnosis, in the order to show them.

        Nothing else of the case is handed over. Raises StoreError within a few seconds where the
        store does not answer.

        Args:
            diagnosis: an id of the taxonomy.
            language: of the reader, "en" or "fa".
        """
