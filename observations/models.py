"""Observations: finds with several photos, their proposed names, and what verifiers decided."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from common.messages import Message, MessageField
from mlmodels.models import Species
from mlmodels.names import MAX_NAME_LENGTH
from predictions.models import MAX_ATTRIBUTION, MAX_OTHER_NAME, Prediction
from predictions.verdicts import VERDICTS


class Observation(models.Model):
    """One find: its photos, what they show together, and what a verifier decided.

    It is pending until all its photos are answered. `answer` is what was told then; it stays as it
    is when photos are deleted later.

    One of Mushroom Observer is read there by a worker: `next_read_at` is when it is read, or read
    again if a worker died; None if there is nothing to read. While it is read again, and where that
    fails, `answer` is what was told before.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    class Source(models.TextChoices):
        OWN = "own", _("own photos")
        MUSHROOM_OBSERVER = "mushroom_observer", _("Mushroom Observer")
        QUEUE = "queue", _("the queue")

    class Decision(models.TextChoices):
        NONE = "", _("none")
        AGREE = "agree", _("agree")
        DISAGREE = "disagree", _("disagree")
        UNSURE = "unsure", _("unsure")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        help_text=_(
            "Who asked, and decides. None: a deleted user; in the queue, nobody has decided."
        ),
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    error_code = models.CharField(max_length=30, blank=True)
    error_detail = MessageField(blank=True)
    source = models.CharField(max_length=20, choices=Source, default=Source.OWN)
    mushroom_observer_id = models.BigIntegerField(
        null=True, blank=True, db_index=True, help_text=_("Of the observation there.")
    )
    url = models.TextField(blank=True, help_text="Of its page at Mushroom Observer.")
    next_read_at = models.DateTimeField(null=True, blank=True)
    reads = models.PositiveSmallIntegerField(
        default=0, help_text="Workers that started to read it, since it was asked for."
    )
    read_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When Mushroom Observer last told what it knows of it.")
    )
    changed_there_at = models.DateTimeField(
        null=True, blank=True, help_text="When it last changed there, as was told then."
    )
    fingerprint = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="Of its photos, names and votes there. Another one says that it has changed.",
    )
    settled_name = models.CharField(
        max_length=MAX_NAME_LENGTH,
        blank=True,
        default="",
        help_text=_("On which its community agrees. Empty: on none."),
    )
    settled_species = models.CharField(
        max_length=100, blank=True, default="", help_text="The species of that name, if known here."
    )
    remarks = models.JSONField(
        default=list,
        blank=True,
        help_text="What people should know of it: codes with their parameters (`remarks.py`).",
    )
    answer = models.JSONField(
        null=True,
        blank=True,
        help_text="Of all photos together: predictions (the best first), scope and plausible.",
    )
    decision = models.CharField(max_length=10, choices=Decision, default=Decision.NONE, blank=True)
    decision_name = models.CharField(
        max_length=MAX_NAME_LENGTH, blank=True, help_text=_("The proposed name that it is about.")
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
            models.Index(
                fields=["next_read_at"],
                condition=Q(next_read_at__isnull=False),
                name="observations_to_read",
            ),
            models.Index(
                fields=["id"], condition=Q(source="queue", decision=""), name="undecided_finds"
            ),
            models.Index(fields=["-id"], condition=Q(status="failed"), name="failed_observations"),
            models.Index(fields=["source", "-id"], name="observations_by_source"),
            models.Index(fields=["user", "source", "-id"], name="finds_of_a_user_by_source"),
            models.Index(
                fields=["decision", "-id"], condition=~Q(decision=""), name="finds_by_decision"
            ),
            models.Index(
                fields=["user", "decision", "-id"],
                condition=~Q(decision=""),
                name="decisions_of_a_user",
            ),
            models.Index(
                fields=["user", "-decided_at", "-id"],
                condition=Q(decided_at__isnull=False),
                name="decided_by_a_user",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="done_has_an_answer_failed_has_a_code",
                condition=Q(status="pending", error_code="")
                | Q(status="done", answer__isnull=False, error_code="")
                | (Q(status="failed") & ~Q(error_code="")),
            ),
            models.CheckConstraint(
                name="only_a_pending_one_is_read",
                condition=Q(next_read_at=None) | Q(status="pending"),
            ),
            models.UniqueConstraint(
                fields=["user", "mushroom_observer_id"],
                condition=Q(source="mushroom_observer"),
                name="one_of_mushroom_observer_per_user",
            ),
            models.CheckConstraint(
                name="a_decision_has_a_time",
                condition=Q(decision="", decision_name="", decided_at=None)
                | (~Q(decision="") & Q(decided_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        number, status = str(self.pk), self.get_status_display()
        return str(Message("observation %(number)s (%(status)s)", number=number, status=status))


class ObservationPhoto(models.Model):
    """A photo of an observation: a prediction. The rows are in the order of the photos.

    One of Mushroom Observer knows whose it is, and under which licence.
    """

    observation = models.ForeignKey(Observation, models.CASCADE, related_name="photos")
    prediction = models.OneToOneField(Prediction, models.CASCADE, related_name="observation_photo")
    image_id = models.BigIntegerField(
        null=True, blank=True, help_text="Of the image at Mushroom Observer."
    )
    holder = models.CharField(
        max_length=200, blank=True, default="", help_text=_("Of its copyright.")
    )
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    licence = models.CharField(
        max_length=200, blank=True, default="", help_text="As the site names it."
    )
    is_usable = models.BooleanField(
        default=True,
        help_text="Whether others may be shown it, and models trained on it: false if its owner "
        "does not allow it, or the licence is not known.",
    )

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.prediction} of observation {self.observation_id}"


class ProposedName(models.Model):
    """A name that somebody proposes for an observation, with the verdict of all photos on it.

    One of Mushroom Observer has ids and votes there.
    """

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
    naming_id = models.BigIntegerField(
        null=True, blank=True, help_text="Of the proposal at Mushroom Observer."
    )
    name_id = models.BigIntegerField(
        null=True, blank=True, help_text="Of the name at Mushroom Observer."
    )
    confidence = models.FloatField(
        null=True, blank=True, help_text="Weighted mean of the votes there, -3 to 3."
    )
    votes = models.JSONField(
        default=list, blank=True, help_text="The votes there, -3 to 3, the highest first."
    )
    is_consensus = models.BooleanField(
        default=False, help_text="Whether the observation has this name there."
    )

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name


class MushroomObserverImage(models.Model):
    """What Mushroom Observer's dumps tell of one of its images.

    There is a row for each image of our species, however its name was voted for, and for some of
    other species with settled names. An image whose observations have different names has none. An
    import writes the rows anew, except for the last two fields, and deletes those that the dumps no
    longer have.
    """

    image_id = models.BigIntegerField(primary_key=True)
    observation_id = models.BigIntegerField(help_text=_("Of the observation there."))
    species = models.ForeignKey(Species, models.CASCADE, null=True, related_name="+")
    other_name = models.CharField(
        max_length=MAX_OTHER_NAME, blank=True, help_text=_("What it shows, if none of our species.")
    )
    confidence = models.FloatField(help_text=_("Weighted mean of the votes on that name, -3 to 3."))
    holder = models.CharField(
        max_length=MAX_ATTRIBUTION, blank=True, help_text=_("Of its copyright.")
    )
    licence = models.CharField(
        max_length=MAX_ATTRIBUTION,
        blank=True,
        help_text=_("URL of the licence. Empty: it is not one that allows everybody to show it."),
    )
    ok_for_export = models.BooleanField(help_text=_("Whether its owner lets others have it."))
    gave_label = models.BooleanField(
        default=False,
        db_default=False,
        help_text=_("The label of ChampiPy's photo comes from here, so it follows this row."),
    )
    refused = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text=_("Why the photo was fetched, but not imported. It is not fetched again."),
    )

    class Meta:
        ordering = ["-image_id"]
        verbose_name = "image of Mushroom Observer"
        verbose_name_plural = "images of Mushroom Observer"
        indexes = [
            models.Index(
                fields=["image_id"], condition=Q(gave_label=True), name="images_that_gave_labels"
            )
        ]

    def __str__(self) -> str:
        return str(Message("image %(number)d", number=self.image_id))


class NameBelowSpecies(models.Model):
    """A variety, subspecies or group of one of our species, as Mushroom Observer's dumps name it.

    An import writes the rows anew. The queue's polls ask for finds that are called so.
    """

    name_id = models.BigIntegerField(primary_key=True, help_text="Of the name there.")
    species = models.ForeignKey(Species, models.CASCADE, related_name="+")

    def __str__(self) -> str:
        return f"name {self.name_id} of {self.species}"


class QueueEntry(models.Model):
    """A find at Mushroom Observer that is, or was, worth a verifier's look.

    It is to be read while `is_to_read`: the poll heard of it, or of a change. What was read is told
    by `observation`, which nobody owns until somebody decides; None: there was nothing to check.
    """

    mushroom_observer_id = models.BigIntegerField(unique=True, help_text=_("Of the observation."))
    observation = models.OneToOneField(
        Observation, models.SET_NULL, null=True, blank=True, related_name="queue_entry"
    )
    is_to_read = models.BooleanField(
        default=True, help_text=_("The site is to be asked for it at one of the next polls.")
    )
    changed_at = models.DateTimeField(
        null=True, blank=True, help_text=_("The last change of its names that the site told of.")
    )
    fingerprint = models.CharField(
        max_length=64, blank=True, help_text="Of photos, names and votes, when it was last read."
    )
    read_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveSmallIntegerField(
        default=0, help_text=_("How often in a row its photos could not be had.")
    )
    leased_to = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Who was the last to get it."),
    )
    leased_until = models.DateTimeField(
        null=True, blank=True, help_text=_("Until then nobody else gets it.")
    )
    skipped_by = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="+", help_text=_("Who released it.")
    )

    class Meta:
        ordering = ["mushroom_observer_id"]
        verbose_name = "find in the queue"
        verbose_name_plural = "finds in the queue"
        indexes = [
            models.Index(
                fields=["mushroom_observer_id"],
                condition=Q(is_to_read=True),
                name="queue_entries_to_read",
            ),
            models.Index(fields=["leased_to", "leased_until"], name="queue_entries_leased"),
            models.Index(fields=["read_at"], name="queue_entries_by_time"),
        ]

    def __str__(self) -> str:
        return str(
            Message("observation %(number)d at Mushroom Observer", number=self.mushroom_observer_id)
        )


