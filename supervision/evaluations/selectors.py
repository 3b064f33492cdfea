"""Reads on evaluations: how good a version is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from mlmodels.models import ModelVersion
from supervision.datasets.selectors import evaluation_set_sha256
from supervision.models import Evaluation


@dataclass(frozen=True)
class VersionFigures:
    """What is known of how good a version is: measured here, or as its card says."""

    version: ModelVersion
    metrics: Mapping[str, Any] | None
    """As Evaluation.metrics; None: neither measured here nor told by the card."""
    evaluation: Evaluation | None
    """None: the figures are the card's, or there are none."""

    @property
    def source(self) -> str:
        if self.evaluation is not None:
            return "measured here"
        return "by its card" if self.metrics else "not measured"

    @property
    def near_training(self) -> int:
        """How many of the evaluation photos resembled a training photo when it was measured."""
        if self.metrics is None:
            return 0
        return self.metrics["n"] - self.metrics.get("without_near_training", {"n": 0})["n"]


def version_figures(version: ModelVersion) -> VersionFigures:
    """Return a version's figures on the present evaluation set; where there is none, its card's."""
    named = evaluation_set_sha256(version.labels)
    if named is None:
        return VersionFigures(version, version.metrics.get("evaluation"), None)
    evaluation = Evaluation.objects.filter(model_version=version, evaluation_set=named[0]).first()
    return VersionFigures(version, evaluation.metrics if evaluation else None, evaluation)


def present_evaluations(versions: QuerySet[ModelVersion]) -> QuerySet[Evaluation]:
    """Return the evaluations of versions on the evaluation set that there is for their labels."""
    labels = {tuple(sorted(labels)) for labels in versions.values_list("labels", flat=True)}
    named = [evaluation_set_sha256(each) for each in labels]
    return Evaluation.objects.filter(evaluation_set__in=[pair[0] for pair in named if pair])


def evaluation_stored(version: ModelVersion, evaluation_set: str) -> Evaluation | None:
    """Return a version's evaluation on the set with this hash, if it was made."""
    return Evaluation.objects.filter(model_version=version, evaluation_set=evaluation_set).first()
