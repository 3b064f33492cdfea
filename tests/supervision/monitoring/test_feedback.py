"""How often the people who asked agree, by species and by score, on the dashboard."""

import pytest
from django.test import Client

from accounts.models import User
from mlmodels.models import ModelVersion, Species
from predictions.feedback_services import feedback_close, feedback_give
from supervision.monitoring.feedback import Agreement, feedback_counts, waiting_feedback
from tests.support.rows import answered_prediction, version_row

pytestmark = pytest.mark.django_db


def give(version: ModelVersion, user: User, score: float, name: str | None):
    prediction = answered_prediction(score, version, user=user)
    return feedback_give(prediction=prediction, user=user, name=name)


def test_agreement_is_counted_by_species_and_by_score(users) -> None:
    version, other = version_row(), version_row(2, "Staging")
    first, second = version.labels[:2]
    assert feedback_counts(version) is None
    give(version, users["alice"], 95.0, second)
    give(version, users["alice"], 92.0, None)
    give(version, users["bob"], 60.0, second)
    give(version, users["bob"], 40.0, second)  # 60 % for the first
    give(other, users["alice"], 99.0, second)
    counts = feedback_counts(version)
    assert counts is not None
    assert counts.total == Agreement("all", 4, 2)
    assert counts.total.percent == 50
    assert counts.by_species == (Agreement(first, 1, 0), Agreement(second, 3, 2))
    assert counts.by_score == (
        Agreement("50 to 70 %", 2, 1), Agreement("90 % and more", 2, 1),
    )  # fmt: skip
    assert waiting_feedback() == 5


def test_none_of_the_known_species_agrees_with_an_answer_out_of_scope(users) -> None:
    version = version_row()
    best = version.labels[1]
    Species.objects.create(name="Boletus edulis")  # which the version does not know
    said = (
        (False, None, True),
        (False, "Boletus edulis", True),
        (False, "Xerocomus rubellus", True),
        (False, best, False),
        (True, None, False),
        (True, best, True),
        (None, best, True),
        (None, "Boletus edulis", False),
    )
    for place, (in_scope, name, _) in enumerate(said):
        feedback = give(version, users["alice"], 91.0 + place, name)
        inference = feedback.prediction.inference
        inference.in_scope, inference.scope_score = in_scope, None if in_scope is None else 50.0
        inference.save()
    counts = feedback_counts(version)
    assert counts is not None
    assert counts.total == Agreement("all", 8, sum(agrees for _, _, agrees in said))
    assert counts.by_species == (Agreement(best, 4, 2), Agreement("none of its species", 4, 3))
    assert counts.by_score == (Agreement("90 % and more", 8, 5),)


def test_reviewed_feedback_counts_but_waits_no_longer(users) -> None:
    version = version_row()
    feedback = give(version, users["alice"], 95.0, version.labels[1])
    feedback_close(photo=feedback.prediction.inference.photo, by=users["bob"])
    assert waiting_feedback() == 0
    assert feedback_counts(version).total.agreeing == 1


def test_the_dashboard_shows_it_with_a_link_to_what_waits(users, production) -> None:
    bob = Client()
    bob.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    assert "What the people who asked say" not in bob.get("/admin/").content.decode()
    give(production, users["alice"], 95.0, production.labels[1])
    give(production, users["alice"], 30.0, None)
    page = bob.get("/admin/").content.decode()
    assert "They agree with 50.0 % of the 2 answers of VGG16 1" in page
    assert "?doubt=feedback" in page
    assert "2 wait for a review" in page