class QueuePoll(models.Model):
    """How far the poll of Mushroom Observer got, and how the last one ended. There is one row."""

    collected_until = models.DateTimeField(
        null=True, blank=True, help_text="Names that changed at the site until then are in."
    )
    name_ids = models.JSONField(
        default=list, blank=True, help_text="Ids of the model's names and synonyms at the site."
    )
    names_sha256 = models.CharField(
        max_length=64, blank=True, help_text="Of the names here that `name_ids` were found for."
    )
    names_found_at = models.DateTimeField(null=True, blank=True)
    begun_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(
        null=True, blank=True, help_text="None: the poll is under way, or its process died."
    )
    result = MessageField(blank=True)
    error = MessageField(blank=True, help_text="Why the last poll ended early.")

    class Meta:
        constraints = [models.CheckConstraint(name="one_queue_poll", condition=Q(pk=1))]

    def __str__(self) -> str:
        return gettext("poll of Mushroom Observer")


class MushroomObserverKey(models.Model):
    """A user's own API key at Mushroom Observer, encrypted (`key_encryption.py`)."""

    class Status(models.TextChoices):
        CHECKING = "checking", _("is being checked")
        VALID = "valid", _("valid")
        UNCHECKED = "unchecked", _("could not be checked")
        REFUSED = "refused", _("refused")

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    ciphertext = models.TextField(blank=True, help_text="Empty if the site refused the key.")
    ends_with = models.CharField(max_length=4, blank=True, help_text="Empty for short keys.")
    status = models.CharField(max_length=10, choices=Status, default=Status.CHECKING)
    detail = MessageField(blank=True, help_text="Why it was refused, or not checked.")
    site_user_id = models.BigIntegerField(
        null=True, blank=True, help_text="Of its owner at Mushroom Observer, once known."
    )
    created_at = models.DateTimeField(default=timezone.now)
    checked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="a_refused_key_is_not_kept",
                condition=Q(status="refused", ciphertext="")
                | (~Q(status="refused") & ~Q(ciphertext="")),
            )
        ]

    def __str__(self) -> str:
        return str(Message("API key of %(user)s", user=self.user))


