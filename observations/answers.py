"""What the photos of an observation show together."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mlmodels.ml.artifact import ArtifactError
from mlmodels.photo_answers import answer_together
from mlmodels.selectors import answer_calibration
from predictions.models import Inference

logger = logging.getLogger(__name__)


def inference_together(inferences: Sequence[Inference]) -> Inference:
    """Return an inference of all photos together. It belongs to no photo, and is not stored.

    A photo that was sent twice counts once. Where a version was promoted meanwhile, the newest of
    the versions judges, and photos that older versions scored count if those know the same species.
    """
    version = max((each.model_version for each in inferences), key=lambda each: each.pk)
    by_photo = {
        each.photo_id: each
        for each in sorted(inferences, key=lambda each: each.model_version_id)
        if each.model_version.labels == version.labels
    }
    counted = list(by_photo.values())
    if len(counted) == 1:
        return counted[0]
    try:
        calibration = answer_calibration(version)
    except ArtifactError as error:
        logger.error("Photos are told together without scope: %s", error)
        calibration = None
    answer = answer_together(
        [each.scores for each in counted], [each.scope_score for each in counted], calibration
    )
    best = max(answer.scores)
    return Inference(
        model_version=version,
        best_score=best,
        best_species=version.labels[answer.scores.index(best)],
        **asdict(answer),
    )


def as_told(inference: Inference) -> dict[str, Any]:
    """Return predictions, scope and plausible, as an answer of the API has them."""
    scope = None
    if inference.in_scope is not None:
        scope = {"in_scope": inference.in_scope, "score": inference.scope_score}
    best = inference.best(len(inference.model_version.labels))
    return {
        "predictions": [{"species": species, "score": score} for species, score in best],
        "scope": scope,
        "plausible": inference.plausible,
    }
