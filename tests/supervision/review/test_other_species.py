"""Review of other species: by form and by key, with a name or without; and undoing decisions."""

import json
import re
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from mlmodels.models import Species
from predictions.labels import OtherSpecies, label_of
from predictions.models import Feedback, Photo, Prediction
from supervision.datasets.others import training_others
from supervision.models import PhotoReview
from supervision.monitoring.selectors import new_photo_count
from supervision.review.history import last_decision
from supervision.review.services import (
    decision_undo,
    photo_exclude,
    photo_label,
    photo_label_other,
)
from tests.support.labelled_photos import ten_species
from tests.support.rows import inference_fields, version_row

pytestmark = pytest.mark.django_db
LIST = "/admin/predictions/photo/"
FLY_AGARIC = "Amanita muscaria"
BOLETUS = OtherSpecies("Boletus edulis")


def photo_row(number: int, **fields: object) -> Photo:
    """Create the row of a photo that looks like no other one and has a model's answer."""
    photo = Photo.objects.create(
        sha256=f"{number:064x}", file="a", bytes=1, width=9, height=9,
        perceptual_hash=0x0F0F_1111_2222_3333 * (number + 1) % (1 << 63), **fields,
    )  # fmt: skip
    version = version_row() if not photo.inference_set.model.objects.exists() else None
    version = version or photo.inference_set.model.objects.first().model_version
    scores = [40 if name == FLY_AGARIC else 60 / 9 for name in version.labels]
    photo.inference_set.create(model_version=version, **inference_fields(version, scores))
    return photo


def in_training(number: int, **fields: object) -> Photo:
    """Create the row of a training photo that a model alone named."""
    now = timezone.now()
    species = Species.objects.get(name=FLY_AGARIC)
    given = {"label": species, "label_source": "predicted", "split": "training", "split_at": now}
    return photo_row(number, **given | fields)


def other_in(split: str, number: int, name: str) -> Photo:
    fields = {"is_other": True, "other_name": name, "label_source": "imported"}
    return photo_row(number, split=split, split_at=timezone.now(), **fields)


def state(photo: Photo) -> tuple:
    photo.refresh_from_db()
    return str(label_of(photo)), photo.label_source, photo.split, photo.excluded


@pytest.fixture(autouse=True)
def species(db: None) -> None:
    ten_species()


@pytest.fixture
def admin(users) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    return client


def send(client: Client, path: str = "review/", accept: str = "text/html", **fields: object):
    client.get(f"{LIST}?review=all")
    data = {**fields, "csrfmiddlewaretoken": client.cookies["csrftoken"].value}
    return client.post(f"{LIST}{path}", data, headers={"Accept": accept}, follow=True)


def test_other_species_leave_the_training_of_the_ten_and_join_that_of_the_others(users) -> None:
    bob, before = users["bob"], timezone.now()
    named, nameless = in_training(1), in_training(2)
    assert new_photo_count(before) == 2
    photo_label_other(photo=named, other=BOLETUS, by=bob)
    photo_label_other(photo=nameless, other=OtherSpecies(), by=bob)
    assert state(named) == ("other species: Boletus edulis", "corrected", "training", False)
    assert state(nameless) == ("other species", "corrected", "training", False)
    assert (named.reviewed_by, new_photo_count(before)) == (bob, 0)
    assert {photo.sha256 for photo in training_others()} == {named.sha256, nameless.sha256}
    # Saying it again changes nothing; neither does it without a name.
    values = list(Photo.objects.order_by("pk").values())
    photo_label_other(photo=named, other=BOLETUS, by=users["admin"])
    photo_label_other(photo=named, other=OtherSpecies(), by=users["admin"])
    assert list(Photo.objects.order_by("pk").values()) == values
    photo_label_other(photo=nameless, other=OtherSpecies("Russula"), by=bob)
    assert state(nameless) == ("other species: Russula", "corrected", "training", False)
    photo_label(photo=named, species=Species.objects.get(name=FLY_AGARIC), by=bob)
    assert state(named) == (FLY_AGARIC, "corrected", "training", False)


def test_an_imported_other_photo_is_confirmed_as_such(users) -> None:
    photo = other_in("training", 1, "Boletus edulis")
    photo_label_other(photo=photo, other=OtherSpecies(), by=users["bob"])
    assert state(photo) == ("other species: Boletus edulis", "confirmed", "training", False)