class MushroomObserverWrite(models.Model):
    """Something that a user wrote at Mushroom Observer by a click: what was sent, and answered.

    It goes from pending through sending to sent or failed. Failed says that nothing was done there.
    Where no clear answer came it is unknown, until the site was looked at (`write_recovery.py`).
    """

    class Kind(models.TextChoices):
        VOTE = "vote", _("a vote")
        NAMING = "naming", _("a proposed name")
        COMMENT = "comment", _("a comment")

    class State(models.TextChoices):
        PENDING = "pending", _("pending")
        SENDING = "sending", _("being sent")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed: nothing was done")
        UNKNOWN = "unknown", _("unknown")

    OPEN = (State.PENDING, State.SENDING, State.UNKNOWN)

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        help_text=_("Whose click and key it was. None: a deleted user."),
    )
    observation = models.ForeignKey(
        Observation, models.SET_NULL, null=True, blank=True, help_text=_("None: a deleted one.")
    )
    mushroom_observer_id = models.BigIntegerField(help_text=_("Of the observation there."))
    kind = models.CharField(max_length=10, choices=Kind)
    content = models.JSONField(help_text=_("What is sent, without the key."))
    seen = models.CharField(max_length=64, help_text="What the user saw of the observation.")
    digest = models.CharField(max_length=64, help_text="Of kind, content and what was seen.")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = MessageField(blank=True)
    answer = models.JSONField(
        null=True,
        blank=True,
        help_text=_("`ids` of what was made or changed; whether it was found."),
    )
    site_user_id = models.BigIntegerField(
        null=True, blank=True, help_text=_("Of the user at Mushroom Observer.")
    )
    known_ids = models.JSONField(
        default=list, help_text="Of namings or comments that were there before."
    )
    next_step_at = models.DateTimeField(
        default=timezone.now,
        null=True,
        blank=True,
        help_text="When a worker takes it up, if none has; None: there is nothing to do.",
    )
    looks = models.PositiveSmallIntegerField(
        default=0, help_text=_("How often the site was looked at for an unknown one.")
    )
    is_worker_lost = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The worker that sent it died, or is suspended and may still send it.",
    )
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Set right before it was sent; None: it was not.")
    )
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["user", "-id"], name="writes_of_a_user"),
            models.Index(
                fields=["next_step_at"],
                condition=Q(next_step_at__isnull=False),
                name="writes_with_a_next_step",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "mushroom_observer_id", "digest"],
                condition=~Q(state="failed"),
                name="no_write_is_made_twice",
            ),
            models.UniqueConstraint(
                fields=["user", "mushroom_observer_id"],
                condition=Q(
                    state__in=["pending", "sending", "unknown"], next_step_at__isnull=False
                ),
                name="one_open_write_per_observation",
            ),
        ]

    def __str__(self) -> str:
        return str(
            Message(
                "%(kind)s on observation %(number)d (%(state)s)",
                kind=self.get_kind_display(),
                number=self.mushroom_observer_id,
                state=self.get_state_display(),
            )
        )
