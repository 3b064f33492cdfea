"""Users. Tokens are stored by knox, lockouts by axes."""

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import transaction
from knox.models import get_token_model


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
