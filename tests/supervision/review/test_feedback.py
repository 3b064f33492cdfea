"""Feedback in review: it is listed, shown, and closed by any decision."""

import pytest
from django.utils.html import escape

from mlmodels.models import ModelVersion
from predictions.feedback_services import feedback_give
from predictions.models import Feedback, Photo
from tests.support.rows import answered_prediction, version_row

pytestmark = pytest.mark.django_db
LIST = "/admin/predictions/photo/"


@pytest.fixture
def version() -> ModelVersion:
    return version_row()


def test_waiting_feedback_is_listed_and_shown_as_text(admin, users, version) -> None:
    first, second = (answered_prediction(score, version) for score in (95.0, 20.0))
    comment = "<b>gills</b> & all"
    feedback_give(prediction=first, user=users["alice"], name="Boletus edulis", comment=comment)
    page = admin.get(f"{LIST}?doubt=feedback").content.decode()
    assert f'data-photo="{first.inference.photo_id}:' in page
    assert f'data-photo="{second.inference.photo_id}:' not in page
    assert "alice says:" in page
    assert "Boletus edulis" in page
    assert escape(comment) in page
    one = admin.get(f"{LIST}{first.inference.photo_id}/change/").content.decode()
    assert escape(comment) in one


@pytest.mark.parametrize("verdict", ["confirm", "exclude"])
def test_each_decision_closes_the_feedback(admin, users, version, verdict) -> None:
    prediction = answered_prediction(95.0, version)
    photo = prediction.inference.photo
    for name in ("alice", "clementine"):
        feedback_give(prediction=prediction, user=users[name], name=None)
    assert Photo.objects.get().label is None
    species = prediction.inference.best_species
    answer = admin.post(
        f"{LIST}review/", {"verdict": verdict, "photo": f"{photo.pk}:{species}"}, follow=True
    )
    assert answer.status_code == 200
    closed = Feedback.objects.values_list("reviewed_by__username", flat=True)
    assert list(closed) == ["bob", "bob"]
    assert f'data-photo="{photo.pk}:' not in admin.get(f"{LIST}?doubt=feedback").content.decode()
