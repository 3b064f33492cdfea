"""Reads on users' tokens."""

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Token, User


def tokens_of(user: User) -> QuerySet[Token]:
    """Return the user's tokens that have not expired, the newest first, with their details."""
    valid = Token.objects.filter(user=user, expiry__gte=timezone.now())
    return valid.select_related("details").order_by("-created")
