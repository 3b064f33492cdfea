"""Evaluation sets, evaluations of versions, doubts about labels, checks and alerts."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from common.messages import Message, MessageField
from mlmodels.models import ModelVersion, Species, TrainingRun
from predictions.models import Photo


class EvaluationSet(models.Model):
    """A frozen set of photos and labels that versions are measured on.

    Of each kind the newest counts: the accuracy is measured on photos of the species, and whether
    a version knows what is none of its species on photos of others. Later reviews and imports
    change nothing here: the next version of a set is made deliberately
    (`supervision.datasets.services.evaluation_set_freeze`).
    """

    class Kind(models.TextChoices):
        SPECIES = "species", _("species")
        OTHERS = "others", _("other species")

    kind = models.CharField(max_length=10, choices=Kind, default=Kind.SPECIES)
    version = models.PositiveIntegerField(help_text=_("1, 2, … for each kind."))
    sha256 = models.CharField(max_length=64, help_text=_("Over the photos and their labels."))
    n = models.PositiveIntegerField("photos")
    manifest = models.JSONField(
        help_text="[SHA-256, species] of each photo, by SHA-256; an unknown other species is empty."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        help_text=_("None: from the terminal."),
    )
    reason = models.TextField()

    class Meta:
        ordering = ["-version", "-kind"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "version"], name="one_set_per_kind_and_version")
        ]

    def __str__(self) -> str:
        if self.kind == self.Kind.OTHERS:
            message = Message(
                "evaluation set %(version)d of other species (%(count)d photos)",
                version=self.version,
                count=self.n,
            )
        else:
            message = Message(
                "evaluation set %(version)d (%(count)d photos)", version=self.version, count=self.n
            )
        return str(message)


class PhotoReview(models.Model):
    """What one decision of an administrator did to one photo. Rows are only added, and undone once.

    A decision is about one photo or about several, whose rows share `decision`. Deciding what is
    already so adds no row.
    """

    class Kind(models.TextChoices):
        LABEL = "label", _("species")
        OTHER = "other", _("other species")
        EXCLUDE = "exclude", _("excluded")

    photo = models.ForeignKey(Photo, models.CASCADE, related_name="reviews")
    decision = models.UUIDField(db_index=True)
    kind = models.CharField(max_length=10, choices=Kind)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    before = models.JSONField(help_text="Label, split and review of the photo until then.")
    after = models.JSONField(help_text="The same from then on.")
    created_at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["by", "-id"],
                condition=Q(undone_at__isnull=True),
                name="reviews_to_undo",
            )
        ]

    def __str__(self) -> str:
        return f"{self.photo}: {self.get_kind_display()} by {self.by}"


class LabelDoubt(models.Model):
    """How much the last audit doubts a photo's label. Each audit replaces all rows."""

    photo = models.OneToOneField(Photo, models.CASCADE, related_name="doubt")
    label = models.ForeignKey(
        Species, models.PROTECT, related_name="+", help_text="The label that was audited."
    )
    doubt = models.FloatField(
        db_index=True, help_text="0 to 1: 1 less the out-of-fold probability of the label."
    )
    likelier = models.ForeignKey(
        Species,
        models.PROTECT,
        related_name="+",
        help_text="The likeliest species; the label itself where the audit agrees.",
    )
    method = models.CharField(max_length=100)
    audited_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.photo}: {self.doubt:.0%} doubt of {self.label}"


class Disagreement(models.Model):
    """A photo of which two versions answered different species. A periodic task finds them."""

    photo = models.OneToOneField(Photo, models.CASCADE, primary_key=True)

    def __str__(self) -> str:
        return f"disagreement on {self.photo}"


class Summary(models.Model):
    """Figures of whole tables, as they were last counted by a periodic task."""

    name = models.CharField(max_length=50, primary_key=True)
    value = models.JSONField()
    at = models.DateTimeField(default=timezone.now, help_text="When they were counted.")

    class Meta:
        verbose_name_plural = "summaries"

    def __str__(self) -> str:
        return self.name


