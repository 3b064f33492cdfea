"""Observations: finds with several photos, their proposed names, and what verifiers decided."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from mlmodels.names import MAX_NAME_LENGTH
from predictions.models import Prediction
from predictions.verdicts import VERDICTS


class Observation(models.Model):
    """One find: its photos, what they show together, and what a verifier decided.

    It is pending until all its photos are answered. `answer` is what was told then; it stays as it
    is when photos are deleted later.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "pending"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    class Source(models.TextChoices):
        OWN = "own", "own photos"
        MUSHROOM_OBSERVER = "mushroom_observer", "Mushroom Observer"
        QUEUE = "queue", "the queue"

    class Decision(models.TextChoices):
        NONE = "", "none"
        AGREE = "agree", "agree"
        DISAGREE = "disagree", "disagree"
        UNSURE = "unsure", "unsure"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        help_text="Who asked, and decides. None: a deleted user.",
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    error_code = models.CharField(max_length=30, blank=True)
    error_detail = models.TextField(blank=True)
    source = models.CharField(max_length=20, choices=Source, default=Source.OWN)
    mushroom_observer_id = models.BigIntegerField(
        null=True, blank=True, db_index=True, help_text="Of the observation there."
    )
    url = models.TextField(blank=True, help_text="Of its page at Mushroom Observer.")
    answer = models.JSONField(
        null=True,
        blank=True,
        help_text="Of all photos together: predictions (the best first), scope and plausible.",
    )
    decision = models.CharField(max_length=10, choices=Decision, default=Decision.NONE, blank=True)
    decision_name = models.CharField(
        max_length=MAX_NAME_LENGTH, blank=True, help_text="The proposed name that it is about."
    )
    note = models.TextField(blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["user", "-id"], name="observations_of_a_user"),
            models.Index(fields=["created_at"], name="observations_by_time"),
            models.Index(fields=["id"], condition=Q(status="pending"), name="pending_observations"),
        ]
        constraints = [
            models.CheckConstraint(
                name="done_has_an_answer_failed_has_a_code",
                condition=Q(status="pending", answer=None, error_code="")
                | Q(status="done", answer__isnull=False, error_code="")
                | (Q(status="failed", answer=None) & ~Q(error_code="")),
            ),
            models.CheckConstraint(
                name="a_decision_has_a_time",
                condition=Q(decision="", decision_name="", decided_at=None)
                | (~Q(decision="") & Q(decided_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"observation {self.pk} ({self.status})"


class ObservationPhoto(models.Model):
    """A photo of an observation: a prediction. The rows are in the order of the photos."""

    observation = models.ForeignKey(Observation, models.CASCADE, related_name="photos")
    prediction = models.OneToOneField(Prediction, models.CASCADE, related_name="observation_photo")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.prediction} of observation {self.observation_id}"


class ProposedName(models.Model):
    """A name that somebody proposes for an observation, with the verdict of all photos on it."""

    observation = models.ForeignKey(Observation, models.CASCADE, related_name="names")
    name = models.CharField(max_length=MAX_NAME_LENGTH, help_text="As it was given.")
    species = models.CharField(
        max_length=100, blank=True, help_text="The species of that name. Empty: it is not known."
    )
    key = models.CharField(
        max_length=MAX_NAME_LENGTH,
        db_index=True,
        help_text="By which names are compared: that of the species, in lower case.",
    )
    verdict = models.CharField(
        max_length=20, blank=True, choices=[(verdict, verdict) for verdict in VERDICTS]
    )
    score = models.FloatField(
        null=True, blank=True, help_text="Probability that the name is right, in percent."
    )
    because = models.JSONField(null=True, blank=True, help_text="A code with its parameters.")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name
