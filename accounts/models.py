"""Users, what is known of their tokens, and idempotency keys.

The tokens themselves are stored by knox, lockouts by axes.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from knox.models import AuthToken, get_token_model

KEY_COUNTS = timedelta(days=1)
"""How long the same idempotency key means the same request."""
MAX_TOKEN_NAME = 100
"""Characters of the name of a token."""


class User(AbstractUser):
    """Someone who logs in: a user, or, with `is_staff`, an administrator."""

    language = models.CharField(
        max_length=10,
        blank=True,
        default="",
        choices=settings.LANGUAGES,
        help_text=_("Of pages and mails. Empty: as the browser asks; mails are in English."),
    )

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


class Token(AuthToken):
    """A token of knox, with the name that people know it by. Its hash is nothing for people."""

    class Meta:
        proxy = True
        verbose_name = _("token")
        verbose_name_plural = _("tokens")

    def __str__(self) -> str:
        if self.name:
            return self.name
        made = date_format(timezone.localtime(self.created), "DATE_FORMAT")
        return gettext("a token from %(date)s") % {"date": made}

    @property
    def name(self) -> str:
        details = getattr(self, "details", None)
        return details.name if details else ""

    @property
    def last_used_at(self) -> datetime | None:
        details = getattr(self, "details", None)
        return details.last_used_at if details else None


class TokenDetails(models.Model):
    """What knox does not store of a token: its name, and when it was last used."""

    token = models.OneToOneField(
        AuthToken, models.CASCADE, primary_key=True, related_name="details"
    )
    name = models.CharField(_("name"), max_length=MAX_TOKEN_NAME, blank=True)
    last_used_at = models.DateTimeField(
        _("last used"), null=True, blank=True, help_text=_("Within five minutes.")
    )

    def __str__(self) -> str:
        return self.name or self.token_id[:8]


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
