"""Photos, their inferences by model versions, users' predictions and their feedback."""

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Case, F, Func, Q, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Left, Upper
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from common.messages import Message, MessageField
from common.request_id import MAX_LENGTH as MAX_REQUEST_ID
from common.tracing import MAX_LENGTH as MAX_TRACE_PARENT
from mlmodels.ml.conformal import plausible
from mlmodels.models import ModelVersion, Species
from mlmodels.names import MAX_NAME_LENGTH

SERVICE_FAILURES = ("no_active_model", "prediction_failed")
"""Error codes of predictions that failed because of the service, not because of the photo."""
MAX_OTHER_NAME = 100
"""Characters of the name of another species."""
MAX_ATTRIBUTION = 200
"""Characters of a photo's author, of its licence and of the address where it can be seen."""
MAX_KEY = 100
"""Characters of an address by which photos are searched; a row of an index cannot hold any URL."""
ADDRESS_KEY = Upper(
    Left(Func("origin", Value("^https?://"), Value(""), function="regexp_replace"), MAX_KEY)
)
"""The beginning of a photo's address without its scheme, or of its file name, in capitals."""
FILE_NAME_KEY = Upper(Left(Func("origin", Value("[^/]*$"), function="substring"), MAX_KEY))
"""The beginning of the file name, also of an address, in capitals."""


def _band(place: int) -> str:
    mask = (1 << (13 if place < 4 else 12)) - 1
    return f"((%(expressions)s >> {13 * place}) & {mask})::int + {place << 13}"


class HashBands(Func):
    """Five numbers that a perceptual hash consists of: its bits 0 to 12, 13 to 25, … 52 to 63.

    Hashes that differ in fewer than ten bits have one of these in common, but for one bit at most.
    Each number has its place in its highest bits, so that an index tells the places apart.
    """

    arity = 1
    template = f"ARRAY[{', '.join(_band(place) for place in range(5))}]"
    output_field = ArrayField(models.IntegerField())


def like_bands(perceptual_hash: int) -> list[int]:
    """Return the numbers of HashBands, and those that differ from them in one bit."""
    unsigned = perceptual_hash % (1 << 64)
    bands = [(unsigned >> 13 * place) & 8191 | place << 13 for place in range(5)]
    flips = [1 << bit for bit in range(13)]
    return [number for band in bands for number in (band, *(band ^ flip for flip in flips))]


REVIEWED_FIRST = Case(
    When(label_source__in=("confirmed", "corrected"), then=Value(0)),
    default=Value(1),
    output_field=models.IntegerField(),
)
"""Photos whose label a person confirmed or corrected come before others."""


