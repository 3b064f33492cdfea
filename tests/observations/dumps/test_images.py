"""Images' species, owners and licences are kept; known photos are named, labelled as settled."""

import pytest
from django.test import Client
from django.utils import timezone

from mlmodels.ml.preprocessing import decode_photo
from mlmodels.models import Species
from observations.models import MushroomObserverImage, Observation
from predictions.community_services import photo_label_by_community
from predictions.labels import OtherSpecies, label_of
from predictions.models import Photo
from predictions.photo_services import photo_store
from predictions.services import predictions_create
from supervision.review.services import photo_label
from tests.support.dumps import write_dumps
from tests.support.photos import drawn_photo

pytestmark = pytest.mark.django_db

SHARE_ALIKE = "https://creativecommons.org/licenses/by-sa/3.0/"


@pytest.fixture
def settled(world):
    """Return an observation of Amanita muscaria that is settled, with one usable image."""
    observation = world.observations[500_000]
    world.turn(observation.id, "Amanita muscaria")
    del observation.images[1:]
    image = observation.images[0]
    image.licence, image.ok_for_export = "Creative Commons Wikipedia Compatible v3.0", True
    return observation


@pytest.fixture
def image_id(settled, folder, world) -> int:
    write_dumps(folder, world)
    return settled.images[0].id


def stored(image_id: int, seed: int = 1, **fields) -> Photo:
    data = drawn_photo(seed)
    photo = photo_store(
        data=data, image=decode_photo(data), origin=f"{image_id}.jpg", mushroom_observer_id=image_id
    )
    Photo.objects.filter(pk=photo.pk).update(**fields)
    photo.refresh_from_db()
    return photo


def species(name: str) -> Species:
    return Species.objects.get(name=name)


def test_images_of_our_species_are_kept_and_settled_ones_of_others(folder, world, run) -> None:
    run(folder)
    rows = MushroomObserverImage.objects.select_related("species").in_bulk()
    ours = 0
    for observation in world.observations.values():
        name, confidence = observation.consensus
        for image in observation.images:
            row = rows.get(image.id)
            if row is None:
                continue
            assert row.observation_id == observation.id
            assert row.confidence == pytest.approx(confidence)
            assert (row.holder, row.ok_for_export) == (image.holder, image.ok_for_export)
            assert bool(row.licence) == (image.licence != "Ask Grandmother First v1")
            if row.species is None:
                assert row.other_name == name.text
                assert row.confidence >= 2 and row.ok_for_export and row.licence
            else:
                ours += 1
    assert ours > 20
    assert any(row.other_name for row in rows.values())
    muscaria = world.name_called("Amanita muscaria subsp. flavivolvata")
    assert muscaria is not None
    assert "Amanita muscaria subsp." not in {row.other_name[:23] for row in rows.values()}


def test_others_are_bounded_and_as_many_different_ones_as_possible(folder, world, run) -> None:
    names = ("Boletus edulis", "Russula emetica", "Stereum hirsutum")
    for number, observation in enumerate(list(world.observations.values())[:9]):
        world.turn(observation.id, names[number % 3])
        for image in observation.images:
            image.licence, image.ok_for_export = "Public Domain", True
    write_dumps(folder, world)
    run(folder)
    others = MushroomObserverImage.objects.filter(species=None)
    assert set(others.values_list("other_name", flat=True)) >= set(names)
    assert others.count() > 9
    run(folder, "--others", "2")
    assert others.count() == 2
    assert len(set(others.values_list("other_name", flat=True))) == 2
    run(folder, "--others", "0")
    assert not others.exists()


def test_varieties_count_as_their_species(folder, world, settled, run) -> None:
    world.turn(settled.id, "Amanita muscaria var. guessowii")
    write_dumps(folder, world)
    run(folder)
    row = MushroomObserverImage.objects.get(pk=settled.images[0].id)
    assert row.species.name == "Amanita muscaria"


def test_an_image_of_two_observations_with_different_names_is_left_out(
    folder, world, settled, run
) -> None:
    other = world.observations[500_007]
    world.turn(other.id, "Trametes versicolor")
    other.images.append(settled.images[0])
    write_dumps(folder, world)
    run(folder)
    assert not MushroomObserverImage.objects.filter(pk=settled.images[0].id).exists()


