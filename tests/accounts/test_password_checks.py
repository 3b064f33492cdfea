"""The cost of password checks, how many go on at once, and the lock that counts before checking."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt, AccessLog
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.sessions.models import Session
from django.db import connection
from knox.models import get_token_model

from accounts import backends
from accounts.hashers import MAX_CHECKS, Argon2Hasher
from accounts.models import User
from tests.support.api import client_of, error_of
from tests.support.paths import PROJECT
from tests.support.stack import eventually

# Hashes one password in each of 64 threads at once, and prints by how many MB the process grew.
HASH_IN_64_THREADS = """
import threading
import django
django.setup()
from django.contrib.auth.hashers import make_password

def memory_mb():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 1e6

make_password("x")
before = memory_mb()
threads = [threading.Thread(target=make_password, args=("x",)) for _ in range(64)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(memory_mb() - before)
"""


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets each password that is really checked against a hash."""
    passwords: list[str] = []
    verify = Argon2Hasher.verify

    def verify_and_note(self: Argon2Hasher, password: str, encoded: str) -> bool:
        passwords.append(password)
        return verify(self, password, encoded)

    monkeypatch.setattr(Argon2Hasher, "verify", verify_and_note)
    return passwords


@pytest.fixture
def all_turns_taken() -> Iterator[None]:
    """Take all turns of password checks, as logins that go on at this moment do."""
    for _ in range(MAX_CHECKS):
        assert backends._turns.acquire(blocking=False)
    yield
    for _ in range(MAX_CHECKS):
        backends._turns.release()


def log_in(password: str, username: str = "alice", **headers: str):
    body = {"username": username, "password": password}
    return client_of(None).post("/api/v1/token", body, format="json", headers=headers)


def log_in_from_thread(password: str, **headers: str) -> tuple[int, str]:
    """Log in as alice; return the status and the error's code, or an empty text."""
    try:
        response = log_in(password, **headers)
        return (200, "") if response.status_code == 200 else error_of(response)
    finally:
        connection.close()


@pytest.mark.django_db
def test_argon2_has_the_recommended_cost(users: dict[str, User]) -> None:
    assert users["alice"].password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.django_db
def test_login_replaces_a_hash_of_older_cost_and_keeps_the_tokens(users: dict[str, User]) -> None:
    older = Argon2PasswordHasher().encode("wonderland", "a salt of 22 characters")
    User.objects.filter(username="alice").update(password=older)
    get_token_model().objects.create(user=users["alice"])
    assert log_in("wonderland").status_code == 200
    assert "$m=19456,t=2,p=1$" in User.objects.get(username="alice").password
    assert get_token_model().objects.count() == 2
    assert log_in("wonderland").status_code == 200


def test_memory_of_hashes_does_not_grow_with_the_threads_that_ask() -> None:
    # MALLOC_ARENA_MAX: as many arenas as a machine of 8 cores has.
    result = subprocess.run(
        [sys.executable, "-c", HASH_IN_64_THREADS],
        env={"DJANGO_SETTINGS_MODULE": "champipy_site.settings", "MALLOC_ARENA_MAX": "64"},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(result.stdout) < 150


@pytest.mark.django_db
def test_login_is_refused_while_all_turns_are_taken(users, all_turns_taken, checked) -> None:
    for password in ["wonderland", "wrong"]:
        refused = log_in(password)
        assert error_of(refused) == (503, "login_busy")
        assert refused.headers["Retry-After"] == "3"
    assert checked == []
    assert get_token_model().objects.count() == 0
    assert AccessAttempt.objects.count() == 0, "what was not checked does not count as a failure"


@pytest.mark.django_db
def test_turn_is_given_back_after_each_login(users) -> None:
    codes = [log_in(password).status_code for password in ["wrong", "wonderland"] * MAX_CHECKS * 2]
    assert codes == [401, 200] * MAX_CHECKS * 2


@pytest.mark.django_db(transaction=True)
def test_of_60_guesses_at_once_only_the_limit_is_checked(users, settings, checked) -> None:
    # Another browser for each guess: axes keeps a row for each.
    with ThreadPoolExecutor(60) as pool:
        answers = list(
            pool.map(
                lambda number: log_in_from_thread(f"guess {number}", user_agent=f"agent {number}"),
                range(60),
            )
        )
    assert len(checked) <= settings.AXES_FAILURE_LIMIT == 5
    assert {code for _, code in answers} <= {
        "authentication_failed",
        "login_locked",
        "login_busy",
    }
    for _ in range(5):  # a slow machine may have refused some of the 60 as busy
        log_in("one more guess")
    assert error_of(log_in("wonderland")) == (429, "login_locked")
    assert len(checked) == 5
    assert get_token_model().objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_right_password_beyond_the_limit_is_refused(users, settings, monkeypatch) -> None:
    settings.AXES_FAILURE_LIMIT = 2
    go_on = threading.Event()
    begun = threading.Semaphore(0)
    verify: Callable[[Argon2Hasher, str, str], bool] = Argon2Hasher.verify

    def verify_later(self: Argon2Hasher, password: str, encoded: str) -> bool:
        begun.release()
        go_on.wait(30)
        return verify(self, password, encoded)

    monkeypatch.setattr(Argon2Hasher, "verify", verify_later)
    with ThreadPoolExecutor(2) as pool:
        guesses = [pool.submit(log_in_from_thread, "wrong") for _ in range(2)]
        try:
            assert all(begun.acquire(timeout=30) for _ in range(2))
            # Both guesses are being checked, and none of them has been found wrong yet.
            assert error_of(log_in("wonderland")) == (429, "login_locked")
        finally:
            go_on.set()
        assert sorted(guess.result() for guess in guesses) == [
            (401, "authentication_failed"),
            (429, "login_locked"),
        ]
    assert get_token_model().objects.count() == 0
    assert AccessAttempt.objects.get().failures_since_start == 2


@pytest.mark.django_db(transaction=True)
def test_attempts_on_one_name_are_counted_one_after_the_other(
    users, settings, checked, monkeypatch
) -> None:
    settings.AXES_FAILURE_LIMIT = 1
    first, go_on = threading.Semaphore(1), threading.Event()
    reached = threading.Event()
    count_failure = AxesDatabaseHandler.user_login_failed

    def count_later(self: AxesDatabaseHandler, *arguments: Any, **kwargs: Any) -> None:
        if first.acquire(blocking=False):
            reached.set()
            go_on.wait(30)
        count_failure(self, *arguments, **kwargs)

    def second_waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            return cursor.rowcount == 1

    monkeypatch.setattr(AxesDatabaseHandler, "user_login_failed", count_later)
    with ThreadPoolExecutor(2) as pool:
        guesses = [pool.submit(log_in_from_thread, "wrong")]
        try:
            assert reached.wait(30)
            # The first has found no failure, and has not counted its own yet.
            guesses.append(pool.submit(log_in_from_thread, "wonderland"))
            assert eventually(lambda: guesses[1].done() or second_waits())
        finally:
            go_on.set()
        assert [guess.result() for guess in guesses] == [(429, "login_locked")] * 2
    assert checked == ["wrong"]
    assert get_token_model().objects.count() == 0


@pytest.mark.django_db
def test_right_password_at_the_last_try_is_accepted(users, settings) -> None:
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        assert error_of(log_in("wrong")) == (401, "authentication_failed")
    assert log_in("wonderland").status_code == 200


@pytest.mark.django_db
def test_login_resets_the_failures_and_sets_last_login(users, settings) -> None:
    for _ in range(3):
        for _ in range(settings.AXES_FAILURE_LIMIT - 1):
            assert error_of(log_in("wrong"))[0] == 401
        assert log_in("wonderland").status_code == 200
        assert AccessAttempt.objects.count() == 0
    alice = User.objects.get(username="alice")
    newest = get_token_model().objects.latest("created")
    assert alice.last_login is not None
    assert abs((newest.created - alice.last_login).total_seconds()) < 60
    assert User.objects.get(username="bob").last_login is None
    assert AccessLog.objects.count() == Session.objects.count() == 0, "no row for each API login"


@pytest.mark.django_db
def test_failures_of_an_unknown_name_lock_it_too(users, settings) -> None:
    codes = [log_in("x", username="nobody").status_code for _ in range(6)]
    assert codes == [401] * 4 + [429] * 2
    assert log_in("wonderland").status_code == 200


@pytest.mark.django_db
def test_attempts_while_locked_neither_prolong_the_lock_nor_are_stored(users, settings) -> None:
    codes = [log_in("wrong").status_code for _ in range(5)]
    locked = AccessAttempt.objects.values().get()
    codes += [log_in("wrong").status_code for _ in range(5)]
    assert codes == [401] * 4 + [429] * 6
    assert AccessAttempt.objects.values().get() == locked
