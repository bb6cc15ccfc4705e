"""What the app tells people when it cannot do what they ask, in their language."""

from http import HTTPStatus
from typing import NamedTuple

from starlette.exceptions import HTTPException

from cutis.app.i18n import Translator
from cutis.app.settings import MEGA

STATUS = {
    "login": 303,
    "password_due": 303,
    "malformed": 400,
    "bad_request": 400,
    "session": 403,
    "forbidden": 403,
    "not_allowed": 403,
    "login_wrong": 403,
    "password_old": 403,
    "case_not_found": 404,
    "saved_not_found": 404,
    "photo_not_found": 404,
    "no_layer": 404,
    "not_found": 404,
    "account_not_found": 404,
    "setup_closed": 404,
    "method_not_allowed": 405,
    "timeout": 408,
    "already_saved": 409,
    "name_taken": 409,
    "last_admin": 409,
    "no_feedback": 409,
    "photo_damaged": 410,
    "too_large": 413,
    "too_many_pixels": 413,
    "request_too_large": 413,
    "not_a_photo": 415,
    "wrong_type": 415,
    "heic": 415,
    "media_type": 415,
    "no_photo": 422,
    "empty_file": 422,
    "damaged": 422,
    "too_small": 422,
    "too_many_photos": 422,
    "age": 422,
    "sex": 422,
    "site": 422,
    "symptoms": 422,
    "note": 422,
    "patient": 422,
    "consent": 422,
    "field": 422,
    "question": 422,
    "diagnosis": 422,
    "confirmed_by": 422,
    "comment": 422,
    "account_name": 422,
    "password_short": 422,
    "password_long": 422,
    "password_name": 422,
    "password_common": 422,
    "password_same": 422,
    "password_twice": 422,
    "too_many_logins": 429,
    "chat_busy": 429,
    "internal": 500,
    "busy": 503,
    "storage": 503,
    "storage_busy": 503,
    "storage_full": 507,
}
"""Of an answer by the error's code; its words are `error.CODE` and `error.CODE.fix`."""

_OF_FRAMEWORK = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}


class Amount(NamedTuple):
    """A whole number with a unit, a key of the messages that begins with `unit.`."""

    value: int
    unit: str


class AppError(HTTPException):
    """An answer that is an error.

    Args:
        code: a key of STATUS.
        retry_after: seconds until the same may work; the words call it `count`.
        location: where a browser goes on, for a status that leads elsewhere.
        values: of the placeholders in the words; numbers and amounts are put in the words'
            language.
    """

    def __init__(
        self,
        code: str,
        *,
        retry_after: int | None = None,
        location: str | None = None,
        **values: str | int | Amount,
    ) -> None:
        self.code = code
        self.values = values
        headers = {}
        if retry_after is not None:
            self.values["count"] = retry_after
            headers["Retry-After"] = str(retry_after)
        if location is not None:
            headers["Location"] = location
        super().__init__(STATUS[code], code, headers or None)

    @classmethod
    def of_framework(cls, error: HTTPException) -> "AppError":
        """The nearest to an error of the framework, with its headers."""
        known = (
            "bad_request" if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR else "internal"
        )
        code = _OF_FRAMEWORK.get(error.status_code, known)
        headers = dict(error.headers or {})
        allowed = headers.get("Allow", headers.get("allow", ""))
        made = cls(code, methods=allowed) if code == "method_not_allowed" else cls(code)
        made.headers = headers
        return made

    def words(self, translator: Translator) -> tuple[str, str]:
        """What is wrong, and what to do."""
        return self._text("", translator), self._text(".fix", translator)

    def body(self, translator: Translator) -> dict[str, dict[str, str]]:
        """The JSON of the API."""
        message, fix = self.words(translator)
        return {"error": {"code": self.code, "message": message, "fix": fix}}

    def _text(self, suffix: str, translator: Translator) -> str:
        values = {name: _filled(value, translator) for name, value in self.values.items()}
        return translator.text(f"error.{self.code}{suffix}", **values)


def request_too_large(limit: int) -> AppError:
    """For a body of more than `limit` bytes."""
    return AppError("request_too_large", limit=Amount(max(1, limit // MEGA), "unit.mb"))


def _filled(value: str | int | Amount, translator: Translator) -> str | int:
    """A value as the placeholder wants it; counts stay numbers, they choose the plural."""
    if isinstance(value, Amount):
        return translator.text(value.unit, value=value.value, count=value.value)
    return value
