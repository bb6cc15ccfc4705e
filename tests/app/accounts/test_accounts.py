"""Accounts in the database: names, log-ins, changes, and what happens at the same time."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select
from sqlalchemy.orm import Session

from cutis.app.accounts import accounts as module
from cutis.app.accounts.accounts import Account, Accounts, Role, clean_name
from cutis.app.accounts.attempts import OF_NAME, WINDOW
from cutis.app.accounts.passwords import Passwords
from cutis.app.accounts.sessions import Sessions
from cutis.app.accounts.setup import Setup
from cutis.app.archive.archive import Archive
from cutis.app.archive.schema import AccountRow
from cutis.app.errors import AppError

from .conftest import Clock, CountedPasswords

GOOD, OTHER = "correct horse battery", "another horse battery"
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


def code_of(work: Callable[[], object]) -> str:
    """The code of the AppError that some work raises; "done" where it raises none."""
    try:
        work()
    except AppError as error:
        return error.code
    return "done"


@pytest.fixture
def ada(accounts: Accounts) -> Account:
    return accounts.create("ada", GOOD, Role.ADMIN)


def hash_of(archive: Archive, name: str) -> str:
    with archive.database.reading() as session:
        return session.scalars(select(AccountRow.password_hash).filter_by(name=name)).one()


# Names


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        (" Ada ", "ada"),
        ("ＡＤＡ", "ada"),
        ("ÉLISE", "élise"),
        ("E\u0301lise", "élise"),
        ("علي", "علی"),
        ("كاوه۱۲", "کاوه12"),
        ("a.b-c_d@clinic.example", "a.b-c_d@clinic.example"),
    ],
)
def test_names_are_stored_in_one_spelling(written: str, stored: str) -> None:
    assert clean_name(written) == stored
    assert clean_name(stored) == stored


@pytest.mark.parametrize(
    "name",
    ["", "ab", "x" * 41, "a b", "ada!", ".ada", "ada-", "a\x00da", "<b>ada</b>", "ad\u200ca"],
)
def test_other_names_are_refused(accounts: Accounts, name: str) -> None:
    assert code_of(lambda: accounts.create(name, GOOD, Role.REPORTER)) == "account_name"
    assert code_of(lambda: accounts.authenticate(name, GOOD, HERE)) == "login_wrong"


def test_a_name_is_taken_once(accounts: Accounts, ada: Account) -> None:
    assert code_of(lambda: accounts.create("ADA", OTHER, Role.REPORTER)) == "name_taken"
    assert accounts.find("Ada") == ada
    assert accounts.find("eve") is None
    assert [(one.account, one.active) for one in accounts.all()] == [(ada, True)]


# Log-ins


def test_the_right_password_opens_the_account(accounts: Accounts, ada: Account) -> None:
    assert accounts.authenticate(" ADA", GOOD, HERE).account == ada
    assert code_of(lambda: accounts.authenticate("ada", OTHER, HERE)) == "login_wrong"
    assert code_of(lambda: accounts.authenticate("ada", "", HERE)) == "login_wrong"


def test_the_database_holds_no_password(archive: Archive, accounts: Accounts, ada: Account) -> None:
    assert hash_of(archive, "ada").startswith("$argon2id$")
    assert GOOD not in hash_of(archive, "ada")


def test_names_cannot_be_told_by_the_work(
    accounts: Accounts, ada: Account, passwords: CountedPasswords
) -> None:
    """One hash each for a wrong password, a disabled account and names that there are not."""
    accounts.create("bea", GOOD, Role.REPORTER)
    accounts.set_active(2, False)
    for name in ("ada", "bea", "eve", "\x00"):
        before = len(passwords.checked)
        assert code_of(lambda name=name: accounts.authenticate(name, OTHER, HERE)) == "login_wrong"
        assert len(passwords.checked) == before + 1
    assert code_of(lambda: accounts.authenticate("bea", GOOD, HERE)) == "login_wrong"
    assert passwords.checked == [True, True, False, False, True]


def test_old_hashes_are_made_anew_at_the_next_log_in(
    archive: Archive, accounts: Accounts, ada: Account
) -> None:
    before = hash_of(archive, "ada")
    dearer = Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    later = Accounts(archive.database, dearer)
    code_of(lambda: later.authenticate("ada", OTHER, HERE))
    assert hash_of(archive, "ada") == before
    assert later.authenticate("ada", GOOD, HERE).account == ada
    assert "t=2" in hash_of(archive, "ada")
    assert later.authenticate("ada", GOOD, HERE).account == ada


# Guessing


def test_guessing_ends_after_five_and_goes_on_after_the_window(
    accounts: Accounts, ada: Account, passwords: CountedPasswords, clock: Clock
) -> None:
    for _ in range(OF_NAME):
        assert code_of(lambda: accounts.authenticate("ada", OTHER, HERE)) == "login_wrong"
        clock.forward(minutes=1)
    hashes = len(passwords.checked)
    for password in (OTHER, GOOD):
        with pytest.raises(AppError) as refused:
            accounts.authenticate("ADA", password, ELSEWHERE)
        assert (refused.value.code, refused.value.status_code) == ("too_many_logins", 429)
        assert refused.value.headers == {"Retry-After": str(10 * 60)}  # the first was 5 ago
        assert refused.value.values["minutes"] == (10, "unit.minutes")
    assert len(passwords.checked) == hashes  # nothing is tried
    clock.forward(minutes=10)
    assert accounts.authenticate("ada", GOOD, HERE).account == ada


def test_names_that_there_are_not_are_counted_alike(accounts: Accounts, ada: Account) -> None:
    codes = [code_of(lambda: accounts.authenticate("eve", OTHER, HERE)) for _ in range(6)]
    assert codes == ["login_wrong"] * 5 + ["too_many_logins"]


def test_a_right_password_does_not_forgive_the_wrong_ones(accounts: Accounts, ada: Account) -> None:
    """Else whoever has an account could guess others' from the same address without end."""
    for _ in range(4):
        code_of(lambda: accounts.authenticate("ada", OTHER, HERE))
    for _ in range(3):
        assert accounts.authenticate("ada", GOOD, HERE).account == ada
    assert code_of(lambda: accounts.authenticate("ada", OTHER, HERE)) == "login_wrong"
    assert code_of(lambda: accounts.authenticate("ada", GOOD, HERE)) == "too_many_logins"