def test_a_genus_in_evaluation_and_lookalikes_stay_out_of_training(users) -> None:
    evaluation = other_in("evaluation", 1, "Boletus aereus")
    of_genus, lookalike, far = in_training(2), in_training(3), in_training(4)
    Photo.objects.filter(pk=lookalike.pk).update(perceptual_hash=evaluation.perceptual_hash)
    for photo, other in (
        (of_genus, BOLETUS),
        (lookalike, OtherSpecies()),
        (far, OtherSpecies("Russula")),
    ):
        photo_label_other(photo=photo, other=other, by=users["bob"])
    assert state(of_genus) == ("other species: Boletus edulis", "corrected", "", False)
    assert state(lookalike) == ("other species", "corrected", "", False)
    assert state(far) == ("other species: Russula", "corrected", "training", False)
    # An evaluation photo of a species stays in its split.
    Photo.objects.filter(pk=far.pk).update(split="evaluation")
    photo_label_other(photo=far, other=OtherSpecies("Lactarius"), by=users["bob"])
    assert state(far) == ("other species: Lactarius", "corrected", "evaluation", False)


def test_other_species_by_form_and_by_key(admin) -> None:
    photos = [in_training(number) for number in range(4)]
    chosen = [f"{photo.pk}:{FLY_AGARIC}" for photo in photos]
    page = send(admin, verdict="other", photo=chosen[:2], other_name="boletus_edulis")
    assert "2 photos marked as other species." in page.content.decode()
    assert [state(photo)[0] for photo in photos[:2]] == ["other species: Boletus edulis"] * 2
    assert "<option>Boletus edulis</option>" in page.content.decode()
    # The button of a card takes no name from the bar, which is about the selected photos.
    send(admin, one=f"other:{photos[2].pk}:", other_name="Russula")
    assert state(photos[2])[0] == "other species"
    body = send(admin, accept="application/json", verdict="other", photo=chosen[3]).json()
    assert body["said"] == "1 photo marked as other species."
    assert f'data-photo="{photos[3].pk}:other species"' in body["cards"][0]
    assert body["undo"]["text"] == "1 photo marked as other species"
    # What a card shows can be confirmed.
    Photo.objects.filter(pk=photos[0].pk).update(label_source="imported", reviewed_at=None)
    send(admin, one=f"confirm:{photos[0].pk}:other species: Boletus edulis")
    assert state(photos[0]) == ("other species: Boletus edulis", "confirmed", "training", False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("amanita_muscaria", "is Amanita muscaria, a species that models know"),
        ("Cerioporus squamosus", "is Polyporus squamosus, a species that models know"),
        ("Boletus\x00edulis", "no scientific name has"),
        ("B" * 101, "A name has at most 100 characters, not 101."),
    ],
)
def test_a_name_that_is_no_other_species_is_refused(admin, name: str, message: str) -> None:
    photo = in_training(1)
    page = send(admin, verdict="other", photo=f"{photo.pk}:", other_name=name).content.decode()
    assert "Nothing was changed" in page
    assert message in page
    assert state(photo) == (FLY_AGARIC, "predicted", "training", False)
    assert not PhotoReview.objects.exists()


def test_others_are_found_by_the_filter_and_not_as_the_species_that_a_model_saw(admin) -> None:
    other, species = other_in("training", 1, "Boletus edulis"), in_training(2)

    def listed(query: str) -> list[int]:
        page = admin.get(f"{LIST}?{query}").content.decode()
        return [int(pk) for pk in re.findall(r'data-photo="(\d+):', page)]

    assert listed("species=other") == [other.pk]
    assert listed(f"species={FLY_AGARIC}") == [species.pk]
    assert "other species: Boletus edulis" in admin.get(f"{LIST}?review=all").content.decode()


