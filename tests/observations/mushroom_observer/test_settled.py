"""What the community of Mushroom Observer settles labels photos, until it settles otherwise."""

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.models import Species, SpeciesName
from observations.models import Observation
from predictions.models import Photo
from supervision.review.services import photo_exclude, photo_label
from tests.support.mushroom_observer import MushroomObserver
from tests.support.mushroom_observer.content import LICENCES
from tests.support.site_observations import FIRST, read

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]

SHOWN = "Aleuria aurantia"


@pytest.fixture
def site(mushroom_observer: MushroomObserver, lost_messages: None, real_photos) -> MushroomObserver:
    [image] = mushroom_observer.world.observations[FIRST].images
    image.licence, image.ok_for_export = LICENCES[0], True
    return mushroom_observer


@pytest.fixture(autouse=True)
def _nothing_is_kept_for_its_score(settings) -> None:
    settings.CHAMPIPY_KEEP_SCORE = 100


def state() -> tuple[str, str, str]:
    """Return label, source of the label and split of the only photo."""
    photo = Photo.objects.select_related("label").get()
    label = f"other: {photo.other_name}" if photo.is_other else str(photo.label or "")
    return label, photo.label_source, photo.split


def vote(site: MushroomObserver, name: str, login: str, value: float) -> None:
    """Let somebody vote on a name, which is proposed if it was not yet."""
    observation = site.world.observations[FIRST]
    user = next(each for each in site.world.users.values() if each.login == login)
    naming = next((each for each in observation.namings if each.name.text == name), None)
    if naming is None:
        found = site.world.name_called(name)
        assert found is not None
        site.world.propose(observation, found, user, value)
    else:
        site.world.vote(observation, naming, user, value)


def test_a_settled_name_makes_a_training_photo_of_that_species(alice: APIClient, site) -> None:
    assert read(alice)["verdicts"][0]["naming"]["is_consensus"] is True
    assert state() == (SHOWN, "settled", "training")
    assert Photo.objects.get().contributed_by is None


@pytest.mark.parametrize(
    ("name", "value", "is_settled"),
    [
        (SHOWN, -2, False),
        (SHOWN, -1, True),
        ("Boletus edulis", 2, False),
        ("Boletus edulis", 1, True),
        ("Peziza aurantia", 2, True),  # a synonym
    ],
)
def test_a_contrary_vote_of_two_unsettles_it(
    alice: APIClient, site, name: str, value: float, is_settled: bool
) -> None:
    vote(site, name, "hyphae", value)
    read(alice)
    assert state() == ((SHOWN, "settled", "training") if is_settled else ("", "", ""))


def test_how_sure_it_must_be_is_a_setting(alice: APIClient, site, settings) -> None:
    settings.CHAMPIPY_SETTLED_CONFIDENCE = 2.99
    read(alice)
    assert state() == ("", "", "")


def test_a_name_that_turns_withdraws_the_label_and_a_new_one_corrects_it(
    alice: APIClient, site
) -> None:
    read(alice)
    vote(site, SHOWN, "verifier", -3)
    read(alice)
    assert state() == ("", "", "")
    site.world.turn(FIRST, "Trametes versicolor")
    for naming in site.world.observations[FIRST].namings:
        if naming.name.text == SHOWN:
            naming.votes.clear()
    read(alice)
    assert Observation.objects.get().settled_species == "Trametes versicolor"
    assert state() == ("Trametes versicolor", "settled", "training")


def test_another_species_is_labelled_as_that(alice: APIClient, site) -> None:
    site.world.turn(FIRST, "Boletus edulis")
    for naming in site.world.observations[FIRST].namings:
        if naming.name.text == SHOWN:
            naming.votes.clear()
    read(alice)
    assert state() == ("other: Boletus edulis", "settled", "training")


def test_a_review_is_not_overwritten_nor_an_exclusion_undone(
    alice: APIClient, site, users: dict[str, User]
) -> None:
    read(alice)
    photo = Photo.objects.get()
    species = Species.objects.get(name="Amanita muscaria")
    photo_label(photo=photo, species=species, by=users["bob"])
    read(alice)
    assert state() == ("Amanita muscaria", "corrected", "training")
    vote(site, SHOWN, "verifier", -3)
    read(alice)
    assert state() == ("Amanita muscaria", "corrected", "training")
    photo_exclude(photo=photo, by=users["bob"])
    read(alice)
    assert state() == ("Amanita muscaria", "corrected", "")


def test_evaluation_and_imported_photos_stay_as_they_are(alice: APIClient, site) -> None:
    read(alice)
    for fields in (
        {"split": "evaluation", "label_source": "settled"},
        {"split": "training", "label_source": "imported"},
    ):
        Photo.objects.update(**fields)
        before = state()
        vote(site, SHOWN, "verifier", -3)
        read(alice)
        assert state() == before


def test_the_label_of_a_photo_that_is_gone_there_is_withdrawn(alice: APIClient, site) -> None:
    read(alice)
    site.world.observations[FIRST].images.clear()
    assert read(alice)["error"]["code"] == "observation_without_photos"
    assert not Photo.objects.filter(label_source="settled").exists()


def test_nothing_is_learnt_where_the_site_does_not_tell_synonyms(
    alice: APIClient, site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from observations.mushroom_observer import species
    from observations.mushroom_observer.errors import UnreachableError

    def fail(*_: object, **__: object) -> None:
        raise UnreachableError("It is away.")

    monkeypatch.setattr(species, "names_read", fail)
    SpeciesName.objects.get_or_create(
        key="peziza aurantia",
        defaults={
            "name": "Peziza aurantia",
            "kind": "synonym",
            "species": Species.objects.get(name=SHOWN),
        },
    )
    vote(site, "Peziza aurantia", "hyphae", 1)  # deprecated there, of an id that is unknown here
    told = read(alice)
    assert [each["species"] for each in told["verdicts"]] == [SHOWN, SHOWN]
    assert state() == ("", "", "")


def test_a_consensus_that_nobody_proposed_does_not_stop_the_reading(alice: APIClient, site) -> None:
    site.manners.overrides = {"consensus": {"id": 7_777, "name": "Boletus edulis"}}
    assert read(alice)["status"] == "done"
    assert state() == ("", "", "")  # all votes are for another name
