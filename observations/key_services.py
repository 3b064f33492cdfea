"""Writes on users' API keys of Mushroom Observer: stored, checked, deleted, encrypted anew."""

import logging
import time
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from common.broker import send_task
from common.messages import Message, Text
from observations.key_encryption import UnreadableKey, key_decrypt, key_encrypt, key_renew
from observations.models import MushroomObserverKey
from observations.mushroom_observer.client import key_owner
from observations.mushroom_observer.errors import MushroomObserverError, RefusedError
from observations.mushroom_observer.transport import ApiKey

logger = logging.getLogger(__name__)

WORK_TASK = "observations.tasks.work_on_clicks"
EXPIRES_S = 60.0
POLL_S = 0.5
MIN_LENGTH_TO_SHOW = 16
"""Of keys that are shorter the last characters are not kept."""
UNREADABLE = Message(
    "Your API key cannot be read any more: SECRET_KEY or CHAMPIPY_MUSHROOM_OBSERVER_URL has "
    "changed. Enter it again."
)

Status = MushroomObserverKey.Status


def mushroom_observer_key_store(*, user: User, key: ApiKey) -> MushroomObserverKey:
    """Store a user's API key in place of an earlier one, and have a worker check it; return it."""
    text = key.reveal()
    stored, _ = MushroomObserverKey.objects.update_or_create(
        user=user,
        defaults={
            "ciphertext": key_encrypt(key, user_id=user.pk),
            "ends_with": text[-4:] if len(text) >= MIN_LENGTH_TO_SHOW else "",
            "status": Status.CHECKING,
            "detail": "",
            "site_user_id": None,
            "created_at": timezone.now(),
            "checked_at": None,
        },
    )
    click_announce()
    return stored


def click_announce() -> None:
    """After commit, tell a worker that a user has asked for something at Mushroom Observer."""
    transaction.on_commit(lambda: send_task(WORK_TASK, expires_s=EXPIRES_S))


def mushroom_observer_key_check(*, key_id: int) -> None:
    """Ask Mushroom Observer whose key it is, and store what it says.

    A key that it does not know is deleted, and the row says why. Where the site gives no clear
    answer the key is kept, unchecked. A key that took its place meanwhile is left alone.
    """
    stored = MushroomObserverKey.objects.filter(pk=key_id, status=Status.CHECKING).first()
    if stored is None:
        return
    try:
        owner = key_owner(key_decrypt(stored.ciphertext, user_id=stored.user_id))
    except UnreadableKey:
        key_checked(stored, Status.REFUSED, detail=UNREADABLE)
    except RefusedError as error:
        if is_about_the_key(error):
            key_checked(stored, Status.REFUSED, detail=error.detail)
        else:
            key_checked(stored, Status.UNCHECKED, detail=error.detail)
    except MushroomObserverError as error:
        key_checked(stored, Status.UNCHECKED, detail=error.detail)
    else:
        if owner is None:
            detail = Message("Mushroom Observer did not say whose key it is.")
            key_checked(stored, Status.UNCHECKED, detail=detail)
        else:
            key_checked(stored, Status.VALID, owner=owner)


def key_checked(
    stored: MushroomObserverKey, status: str, *, detail: Text = "", owner: int | None = None
) -> None:
    """Store what is known of a key, unless another one took its place meanwhile."""
    fields: dict[str, Any] = {"status": status, "detail": detail, "checked_at": timezone.now()}
    if owner is not None:
        fields["site_user_id"] = owner
    if status == Status.REFUSED:
        fields |= {"ciphertext": "", "ends_with": ""}
    same = MushroomObserverKey.objects.filter(pk=stored.pk, ciphertext=stored.ciphertext)
    same.update(**fields)


def is_about_the_key(error: RefusedError) -> bool:
    """Return whether the site refused a call because of its API key."""
    return "key" in error.site_code.lower() or "authenticate" in error.site_code.lower()


def mushroom_observer_key_wait(*, stored: MushroomObserverKey, timeout_s: float) -> None:
    """Wait until a key is checked or deleted, at most `timeout_s` seconds; reread it."""
    deadline = time.monotonic() + timeout_s
    while stored.status == Status.CHECKING and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, POLL_S))
        try:
            stored.refresh_from_db()
        except MushroomObserverKey.DoesNotExist:
            return


def mushroom_observer_key_delete(*, user: User) -> None:
    """Delete a user's API key. What was written with it stays recorded."""
    MushroomObserverKey.objects.filter(user=user).delete()


def mushroom_observer_keys_renew() -> int:
    """Encrypt all keys with the present SECRET_KEY, and return how many there are.

    Beat has it done daily, so that a former SECRET_KEY can leave SECRET_KEY_FALLBACKS.
    """
    count = 0
    for stored in MushroomObserverKey.objects.exclude(ciphertext="").iterator(chunk_size=200):
        try:
            renewed = key_renew(stored.ciphertext, user_id=stored.user_id)
        except UnreadableKey:
            logger.warning("The %s cannot be read: %s", stored, UNREADABLE)
            continue
        same = MushroomObserverKey.objects.filter(pk=stored.pk, ciphertext=stored.ciphertext)
        count += same.update(ciphertext=renewed)
    return count
