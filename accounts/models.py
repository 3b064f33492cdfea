"""Users and their idempotency keys. Tokens are stored by knox, lockouts by axes."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.utils import timezone
from knox.models import get_token_model

KEY_COUNTS = timedelta(days=1)
"""How long the same idempotency key means the same request."""


class User(AbstractUser):
    """Someone who logs in: a user, or, with `is_staff`, an administrator."""

    _password: str | None  # Django's: the plain text between `set_password` and `save`

    @property
    def is_admin(self) -> bool:
        return self.is_staff

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the user, and revoke the tokens if the password is new or the user is inactive.

        This is here and not in a service because Django's own pages and commands change passwords.
        """
        # Django resets _password where it only replaces the hash by one with newer parameters.
        is_password_new = self._password is not None or not self.has_usable_password()
        with transaction.atomic():
            super().save(*args, **kwargs)
            if is_password_new or not self.is_active:
                get_token_model().objects.filter(user=self).delete()


class IdempotencyKey(models.Model):
    """A key that a client sent with a POST, and what that request created.

    It is written in the transaction that creates the rows: there is never one without the other.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    path = models.CharField(max_length=200)
    key = models.CharField(max_length=255)
    body_sha256 = models.CharField(
        max_length=64, help_text="Over the parsed fields, and the SHA-256 of each file."
    )
    created_ids = models.JSONField(default=list, help_text="Of the rows, in order.")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "path", "key"], name="one_idempotency_key_per_user_and_path"
            )
        ]

    def __str__(self) -> str:
        return f"{self.key} of {self.user}"