def test_a_stranger_cannot_lock_the_owner_out(accounts: Accounts, ada: Account) -> None:
    known = accounts.device(ada)
    for _ in range(OF_NAME + 1):
        code_of(lambda: accounts.authenticate("ada", OTHER, HERE))
    assert code_of(lambda: accounts.authenticate("ada", GOOD, HERE)) == "too_many_logins"
    assert accounts.authenticate("ada", GOOD, HERE, known).account == ada
    for forged in ("x.y", known[:-1], "." + known, "é.é", known.replace(".", "..")):
        again = code_of(lambda device=forged: accounts.authenticate("ada", GOOD, HERE, device))
        assert again == "too_many_logins"


def test_a_known_browser_may_not_guess_either(accounts: Accounts, ada: Account) -> None:
    bea = accounts.create("bea", GOOD, Role.REPORTER)
    known = accounts.device(ada)
    codes = [code_of(lambda: accounts.authenticate("ada", OTHER, HERE, known)) for _ in range(6)]
    assert codes == ["login_wrong"] * 5 + ["too_many_logins"]
    # it is known for one account alone
    for _ in range(OF_NAME):
        code_of(lambda: accounts.authenticate("bea", OTHER, HERE, known))
    assert code_of(lambda: accounts.authenticate("bea", GOOD, HERE, known)) == "too_many_logins"
    assert accounts.authenticate("bea", GOOD, HERE, accounts.device(bea)).account == bea


def test_a_browser_is_known_until_the_password_changes(accounts: Accounts, ada: Account) -> None:
    known = accounts.device(ada)
    accounts.set_password(ada.id, OTHER)
    for _ in range(OF_NAME):
        code_of(lambda: accounts.authenticate("ada", GOOD, HERE))
    assert code_of(lambda: accounts.authenticate("ada", OTHER, HERE, known)) == "too_many_logins"
    assert accounts.authenticate("ada", OTHER, HERE, accounts.device(ada)).account == ada


# Changes


def test_changing_the_own_password_asks_for_the_old_one(
    accounts: Accounts, sessions: Sessions, ada: Account
) -> None:
    token = sessions.open(ada)
    change = accounts.change_password
    assert code_of(lambda: change(ada, OTHER, OTHER, HERE)) == "password_old"
    assert code_of(lambda: change(ada, GOOD, GOOD, HERE)) == "password_same"
    assert code_of(lambda: change(ada, GOOD, "short", HERE)) == "password_short"
    assert sessions.account(token) == ada
    change(ada, GOOD, OTHER, HERE)
    assert sessions.account(token) is None
    assert accounts.authenticate("ada", OTHER, HERE).account == ada
    assert code_of(lambda: accounts.authenticate("ada", GOOD, HERE)) == "login_wrong"


def test_the_old_password_cannot_be_guessed_in_an_open_session(
    accounts: Accounts, ada: Account
) -> None:
    change = accounts.change_password
    codes = [code_of(lambda: change(ada, "wrong", OTHER, HERE)) for _ in range(6)]
    assert codes == ["password_old"] * 5 + ["too_many_logins"]
    assert accounts.authenticate("ada", GOOD, HERE).account == ada  # log-ins are counted apart


