"""Reads of evaluations: how good a version is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from common.messages import Message
from mlmodels.models import ModelVersion
from supervision.datasets.selectors import current_evaluation_set, evaluation_set_sha256
from supervision.models import Evaluation, EvaluationSet


@dataclass(frozen=True)
class VersionFigures:
    """How good a version is, as measured here or as stated in its card."""

    version: ModelVersion
    metrics: Mapping[str, Any] | None
    """As Evaluation.metrics; None if neither measured here nor stated in the card."""
    evaluation: Evaluation | None
    """None if the figures are from the card, or there are none."""

    @property
    def source(self) -> Message:
        if self.evaluation is not None:
            return Message("measured here")
        return Message("by its card") if self.metrics else Message("not measured")

    @property
    def near_training(self) -> int:
        """Return how many evaluation photos were near training photos when it was measured."""
        if self.metrics is None:
            return 0
        return self.metrics["n"] - self.metrics.get("without_near_training", {"n": 0})["n"]


def version_figures(version: ModelVersion) -> VersionFigures:
    """Return a version's figures on the present evaluation set, or its card's if there is none."""
    current_set = evaluation_set_sha256(version.labels)
    if current_set is None:
        return VersionFigures(version, version.metrics.get("evaluation"), None)
    evaluation = stored_evaluation(version, current_set[0])
    return VersionFigures(version, evaluation.metrics if evaluation else None, evaluation)


def present_evaluations(versions: QuerySet[ModelVersion]) -> QuerySet[Evaluation]:
    """Return the evaluations of `versions` on the present evaluation set, by their labels."""
    labels = {tuple(sorted(labels)) for labels in versions.values_list("labels", flat=True)}
    current_sets = [evaluation_set_sha256(each) for each in labels]
    return Evaluation.objects.filter(evaluation_set__in=[pair[0] for pair in current_sets if pair])


def stored_evaluation(version: ModelVersion, evaluation_set: str) -> Evaluation | None:
    """Return a version's evaluation on the set with this hash, or None."""
    return Evaluation.objects.filter(model_version=version, evaluation_set=evaluation_set).first()


def present_evaluation(
    version: ModelVersion, evaluation_set: str, others_set: str | None
) -> Evaluation | None:
    """Return a version's evaluation on the sets with these hashes, or None.

    `others_set`, of the photos of other species, matters only for a version with a calibration.
    """
    stored = Evaluation.objects.filter(model_version=version, evaluation_set=evaluation_set)
    if version.card.get("calibration") is not None:
        stored = stored.filter(metrics__others_set=others_set).exclude(scopes={})
    evaluation = stored.first()
    return None if evaluation is not None and _lacks_others(evaluation) else evaluation


def _lacks_others(evaluation: Evaluation) -> bool:
    """Return whether an older ChampiPy measured photos of others without storing its answers."""
    area = (evaluation.metrics.get("scope") or {}).get("auroc")
    return bool(area) and not evaluation.others.exists()


def is_evaluated(version: ModelVersion, evaluation_set: str) -> bool:
    """Return whether a version was evaluated on this set and on the present others."""
    others = current_evaluation_set(EvaluationSet.Kind.OTHERS)
    others_set = others.sha256 if others else None
    return present_evaluation(version, evaluation_set, others_set) is not None
