"""Browsers in which an account was open before; see `attempts.limits_of`."""

import hashlib
import hmac
import secrets

from cutis.app.archive.schema import AccountRow

_NONCE_BYTES = 16


def device_of(row: AccountRow) -> str:
    """A cookie for a browser in which somebody has just logged in.

    It opens nothing: a password is asked for all the same. It ends with the password.
    """
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    return f"{nonce}.{_sign(row, nonce)}"


def is_device_of(row: AccountRow, device: str) -> bool:
    """Whether `device_of` has made a cookie for this account and its password."""
    nonce, _, signed = device.partition(".")
    return hmac.compare_digest(_sign(row, nonce).encode(), signed.encode("utf-8", "replace"))


def _sign(row: AccountRow, nonce: str) -> str:
    message = f"{row.id} {nonce}".encode("utf-8", "replace")
    return hmac.new(row.password_hash.encode(), message, hashlib.sha256).hexdigest()
