"""Counts the photos of a training by species and by where their labels come from."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import pgettext_lazy

from common.messages import Message
from mlmodels.ml.dataset import RECENT_PHOTOS, Dataset
from predictions.models import Photo
from supervision.datasets.others import chosen_others_count
from supervision.datasets.selectors import check_enough_photos, chosen_photos, species_names

Source = Photo.LabelSource

SOURCES = {
    Source.IMPORTED.value: pgettext_lazy("photos", "imported"),
    Source.CONFIRMED.value: pgettext_lazy("photos", "confirmed"),
    Source.CORRECTED.value: pgettext_lazy("photos", "corrected"),
    Source.SETTLED.value: pgettext_lazy("photos", "settled at Mushroom Observer"),
    Source.PREDICTED.value: pgettext_lazy("photos", "named by the model alone"),
}
"""Where the label of a training photo comes from, and how that is said to people."""


def training_composition() -> dict[str, Any]:
    """Return how many photos of which species and sources a training would take now.

    The keys are `photos`, those of SOURCES, `others` (photos of other species, which come besides)
    and `species`: a list of `species`, `photos` and the same sources, in the order of the labels.
    Makes seven queries and reads no photo's file.
    Raises TooFewPhotos where a training would be refused.
    """
    check_enough_photos()
    rows = chosen_photos(limit=RECENT_PHOTOS).values_list("species", "label_source")
    return _composition(species_names(), rows, chosen_others_count())


def dataset_composition(dataset: Dataset) -> dict[str, Any]:
    """Return the same figures of the photos in a dataset, with the labels that it has."""
    photos = (*dataset.training, *dataset.validation)
    stored = Photo.objects.filter(sha256__in=[photo.sha256 for photo in photos])
    sources = dict(stored.values_list("sha256", "label_source"))
    rows = [(dataset.labels[photo.label], sources.get(photo.sha256, "")) for photo in photos]
    return _composition(dataset.labels, rows, len(dataset.others))


def _composition(
    labels: Iterable[str], rows: Iterable[tuple[str, str]], others: int
) -> dict[str, Any]:
    counts = Counter(rows)
    species: list[dict[str, Any]] = []
    for name in labels:
        sources = {source: counts[name, source] for source in SOURCES}
        photos = sum(n for row, n in counts.items() if row[0] == name)
        species.append({"species": name, "photos": photos, **sources})
    totals = {key: sum(row[key] for row in species) for key in ("photos", *SOURCES)}
    return {**totals, "others": others, "species": species}


def composition_text(composition: Mapping[str, Any]) -> str:
    """Return a composition's totals as text, for example "1,000 photos: 1,000 imported, …".

    Sources without photos are left out; those that the model alone named are always told.
    """
    totals = {"count": composition["photos"], "sources": sources_text(composition)}
    if not composition["others"]:
        return str(Message("%(count)s photos: %(sources)s", **totals))
    return str(
        Message(
            "%(count)s photos: %(sources)s; %(others)s of other species",
            **totals,
            others=composition["others"],
        )
    )


def sources_text(counts: Mapping[str, Any]) -> str:
    """Return the counts by source as text, of all photos or of one species."""
    return ", ".join(
        f"{number_format(counts[source], force_grouping=True)} {text}"
        for source, text in SOURCES.items()
        if counts.get(source) or source == Source.PREDICTED  # older runs lack a source
    )


def unreviewed_in_training() -> list[int]:
    """Return the ids of the photos in the next training that the model alone named."""
    rows = chosen_photos(limit=RECENT_PHOTOS).values_list("pk", "label_source")
    return [photo_id for photo_id, source in rows if source == Source.PREDICTED]
