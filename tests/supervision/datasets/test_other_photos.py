"""Which photos of other species a training and an evaluation get, and what a run records."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from mlmodels.ml.dataset import Dataset, LabelledPhoto, OtherPhoto
from mlmodels.models import TrainingRun
from mlmodels.selectors import photos_trained_on
from predictions.models import Photo
from supervision.datasets.others import training_others
from supervision.datasets.selectors import (
    current_evaluation_set,
    dataset_manifest,
    evaluation_others,
    evaluation_set,
    manifest_sha256,
    training_dataset,
)
from supervision.datasets.services import evaluation_set_changes, evaluation_set_freeze
from supervision.models import EvaluationSet
from supervision.monitoring.selectors import new_photo_count
from supervision.retention.selectors import is_photo_needed, listed_photos
from supervision.review.label_audit import audited_photos
from supervision.trainings.admin.progress import other_photos_text
from tests.support.labelled_photos import ten_species
from tests.support.rows import photo_rows, version_row

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 1, tzinfo=UTC)
OTHERS = EvaluationSet.Kind.OTHERS


def other_row(key: str, name: str = "", **more) -> Photo:
    """Create the row of a photo of another species; `key` decides its bytes and its hash."""
    sha256 = hashlib.sha256(key.encode()).hexdigest()
    fields = {
        "perceptual_hash": int(sha256[:15], 16),
        "label_source": "imported",
        "split": "training",
        "split_at": START,
    }
    return Photo.objects.create(
        sha256=sha256, file="none.jpg", bytes=1, width=9, height=9, is_other=True, other_name=name,
        **fields | more,
    )  # fmt: skip


def species_rows() -> None:
    """Create enough training photos of each species, of which no two show the same find."""
    photo_rows()
    for photo in Photo.objects.all():
        Photo.objects.filter(pk=photo.pk).update(perceptual_hash=int(photo.sha256[:15], 16))


def keys(others: tuple[OtherPhoto, ...], rows: dict[str, Photo]) -> set[str]:
    chosen = {photo.sha256 for photo in others}
    assert len(chosen) == len(others)
    return {key for key, row in rows.items() if row.sha256 in chosen}


def test_each_genus_gives_one_photo_before_any_gives_a_second(settings) -> None:
    rows = {
        f"Boletus {number}": other_row(
            f"Boletus {number}", "Boletus edulis", split_at=START + timedelta(minutes=number)
        )
        for number in range(9)
    }
    rows["reviewed"] = other_row("reviewed", "Boletus aereus", label_source="corrected")
    rows["Russula"] = other_row("Russula", "Russula")
    rows["nameless"] = other_row("nameless")
    rows["another"] = other_row("another")
    for limit, expected in (
        (4, {"reviewed", "Russula", "nameless", "another"}),
        (6, {"reviewed", "Russula", "nameless", "another", "Boletus 8", "Boletus 7"}),
        (100, set(rows)),
        (0, set()),
    ):
        settings.CHAMPIPY_OTHER_PHOTOS = limit
        assert keys(training_others(), rows) == expected


def test_a_photo_is_in_the_group_of_its_genus_or_of_its_find() -> None:
    near = {"perceptual_hash": 0b1111}
    rows = {
        "a": other_row("a", "Boletus edulis"),
        "b": other_row("b", "Boletus"),
        "c": other_row("c", mushroom_observer_id=100),
        "d": other_row("d", mushroom_observer_id=102),
        "e": other_row("e", "Russula", **near),
        "f": other_row("f", perceptual_hash=0b0111),
        "g": other_row("g"),
    }
    groups = {photo.sha256: photo.group for photo in training_others()}
    group = {key: groups[row.sha256] for key, row in rows.items()}
    assert (group["a"], group["b"], group["e"], group["f"]) == (
        *("Boletus", "Boletus"),
        *("Russula", "Russula"),
    )
    assert group["c"] == group["d"] != group["g"]
    assert {group["c"], group["g"]}.isdisjoint({"Boletus", "Russula"})
    names = {photo.sha256: photo.name for photo in training_others()}
    assert (names[rows["a"].sha256], names[rows["g"].sha256]) == ("Boletus edulis", "")


def test_others_are_nowhere_counted_as_one_of_the_species() -> None:
    species_rows()
    species = {photo.sha256 for photo in Photo.objects.all()}
    rows = [other_row("a", "Boletus edulis"), other_row("b")]
    rows.append(other_row("c", "Russula", split="evaluation"))
    labels = [each.name for each in ten_species()]
    dataset = training_dataset(limit=1000, seed=0)
    assert {photo.sha256 for photo in dataset.photos} == species
    assert {photo.sha256 for photo in dataset.others} == {rows[0].sha256, rows[1].sha256}
    assert set(audited_photos().values_list("sha256", flat=True)) == species
    assert new_photo_count(START - timedelta(days=1)) == len(species)
    assert evaluation_set_freeze(by=None, reason="none of the species") is None
    assert evaluation_set(labels) is None


def test_a_run_records_its_others_and_they_are_kept_while_it_stands() -> None:
    species_rows()
    before = manifest_sha256(dataset_manifest(training_dataset(limit=1000, seed=0)))
    named, nameless = other_row("a", "Boletus edulis"), other_row("b")
    manifest = dataset_manifest(training_dataset(limit=1000, seed=0))
    assert manifest["others"] == sorted(
        [[named.sha256, "other", "Boletus edulis"], [nameless.sha256, "other", ""]]
    )
    assert manifest_sha256(manifest) != before
    assert manifest_sha256({k: manifest[k] for k in manifest if k != "others"}) == before
    assert other_photos_text(manifest) == "2 of 1 genera (1 without a name)"
    run = TrainingRun.objects.create(kind="train", parameters={}, dataset=manifest)
    version = version_row()
    version.run = run
    version.save()
    assert {named.sha256, nameless.sha256} <= (photos_trained_on(version) or set())
    assert {named.sha256, nameless.sha256} <= listed_photos()
    # As when the review that made it another species is undone.
    unlabelled = {"is_other": False, "label_source": "", "split": "", "split_at": None}
    Photo.objects.filter(pk=nameless.pk).update(**unlabelled)
    nameless.refresh_from_db()
    assert is_photo_needed(nameless)
    TrainingRun.objects.update(dataset=None)
    assert not is_photo_needed(nameless)


def test_the_set_of_others_is_frozen_apart() -> None:
    photo_rows(1)
    Photo.objects.update(split="evaluation")
    labels = [each.name for each in ten_species()]
    assert evaluation_others() is None
    of_species = evaluation_set_freeze(by=None, reason="the species")
    before = evaluation_set(labels).sha256
    renamed = other_row("a", "Hygrocybe conica", split="evaluation")
    nameless = other_row("b", split="evaluation")
    assert not evaluation_set_changes()
    assert evaluation_set_changes(OTHERS).added == 2
    frozen = evaluation_set_freeze(by=None, reason="the others", kind=OTHERS)
    assert (frozen.version, frozen.n, of_species.version) == (1, 2, 1)
    Photo.objects.filter(pk=renamed.pk).update(other_name="Xerocomus")
    others = evaluation_others()
    assert others.sha256 == frozen.sha256
    assert {photo.sha256: photo.name for photo in others.photos} == {
        renamed.sha256: "Hygrocybe conica",
        nameless.sha256: "",
    }
    assert others.is_near_training == (False, False)
    assert evaluation_set_changes(OTHERS).relabelled == 1
    assert current_evaluation_set() == of_species
    assert evaluation_set(labels).sha256 == before
    assert {renamed.sha256, nameless.sha256} <= listed_photos()
    nameless.delete()
    with pytest.raises(LookupError, match="1 photos of the evaluation set are no longer stored"):
        evaluation_others()


def test_bob_freezes_either_set_in_the_admin(users) -> None:
    photo_rows(1)
    Photo.objects.update(split="evaluation")
    other_row("a", "Boletus edulis", split="evaluation")
    client = Client()
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    page = "/admin/supervision/evaluationset/"
    assert client.get(page).content.decode().count("Freeze a new version") == 2
    both = {"reason": "the species", "others-reason": "the others"}  # one form, two buttons
    done = client.post(f"{page}freeze/", {**both, "kind": "others"}, follow=True).content.decode()
    assert "evaluation set 1 of other species (1 photos)" in done
    frozen = EvaluationSet.objects.get()
    assert (frozen.kind, frozen.reason, frozen.n) == ("others", "the others", 1)
    client.post(f"{page}freeze/", {**both, "kind": "species"})
    assert current_evaluation_set().reason == "the species"
    assert client.post(f"{page}freeze/", {**both, "kind": "x"}).status_code == 400
    assert EvaluationSet.objects.count() == 2
    assert "Freeze a new version" not in client.get(page).content.decode()


def test_a_genus_in_training_is_left_out_of_the_next_set_and_marked_in_a_frozen_one() -> None:
    hygrocybe = other_row("a", "Hygrocybe conica", split="evaluation")
    other_row("b", "Xerocomus rubellus", split="evaluation")
    evaluation_set_freeze(by=None, reason="both", kind=OTHERS)
    other_row("c", "Hygrocybe punicea")  # as when a review renames an evaluation photo
    near = {
        photo.sha256: is_near
        for photo, is_near in zip(
            evaluation_others().photos, evaluation_others().is_near_training, strict=True
        )
    }
    assert near[hygrocybe.sha256]
    assert sum(near.values()) == 1
    second = evaluation_set_freeze(by=None, reason="one", kind=OTHERS)
    assert [name for _, name in second.manifest] == ["Xerocomus rubellus"]


def test_a_genus_that_comes_with_champipy_is_marked() -> None:
    other_row("a", "Russula emetica", split="evaluation")
    evaluation_set_freeze(by=None, reason="one", kind=OTHERS)
    assert evaluation_others().is_near_training == (True,)


def test_a_dataset_refuses_a_photo_that_has_a_label_and_is_among_the_others() -> None:
    def photo(sha256: str, label: int) -> LabelledPhoto:
        return LabelledPhoto(sha256, label, group=sha256, read=bytes)

    shared = OtherPhoto("a", group="Boletus", read=bytes)
    with pytest.raises(ValueError, match="has a label and is among the others"):
        Dataset(
            labels=("one", "two"),
            training=(photo("a", 0), photo("b", 1)),
            validation=(photo("c", 0), photo("d", 1)),
            others=(shared,),
        )
