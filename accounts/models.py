"""Users. Tokens are stored by knox, lockouts by axes."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """Someone who logs in: a user, or, with `is_staff`, an administrator."""

    @property
    def is_admin(self) -> bool:
        return self.is_staff
