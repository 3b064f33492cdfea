"""Writes of supervision: trainings on the right photos, and evaluations."""

from collections.abc import Callable, Sequence

from django.conf import settings

from mlmodels.evaluation import HeldOutPhotos, engine_logits, held_out_metrics
from mlmodels.models import ModelVersion
from mlmodels.selectors import version_artifact
from supervision.models import Evaluation


def version_evaluate(
    *,
    version: ModelVersion,
    held_out: HeldOutPhotos,
    on_photo: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Evaluate a version's engine on a set of photos, once; a stored evaluation is returned as is.

    Raises ArtifactError where the version's files are not intact.
    """
    stored = Evaluation.objects.filter(
        model_version=version, evaluation_set=held_out.sha256
    ).first()
    if stored is not None:
        return stored
    engine = version_artifact(version).load_engine(settings.CHAMPIPY_INFERENCE_THREADS or 1)
    logits = engine_logits(engine, held_out.photos, on_photo)
    metrics = held_out_metrics(logits, held_out, tuple(version.labels), version.temperature)
    evaluation, _ = Evaluation.objects.get_or_create(
        model_version=version,
        evaluation_set=held_out.sha256,
        defaults={"accuracy": metrics["accuracy"], "n": metrics["n"], "metrics": metrics},
    )
    return evaluation


def evaluation_report(metrics: dict, labels: Sequence[str]) -> str:
    """Return the figures as text for a terminal: accuracy, per species, confusion matrix."""
    low, high = metrics["ci95"]
    lines = [
        f"accuracy {metrics['accuracy']:.1%} of {metrics['n']} photos "
        f"(95 % interval {low:.1%} to {high:.1%})"
    ]
    if alone := metrics.get("without_near_training"):
        low, high = alone["ci95"]
        lines.append(
            f"without those near training photos: {alone['accuracy']:.1%} of {alone['n']} "
            f"({low:.1%} to {high:.1%})"
        )
    lines.append(
        f"calibration error {metrics['ece']:.1%} (without temperature "
        f"{metrics['ece_uncalibrated']:.1%}), mean best score {metrics['mean_score']:.1%}"
    )
    numbers = "".join(f"{index:>5}" for index in range(1, len(labels) + 1))
    lines.append(f"\n{'true species, and what was answered':<36}{numbers}")
    for index, row in enumerate(metrics["confusion"]):
        right = row[index] / sum(row) if sum(row) else 0
        name = f"{index + 1:>2} {labels[index]} {right:.0%}"
        lines.append(f"{name:<36}" + "".join(f"{count or '·':>5}" for count in row))
    return "\n".join(lines)
