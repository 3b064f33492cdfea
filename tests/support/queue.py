"""Creates finds in the queue without asking Mushroom Observer."""

from django.utils import timezone

from observations.models import Observation, QueueEntry
from observations.services import names_add

IN_SCOPE = {"in_scope": True, "score": 97.0}
OUT_OF_SCOPE = {"in_scope": False, "score": 3.0}


def queued(number: int, *, verdict: str = "supported", scope: dict | None = None) -> QueueEntry:
    """Create a find with this number there, with the verdict on its one proposed name."""
    observation = Observation.objects.create(
        status="done",
        source="queue",
        mushroom_observer_id=number,
        url=f"https://mushroomobserver.org/observations/{number}",
        answer={
            "predictions": [{"species": "Aleuria aurantia", "score": 80.0}],
            "scope": scope or IN_SCOPE,
            "plausible": ["Aleuria aurantia"],
        },
    )
    names_add(observation=observation, proposed=["Aleuria aurantia"])
    observation.names.update(verdict=verdict, score=50.0)
    return QueueEntry.objects.create(
        mushroom_observer_id=number,
        observation=observation,
        is_to_read=False,
        fingerprint="f" * 64,
        read_at=timezone.now(),
    )