def test_a_known_photo_gets_author_licence_and_label(folder, image_id, world, run) -> None:
    photo = stored(image_id)
    output = run(folder)
    photo.refresh_from_db()
    assert (photo.author, photo.licence) == (world.images[image_id].holder, SHARE_ALIKE)
    assert photo.source == f"https://mushroomobserver.org/images/{image_id}"
    assert (photo.label.name, photo.label_source) == ("Amanita muscaria", "settled")
    assert photo.split == "training"
    assert "Settled photos: 1 labelled." in output.out
    assert "Settled photos: 1 labelled so before." in run(folder).out


def test_a_photo_whose_owner_withdraws_it_is_listed_no_more(folder, image_id, world, run) -> None:
    photo = stored(image_id)
    run(folder)
    world.images[image_id].ok_for_export = False
    write_dumps(folder, world)
    run(folder)
    photo.refresh_from_db()
    assert photo.licence == ""


def test_an_author_from_elsewhere_stays(folder, image_id, run) -> None:
    photo = stored(image_id, author="Jane Doe")
    run(folder)
    photo.refresh_from_db()
    assert (photo.author, photo.licence, photo.source) == ("Jane Doe", "", "")


def test_a_review_is_never_overwritten(folder, image_id, users, run) -> None:
    photo = stored(image_id)
    photo_label(photo=photo, species=species("Coprinus comatus"), by=users["bob"])
    assert "1 reviewed, excluded, reserved, or in evaluation" in run(folder).out
    photo.refresh_from_db()
    assert (photo.label.name, photo.label_source) == ("Coprinus comatus", "corrected")


@pytest.mark.parametrize(
    "fields",
    [
        {"split": "evaluation", "label_source": "imported"},
        {"excluded": True},
        {"split": "evaluation", "label_source": "predicted"},
    ],
)
def test_evaluation_photos_and_excluded_ones_stay_as_they_are(
    folder, image_id, run, fields
) -> None:
    label = species("Coprinus comatus")
    photo = stored(image_id, label=label, split_at=timezone.now(), **fields)
    run(folder)
    photo.refresh_from_db()
    assert {name: getattr(photo, name) for name in fields} == fields
    assert photo.label == label


def test_a_label_that_a_model_gave_is_replaced(folder, image_id, run) -> None:
    photo = stored(
        image_id,
        label=species("Coprinus comatus"),
        label_source="predicted",
        split="training",
        split_at=timezone.now(),
    )
    run(folder)
    photo.refresh_from_db()
    assert (photo.label.name, photo.label_source) == ("Amanita muscaria", "settled")


def test_a_label_that_somebody_imported_is_told_and_stays(folder, image_id, run) -> None:
    photo = stored(image_id, label=species("Coprinus comatus"), label_source="imported")
    output = run(folder)
    assert f"image {image_id} ({photo}) was imported as Coprinus comatus; the community" in (
        output.err
    )
    photo.refresh_from_db()
    assert photo.label.name == "Coprinus comatus"


def test_a_label_follows_the_community_and_is_withdrawn_when_it_is_open_again(
    folder, image_id, settled, world, run
) -> None:
    photo = stored(image_id)
    run(folder)
    world.turn(settled.id, "Boletus edulis")
    write_dumps(folder, world)
    run(folder)
    photo.refresh_from_db()
    assert (label_of(photo), photo.split) == (OtherSpecies("Boletus edulis"), "training")
    del settled.namings[:]
    write_dumps(folder, world)
    told = run(folder)
    assert f"withdrawn:\n  image {image_id} ({photo}) was labelled other species: Bol" in told.err
    assert "Settled photos: 1 no longer settled, label withdrawn." in told.out
    photo.refresh_from_db()
    assert (label_of(photo), photo.label_source, photo.split) == (None, "", "")
    assert "withdrawn" not in run(folder).err
    assert not MushroomObserverImage.objects.filter(pk=image_id, gave_label=True).exists()


