"""What photos show together where several versions, or versions without scope, scored them."""

import pytest

from mlmodels.models import ModelVersion
from observations.answers import as_told, inference_together
from predictions.models import Inference
from predictions.verdicts import verdict_on
from tests.support.calibrations import calibrate_version
from tests.support.rows import answered_prediction, version_row

pytestmark = pytest.mark.django_db


def inference(version: ModelVersion, score: float, **more: object) -> Inference:
    """Return an inference with this score for the second species, the rest for the first."""
    scored = answered_prediction(score, version).inference
    assert scored is not None
    for name, value in more.items():
        setattr(scored, name, value)
    return scored


def test_photos_of_two_versions_are_told_together_by_the_newer_one() -> None:
    old, new = version_row(1, stage="Archived"), version_row(2)
    calibrate_version(old, threshold=0.99)
    calibrate_version(new, threshold=0.01)
    photos = [inference(new, 90.0, scope_score=60.0), inference(old, 80.0, scope_score=60.0)]
    together = inference_together(photos)
    assert together.model_version == new
    assert together.best_species == new.labels[1]
    assert together.in_scope is True
    assert together.pk is None, "it is not stored"
    assert 90 < together.best_score < 98


def test_a_photo_whose_version_knows_other_species_is_left_out() -> None:
    old, new = version_row(1, stage="Archived"), version_row(2)
    old.labels = old.labels[::-1]
    kept = inference(new, 90.0)
    assert inference_together([inference(old, 80.0), kept]) is kept


def test_the_same_photo_by_two_versions_counts_once() -> None:
    old, new = version_row(1, stage="Archived"), version_row(2)
    first, second = inference(old, 70.0), inference(new, 70.0)
    assert first.photo == second.photo
    assert inference_together([second, first]) is second


@pytest.mark.parametrize("lacks", ["calibration", "scope of a photo"])
def test_without_scope_only_scores_are_told(lacks: str) -> None:
    version = version_row()
    if lacks != "calibration":
        calibrate_version(version)
    together = inference_together(
        [inference(version, 90.0, scope_score=60.0), inference(version, 80.0)]
    )
    told = as_told(together)
    assert told["predictions"][0]["species"] == version.labels[1]
    assert told["scope"] is told["plausible"] is None
    species = version.labels[1]
    assert verdict_on(proposed=species, species=species, inference=together) is None


def test_a_damaged_calibration_still_leaves_scores() -> None:
    version = version_row()
    version.card = {"calibration": {"temperature": "hot"}}
    version.save()
    photos = [inference(version, score, scope_score=60.0) for score in (90.0, 80.0)]
    assert as_told(inference_together(photos))["scope"] is None
