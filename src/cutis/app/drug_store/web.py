"""A drug store behind a pharmacy's web API. docs/drug-store.md describes the API.

The pharmacy is told a diagnosis and a language, and nothing else: no cookie, no address of a page,
nothing of the case.
"""

import asyncio
import json
import logging
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx2
from pydantic import ValidationError

from cutis.app.drug_store.product import Product
from cutis.app.drug_store.provider import StoreError
from cutis.errors import InputError

_logger = logging.getLogger(__name__)

TIME_LIMIT = 4.0
"""Seconds in which the whole answer must have come."""
LARGEST_ANSWER = 500_000
"""Bytes."""
MOST_PRODUCTS = 200
"""Of one answer."""
PAUSE = 30.0
"""Seconds in which a store that has failed is not asked again."""
KEPT = 600.0
"""Seconds in which an answer is used again."""

_MOST_KEPT = 200  # answers
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OK = 200
_FAILURES = (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError)


class WebStore:
    """Asks `GET URL?diagnosis=…&language=…` and checks what comes.

    Args:
        url: https, or http on this computer; without a query.
        time_limit: seconds.
        clock: seconds that never go back.
    """

    listing = ()  # it only answers to a diagnosis

    def __init__(
        self,
        url: str,
        *,
        time_limit: float = TIME_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = _checked_host(url)
        self._url = url
        self._time_limit = time_limit
        self._clock = clock
        self._trust = ssl.create_default_context()
        self._answers: OrderedDict[tuple[str, str], tuple[float, tuple[Product, ...]]]
        self._answers = OrderedDict()
        self._silent_until = -1.0

    async def products(self, diagnosis: str, language: str) -> tuple[Product, ...]:
        """Those that the pharmacy names and that are whole; StoreError where it cannot be asked."""
        key = diagnosis, language
        since, found = self._answers.get(key, (0.0, None))
        if found is not None and self._clock() - since < KEPT:
            return found
        if self._clock() < self._silent_until:
            raise StoreError("it has failed a moment ago")
        try:
            async with asyncio.timeout(self._time_limit):
                found = _read(await self._ask({"diagnosis": diagnosis, "language": language}))
        except _FAILURES as error:
            self._silent_until = self._clock() + PAUSE
            _logger.warning("the drug store %s cannot be reached: %r", self.host, error)
            raise StoreError(str(error)) from error
        self._answers[key] = self._clock(), found
        self._answers.move_to_end(key)
        if len(self._answers) > _MOST_KEPT:
            self._answers.popitem(last=False)
        return found

    async def _ask(self, query: dict[str, str]) -> bytes:
        """The answer's bytes; ValueError for a status, coding or length that is not accepted."""
        # Proxies and .netrc are left alone: they would add a name and a password.
        client = httpx2.AsyncClient(
            verify=self._trust, timeout=self._time_limit, trust_env=False, follow_redirects=False
        )
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with client, client.stream("GET", self._url, params=query, headers=headers) as answer:
            if answer.status_code != _OK:
                raise ValueError(f"status {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("a compressed answer")  # it may unfold to any size
            received = bytearray()
            async for chunk in answer.aiter_raw():
                received += chunk
                if len(received) > LARGEST_ANSWER:
                    raise ValueError(f"more than {LARGEST_ANSWER} bytes")
        return bytes(received)


def _read(data: bytes) -> tuple[Product, ...]:
    """The products of an answer that keep the rules of the catalogue; the others are left out."""
    answer = json.loads(data)
    if not isinstance(answer, dict) or not isinstance(answer.get("products"), list):
        raise ValueError("no list of products")
    found: dict[str, Product] = {}
    for given in answer["products"][:MOST_PRODUCTS]:
        try:
            product = Product.model_validate(given)
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"]))
            _logger.warning("a product of the drug store is left out: '%s' is wrong", place)
            continue
        found.setdefault(product.id, product)
    return tuple(found.values())


def _checked_host(url: str) -> str:
    """The host of the API's address, as people are told it.

    Raises InputError for an address that is not a plain https one; http is for this computer only.
    """
    expected = "https://pharmacy.example/products, without name, password, query or fragment"
    try:
        parts = urlsplit(url)
        host, local = parts.hostname, parts.hostname in _LOOPBACK
        _ = parts.port  # ValueError for one that is no number
    except ValueError as error:
        raise InputError(
            f"not an address: {error}", where="--drug-store", expected=expected
        ) from error
    plain = url.isascii() and url.isprintable() and " " not in url
    spare = "@" in parts.netloc or parts.query or parts.fragment
    if not plain or not host or spare or parts.scheme not in ("https", "http"):
        raise InputError("the drug store's address is refused", where=url, expected=expected)
    if parts.scheme == "http" and not local:
        raise InputError(
            "the diagnosis would travel unencrypted",
            where=url,
            fix="use https://; http:// is for an address of this computer",
        )
    return host
