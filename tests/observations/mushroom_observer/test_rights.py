"""Photos of Mushroom Observer are attributed; reserved ones are neither shown nor trained on."""

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.models import Species
from predictions.models import Inference, Photo
from supervision.review.services import photo_label
from tests.support.mushroom_observer import MushroomObserver
from tests.support.mushroom_observer.content import LICENCES, UNKNOWN_LICENCE
from tests.support.paths import PROJECT
from tests.support.site_observations import FIRST, read

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]


@pytest.fixture
def site(mushroom_observer: MushroomObserver, lost_messages: None) -> MushroomObserver:
    return mushroom_observer


@pytest.fixture(autouse=True)
def _everything_scores_enough(settings) -> None:
    settings.CHAMPIPY_KEEP_SCORE = 0


def picture(client: APIClient, told: dict) -> int:
    path = f"/api/v1/predictions/{told['photos'][0]['id']}/photo"
    return client.get(path, headers={"Prefer": "respond-async"}).status_code


def test_a_photo_is_told_with_holder_year_and_licence(alice: APIClient, site) -> None:
    [image] = site.world.observations[FIRST].images
    image.licence = LICENCES[0]
    [photo] = read(alice)["photos"]
    assert photo["attribution"] == {
        "text": f"© {image.year} {image.holder}",
        "url": f"{site.url}/images/{image.id}",
        "licence": LICENCES[0],
        "licence_url": "https://creativecommons.org/licenses/by-sa/3.0/",
        "is_usable": True,
    }
    stored = Photo.objects.get()
    assert stored.author == image.holder
    assert stored.licence == "https://creativecommons.org/licenses/by-sa/3.0/"
    assert stored.source == f"{site.url}/images/{image.id}"
    assert stored.mushroom_observer_id == image.id
    assert not stored.is_reserved


@pytest.mark.parametrize("reason", ["ok_for_export", "licence"])
def test_a_reserved_photo_is_judged_but_neither_shown_nor_trained_on(
    alice: APIClient, bob: APIClient, site, reason: str
) -> None:
    [image] = site.world.observations[FIRST].images
    setattr(image, reason, False if reason == "ok_for_export" else UNKNOWN_LICENCE)
    told = read(alice)
    assert told["status"] == "done"
    assert told["verdicts"][0]["verdict"]
    assert told["photos"][0]["attribution"]["is_usable"] is False
    assert any("may not be shown" in each for each in told["remarks"])
    photo = Photo.objects.get()
    assert (photo.is_reserved, photo.split, photo.label_source) == (True, "", "")
    assert photo.licence == ""
    for client in (alice, bob):  # bob is an administrator
        assert picture(client, told) == 404
        assert client.get(f"/api/v1/photos/{photo.pk}").status_code == 404
        path = f"/api/v1/predictions/{told['photos'][0]['id']}/explanation"
        assert client.get(path, headers={"Accept": "image/png"}).status_code == 404


def test_a_photo_that_is_reserved_later_leaves_the_training(
    alice: APIClient, users: dict[str, User], site
) -> None:
    [image] = site.world.observations[FIRST].images
    image.licence = LICENCES[0]
    image.source = str(PROJECT / "docs" / "sample.jpg")  # in scope, as a drawing need not be
    read(alice)
    photo = Photo.objects.get()
    assert photo.split == "training"
    image.ok_for_export = False
    read(alice)
    photo.refresh_from_db()
    assert (photo.is_reserved, photo.split) == (True, "")
    told = Species.objects.get(name=Inference.objects.get().best_species)
    photo_label(photo=photo, species=told, by=users["bob"])
    photo.refresh_from_db()
    assert (photo.label_source, photo.split) == ("confirmed", "")
    image.ok_for_export = True
    read(alice)
    photo.refresh_from_db()
    assert not photo.is_reserved
    assert picture(alice, read(alice)) == 503  # it is being made