def test_a_one_time_password_is_to_be_changed(accounts: Accounts, ada: Account) -> None:
    accounts.set_password(ada.id, OTHER, must_change_password=True)
    changed = accounts.authenticate("ada", OTHER, HERE).account
    assert changed.must_change_password
    accounts.change_password(changed, OTHER, GOOD, HERE)
    assert not accounts.get(ada.id).must_change_password


def test_every_change_of_rights_ends_the_sessions(
    accounts: Accounts, sessions: Sessions, ada: Account
) -> None:
    bea = accounts.create("bea", GOOD, Role.REPORTER)
    own = sessions.open(ada)
    for change in (
        lambda: accounts.set_role(bea.id, Role.CLINICIAN),
        lambda: accounts.set_password(bea.id, OTHER),
        lambda: accounts.set_active(bea.id, False),
        lambda: accounts.set_active(bea.id, True),
    ):
        token = sessions.open(bea)
        change()
        assert sessions.account(token) is None
    assert sessions.account(own) == ada
    assert accounts.get(bea.id).role == Role.CLINICIAN


def test_unknown_accounts_are_told(accounts: Accounts) -> None:
    for change in (
        lambda: accounts.get(1),
        lambda: accounts.set_role(1, Role.ADMIN),
        lambda: accounts.set_active(1, False),
        lambda: accounts.set_password(1, GOOD),
    ):
        assert code_of(change) == "account_not_found"


# The last admin, and the first


def test_the_last_active_admin_stays(accounts: Accounts, ada: Account) -> None:
    bea = accounts.create("bea", GOOD, Role.ADMIN)
    accounts.set_active(bea.id, False)
    assert code_of(lambda: accounts.set_active(ada.id, False)) == "last_admin"
    assert code_of(lambda: accounts.set_role(ada.id, Role.CLINICIAN)) == "last_admin"
    assert accounts.get(ada.id) == ada
    accounts.set_active(bea.id, True)
    accounts.set_role(ada.id, Role.REPORTER)
    assert code_of(lambda: accounts.set_active(bea.id, False)) == "last_admin"


@pytest.fixture
def slow_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves time between what is checked and what is written."""
    for name in ("_check_admins", "_any"):
        check = getattr(module, name)

        def slow(session: Session, check: Callable[[Session], object] = check) -> object:
            found = check(session)
            time.sleep(0.1)
            return found

        monkeypatch.setattr(module, name, slow)


def test_two_admins_cannot_remove_each_other(
    accounts: Accounts, ada: Account, slow_checks: None
) -> None:
    bea = accounts.create("bea", GOOD, Role.ADMIN)
    changes = (
        lambda: accounts.set_active(ada.id, False),
        lambda: accounts.set_role(bea.id, Role.REPORTER),
    )
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(code_of, changes)) == ["done", "last_admin"]


def test_two_at_once_make_one_first_admin(accounts: Accounts, slow_checks: None) -> None:
    setup = Setup(accounts)
    token = setup.token
    with ThreadPoolExecutor(3) as pool:
        codes = pool.map(lambda n: code_of(lambda: setup.use(token, f"admin{n}", GOOD)), range(3))
        assert sorted(codes) == ["done", "setup_closed", "setup_closed"]
    assert [one.account.role for one in accounts.all()] == [Role.ADMIN]


def test_the_token_of_the_first_account(accounts: Accounts) -> None:
    setup = Setup(accounts)
    assert setup.path == f"/setup?token={setup.token}"
    assert len(setup.token) == 43  # 256 bits
    assert setup.token != Setup(accounts).token
    for wrong in ("", "x", "é", setup.token[:-1]):
        assert code_of(lambda token=wrong: setup.use(token, "ada", GOOD)) == "setup_closed"
    assert code_of(lambda: setup.use(setup.token, "ada", "short")) == "password_short"
    kept = setup.token
    setup.use(kept, "ada", GOOD)
    assert setup.path is None
    assert code_of(lambda: setup.check(kept)) == "setup_closed"
    assert code_of(lambda: setup.check("")) == "setup_closed"
    assert Setup(accounts).path is None
    assert code_of(lambda: Setup(accounts).check("")) == "setup_closed"


def test_the_token_ends_with_an_account_from_the_command_line(accounts: Accounts) -> None:
    setup = Setup(accounts)
    accounts.create("ada", GOOD, Role.ADMIN)
    assert code_of(lambda: setup.check(setup.token)) == "setup_closed"


def test_the_window_is_what_the_page_says() -> None:
    assert timedelta(minutes=15) == WINDOW
