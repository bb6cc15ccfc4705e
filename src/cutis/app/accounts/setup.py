"""The first account, made over the network without one."""

import hmac
import secrets

from cutis.app.accounts.accounts import Accounts, Proof
from cutis.app.errors import AppError

SETUP = "/setup"
"""Where the first admin is made."""

_TOKEN_BYTES = 32


class Setup:
    """A token that makes one admin while there is no account; it lives as long as the server.

    Only who started the server knows it, so that nobody else in the network comes first.

    Attributes:
        token: goes into the address; empty where there are accounts.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.token = "" if accounts.exist() else secrets.token_urlsafe(_TOKEN_BYTES)

    @property
    def path(self) -> str | None:
        """The address to open, without the server's; None where there are accounts."""
        return f"{SETUP}?token={self.token}" if self.token else None

    def check(self, token: str) -> None:
        """Raises AppError `setup_closed` for another token, and once there is an account."""
        given, right = token.encode("utf-8", "replace"), self.token.encode()
        if not right or not hmac.compare_digest(given, right) or self._accounts.exist():
            raise AppError("setup_closed")

    def use(self, token: str, name: str, password: str) -> Proof:
        """Makes the admin; of two at once one succeeds. Raises AppError."""
        self.check(token)
        made = self._accounts.create_first(name, password)
        self.token = ""
        return made