def test_decisions_are_undone_one_after_another(admin, users) -> None:
    photos = [in_training(number) for number in range(3)]
    before = list(Photo.objects.order_by("pk").values())
    chosen = [f"{photo.pk}:{FLY_AGARIC}" for photo in photos]
    send(admin, verdict="exclude", photo=chosen)
    excluded = list(Photo.objects.order_by("pk").values())
    page = send(admin, verdict="other", photo=chosen[:2]).content.decode()
    assert "Undo: <span>2 photos marked as other species</span>" in page
    first = last_decision(users["bob"])
    body = send(admin, "undo/", "application/json", decision=first.id).json()
    assert (body["said"], len(body["cards"])) == ("2 photos as before.", 2)
    assert body["undo"]["text"] == "3 photos excluded"
    assert list(Photo.objects.order_by("pk").values()) == excluded
    page = send(admin, "undo/", decision=body["undo"]["id"], query="split=x").content.decode()
    assert "3 photos as before." in page
    assert list(Photo.objects.order_by("pk").values()) == before
    assert last_decision(users["bob"]) is None
    again = send(admin, "undo/", decision=first.id).content.decode()
    assert "Nothing was undone. It was undone before." in again
    assert list(Photo.objects.order_by("pk").values()) == before
    history = admin.get(f"{LIST}{photos[0].pk}/change/").content.decode()
    assert "Amanita muscaria (predicted, training)" in history
    assert "other species (corrected, training), undone" in history


def test_feedback_waits_again_when_the_decision_that_answered_it_is_undone(admin, users) -> None:
    photo = in_training(1)
    inference = photo.inference_set.get()
    prediction = Prediction.objects.create(
        user=users["alice"], file="a.jpg", is_upload=True, status="done", inference=inference
    )
    Feedback.objects.create(prediction=prediction, user=users["alice"])

    def waiting() -> int:
        return Feedback.objects.filter(reviewed_at=None, reviewed_by=None).count()

    send(admin, verdict="other", photo=f"{photo.pk}:{FLY_AGARIC}")
    assert waiting() == 0
    send(admin, "undo/", decision=last_decision(users["bob"]).id)
    assert waiting() == 1


def test_nobody_undoes_what_somebody_else_decided_or_changed_since(admin, users) -> None:
    photo, second = in_training(1), in_training(2)
    decision = uuid4()
    for each in (photo, second):
        photo_label_other(photo=each, other=BOLETUS, by=users["bob"], decision=decision)
    assert decision_undo(decision=decision, by=users["admin"]) == ([], [])
    photo_exclude(photo=photo, by=users["admin"])
    page = send(admin, "undo/", decision=decision).content.decode()
    assert "1 photo as before. Left as they are, because they changed since: 1 photo." in page
    assert state(photo) == ("other species: Boletus edulis", "corrected", "", True)
    assert state(second) == (FLY_AGARIC, "predicted", "training", False)
    assert last_decision(users["bob"]) is None


def test_undoing_puts_no_photo_into_training_that_is_near_an_evaluation_photo_by_now(
    users,
) -> None:
    photo = in_training(1)
    decision = uuid4()
    photo_exclude(photo=photo, by=users["bob"], decision=decision)
    evaluation = other_in("evaluation", 2, "Boletus")
    Photo.objects.filter(pk=evaluation.pk).update(perceptual_hash=photo.perceptual_hash)
    assert decision_undo(decision=decision, by=users["bob"]) == ([photo], [])
    assert state(photo) == (FLY_AGARIC, "predicted", "", False)


@pytest.mark.parametrize("who", [None, "alice"])
def test_only_administrators_undo_by_a_post_with_a_token(users, admin, who) -> None:
    photo = in_training(1)
    photo_exclude(photo=photo, by=users["bob"])
    fields = {"decision": str(last_decision(users["bob"]).id)}
    assert admin.post(f"{LIST}undo/", fields).status_code == 403
    assert admin.get(f"{LIST}undo/").status_code == 405
    assert send(admin, "undo/", decision="x").status_code == 400
    client = Client()
    if who:
        client.force_login(users[who], backend="django.contrib.auth.backends.ModelBackend")
    response = client.post(f"{LIST}undo/", fields)
    assert response.headers["Location"].startswith("/admin/login/")
    assert state(photo) == (FLY_AGARIC, "predicted", "", True)


def test_a_review_is_kept_as_json_that_names_what_changed(users) -> None:
    photo = in_training(1)
    photo_label_other(photo=photo, other=BOLETUS, by=users["bob"])
    review = PhotoReview.objects.get()
    assert (review.photo, review.kind, review.by) == (photo, "other", users["bob"])
    changed = {key for key in review.after if review.after[key] != review.before[key]}
    assert changed == {
        *("species", "is_other", "other_name", "label_source"),
        *("reviewed_by_id", "reviewed_at"),
    }
    assert json.loads(json.dumps(review.after)) == review.after
