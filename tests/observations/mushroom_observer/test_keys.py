"""Users' own API keys: encrypted, checked, never shown again."""

import json
import logging
import traceback

import pytest
from django.db import connection

from accounts.models import User
from observations.key_encryption import UnreadableKey, key_decrypt, key_encrypt
from observations.key_services import mushroom_observer_key_check, mushroom_observer_keys_renew
from observations.models import MushroomObserverKey
from observations.mushroom_observer.transport import ApiKey
from observations.write_work import clicks_work
from tests.support.api import error_of
from tests.support.mushroom_observer.content import API_KEYS
from tests.support.writes import ASYNC, KEY, put_key

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("site", "messages"),
]
MINE = API_KEYS["verifier"]


def test_a_key_is_checked_and_only_its_end_is_told(alice, bob, site) -> None:
    told = put_key(alice, MINE)
    assert told.status_code == 200
    assert told.headers["Cache-Control"] == "private, no-store"
    stored = MushroomObserverKey.objects.get()
    assert told.json() == {
        "status": "valid",
        "detail": "",
        "ends_with": "0001",
        "mushroom_observer_user": 201,
        "stored_at": stored.created_at.isoformat().replace("+00:00", "Z"),
        "checked_at": stored.checked_at.isoformat().replace("+00:00", "Z"),
    }
    assert alice.get(KEY).json() == told.json()
    assert bob.get(KEY).json()["status"] == "none"
    assert [request.method for request in site.requests] == ["GET"]
    assert site.writes == []


def test_the_database_has_no_key_in_clear_text(alice) -> None:
    put_key(alice, MINE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(t)::text FROM observations_mushroomobserverkey t")
        [[row]] = cursor.fetchall()
    assert "ciphertext" in row
    assert MINE not in row
    assert MINE[:-4] not in row


def test_a_wrong_key_is_refused_and_not_kept(alice) -> None:
    assert error_of(put_key(alice, "x" * 32)) == (422, "mushroom_observer_key_refused")
    stored = MushroomObserverKey.objects.get()
    assert (stored.status, stored.ciphertext, stored.ends_with) == ("refused", "", "")
    assert alice.get(KEY).json()["status"] == "refused"
    assert put_key(alice, MINE).json()["status"] == "valid"


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("in_maintenance", True),
        ("sends_html", True),
        ("leaves_out", frozenset({"user"})),
    ],
)
def test_a_key_that_cannot_be_checked_is_kept_and_says_so(alice, site, switch, value) -> None:
    setattr(site.manners, switch, value)
    told = put_key(alice, MINE)
    assert told.status_code == 200
    assert told.json()["status"] == "unchecked"
    assert told.json()["detail"]
    assert MushroomObserverKey.objects.get().ciphertext


def test_a_key_is_checked_where_the_site_refuses_ids_that_it_lacks(alice, site) -> None:
    site.manners.refuses_unknown_ids = True
    assert put_key(alice, MINE).json()["status"] == "valid"


@pytest.mark.parametrize("key", ["", " ", "a b", "k\nl", "ключ", "x" * 201, None, True, ["a"]])
def test_what_is_no_key_is_a_400_and_is_not_repeated(alice, site, key) -> None:
    answer = alice.put(KEY, json.dumps({"key": key}), content_type="application/json")
    assert answer.status_code == 400
    assert "ключ" not in answer.content.decode()
    assert MushroomObserverKey.objects.count() == len(site.requests) == 0


def test_of_a_short_key_no_character_is_shown(alice, site) -> None:
    site.world.users[201].api_key = "short"
    assert put_key(alice, "short").json()["ends_with"] == ""


def test_a_key_goes_when_its_user_deletes_it_or_is_deleted(alice, users) -> None:
    put_key(alice, MINE)
    assert alice.delete(KEY).status_code == 204
    assert alice.delete(KEY).status_code == 204
    assert alice.get(KEY).json()["status"] == "none"
    put_key(alice, MINE)
    users["alice"].delete()
    assert MushroomObserverKey.objects.count() == 0


def test_a_check_whose_message_was_lost_is_done_all_the_same(alice, messages) -> None:
    messages.at_once = False
    answer = put_key(alice, MINE, ASYNC)
    assert (answer.status_code, answer.json()["status"]) == (202, "checking")
    assert answer.headers["Location"] == KEY
    messages.clear()
    clicks_work()
    assert alice.get(KEY).json()["status"] == "valid"


def test_a_check_leaves_a_newer_key_alone(alice, messages, monkeypatch) -> None:
    messages.at_once = False
    put_key(alice, "x" * 32, ASYNC)

    def slow_owner(key: ApiKey) -> int:
        put_key(alice, MINE, ASYNC)
        return 999

    monkeypatch.setattr("observations.key_services.key_owner", slow_owner)
    mushroom_observer_key_check(key_id=MushroomObserverKey.objects.get().pk)
    stored = MushroomObserverKey.objects.get()
    assert (stored.status, stored.site_user_id) == ("checking", None)


def test_keys_can_be_entered_only_so_often(alice, monkeypatch) -> None:
    from accounts.api.throttling import MushroomObserverThrottle

    monkeypatch.setattr(MushroomObserverThrottle, "rate", "2/day", raising=False)
    assert [put_key(alice, "").status_code for _ in range(3)] == [400, 400, 429]
    assert alice.get(KEY).status_code == 200


def test_a_ciphertext_is_readable_for_its_user_at_its_site_only(settings) -> None:
    text = key_encrypt(ApiKey(MINE), user_id=1)
    assert key_decrypt(text, user_id=1).reveal() == MINE
    assert key_encrypt(ApiKey(MINE), user_id=1) != text
    with pytest.raises(UnreadableKey):
        key_decrypt(text, user_id=2)
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = "https://elsewhere.example.org"
    with pytest.raises(UnreadableKey):
        key_decrypt(text, user_id=1)


def test_a_new_secret_key_reads_what_a_former_one_wrote(alice, settings, caplog) -> None:
    put_key(alice, MINE)
    before = MushroomObserverKey.objects.get()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 50, [settings.SECRET_KEY]
    assert key_decrypt(before.ciphertext, user_id=before.user_id).reveal() == MINE
    assert mushroom_observer_keys_renew() == 1
    settings.SECRET_KEY_FALLBACKS = []
    after = MushroomObserverKey.objects.get()
    assert key_decrypt(after.ciphertext, user_id=before.user_id).reveal() == MINE
    with pytest.raises(UnreadableKey):
        key_decrypt(before.ciphertext, user_id=before.user_id)
    settings.SECRET_KEY = "o" * 50
    assert mushroom_observer_keys_renew() == 0
    assert "Enter it again" in caplog.text
    assert MushroomObserverKey.objects.get().ciphertext == after.ciphertext, "it may come back"


def test_a_key_is_in_no_log_and_no_error(alice, users: dict[str, User], site, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "verysecretkeyverysecretkey"
    told = ""
    for switch in (None, "sends_html", "sends_half", "in_maintenance"):
        if switch:
            setattr(site.manners, switch, True)
        told += put_key(alice, secret).content.decode()
    told += repr(MushroomObserverKey.objects.get().__dict__)
    ciphertext = key_encrypt(ApiKey(secret), user_id=users["alice"].pk)
    try:
        key_decrypt(ciphertext, user_id=0)
    except UnreadableKey as error:
        told += "".join(traceback.format_exception(error))
    told += caplog.text
    assert "unchecked" in told
    assert caplog.text
    assert secret not in told
    assert secret[:12] not in told
