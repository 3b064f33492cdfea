"""What goes with an observation, what stays of it, and what is left when something dies."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from observations import services
from observations.models import Observation, ObservationPhoto, ProposedName
from observations.tasks import finish_observations
from predictions import answer_services
from predictions.models import Inference, Photo, PhotoSource, Prediction
from supervision.retention.selectors import prunable
from supervision.retention.services import prune
from tests.support.api import PREDICTIONS, assert_nothing_left, error_of
from tests.support.observations import OBSERVATIONS, finished, post_photos
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, upload

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("production", "lost_messages"),
]


@pytest.fixture(autouse=True)
def own_home(settings, tmp_path: Path) -> None:
    settings.CHAMPIPY_HOME = tmp_path
    settings.MEDIA_ROOT = str(tmp_path / "media")
    settings.CHAMPIPY_KEEP_SCORE = 101  # no photo becomes a training photo by its score


def observed(client: APIClient, *numbers: int) -> dict:
    """Return a finished observation of drawn photos."""
    photos = [drawn_photo(number) for number in numbers]
    made = post_photos(client, photos, ["Aleuria aurantia"]).json()
    finished()
    return client.get(f"{OBSERVATIONS}/{made['id']}").json()


def test_nothing_is_left_of_an_observation(alice: APIClient, bob: APIClient) -> None:
    path = f"{OBSERVATIONS}/{observed(alice, 101, 102)['id']}"
    assert alice.delete(path).status_code == 204
    for model in (Observation, ObservationPhoto, ProposedName, Prediction, Inference, PhotoSource):
        assert model.objects.count() == 0
    assert_nothing_left()
    assert error_of(alice.delete(path)) == (404, "observation_not_found")


def test_a_photo_that_another_prediction_needs_stays(alice: APIClient, users) -> None:
    other = answered(upload(drawn_photo(103)))
    told = observed(alice, 103, 104)
    assert alice.delete(f"{OBSERVATIONS}/{told['id']}").status_code == 204
    assert list(Photo.objects.all()) == [other.inference.photo]
    assert Prediction.objects.get() == other


def test_a_pending_observation_goes_with_its_bytes(alice: APIClient) -> None:
    made = post_photos(alice, [drawn_photo(105), drawn_photo(106)]).json()
    assert alice.delete(f"{OBSERVATIONS}/{made['id']}").status_code == 204
    assert Prediction.objects.count() == 0
    assert_nothing_left()


def test_a_deletion_that_dies_halfway_can_be_repeated(alice: APIClient, monkeypatch) -> None:
    told = observed(alice, 107, 108)
    delete = services.prediction_delete
    calls = []

    def delete_one(**arguments):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("as good as a death")
        delete(**arguments)

    monkeypatch.setattr(services, "prediction_delete", delete_one)
    path = f"{OBSERVATIONS}/{told['id']}"
    assert alice.delete(path).status_code == 500
    assert len(alice.get(path).json()["photos"]) == 1
    monkeypatch.undo()
    assert alice.delete(path).status_code == 204
    assert_nothing_left()


def test_what_was_told_stays_when_a_photo_is_deleted(alice: APIClient) -> None:
    told = observed(alice, 109, 110)
    for photo in told["photos"]:
        assert alice.delete(f"{PREDICTIONS}/{photo['id']}").status_code == 204
    assert_nothing_left()
    assert alice.get(f"{OBSERVATIONS}/{told['id']}").json() == told | {"photos": []}


def test_a_photo_deleted_while_others_wait_is_not_waited_for(alice: APIClient) -> None:
    made = post_photos(alice, [drawn_photo(111), drawn_photo(112)]).json()
    first, second = (photo["id"] for photo in made["photos"])
    answered(Prediction.objects.get(pk=first))
    alice.delete(f"{PREDICTIONS}/{second}")
    assert alice.get(f"{OBSERVATIONS}/{made['id']}").json()["status"] == "pending"
    finish_observations()
    assert alice.get(f"{OBSERVATIONS}/{made['id']}").json()["status"] == "done"


def test_a_pending_observation_goes_with_its_last_photo(alice: APIClient) -> None:
    made = post_photos(alice, [drawn_photo(113)]).json()
    alice.delete(f"{PREDICTIONS}/{made['photos'][0]['id']}")
    finish_observations()
    assert Observation.objects.count() == 0


def test_one_from_elsewhere_waits_for_its_photos(users) -> None:
    waits = Observation.objects.create(
        user=users["alice"], source="mushroom_observer", next_read_at=timezone.now()
    )
    finish_observations()
    services.observation_finish(observation_id=waits.pk)
    assert Observation.objects.get().status == "pending"


def test_a_worker_that_dies_before_it_tells_is_made_up_for(alice: APIClient, monkeypatch) -> None:
    monkeypatch.setattr(answer_services, "_when_answered", [])
    made = observed(alice, 114, 115)
    assert made["status"] == "pending"
    assert all(photo["status"] == "done" for photo in made["photos"])
    finish_observations()
    assert alice.get(f"{OBSERVATIONS}/{made['id']}").json()["status"] == "done"


def test_one_that_cannot_be_finished_does_not_stop_the_others(
    alice: APIClient, monkeypatch
) -> None:
    monkeypatch.setattr(answer_services, "_when_answered", [])
    made = [observed(alice, number)["id"] for number in (116, 117)]
    finish = services.observation_finish

    def fail_first(*, observation_id: int):
        if observation_id == made[0]:
            raise RuntimeError("a fault")
        return finish(observation_id=observation_id)

    monkeypatch.setattr(services, "observation_finish", fail_first)
    finish_observations()
    assert set(Observation.objects.values_list("pk", "status")) == {
        *((made[0], "pending"), (made[1], "done")),
    }


def test_old_observations_go_as_old_predictions_do(alice: APIClient, settings) -> None:
    settings.CHAMPIPY_KEEP_PREDICTIONS_DAYS = 30
    told = [observed(alice, number) for number in (118, 119)]
    long_ago = timezone.now() - timedelta(days=31)
    old = Observation.objects.filter(pk=told[0]["id"])
    old.update(created_at=long_ago)
    Prediction.objects.filter(observation_photo__observation__in=old).update(created_at=long_ago)
    planned = {amount.subject: amount.count for amount in prunable(timezone.now())}
    assert (planned["observations"], planned["predictions"]) == (1, 1)
    done = {amount.subject: amount.count for amount in prune()}
    assert (done["observations"], done["predictions"]) == (1, 1)
    assert Observation.objects.get().pk == told[1]["id"]
    assert Prediction.objects.count() == ObservationPhoto.objects.count() == 1


def test_an_observation_stays_when_its_user_is_deleted(
    alice: APIClient, bob: APIClient, users
) -> None:
    made = post_photos(alice, [drawn_photo(120), drawn_photo(121)]).json()
    users["alice"].delete()
    finished()
    assert bob.get(f"{OBSERVATIONS}/{made['id']}").json()["status"] == "done"


def test_a_request_that_waits_for_a_deleted_observation_gets_a_404(
    alice: APIClient, monkeypatch
) -> None:
    from observations.api import views

    create = views.observation_create

    def create_and_delete(**arguments):
        observation = create(**arguments)
        services.observation_delete(observation=Observation.objects.get(pk=observation.pk))
        return observation

    monkeypatch.setattr(views, "observation_create", create_and_delete)
    response = post_photos(alice, [drawn_photo(122)], headers={"Prefer": "wait=5"})
    assert error_of(response) == (404, "observation_not_found")
