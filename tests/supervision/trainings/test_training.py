"""From labelled photos to a version in production, with a real training of the real network."""

import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from mlmodels.ml.layers import DEFAULT_POOLING
from mlmodels.ml.model_card import compared_poolings
from mlmodels.ml.reference import load_others
from mlmodels.models import ModelVersion, Species, TrainingRun
from mlmodels.selectors import version_artifact
from mlmodels.services import version_promote
from predictions.models import Photo
from supervision.datasets.composition import composition_text
from supervision.datasets.selectors import (
    MIN_PHOTOS,
    TooFewPhotos,
    dataset_manifest,
    evaluation_set,
    training_dataset,
)
from supervision.evaluations.on_demand import evaluations_request
from supervision.evaluations.services import version_evaluate
from supervision.models import Evaluation
from supervision.trainings.services import run_request, run_work_next
from tests.support.files import files_of
from tests.support.labelled_photos import PHOTOS_EACH, draw_labelled, import_all


@pytest.fixture
def labelled(db: None, tmp_path: Path) -> dict[str, Path]:
    """Return folders of drawn training and evaluation photos of the ten species."""
    return draw_labelled(tmp_path)


@pytest.mark.django_db
def test_dataset_splits_by_group_and_takes_the_most_recent(labelled) -> None:
    import_all(labelled)
    # Two photos of one find: they stay together, whatever the split.
    first, second = Photo.objects.filter(split="training", label__name="Amanita muscaria")[:2]
    near = (first.mushroom_observer_id or 0) + 2
    Photo.objects.filter(pk=second.pk).update(mushroom_observer_id=near)
    dataset = training_dataset(limit=1000, seed=0)
    everything = [*dataset.training, *dataset.validation]
    assert len(everything) == 10 * PHOTOS_EACH
    assert len(dataset.validation) == pytest.approx(len(everything) / 5, rel=0.25)
    by_sha = {photo.sha256: photo.group for photo in everything}
    assert by_sha[first.sha256] == by_sha[second.sha256]
    assert not {p.group for p in dataset.training} & {p.group for p in dataset.validation}
    assert dataset_manifest(training_dataset(limit=1000, seed=0)) == dataset_manifest(dataset)
    # A lower limit: a species that the most recent photos lack gets its own most recent ones.
    fewer = training_dataset(limit=30, seed=0)
    counts = np.bincount([photo.label for photo in (*fewer.training, *fewer.validation)])
    assert counts.min() == MIN_PHOTOS


@pytest.mark.django_db
def test_species_with_too_few_photos_are_named(labelled) -> None:
    import_all(labelled)
    Photo.objects.filter(split="training", label__name="Aleuria aurantia").update(
        split="", label=None, split_at=None
    )
    with pytest.raises(TooFewPhotos, match=r"Aleuria aurantia \(0\)"):
        training_dataset(limit=1000, seed=0)
    with pytest.raises(CommandError, match="Aleuria aurantia"):
        call_command("train_model")
    assert TrainingRun.objects.count() == 0