class Evaluation(models.Model):
    """The result of a model version on an evaluation set: computed once, as neither changes."""

    model_version = models.ForeignKey(ModelVersion, models.PROTECT)
    evaluation_set = models.CharField(
        max_length=64, help_text="SHA-256 over the set's photos and labels."
    )
    accuracy = models.FloatField(help_text="0 to 1.")
    n = models.PositiveIntegerField()
    metrics = models.JSONField(help_text="Interval, per species, confusion matrix, calibration.")
    scopes = models.JSONField(
        default=dict,
        help_text="By the photo's SHA-256, also of other species: how likely in scope, in percent.",
    )
    ms_per_photo = models.FloatField(
        null=True, help_text="The engine alone, on a few photos, in the process that evaluated."
    )
    evaluated_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["model_version", "evaluation_set"], name="one_evaluation_per_set"
            )
        ]

    def __str__(self) -> str:
        return str(
            Message(
                "%(version)s: %(accuracy).1f %% of %(count)d photos",
                version=self.model_version,
                accuracy=100 * self.accuracy,
                count=self.n,
            )
        )


class EvaluationAnswer(models.Model):
    """What a version answered to one photo of an evaluation set.

    Pages find the photos of a figure by it: the indexes serve the errors by score, each cell of the
    confusion matrix, each species, and each bin of the reliability diagram.
    """

    evaluation = models.ForeignKey(Evaluation, models.CASCADE, related_name="answers")
    sha256 = models.CharField(max_length=64, help_text="Of the photo, which may be gone.")
    species = models.CharField(max_length=100, help_text="The true one, as it was frozen.")
    answered = models.CharField(max_length=100, help_text="The species with the best score.")
    score = models.FloatField(help_text="Of the answer, in percent.")
    is_right = models.BooleanField()
    score_bin = models.PositiveSmallIntegerField(
        null=True, help_text="Of the reliability diagram, from 0; None if it has none."
    )

    class Meta:
        ordering = ["-score", "id"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "sha256"], name="one_answer_per_photo")
        ]
        indexes = [
            models.Index(fields=["evaluation", "-score", "id"], name="answers_by_score"),
            models.Index(
                fields=["evaluation", "is_right", "-score", "id"], name="answers_by_error"
            ),
            models.Index(
                fields=["evaluation", "species", "answered", "-score", "id"],
                name="answers_by_species",
            ),
            models.Index(
                fields=["evaluation", "answered", "-score", "id"], name="answers_by_answer"
            ),
            models.Index(fields=["evaluation", "score_bin", "-score", "id"], name="answers_by_bin"),
        ]

    def __str__(self) -> str:
        return f"{self.species}: {self.answered}, {self.score:.1f} %"


class EvaluationOther(models.Model):
    """What a version answered to one photo of another species, in the size it was measured in.

    Pages find by it which of them it took for one of its species, of each genus and by name.
    """

    evaluation = models.ForeignKey(Evaluation, models.CASCADE, related_name="others")
    sha256 = models.CharField(max_length=64, help_text="Of the photo, which may be gone.")
    name = models.CharField(
        max_length=100, blank=True, help_text="The true one, as it was frozen; empty: unknown."
    )
    genus = models.CharField(
        max_length=100, help_text="As in the figures by genus; of an unknown one the photo's find."
    )
    answered = models.CharField(max_length=100, help_text="The species with the best score.")
    score = models.FloatField(help_text="Of the answer, in percent.")
    scope = models.FloatField(help_text="How likely in scope, in percent.")
    in_scope = models.BooleanField(help_text="Whether it was taken for one of the species.")

    class Meta:
        ordering = ["-scope", "id"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "sha256"], name="one_other_per_photo")
        ]
        indexes = [
            models.Index(fields=["evaluation", "in_scope", "-scope", "id"], name="others_by_scope"),
            models.Index(fields=["evaluation", "genus", "-scope", "id"], name="others_by_genus"),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.genus}: {self.scope:.1f} % in scope"


