"""What is taken as a password, and how it is kept."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from cutis.app.accounts.passwords import HASHES_AT_ONCE, Passwords, check_password
from cutis.app.errors import AppError

GOOD = "correct horse battery"


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "سلام بر دوستان خوب",
        "🐎🔋🖇✏️🐎🔋🖇✏️🐎🔋🖇✏️",
        "a b c d e f g",
        "Ada likes skiing a lot",
        "x" * 4 + "abcdefgh" * 31,
    ],
)
def test_any_long_text_is_a_password(password: str) -> None:
    check_password(password, "ada")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "password_short"),
        ("elevenchars", "password_short"),
        ("ﬁﬁﬁﬁﬁ", "password_short"),  # ten letters under NFKC
        ("abcdefgh" * 33, "password_long"),
        ("dermatology1", "password_name"),
        ("DERMATOLOGYdermatology", "password_name"),
        ("password1234", "password_common"),
        ("PassWord1234", "password_common"),
        ("ｐａｓｓｗｏｒｄ１２３４", "password_common"),
        ("aaaaaaaaaaaaaaaa", "password_common"),
        ("abababababab", "password_common"),
    ],
)
def test_what_is_guessed_first_is_refused(password: str, code: str) -> None:
    with pytest.raises(AppError) as refused:
        check_password(password, "dermatology")
    assert refused.value.code == code


def test_hashes_are_argon2id_at_the_cost_that_owasp_asks_for() -> None:
    cost = extract_parameters(Passwords().hash(GOOD))
    assert (cost.type, cost.hash_len, cost.salt_len) == (Type.ID, 32, 16)
    assert (cost.memory_cost, cost.time_cost, cost.parallelism) == (19 * 1024, 2, 1)


def test_a_password_belongs_to_its_hash_however_it_was_typed() -> None:
    passwords = Passwords()
    hashed = passwords.hash("Zoe\u0308 caf\u00e9 na\u00efve")
    assert passwords.matches(hashed, "Zo\u00eb cafe\u0301 nai\u0308ve")
    assert not passwords.matches(hashed, "Zoe cafe naive")
    assert hashed != passwords.hash("Zo\u00eb caf\u00e9 na\u00efve")  # another salt


def test_an_unknown_name_has_the_same_work_and_never_matches() -> None:
    hasher = Recording(time_cost=1, memory_cost=8, parallelism=1)
    passwords = Passwords(hasher)
    hashed = passwords.hash(GOOD)
    assert not passwords.matches(None, GOOD)
    assert not passwords.matches(None, "nobody has this password")
    assert passwords.matches(hashed, GOOD)
    first, second, third = (extract_parameters(one) for one in hasher.verified)
    assert first == second == third


def test_a_hash_that_is_none_matches_nothing() -> None:
    assert not Passwords().matches("*", GOOD)


def test_hashes_of_another_cost_are_told() -> None:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(GOOD)
    passwords = Passwords()
    assert passwords.matches(cheap, GOOD)
    assert passwords.is_outdated(cheap)
    assert not passwords.is_outdated(passwords.hash(GOOD))


def test_few_hashes_are_made_at_once() -> None:
    hasher = Recording(time_cost=1, memory_cost=8, parallelism=1)
    passwords = Passwords(hasher)
    hashed = passwords.hash(GOOD)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda n: passwords.matches(hashed, GOOD), range(16)):
            assert found
    assert hasher.most == HASHES_AT_ONCE


class Recording(PasswordHasher):
    """Which hashes were checked, and how many at once at most."""

    def __init__(self, **cost: int) -> None:
        super().__init__(**cost)
        self.verified: list[str] = []
        self.most = self._now = 0
        self._lock = threading.Lock()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.verified.append(str(hash))
        try:
            time.sleep(0.01)
            return super().verify(hash, password)
        finally:
            with self._lock:
                self._now -= 1
