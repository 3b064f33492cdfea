"""Reads on what users write at Mushroom Observer."""

import hashlib
from datetime import UTC, datetime

from django.db.models import QuerySet

from accounts.models import User
from observations.models import MushroomObserverWrite, Observation
from observations.mushroom_observer import answers


def writes_visible_to(user: User) -> QuerySet[MushroomObserverWrite]:
    """Return what a user wrote, or for an administrator what everybody wrote, newest first."""
    writes = MushroomObserverWrite.objects.order_by("-id")
    return writes if user.is_admin else writes.filter(user=user)


def seen_of(observation: Observation) -> str:
    """Return a digest of what was last told of an observation; "" if nothing was told yet."""
    if not observation.fingerprint:
        return ""
    return _digest(observation.fingerprint, observation.changed_there_at)


def seen_there(there: answers.Observation) -> str:
    """Return the digest of an observation as Mushroom Observer tells of it now."""
    return _digest(there.fingerprint, there.updated_at)


def _digest(fingerprint: str, changed_at: datetime | None) -> str:
    at = changed_at.astimezone(UTC).isoformat() if changed_at else ""
    return hashlib.sha256(f"{fingerprint} {at}".encode()).hexdigest()
