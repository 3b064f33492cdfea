"""Observations of alice that several tests list."""

import pytest
from django.utils import timezone

from mlmodels.models import Species, SpeciesName
from observations.models import Observation
from observations.services import names_add

ANSWER = {
    "predictions": [{"species": "Aleuria aurantia", "score": 80.0}],
    "scope": {"in_scope": True, "score": 97.0},
    "plausible": ["Aleuria aurantia", "Amanita muscaria"],
}


@pytest.fixture
def rows(users) -> list[Observation]:
    """Create alice's observations: done and undecided, agreed, from Mushroom Observer, pending."""
    species = Species.objects.get_or_create(name="Aleuria aurantia")[0]
    SpeciesName.objects.get_or_create(
        key="peziza aurantia", defaults={"species": species, "name": "Peziza aurantia"}
    )
    hers = {"user": users["alice"]}
    done = {"status": "done", "answer": ANSWER}
    decided = {"decision": "agree", "decided_at": timezone.now()}
    elsewhere = {
        "source": "mushroom_observer",
        "mushroom_observer_id": 7,
        "url": "https://mushroomobserver.org/observations/7",
    }
    observations = [
        Observation.objects.create(**hers, **done),
        Observation.objects.create(**hers, **done, **decided),
        Observation.objects.create(**hers, **done, **elsewhere),
        Observation.objects.create(**hers),
    ]
    names = [
        *(["Peziza aurantia", "Amanita"], ["Aleuria aurantia"], ["Amanita muscaria"], ["Amanita"]),
    ]
    for observation, proposed in zip(observations, names, strict=True):
        names_add(observation=observation, proposed=proposed)
    for observation, verdict in zip(
        observations[:3], ("supported", "undecided", "contradicted"), strict=True
    ):
        observation.names.exclude(species="").update(verdict=verdict, score=50.0)
        observation.names.filter(species="").update(verdict="not_covered")
    return observations