class Photo(models.Model):
    """A successfully decoded photo. The storage holds its bytes under their SHA-256.

    The bytes end with the picture. What was sent after it is not stored (`PhotoSource.sha256`).
    """

    class LabelSource(models.TextChoices):
        NONE = "", _("none")
        IMPORTED = "imported", _("imported")
        PREDICTED = "predicted", _("predicted")
        CONFIRMED = "confirmed", _("confirmed")
        CORRECTED = "corrected", _("corrected")
        SETTLED = "settled", _("settled at Mushroom Observer")

    class Split(models.TextChoices):
        NONE = "", _("none")
        TRAINING = "training", _("training")
        EVALUATION = "evaluation", _("evaluation")

    sha256 = models.CharField(max_length=64, unique=True)
    file = models.FileField(
        max_length=200,
        blank=True,
        help_text="Empty: its bytes were deleted; the row stays for the answers that name it.",
    )
    bytes = models.PositiveIntegerField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    perceptual_hash = models.BigIntegerField(
        help_text="64 bits, as a signed integer; near-duplicates differ in few of them."
    )
    origin = models.TextField(blank=True, help_text=_("The first URL or file name it came from."))
    mushroom_observer_id = models.BigIntegerField(null=True, blank=True, db_index=True)
    author = models.CharField(
        max_length=MAX_ATTRIBUTION,
        blank=True,
        default="",
        db_default="",
        help_text=_("The copyright holder, whom everybody who shows the photo has to name."),
    )
    licence = models.CharField(
        max_length=MAX_ATTRIBUTION,
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "URL of the licence under which anybody may show it (`licences.py`). Empty: "
            "none is known, and it is shown to nobody but who sent it and administrators."
        ),
    )
    source = models.CharField(
        max_length=MAX_ATTRIBUTION,
        blank=True,
        default="",
        db_default="",
        help_text=_("URL of the page that shows it, where that is known."),
    )
    is_reserved = models.BooleanField(
        "all rights reserved",
        default=False,
        db_default=False,
        help_text=_("Its owner said so: nobody is shown it, and no model is trained on it."),
    )
    label = models.ForeignKey(Species, models.PROTECT, null=True, blank=True)
    is_other = models.BooleanField(
        "other species",
        default=False,
        db_default=False,
        help_text=_("It shows none of the species that models know."),
    )
    other_name = models.CharField(
        "name of the other species",
        max_length=MAX_OTHER_NAME,
        blank=True,
        default="",
        db_default="",
        help_text=_("As somebody gave it. The first word is the genus."),
    )
    label_source = models.CharField(
        max_length=20, choices=LabelSource, default=LabelSource.NONE, blank=True
    )
    split = models.CharField(max_length=20, choices=Split, default=Split.NONE, blank=True)
    split_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When it came into the split.")
    )
    excluded = models.BooleanField(
        default=False,
        help_text=_("An administrator keeps it out of training and of the next evaluation set."),
    )
    contributed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Whose prediction made it a training photo.",
    )
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    reviewed_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When an administrator last named or excluded it.")
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["split", "-split_at"],
                include=["is_other", "excluded"],
                name="photos_by_split",
            ),
            models.Index(OpClass(ADDRESS_KEY, "text_pattern_ops"), name="photos_by_address"),
            models.Index(OpClass(FILE_NAME_KEY, "text_pattern_ops"), name="photos_by_file_name"),
            models.Index(
                fields=["split", "other_name"], condition=Q(is_other=True), name="other_photos"
            ),
            models.Index(
                fields=["label", "other_name"], condition=~Q(licence=""), name="licensed_photos"
            ),
            models.Index(fields=["label_source", "-id"], name="photos_by_label_source"),
            models.Index(fields=["label", "-id"], name="photos_by_label"),
            # What a training takes, of each species and of all.
            models.Index(
                F("label"),
                REVIEWED_FIRST,
                F("split_at").desc(),
                F("id").desc(),
                condition=Q(split="training", is_other=False),
                name="training_photos_by_species",
            ),
            models.Index(
                REVIEWED_FIRST,
                F("split_at").desc(),
                F("id").desc(),
                condition=Q(split="training", is_other=False),
                name="training_photos",
            ),
            GinIndex(
                HashBands("perceptual_hash"),
                condition=~Q(split=""),
                fastupdate=False,
                name="photos_by_hash",
            ),
            models.Index(fields=["-id"], condition=Q(excluded=True), name="excluded_photos"),
        ]
        constraints = [
            models.CheckConstraint(
                name="a_split_photo_has_a_label_and_time",
                condition=Q(split="")
                | Q(label__isnull=False, split_at__isnull=False)
                | Q(is_other=True, split_at__isnull=False),
            ),
            models.CheckConstraint(
                name="an_other_photo_has_no_species",
                condition=Q(is_other=False, other_name="") | Q(is_other=True, label__isnull=True),
            ),
            models.CheckConstraint(
                name="a_reserved_photo_is_not_in_training",
                condition=~Q(is_reserved=True, split="training"),
            ),
            models.CheckConstraint(
                name="an_excluded_photo_is_not_in_training",
                condition=~Q(excluded=True, split="training"),
            ),
        ]

    def __str__(self) -> str:
        return str(Message("photo %(sum)s", sum=self.sha256[:12]))


class PhotoSource(models.Model):
    """Which photo a URL returned, so that the URL is not fetched again too soon.

    Or which photo some sent bytes held: more bytes than the picture, of which the photo has only
    those of the picture. Losing a row does no harm: the bytes are fetched, or trimmed, again.
    """

    key = models.CharField(
        max_length=64,
        unique=True,
        help_text="SHA-256 of the URL's canonical form, or of the sent bytes.",
    )
    photo = models.ForeignKey(Photo, models.CASCADE)
    sha256 = models.CharField(
        max_length=64,
        blank=True,
        help_text="Of the bytes that were sent or returned. Empty: those of the photo.",
    )
    is_permanent = models.BooleanField(
        help_text="It always names the same photo: a Mushroom Observer id, or bytes."
    )
    fetched_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["fetched_at"], name="sources_by_time")]

    def __str__(self) -> str:
        return f"{self.key[:12]} → {self.photo}"


class RealField(models.FloatField):
    """A float of four bytes."""

    def db_type(self, connection: Any) -> str:
        return "real"


