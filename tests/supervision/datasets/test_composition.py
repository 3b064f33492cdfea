"""What a training would consist of: counted exactly as it would choose its photos."""

from collections import Counter

import pytest

from mlmodels.models import Species
from predictions.models import Photo
from supervision.datasets.composition import (
    composition_text,
    dataset_composition,
    training_composition,
    unreviewed_in_training,
)
from supervision.datasets.selectors import MIN_PHOTOS, TooFewPhotos, training_dataset
from tests.support.rows import photo_rows

pytestmark = pytest.mark.django_db

Source = Photo.LabelSource


def label_sources(species: str, *sources: Photo.LabelSource) -> None:
    """Give the first photos of a species these sources of their labels."""
    photos = Photo.objects.filter(label__name=species).order_by("pk")[: len(sources)]
    for photo, source in zip(photos, sources, strict=True):
        Photo.objects.filter(pk=photo.pk).update(label_source=source)


def different_photos(each: int = MIN_PHOTOS) -> None:
    """Create rows of training photos of which no two count as the same find."""
    photo_rows(each)
    photos = list(Photo.objects.all())
    for photo in photos:
        photo.perceptual_hash = int(photo.sha256[:15], 16)
    Photo.objects.bulk_update(photos, ["perceptual_hash"])


def make_others(n: int) -> None:
    """Make the newest `n` training photos ones of other species."""
    newest = Photo.objects.order_by("-pk").values("pk")[:n]
    Photo.objects.filter(pk__in=list(newest.values_list("pk", flat=True))).update(
        is_other=True, label=None, other_name="Boletus edulis", label_source=Source.CONFIRMED
    )


def test_photos_are_counted_by_species_and_source(settings, django_assert_num_queries) -> None:
    settings.CHAMPIPY_OTHER_PHOTOS = 2
    photo_rows(MIN_PHOTOS + 3)
    make_others(3)
    label_sources(
        "Amanita muscaria", Source.CONFIRMED, Source.CORRECTED, Source.SETTLED, Source.PREDICTED
    )
    label_sources("Aleuria aurantia", Source.PREDICTED, Source.PREDICTED)
    with django_assert_num_queries(7):
        composition = training_composition()
    species = {row.pop("species"): row for row in composition.pop("species")}
    assert composition == {
        "photos": 127, "imported": 121, "confirmed": 1, "corrected": 1, "settled": 1,
        "predicted": 3, "others": 2,
    }  # fmt: skip
    assert list(species) == list(Species.objects.values_list("name", flat=True))
    assert species["Amanita muscaria"] == {
        "photos": 13, "imported": 9, "confirmed": 1, "corrected": 1, "settled": 1, "predicted": 1
    }  # fmt: skip
    assert species["Aleuria aurantia"] == {
        "photos": 13, "imported": 11, "confirmed": 0, "corrected": 0, "settled": 0, "predicted": 2
    }  # fmt: skip
    text = "127 photos: 121 imported, 1 confirmed, 1 corrected, 1 settled at Mushroom Observer, "
    text += "3 named by the model alone"
    assert composition_text(composition) == f"{text}; 2 of other species"


def test_only_photos_that_a_training_takes_are_counted_and_listed(monkeypatch) -> None:
    monkeypatch.setattr("supervision.datasets.composition.RECENT_PHOTOS", 10 * MIN_PHOTOS)
    different_photos(MIN_PHOTOS + 5)
    Photo.objects.update(label_source=Source.PREDICTED)
    label_sources("Amanita muscaria", *[Source.CONFIRMED] * 4)
    dataset = training_dataset(limit=10 * MIN_PHOTOS, seed=0)
    chosen = {photo.sha256 for photo in (*dataset.training, *dataset.validation)}
    composition = training_composition()
    assert (composition["photos"], composition["confirmed"], composition["predicted"]) == (
        10 * MIN_PHOTOS, 4, 10 * MIN_PHOTOS - 4
    )  # fmt: skip
    assert dataset_composition(dataset) == composition
    listed = Photo.objects.filter(pk__in=unreviewed_in_training())
    expected = Photo.objects.filter(sha256__in=chosen, label_source=Source.PREDICTED)
    assert set(listed) == set(expected)


def test_a_run_keeps_the_labels_that_its_dataset_has() -> None:
    different_photos()
    dataset = training_dataset(limit=1000, seed=0)
    other = Species.objects.get(name="Amanita muscaria")
    moved = Photo.objects.filter(label__name="Aleuria aurantia").first()
    assert moved is not None
    Photo.objects.filter(pk=moved.pk).update(label=other, label_source=Source.CORRECTED)
    species = dataset_composition(dataset)["species"]
    assert Counter({row["species"]: row["photos"] for row in species}) == Counter(
        dict.fromkeys(dataset.labels, MIN_PHOTOS)
    )


def test_too_few_photos_are_refused_as_a_training_is() -> None:
    photo_rows()
    Photo.objects.filter(label__name="Aleuria aurantia")[0].delete()
    with pytest.raises(TooFewPhotos, match=r"Aleuria aurantia \(9\)"):
        training_composition()
