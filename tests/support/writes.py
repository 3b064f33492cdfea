"""Observations of the replica of Mushroom Observer, as read there, and clicks on them."""

import json
from typing import Any

from rest_framework.test import APIClient

from accounts.models import User
from observations import key_services, mushroom_observer_services
from observations.models import Observation, ProposedName
from observations.mushroom_observer.client import observation_read
from observations.mushroom_observer.references import observation_url
from observations.write_selectors import seen_of
from observations.write_work import clicks_work

KEY = "/api/v1/mushroom-observer-key"
WRITES = "/api/v1/mushroom-observer-writes"
ASYNC = {"Prefer": "respond-async"}


class Messages(list[str]):
    """The messages to workers: they do nothing until `work` is called, or at once if `at_once`."""

    def __init__(self, monkeypatch: Any) -> None:
        super().__init__()
        self.at_once = True
        monkeypatch.setattr(key_services, "send_task", self.send)
        monkeypatch.setattr(mushroom_observer_services, "send_task", lambda *_, **__: True)

    def send(self, name: str, **_: Any) -> bool:
        assert name == key_services.WORK_TASK
        self.append(name)
        if self.at_once:
            self.work()
        return True

    def work(self) -> None:
        self.clear()
        clicks_work()


def observation_of_the_site(user: User, number: int) -> Observation:
    """Store an observation of the replica as it is there now, without its photos; return it."""
    there = observation_read(number, is_fresh=True)
    Observation.objects.filter(user=user, mushroom_observer_id=number).delete()
    observation = Observation.objects.create(
        user=user,
        source=Observation.Source.MUSHROOM_OBSERVER,
        mushroom_observer_id=number,
        url=observation_url(number),
        fingerprint=there.fingerprint,
        changed_there_at=there.updated_at,
        status=Observation.Status.DONE,
        answer={
            "predictions": [{"species": "Aleuria aurantia", "score": 95.11}],
            "scope": {"in_scope": True, "score": 97.4},
            "plausible": ["Aleuria aurantia"],
        },
    )
    for naming in there.namings:
        ProposedName.objects.create(
            observation=observation,
            name=naming.name.text,
            key=naming.name.text.lower(),
            naming_id=naming.id,
        )
    return observation


def click(
    client: APIClient,
    observation: Observation,
    part: str,
    *,
    headers: dict[str, str] | None = None,
    **said: Any,
) -> Any:
    """Post to a part of an observation (votes, namings, comment) as it was seen."""
    body = json.dumps({"seen": seen_of(observation), **said})
    path = f"/api/v1/observations/{observation.pk}/mushroom-observer/{part}"
    return client.post(path, body, content_type="application/json", headers=headers)


def put_key(client: APIClient, key: str, headers: dict[str, str] | None = None) -> Any:
    body = json.dumps({"key": key})
    return client.put(KEY, body, content_type="application/json", headers=headers)