class PhotoEmbedding(models.Model):
    """The numbers by which similar photos are found; they go with the photo's bytes.

    The column is an array, because a database can hold that without the extension `vector`. Queries
    and the index cast it (predictions/similar_services.py).
    """

    photo = models.OneToOneField(Photo, models.CASCADE, primary_key=True)
    embedder = models.CharField(
        max_length=64, help_text="`Embedder.id`. Numbers of another embedder do not compare."
    )
    numbers = ArrayField(
        RealField(), null=True, help_text="Of length 1. None: a worker has started to compute them."
    )
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="How many workers have started to compute them."
    )
    started_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"embedding of {self.photo}"


class Inference(models.Model):
    """The scores of one photo by one model version; computed once."""

    photo = models.ForeignKey(Photo, models.PROTECT)
    model_version = models.ForeignKey(ModelVersion, models.PROTECT)
    scores = models.JSONField(help_text="Percentages in the order of the version's labels.")
    best_score = models.FloatField(help_text="The highest of the scores.")
    best_species = models.CharField(
        max_length=100, help_text="Name of the species with that score."
    )
    in_scope = models.BooleanField(
        null=True, help_text="Whether it shows one of the version's species. None: not told."
    )
    scope_score = models.FloatField(
        null=True, help_text="Probability that it shows one of them, in percent."
    )
    p_values = models.JSONField(
        null=True, help_text="Conformal p-values, 0 to 1, in the order of the labels."
    )
    name_scores = models.JSONField(
        null=True,
        help_text="Probability that each label is right where it is proposed, in percent.",
    )
    duration_ms = models.FloatField(help_text="Decoding and scoring.")
    is_background = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Nobody has asked for it yet: the photo is not kept for training by this score "
        "until somebody does.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["best_score"], name="inferences_by_best_score"),
            models.Index(fields=["best_species", "-photo"], name="inferences_by_species"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["photo", "model_version"], name="one_inference_per_photo_and_version"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model_version} on {self.photo}"

    def best(self, count: int) -> list[tuple[str, float]]:
        """Return the `count` most likely species with their scores in percent, best first."""
        ranked = zip(self.model_version.labels, self.scores, strict=True)
        return sorted(ranked, key=lambda pair: -pair[1])[:count]

    @property
    def plausible(self) -> list[str] | None:
        """The species that can't be ruled out, the most probable first; None if not told."""
        if self.p_values is None or self.in_scope is None:
            return None
        kept = plausible(self.scores, self.p_values, is_in_scope=self.in_scope)
        return [self.model_version.labels[index] for index in kept]


class Shadow(models.Model):
    """What a version in Staging has had trouble with, as it scores photos beside production.

    What it scored is in its inferences. While a worker is at it, `claimed_at` says since when, and
    `photo_id` which photo it scores: if both stay, the worker has died.
    """

    model_version = models.OneToOneField(ModelVersion, models.CASCADE, primary_key=True)
    claimed_at = models.DateTimeField(null=True)
    photo_id = models.BigIntegerField(null=True)
    skipped = ArrayField(
        models.BigIntegerField(),
        default=list,
        help_text="Ids of photos that are not scored again: unreadable, or a worker died on them.",
    )
    lost_workers = models.PositiveSmallIntegerField(
        default=0, help_text="How many workers died while they scored for this version."
    )
    error = models.TextField(blank=True, help_text="Why the version cannot score.")

    MAX_LOST_WORKERS = 3

    def __str__(self) -> str:
        return f"shadow of {self.model_version}"

    @property
    def is_left_alone(self) -> bool:
        """Whether so many workers died that it scores no more."""
        return self.lost_workers >= self.MAX_LOST_WORKERS