class Check(models.Model):
    """The last run of a scheduled check; one row per kind."""

    class Kind(models.TextChoices):
        ACCURACY = "accuracy", _("accuracy")
        NEW_PHOTOS = "new_photos", _("new photos")

    kind = models.CharField(max_length=20, choices=Kind, primary_key=True)
    begun_at = models.DateTimeField()
    finished_at = models.DateTimeField(
        null=True, blank=True, help_text="None: it has not finished."
    )
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="How many times it was started without finishing."
    )
    result = MessageField(blank=True, help_text="What it found.")
    error = MessageField(blank=True, help_text="Why it could not be carried out.")

    def __str__(self) -> str:
        return f"check of {self.get_kind_display()}: {self.error or self.result or 'under way'}"


class Alert(models.Model):
    """Something that an administrator has to know. At most one is unresolved per kind and model.

    It is resolved when its cause is found to have ended, never manually; an acknowledged one stays
    unresolved, but leaves the banner. `supervision.monitoring.alert_texts` describes it for people.
    """

    class Kind(models.TextChoices):
        LOW_ACCURACY = "low_accuracy", _("accuracy below the target")
        NEW_PHOTOS = "new_photos", _("enough new photos for a training")
        ACCURACY_CHECK_FAILED = "accuracy_check_failed", _("the check of the accuracy failed")
        NEW_PHOTOS_CHECK_FAILED = "new_photos_check_failed", _("the check of new photos failed")
        UNANSWERED = "predictions_unanswered", _("predictions are not answered")
        DISK_FULL_SOON = "disk_full_soon", _("the disk is nearly full")
        STORE_UNAVAILABLE = "store_unavailable", _("the object store failed")
        BETTER_VERSION = "better_version", _("a better version came with ChampiPy")

    class Status(models.TextChoices):
        OPEN = "open", pgettext_lazy("alert", "open")
        ACKNOWLEDGED = "acknowledged", pgettext_lazy("alert", "acknowledged")
        RESOLVED = "resolved", pgettext_lazy("alert", "resolved")

    kind = models.CharField(max_length=30, choices=Kind)
    model_version = models.ForeignKey(
        ModelVersion,
        models.PROTECT,
        null=True,
        blank=True,
        help_text=_("None: not about one model."),
    )
    status = models.CharField(max_length=20, choices=Status, default=Status.OPEN)
    value = models.FloatField(help_text="As last measured: percent, photos, failures, minutes, MB.")
    threshold = models.FloatField(help_text="In the value's unit.")
    detail = MessageField(blank=True, help_text=_("The error of a failed check or retraining."))
    run = models.ForeignKey(
        TrainingRun,
        models.SET_NULL,
        null=True,
        blank=True,
        help_text=_("The retraining it started."),
    )
    since = models.DateTimeField(default=timezone.now)
    measured_at = models.DateTimeField(default=timezone.now)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True
    )
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "model_version"],
                condition=~Q(status="resolved"),
                nulls_distinct=False,
                name="one_unresolved_alert_per_kind_and_model",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.get_status_display()})"


class AlertMessage(models.Model):
    """An alert to be sent by one channel; sending is retried until the channel accepts it."""

    class Channel(models.TextChoices):
        MAIL = "mail", _("mail to the administrators")
        APPRISE = "apprise", _("address in CHAMPIPY_ALERT_URLS")

    alert = models.ForeignKey(Alert, models.CASCADE, related_name="messages")
    channel = models.CharField(max_length=10, choices=Channel)
    target = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of an Apprise address, which is a secret."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(
        null=True, default=timezone.now, help_text=_("None: there is nothing more to do.")
    )
    sent_at = models.DateTimeField(null=True, blank=True)
    error = MessageField(blank=True, help_text=_("Of the last attempt."))

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="messages_to_send",
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["alert", "channel", "target"], name="one_message_per_alert_and_channel"
            )
        ]

    def __str__(self) -> str:
        return f"{self.alert}: {self.get_channel_display()}"
