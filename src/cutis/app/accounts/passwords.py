"""Passwords: what is taken as one, and their argon2id hashes."""

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cutis.app.errors import AppError

SHORTEST, LONGEST = 12, 256
"""Characters of a password."""

HASHES_AT_ONCE = 2
"""Each takes 19 MiB and a core; more callers wait."""

# argon2id with the least that OWASP's Password Storage Cheat Sheet takes: 19 MiB, two passes
_OWASP = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_FEWEST_SIGNS = 5  # different ones
_FEWEST_OWN = 6  # characters beside the name
# Of the commonest in published leaks, and their like, those that are long enough.
_COMMON = """
    000000000000 0123456789ab 098765432100 111111111111 112233445566 121212121212 123123123123
    123412341234 1234567890ab 123456789012 1234567891011 123456789123 123456123456 1234554321qw
    1q2w3e4r5t6y 1qaz2wsx3edc 1qazxsw23edc 987654321000 abc123456789 abcd12345678 abcdefghijkl
    abcdef123456 administrator admin1234567 adminadmin123 asdfghjkl123 asdfghjkl;'\\ changeme1234
    dermatologist football1234 iloveyou1234 iloveyou2024 letmein12345 liverpool123 password1234
    password12345 password123456 passwordpassword passw0rd1234 p@ssw0rd1234 princess1234
    qwerty123456 qwerty1234567 qwertyqwerty qwertyuiop12 qwertyuiop123 qwertyuiopas qwertyuiop[]
    sunshine1234 superman1234 unknown12345 welcome12345 welcome123456 zaqxswcdevfr zxcvbnm12345
"""
_COMMONEST = frozenset(_COMMON.split())


def check_password(password: str, name: str) -> None:
    """Raises AppError for a password that is too easy to guess, or too long.

    Args:
        name: the account's, as `clean_name` gives it.

    The rules are those of NIST SP 800-63B, section 3.1.1: a length, no rules about the kinds of
    signs, and a list of what everybody tries first.
    """
    plain = normalised(password)
    folded = plain.casefold()
    if len(plain) < SHORTEST:
        raise AppError("password_short", least=SHORTEST)
    if len(plain) > LONGEST:
        raise AppError("password_long", most=LONGEST)
    if len(folded.replace(name, "")) < _FEWEST_OWN:
        raise AppError("password_name")
    if folded in _COMMONEST or len(set(folded)) < _FEWEST_SIGNS:
        raise AppError("password_common")


def normalised(password: str) -> str:
    """The same characters however a keyboard composes them (Unicode's NFKC)."""
    return unicodedata.normalize("NFKC", password)


class Passwords:
    """Makes and checks hashes, few at a time; every method keeps its thread busy for long.

    Args:
        hasher: the cost of new hashes.
    """

    def __init__(self, hasher: PasswordHasher = _OWASP) -> None:
        self._hasher = hasher
        self._places = threading.BoundedSemaphore(HASHES_AT_ONCE)
        self._decoy = hasher.hash("nobody has this password")

    def hash(self, password: str) -> str:
        """A salted hash with its parameters, for `matches`."""
        with self._places:
            return self._hasher.hash(_bytes(password))

    def matches(self, hashed: str | None, password: str) -> bool:
        """Whether a password belongs to a hash; None takes as long and never matches."""
        with self._places:
            try:
                self._hasher.verify(hashed or self._decoy, _bytes(password))
            except (VerificationError, InvalidHashError):
                return False
        return hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether a hash was made at another cost than new ones."""
        return self._hasher.check_needs_rehash(hashed)


def _bytes(password: str) -> bytes:
    return normalised(password).encode("utf-8", "surrogatepass")
