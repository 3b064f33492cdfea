"""Writes on accounts: seeded logins and tokens."""

from contextlib import suppress
from datetime import datetime

from django.contrib.auth import authenticate
from django.contrib.auth.models import update_last_login
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken, get_token_model
from rest_framework.exceptions import AuthenticationFailed

from accounts.lockout import LoginLocked
from accounts.models import TokenDetails, User

PUBLISHED_PASSWORDS = {
    "alice": "wonderland",
    "bob": "builder",
    "clementine": "mandarine",
    "admin": "admin",
}
ADMINISTRATORS = {"bob", "admin"}
TERMINAL = "terminal"
SEEN_AGAIN_S = 300
"""How long a process does not record again that a token was used."""
WRONG_LOGIN = _("Wrong name or password.")


def logins_seed() -> list[str]:
    """Create the specification's four logins if there is no user at all; return the created names.

    Where there are users, an administrator decides which logins exist: one that was deleted does
    not come back with its published password.
    """
    if User.objects.exists():
        return []
    logins = [
        User(username=name, is_staff=name in ADMINISTRATORS, is_superuser=name in ADMINISTRATORS)
        for name in PUBLISHED_PASSWORDS
    ]
    for user in logins:
        user.set_password(PUBLISHED_PASSWORDS[user.username])
    # All or none; and of two stacks that start at once on one database, one creates them.
    User.objects.bulk_create(logins, ignore_conflicts=True)
    return [user.username for user in logins]


def language_set(*, user: User, language: str) -> None:
    """Store in which language the user reads pages and mails."""
    User.objects.filter(pk=user.pk).update(language=language)


def token_create(
    *, request: HttpRequest, username: str, password: str, name: str = ""
) -> tuple[str, datetime]:
    """Check a password; return a new token and when it expires. Only the token's hash is stored.

    `name` is what its owner will know it by.

    Raises LoginLocked after too many failures, LoginBusy while too many passwords are checked,
    AuthenticationFailed for a wrong name or password.
    """
    checked = authenticate(request, username=username, password=password)
    if getattr(request, "axes_locked_out", False):
        raise LoginLocked
    if checked is None:
        raise AuthenticationFailed(WRONG_LOGIN)
    with transaction.atomic():
        # A change of the password or a deactivation waits for this lock and then revokes this
        # token, too. One that came between the check and the lock is seen here.
        user = User.objects.select_for_update(no_key=True).filter(pk=checked.pk).first()
        if user is None or not user.is_active:
            raise AuthenticationFailed(WRONG_LOGIN)
        # Another login may just have replaced the hash, but not the password.
        if user.password != checked.password and not user.check_password(password):
            raise AuthenticationFailed(WRONG_LOGIN)
        update_last_login(User, user)
        return _token_make(user, name)


def user_token_create(*, username: str, name: str = "") -> tuple[str, datetime]:
    """Return a new token of an active user and when it expires, without asking for a password.

    For users who have logged in already, for administrators, and for whoever administers the
    machine. Raises User.DoesNotExist.
    """
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(username=username, is_active=True)
        return _token_make(user, name)


def user_token_revoke(*, user: User, digest: str) -> bool:
    """Revoke a token of the user; return whether there was one. `digest` is its primary key."""
    return get_token_model().objects.filter(user=user, digest=digest).delete()[0] > 0


def _token_make(user: User, name: str) -> tuple[str, datetime]:
    stored, token = get_token_model().objects.create(user=user)
    TokenDetails.objects.create(token=stored, name=name)
    return token, stored.expiry


def token_seen(*, token: AbstractAuthToken) -> None:
    """Record that a token was used. Within SEEN_AGAIN_S this process records it once."""
    if not cache.add(f"token_seen:{token.pk}", True, SEEN_AGAIN_S):
        return
    # It is gone if its owner revokes it in this moment. Then there is nothing to record.
    with suppress(IntegrityError):
        TokenDetails.objects.bulk_create(
            [TokenDetails(token_id=token.pk, last_used_at=timezone.now())],
            update_conflicts=True,
            unique_fields=["token"],
            update_fields=["last_used_at"],
        )


def terminal_token_create() -> str:
    """Return a new token of the user "terminal", and make that user if need be.

    It is who asked for the predictions of `./champipy predict`, has no password, and is no
    administrator. Raises User.DoesNotExist if an administrator has deactivated it.
    """
    if not User.objects.filter(username=TERMINAL).exists():
        user = User(username=TERMINAL)
        user.set_unusable_password()
        User.objects.bulk_create([user], ignore_conflicts=True)
    return user_token_create(username=TERMINAL, name=TERMINAL)[0]


def expired_tokens_delete() -> int:
    """Delete the expired tokens; return how many were deleted."""
    _, counts = get_token_model().objects.filter(expiry__lt=timezone.now()).delete()
    return counts.get(get_token_model()._meta.label, 0)  # their details went with them
