"""--photos fetches settled photos at the site's pace, only as many as asked for."""

import itertools

import pytest
from django.core.management import CommandError

from mlmodels.models import Species
from observations.dumps import downloads
from observations.models import MushroomObserverImage
from predictions import mushroom_observer_turns
from predictions.models import Photo
from tests.support.dumps import write_dumps

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path, drawn_site):
    """Write the dumps of what the replica serves: settled are four observations of one species."""
    world = drawn_site.world
    for observation in world.observations.values():
        del observation.namings[:]
    for number, observation in zip(range(4), world.observations.values(), strict=False):
        world.turn(observation.id, "Amanita muscaria")
        for index, image in enumerate(observation.images):
            image.licence, image.ok_for_export = "Public Domain", True
            image.id = 2_000_000 + 1000 * number + 100 * index
            world.images[image.id] = image
    write_dumps(tmp_path, world)
    return tmp_path


def training_photos():
    return Photo.objects.filter(split="training")


def test_nothing_is_fetched_unless_asked_for(folder, drawn_site, run) -> None:
    run(folder)
    assert drawn_site.requests == []


def test_as_many_as_asked_for_are_fetched_one_of_each_find_first(folder, drawn_site, run) -> None:
    output = run(folder, "--photos", "4")
    assert "Photos: 4 fetched, 0 refused." in output.out
    rows = MushroomObserverImage.objects.filter(gave_label=True)
    assert set(rows.values_list("pk", flat=True)) == set(
        training_photos().values_list("mushroom_observer_id", flat=True)
    )
    assert rows.values("observation_id").distinct().count() == 4
    for photo in training_photos():
        assert (photo.label.name, photo.label_source) == ("Amanita muscaria", "settled")
        assert photo.licence == "https://creativecommons.org/publicdomain/mark/1.0/"
        assert photo.author
        assert photo.source == f"{drawn_site.url}/images/{photo.mushroom_observer_id}"
    assert all(request.is_image and "/1280/" in request.path for request in drawn_site.requests)


def test_a_repeated_call_goes_on_and_fetches_nothing_twice(folder, drawn_site, run) -> None:
    run(folder, "--photos", "1")
    run(folder, "--photos", "3")
    assert "Photos: 0 fetched, 0 refused." in run(folder, "--photos", "3").out
    paths = [request.path for request in drawn_site.requests]
    assert len(paths) == len(set(paths)) == 3
    assert training_photos().count() == 3
    rows = MushroomObserverImage.objects.filter(gave_label=True)
    assert rows.values("observation_id").distinct().count() == 3


def test_a_photo_that_is_refused_is_not_fetched_again(folder, drawn_site, run) -> None:
    species = Species.objects.get(name="Amanita muscaria")
    run(folder)
    first = downloads.images_wanted(species)[0].pk
    drawn_site.world.images.pop(first)
    assert "Photos: 3 fetched, 1 refused." in run(folder, "--photos", "3").out
    assert "found nothing there" in MushroomObserverImage.objects.get(pk=first).refused
    run(folder, "--photos", "4")
    asked = [request.path for request in drawn_site.requests]
    assert asked.count(f"/images/1280/{first}.jpg") == 1


def test_photos_like_evaluation_photos_are_refused(folder, drawn_site, run) -> None:
    run(folder, "--photos", "1")
    Photo.objects.update(split="evaluation")
    source = drawn_site.world.images[Photo.objects.get().mushroom_observer_id].source
    for image in drawn_site.world.images.values():
        image.source = source
    output = run(folder, "--photos", "2")
    assert "Photos: 0 fetched, " in output.out
    assert "refused: is in the other split" in output.err
    assert Photo.objects.get().split == "evaluation"


@pytest.mark.parametrize("retry_after", ["1", "3000"])
def test_a_site_in_maintenance_is_left_alone(folder, drawn_site, run, retry_after) -> None:
    drawn_site.manners.in_maintenance = True
    drawn_site.manners.retry_after = retry_after
    with pytest.raises(CommandError, match=r"may not be asked now|did not give") as error:
        run(folder, "--photos", "2")
    assert error.value.returncode == 3
    assert len(drawn_site.requests) <= downloads.MAX_FAILURES
    assert not training_photos().exists()


def test_photos_are_fetched_at_the_sites_pace(folder, drawn_site, run, monkeypatch) -> None:
    monkeypatch.setattr(mushroom_observer_turns, "MIN_GAP_S", 1.0)
    run(folder, "--photos", "3")
    at = [request.at for request in drawn_site.requests]
    assert all(later - earlier >= 0.95 for earlier, later in itertools.pairwise(at))
