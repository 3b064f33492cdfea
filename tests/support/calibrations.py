"""Made-up calibrations of answers for versions that know the ten species."""

from typing import Any

from mlmodels.ml.answers import AnswerCalibration, NameCalibration, ScopeCalibration
from mlmodels.ml.conformal import ConformalTable, SpeciesScores
from mlmodels.ml.verdicts import VerdictRule
from mlmodels.models import ModelVersion


def made_up_calibration(
    *, threshold: float = 0.5, supported_from: float = 0.6, contradicted_below: float = 0.005
) -> dict[str, Any]:
    """Return a calibration in which scope and names follow the best score alone.

    A species' p-value is above 0.1 where its score is above 0.1.
    """
    scores = tuple(round(0.05 * step, 2) for step in range(1, 20)) + (0.9,) * 2
    return AnswerCalibration(
        temperature=1.0,
        scope=ScopeCalibration("best_score", intercept=0.0, weights=(1.0,), threshold=threshold),
        names=NameCalibration(intercept=2.0, score_weight=1.0, scope_weight=1.0),
        verdict_rule=VerdictRule(supported_from, contradicted_below),
        conformal=ConformalTable("lac", (SpeciesScores(21, tuple(sorted(scores))),) * 10),
    ).as_dict()


def uncalibrate_version(version: ModelVersion) -> None:
    """Take the calibration out of a version's card, as in those of the format before."""
    version.card = {**version.card, "calibration": None}
    version.save()


def calibrate_version(version: ModelVersion, **limits: float) -> dict[str, Any]:
    """Put a made-up calibration into a version's card, and return it.

    Do it before the version scores a photo: its engine stays loaded with what it was loaded with.
    """
    calibration = made_up_calibration(**limits)
    version.card = {**version.card, "calibration": calibration}
    version.save()
    return calibration
