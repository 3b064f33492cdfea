"""Asks for observations of the replica, and does in this process what workers do."""

from rest_framework.test import APIClient

from observations.mushroom_observer_services import observations_read_due
from predictions.fetch_services import prediction_fetch
from predictions.models import Prediction
from predictions.scoring_services import prediction_infer
from tests.support.mushroom_observer import MushroomObserver
from tests.support.observations import ASYNC, OBSERVATIONS

FIRST = 500_000
"""An observation with one photo, settled."""
SIX_PHOTOS = 500_035


def post(client: APIClient, asked: object, **headers: str):
    return client.post(
        OBSERVATIONS, {"mushroom_observer": asked}, format="json", headers=ASYNC | headers
    )


def read(client: APIClient, asked: object = FIRST) -> dict:
    """Ask for an observation, and do what the workers do; return it as it is told then."""
    response = post(client, asked)
    assert response.status_code == 202, response.json()
    worked()
    return client.get(response.headers["Location"]).json()


def worked() -> None:
    """Read what is due at the site, and answer all pending predictions."""
    observations_read_due()
    for prediction in Prediction.objects.filter(status="pending").order_by("pk"):
        prediction_fetch(prediction_id=prediction.pk)
        prediction_infer(prediction_id=prediction.pk)


def fetched(site: MushroomObserver) -> list[str]:
    """Return the paths of the images that the site was asked for."""
    return [request.path for request in site.requests if request.is_image]


def calls(site: MushroomObserver) -> list[str]:
    """Return the paths of the calls of its API."""
    return [request.path for request in site.requests if request.is_api]