@pytest.mark.parametrize(("settled_name", "source"), [("", ""), ("Amanita muscaria", "settled")])
def test_votes_that_were_read_at_the_site_count_more_than_the_mean_of_a_dump(
    folder, image_id, run, users, settled_name, source
) -> None:
    photo = stored(image_id)
    observation = Observation.objects.create(
        source="mushroom_observer",
        mushroom_observer_id=500_000,
        read_at=timezone.now(),
        settled_name=settled_name,
    )
    prediction = predictions_create(
        user=users["alice"],
        files=["https://photos.example/a.jpg"],
        nb_preds=1,
        version=None,
        send=lambda *_: None,
    )[0]
    observation.photos.create(prediction=prediction, image_id=image_id)
    run(folder)
    photo.refresh_from_db()
    assert photo.label_source == source


def test_a_label_from_a_read_observation_is_withdrawn_when_the_dumps_say_so(
    folder, image_id, settled, world, run
) -> None:
    photo = stored(image_id)
    photo_label_by_community(photo=photo, label=species("Amanita muscaria"))
    assert "1 labelled so before" in run(folder).out
    for naming in settled.namings:
        for vote in naming.votes:
            vote.value = 1
    write_dumps(folder, world)
    assert "1 no longer settled" in run(folder).out
    photo.refresh_from_db()
    assert (photo.label, photo.label_source, photo.split) == (None, "", "")


@pytest.mark.parametrize("label_source", ["settled", "imported"])
def test_a_photo_that_becomes_reserved_leaves_the_training(
    folder, image_id, world, run, label_source
) -> None:
    photo = stored(
        image_id,
        label=species("Amanita muscaria"),
        label_source=label_source,
        split="training",
        split_at=timezone.now(),
    )
    world.images[image_id].ok_for_export = False
    write_dumps(folder, world)
    assert "1 photos may no longer be shown or trained on." in run(folder).out
    photo.refresh_from_db()
    assert (photo.is_reserved, photo.split) == (True, "")
    assert photo.label_source == ("imported" if label_source == "imported" else "")
    world.images[image_id].ok_for_export = True
    write_dumps(folder, world)
    run(folder)
    photo.refresh_from_db()
    assert not photo.is_reserved


@pytest.mark.parametrize("what", ["licence", "ok_for_export", "votes"])
def test_photos_that_may_not_be_trained_on_get_no_label(
    folder, image_id, settled, world, run, what
) -> None:
    image = world.images[image_id]
    if what == "licence":
        image.licence = "Ask Grandmother First v1"
    elif what == "ok_for_export":
        image.ok_for_export = False
    else:
        for naming in settled.namings:
            for vote in naming.votes:
                vote.value = 1
    write_dumps(folder, world)
    photo = stored(image_id)
    run(folder)
    photo.refresh_from_db()
    assert (photo.label, photo.label_source, photo.split) == (None, "", "")


def test_a_photo_like_an_evaluation_photo_gets_a_label_but_no_split(folder, image_id, run) -> None:
    label = species("Amanita muscaria")
    stored(
        image_id + 1_000_000, seed=2, label=label, label_source="imported", split="evaluation",
        split_at=timezone.now(),
    )  # fmt: skip
    near = stored(image_id)
    Photo.objects.update(perceptual_hash=near.perceptual_hash)
    run(folder)
    near.refresh_from_db()
    assert (near.label, near.split) == (label, "")


def test_hostile_owners_are_kept_as_text(folder, image_id, world, users, run) -> None:
    holder = "=cmd|' /C calc'!A0\0\t<script>\nalert(1)</script>" + "x" * 500
    world.images[image_id].holder = holder
    write_dumps(folder, world)
    stored(image_id)
    run(folder)
    author = Photo.objects.get(mushroom_observer_id=image_id).author
    assert len(author) <= 200
    assert author.startswith("=cmd|' /C calc'!A0\ufffd <script> alert(1)</script>x")
    admin = Client()
    admin.force_login(users["bob"])
    for path in ("", f"{image_id}/change/"):
        page = admin.get(f"/admin/observations/mushroomobserverimage/{path}")
        assert page.status_code == 200
        assert "<script> alert" not in page.content.decode()