@pytest.mark.django_db
def test_evaluation_set_has_a_stable_hash_and_marks_photos_near_training(labelled) -> None:
    import_all(labelled)
    labels = list(Species.objects.values_list("name", flat=True))
    full_set = evaluation_set(labels)
    assert len(full_set.photos) == 30
    assert evaluation_set(labels).sha256 == full_set.sha256
    photo = Photo.objects.get(sha256=full_set.photos[0].sha256)
    training = Photo.objects.filter(split="training", label=photo.label).first()
    Photo.objects.filter(pk=photo.pk).update(
        mushroom_observer_id=(training.mushroom_observer_id or 0) + 1
    )
    assert evaluation_set(labels).is_near_training[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.django_db(transaction=True)
def test_train_evaluate_export_register_promote(labelled, tmp_path: Path) -> None:
    """Train as by default, but with one view: `train_model` takes a minute then."""
    import_all(labelled)
    out = StringIO()
    call_command("train_model", "--views", "1", stdout=out)
    version = ModelVersion.objects.get()
    run = version.run
    assert (version.stage, run.status, run.error) == ("Staging", "succeeded", "")
    assert run.dataset_sha256 == version.card["dataset_hash"]
    assert [record["epoch"] for record in run.history] == [0], "the head is fitted at once"
    assert version.card["seed"] == run.parameters["seed"] == 0
    assert version.metrics["evaluation"]["accuracy"] > 0.5, "five times chance"
    assert version.metrics["engine"]["int8_agreement"] >= 0.9
    counted = "120 photos: 120 imported, 0 named by the model alone"
    assert out.getvalue().startswith(f"{counted}.\n  Aleuria aurantia           12: 12 imported")
    assert composition_text(run.composition) == counted
    assert "accuracy" in out.getvalue()
    artifact = version_artifact(version)
    assert artifact.card.pooling == DEFAULT_POOLING
    assert artifact.card.knows_others, "ChampiPy has photos of other species"
    assert artifact.card.recipe["other_photos"] == len(load_others().groups)
    assert artifact.card.calibration is not None
    assert artifact.card.temperature == artifact.card.calibration.temperature
    assert version.metrics["out_of_fold"]["n_known"] == 10 * PHOTOS_EACH

    at_training = Evaluation.objects.get()
    held_out = evaluation_set(version.labels)
    answers = set(at_training.answers.values_list("sha256", "answered", "score", "score_bin"))
    assert {sha256 for sha256, *_ in answers} == {photo.sha256 for photo in held_out.photos}
    assert evaluations_request(versions=[version]) is None, "a promotion measures nothing again"
    at_training.delete()
    again = version_evaluate(version=version, held_out=held_out)
    assert again.metrics == at_training.metrics
    assert set(again.answers.values_list("sha256", "answered", "score", "score_bin")) == answers
    assert (at_training.ms_per_photo or 0) > 0
    assert run.validation_is_new is True

    call_command("evaluate_model", "1", stdout=out)
    assert Evaluation.objects.get().accuracy == version.metrics["evaluation"]["accuracy"]
    call_command("evaluate_model", "1", stdout=out)
    assert Evaluation.objects.count() == 1, "computed once"

    call_command("export_model", "1", str(tmp_path / "out"), stdout=out)
    shutil.rmtree(files_of(version))
    call_command("register_model", str(tmp_path / "out"), "--promote", stdout=out)
    version.refresh_from_db()
    assert version.stage == "Production"
    assert files_of(version).is_dir()
    photo = next((labelled["evaluation"] / "Amanita_muscaria").glob("*.jpg"))
    call_command("predict", str(photo), stdout=out)
    assert "VGG16 1" in out.getvalue()
    version_promote(version=version, by=None, reason="again")  # changes nothing
    assert version.transitions.count() == 1
    assert settings.CHAMPIPY_HOME in files_of(version).parents


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.django_db(transaction=True)
def test_a_search_trains_with_the_pooling_that_it_found(labelled) -> None:
    import_all(labelled)
    parameters = {"trials": 1, "minutes": 10, "views": 1}
    run = run_request(kind=TrainingRun.Kind.SEARCH, parameters=parameters, requested_by=None)
    run_work_next()
    run.refresh_from_db()
    assert (run.status, run.error) == ("succeeded", "")
    (trial,) = run.trials
    assert trial["parameters"] == {"variables": 1, "views": 1}
    card = version_artifact(run.model_version).card
    compared = card.recipe["compared_poolings"]
    assert len(compared) == len(DEFAULT_POOLING.variants())
    assert compared[0]["pooling"] == card.recipe["pooling"]
    assert compared_poolings(card.recipe)[0][0] == card.pooling
    assert card.knows_others, "those that come along fit each part of the pooling"
    assert run.model_version.metrics["engine"]["precision"] == "int8"
