"""How good the models are, as measured here."""

from django.db import models

from mlmodels.models import ModelVersion


class Evaluation(models.Model):
    """One model version on one frozen evaluation set; both being immutable, computed once."""

    model_version = models.ForeignKey(ModelVersion, models.PROTECT)
    evaluation_set = models.CharField(
        max_length=64, help_text="SHA-256 over the set's photos and labels."
    )
    accuracy = models.FloatField(help_text="0 to 1.")
    n = models.PositiveIntegerField()
    metrics = models.JSONField(help_text="Interval, per species, confusion matrix, calibration.")
    evaluated_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["model_version", "evaluation_set"], name="one_evaluation_per_set"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model_version}: {self.accuracy:.1%} of {self.n}"
