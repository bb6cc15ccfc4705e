"""Forms with photos, read in bounded memory and never spooled to a disk.

The framework's own reader writes files above 1 MB to the temporary folder.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from pydantic import ValidationError
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from cutis.app.cases import LONGEST_NOTE, OLDEST, SEXES, SITES, SYMPTOMS, CaseFacts
from cutis.app.errors import Amount, AppError
from cutis.app.settings import MAX_PHOTOS, Settings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

PHOTOS = "photos"
"""The field of the photos; it stands once for each."""
CSRF_FIELD = "csrf_token"

_MOST_PARTS = 40
_SHOWN = 40  # characters of a field's name in an error
_SLOWEST = 10_000  # bytes a second of an upload on a poor mobile network
_FACTS = tuple(CaseFacts.model_fields)

Count = Callable[[int], None]
"""Is told of bytes that have come in."""


@dataclass
class Form:
    """What a form holds: its photos' bytes, and the other fields in order, empty ones too."""

    photos: list[bytes] = field(default_factory=list)
    fields: list[tuple[str, str]] = field(default_factory=list)

    def first(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value for key, value in self.fields if key == name), None)


async def read_form(request: Request, settings: Settings, count: Count | None = None) -> Form:
    """Reads a multipart or an URL-encoded form, in `settings.upload_s` seconds at most.

    Names of files are not read. Raises AppError for a body that is no form or not whole, for
    a photo that is too large, too many photos, an upload that takes too long and one that stands
    still for `settings.stall_s` seconds or crawls.

    Args:
        count: told of the bytes of each piece that has come in; may raise AppError.
    """
    kind, options = _content_type(request)
    body = _arriving(request, settings, count)
    try:
        if kind == b"multipart/form-data":
            return await _read_multipart(body, options.get(b"boundary", b""), settings)
        if kind == b"application/x-www-form-urlencoded":
            return _decode_fields(b"".join([piece async for piece in body]))
    except TimeoutError as error:
        raise AppError("timeout") from error
    except (ClientDisconnect, FormParserError) as error:
        raise AppError("malformed") from error
    raise AppError("media_type")


async def _arriving(
    request: Request, settings: Settings, count: Count | None
) -> AsyncIterator[bytes]:
    """The pieces of a body; TimeoutError for one that is too slow.

    A fixed time for all of an upload would let a stranger hold a place with one byte a minute; so
    each byte that comes buys a little more.
    """
    start = asyncio.get_running_loop().time()
    pieces, come = request.stream(), 0
    while True:
        earned = settings.stall_s + come / _SLOWEST
        async with asyncio.timeout_at(start + min(earned, settings.upload_s)):
            piece = await anext(pieces, None)
        if piece is None:
            return
        come += len(piece)
        if count is not None:
            count(len(piece))
        yield piece


def read_facts(form: Form) -> CaseFacts:
    """The facts in a form; digits of any script make an age.

    Raises AppError with the name of the fact that cannot be used, or `field`.
    """
    given: dict[str, object] = {}
    symptoms: list[str] = []
    for name, text in form.fields:
        value = plain_text(text)
        if name == CSRF_FIELD or not value:
            continue
        if name not in _FACTS:
            raise AppError("field", field=name[:_SHOWN])
        if name == "symptoms":
            symptoms.append(value)
        elif name in given:
            raise _wrong(name)
        else:
            given[name] = value
    for name, known in (("sex", SEXES), ("site", SITES)):
        if given.get(name, known[0]) not in known:
            raise _wrong(name)
    if not set(symptoms) <= set(SYMPTOMS):
        raise _wrong("symptoms")
    given["symptoms"] = tuple(name for name in SYMPTOMS if name in symptoms)
    if "age" in given:
        given["age"] = _years(str(given["age"]))
    try:
        return CaseFacts.model_validate(given)
    except ValidationError as error:
        raise _wrong(str(error.errors()[0]["loc"][0])) from error


def _wrong(fact: str) -> AppError:
    return AppError(fact, low=0, high=OLDEST, limit=LONGEST_NOTE)


def _years(text: str) -> int:
    if not text.isdecimal() or len(text) > len(str(OLDEST)):
        raise _wrong("age")
    return int(text)


_KEPT_SIGNS = "\n\u200c\u200d"  # line feed, zero-width non-joiner and joiner


def plain_text(text: str) -> str:
    """Text without control characters; lines stay, and so do the joiners that Persian needs."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    spaced = (" " if sign.isspace() and sign != "\n" else sign for sign in lines)
    return "".join(s for s in spaced if s.isprintable() or s in _KEPT_SIGNS).strip()


def _content_type(request: Request) -> tuple[bytes, dict[bytes, bytes]]:
    return parse_options_header(request.headers.get("content-type", ""))


def _decode_fields(body: bytes) -> Form:
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="replace",
            max_num_fields=_MOST_PARTS,
        )
    except ValueError as error:  # too many fields, and text that is not ASCII
        raise AppError("malformed") from error
    return Form(fields=pairs)


async def _read_multipart(body: AsyncIterator[bytes], boundary: bytes, settings: Settings) -> Form:
    if not boundary:
        raise AppError("malformed")
    reader = _MultipartReader(settings)
    parser = MultipartParser(boundary, reader.callbacks())
    async for chunk in body:
        parser.write(chunk)
    parser.finalize()
    if not reader.ended:  # the end was cut off
        raise AppError("malformed")
    return reader.form


class _MultipartReader:
    """Collects the parts while they arrive, and stops at the first one too many or too large."""

    def __init__(self, settings: Settings) -> None:
        self.form = Form()
        self.ended = False
        self._settings = settings
        self._parts = 0
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self._name = ""
        self._no_file = False
        self._data = bytearray()

    def callbacks(self) -> "MultipartCallbacks":
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_to_header_name,
            "on_header_value": self._add_to_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise AppError("malformed")
        self._disposition, self._data = b"", bytearray()

    def _add_to_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        self._check_header()

    def _add_to_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self._check_header()

    def _check_header(self) -> None:
        if len(self._header_name) + len(self._header_value) > self._settings.body_bytes:
            raise AppError("malformed")

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name, self._header_value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise AppError("malformed")
        self._name = options[b"name"].decode("utf-8", "replace")
        # what a browser sends for a file input where nothing was chosen
        self._no_file = options.get(b"filename") == b""
        if self._name == PHOTOS and not self._no_file and len(self.form.photos) == MAX_PHOTOS:
            raise AppError("too_many_photos")

    def _add(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]
        if self._name != PHOTOS:
            if len(self._data) > self._settings.body_bytes:
                raise AppError("malformed")
        elif len(self._data) > self._settings.photo_bytes:
            raise AppError("too_large", limit=Amount(self._settings.max_upload_mb, "unit.mb"))

    def _end_part(self) -> None:
        if self._name != PHOTOS:
            self.form.fields.append((self._name, self._data.decode("utf-8", "replace")))
        elif self._data or not self._no_file:
            self.form.photos.append(bytes(self._data))
        self._data = bytearray()

    def _end(self) -> None:
        self.ended = True
