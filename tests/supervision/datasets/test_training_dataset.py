"""Which photos a training gets: the same share of each species, the most recent of them."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from mlmodels.models import Species
from predictions.models import Photo
from supervision.datasets.selectors import MIN_PHOTOS, training_dataset
from tests.support.labelled_photos import ten_species

pytestmark = pytest.mark.django_db

FIRST_IMPORT = datetime(2026, 1, 1, tzinfo=UTC)
Source = Photo.LabelSource


def imported(species: Species, numbers: range, source: str = Source.IMPORTED) -> None:
    """Create a row for each number: a training photo that was imported in this minute."""
    Photo.objects.bulk_create(
        Photo(
            sha256=name_of(species, number),
            file="none.jpg",
            bytes=1,
            width=160,
            height=120,
            # As good as random, so that no two photos count as the same find.
            perceptual_hash=int(name_of(species, number)[:15], 16),
            label=species,
            label_source=source,
            split=Photo.Split.TRAINING,
            split_at=FIRST_IMPORT + timedelta(minutes=number),
        )
        for number in numbers
    )


def name_of(species: Species, number: int) -> str:
    return hashlib.sha256(f"{species.name} {number}".encode()).hexdigest()


def chosen(limit: int) -> set[str]:
    dataset = training_dataset(limit=limit, seed=0)
    return {photo.sha256 for photo in (*dataset.training, *dataset.validation)}


def test_a_species_imported_first_loses_no_photo_to_those_imported_after_it() -> None:
    first, *others = ten_species()
    imported(first, range(15))
    for index, species in enumerate(others, start=1):
        imported(species, range(100 * index, 100 * index + 30))
    last = others[-1]
    expected = {name_of(first, number) for number in range(15)}
    for index, species in enumerate(others, start=1):
        expected |= {name_of(species, 100 * index + number) for number in range(10, 30)}
    # The first species leaves 5 of its 20 places: they go to the most recent of all others.
    expected |= {name_of(last, 900 + number) for number in range(5, 10)}
    assert chosen(200) == expected


def test_reviewed_photos_of_a_species_come_before_more_recent_ones() -> None:
    first, *others = ten_species()
    for species in others:
        imported(species, range(MIN_PHOTOS))
    imported(first, range(4), Source.CONFIRMED)
    imported(first, range(100, 120))
    reviewed = {name_of(first, number) for number in range(4)}
    recent = {name_of(first, number) for number in range(114, 120)}
    of_others = {name_of(species, number) for species in others for number in range(MIN_PHOTOS)}
    assert chosen(100) == reviewed | recent | of_others