class Prediction(models.Model):
    """One user's request and its answer. The row is the truth; messages to workers are hints.

    While it is pending, `next_send_at` is when it is sent to a worker again unless it has been
    answered by then; None if it waits until the next worker holds fewer of its user's. `attempts`
    counts the workers that started to score it.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        help_text="None: from the terminal, or by a deleted user.",
    )
    file = models.TextField(help_text=_("The URL, or the uploaded file's name."))
    is_upload = models.BooleanField()
    sha256 = models.CharField(max_length=64, blank=True, help_text=_("Of the photo's bytes."))
    nb_preds = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(1000)]
    )
    proposed = models.CharField(
        max_length=MAX_NAME_LENGTH,
        blank=True,
        help_text=_("The name to be judged, as it was given."),
    )
    proposed_species = models.CharField(
        max_length=100, blank=True, help_text="The species of that name. Empty: it is not known."
    )
    verdict = models.JSONField(
        null=True,
        blank=True,
        help_text="verdict, score and because (a code with its parameters). None: no name was "
        "proposed, it is not judged yet, or the version's card has no rule.",
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    error_code = models.CharField(max_length=30, blank=True)
    error_detail = MessageField(blank=True)
    inference = models.ForeignKey(Inference, models.PROTECT, null=True, blank=True)
    reused = models.BooleanField(default=False, help_text="Answered from a stored inference.")
    attempts = models.PositiveSmallIntegerField(default=0)
    sends = models.PositiveSmallIntegerField(default=0)
    request_id = models.CharField(
        max_length=MAX_REQUEST_ID,
        blank=True,
        help_text=_("X-Request-Id of the request that made it."),
    )
    trace_parent = models.CharField(
        max_length=MAX_TRACE_PARENT,
        blank=True,
        default="",
        db_default="",
        help_text="The span of that request, where traces are switched on.",
    )
    next_send_at = models.DateTimeField(null=True, blank=True)
    fetch_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When its turn comes to ask the photo's host. None: at once.",
    )
    is_background = models.BooleanField(
        default=False,
        db_default=False,
        help_text="ChampiPy asked by itself: photos that people wait for are fetched first.",
    )
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["user", "-id"]),
            models.Index(
                fields=["created_at"],
                include=["status", "is_background"],
                name="predictions_by_created",
            ),
            # By its first characters, too.
            models.Index(
                fields=["sha256"], opclasses=["varchar_pattern_ops"], name="predictions_by_sha256"
            ),
            models.Index(
                fields=["id"], condition=Q(status="done", reused=False), name="scored_predictions"
            ),
            models.Index(
                fields=["inference"],
                condition=Q(status="done", reused=False),
                name="first_predictions",
            ),
            models.Index(
                fields=["id"],
                condition=Q(status="pending") | Q(error_code__in=SERVICE_FAILURES),
                name="unanswered_predictions",
            ),
            models.Index(
                fields=["next_send_at"], condition=Q(status="pending"), name="pending_predictions"
            ),
            models.Index(
                fields=["user", "next_send_at"],
                condition=Q(status="pending"),
                name="pending_of_a_user",
            ),
            models.Index(fields=["-id"], condition=Q(status="failed"), name="failed_predictions"),
            models.Index(
                fields=["user", "-id"], condition=Q(status="failed"), name="failed_of_a_user"
            ),
            models.Index(
                fields=["error_code", "-id"], condition=Q(status="failed"), name="failures_by_code"
            ),
            # What a user asked, by the name that was proposed and by the verdict on it.
            models.Index(
                fields=["user", "proposed_species", "-id"],
                condition=~Q(proposed=""),
                name="judged_predictions",
            ),
            models.Index(
                F("user"),
                KT("verdict__verdict"),
                F("id").desc(),
                condition=~Q(proposed=""),
                name="predictions_by_verdict",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="done_has_inference_failed_has_code",
                condition=Q(status="pending", inference=None, error_code="")
                | Q(status="done", inference__isnull=False, error_code="")
                | (Q(status="failed", inference=None) & ~Q(error_code="")),
            )
        ]

    def __str__(self) -> str:
        status = self.get_status_display()
        number = str(self.pk)  # None before it is stored
        return str(Message("prediction %(number)s (%(status)s)", number=number, status=status))

    @property
    def duration_ms(self) -> int | None:
        """Milliseconds from the request to its answer; None while it is pending."""
        if self.finished_at is None:
            return None
        return round((self.finished_at - self.created_at).total_seconds() * 1000)


class Feedback(models.Model):
    """What a user says about the answer of a prediction, at most once each.

    It changes no label by itself: it waits until an administrator reviews the photo.
    """

    prediction = models.ForeignKey(Prediction, models.CASCADE)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    name = models.CharField(
        max_length=MAX_NAME_LENGTH,
        blank=True,
        help_text="What the photo shows, as the user wrote it. Empty: none of the known species.",
    )
    species = models.ForeignKey(
        Species, models.PROTECT, null=True, blank=True, help_text="The species of that name."
    )
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    reviewed_at = models.DateTimeField(null=True, blank=True, help_text="None: it waits.")

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "feedback"
        indexes = [
            models.Index(
                fields=["-id"], condition=Q(reviewed_at__isnull=True), name="waiting_feedback"
            )
        ]
        constraints = [
            models.UniqueConstraint(fields=["prediction", "user"], name="one_feedback_per_user")
        ]

    def __str__(self) -> str:
        return str(Message("feedback on %(prediction)s", prediction=self.prediction))
