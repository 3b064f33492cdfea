"""Species and their names, model versions and their stages, and training runs."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from common.messages import Message, MessageField
from mlmodels.names import InvalidName, parse_name

MAX_TAG = 40
"""Characters of a tag of a run or a version."""


class Species(models.Model):
    """A label. Each model version stores its own ordered list of label names."""

    name = models.CharField(max_length=100, unique=True)
    look_alikes = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "What Mushroom Observer's descriptions say of species that look like it. "
            "Each import of its dumps replaces it."
        ),
    )

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "species"

    def __str__(self) -> str:
        return self.name


class SpeciesName(models.Model):
    """A name under which people know a species; each name belongs to one species.

    A species' own name, which labels and versions have, is found without a row. Its row says
    whether that name is the accepted one: *Polyporus squamosus* is not.
    """

    class Kind(models.TextChoices):
        ACCEPTED = "accepted", _("accepted")
        SYNONYM = "synonym", _("synonym")
        MISSPELLING = "misspelling", _("misspelling")

    species = models.ForeignKey(Species, models.CASCADE, related_name="names")
    name = models.CharField(max_length=100, help_text=_("Genus and epithet, without author."))
    key = models.CharField(
        max_length=100, unique=True, editable=False, help_text="The name in lower case."
    )
    kind = models.CharField(max_length=20, choices=Kind)
    mushroom_observer_id = models.BigIntegerField(
        null=True,
        blank=True,
        unique=True,
        help_text=_("Of the name at Mushroom Observer, if known."),
    )
    is_imported = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="It is as ChampiPy or a dump of Mushroom Observer brought it, and the next dump "
        "may change or remove it. Not so if a person has entered or changed it.",
    )

    class Meta:
        ordering = ["species", "kind", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["species"],
                condition=Q(kind="accepted"),
                name="one_accepted_name",
                violation_error_message=_(
                    "The species has an accepted name already. Make that one a synonym first."
                ),
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Set name and key; raise ValidationError unless the name is that of one species only."""
        try:
            key = parse_name(self.name).species
        except InvalidName as error:
            raise ValidationError({"name": str(error)}) from error
        if key is None:
            raise ValidationError(
                {"name": Message("%(name)s does not name one species.", name=repr(self.name))}
            )
        others = SpeciesName.objects.filter(key=key).exclude(pk=self.pk)
        species = (
            Species.objects.filter(name__iexact=key).exclude(pk=self.species_id).first()
            or Species.objects.filter(names__in=others).first()
        )
        if species is not None:
            raise ValidationError(
                {
                    "name": Message(
                        "%(name)s is already a name of %(species)s.",
                        name=repr(self.name),
                        species=species,
                    )
                }
            )
        self.name, self.key = key.capitalize(), key


class Annotated(models.Model):
    """What an administrator writes on a run or a version (`mlmodels.annotation_services`)."""

    note = models.TextField(blank=True, default="", db_default="")
    tags = ArrayField(
        models.CharField(max_length=MAX_TAG),
        blank=True,
        default=list,
        db_default=[],
        help_text="In lower case, each once, in the order of the alphabet.",
    )

    class Meta:
        abstract = True


class TrainingRun(Annotated):
    """One requested training: its parameters, its dataset, its progress and its result.

    The row is the whole state of a run; the broker only wakes the worker (`run_services`). The
    process that writes the heartbeat holds a running run. `attempt` distinguishes that process from
    one that has lost the run; `holder` names the worker that it belongs to.
    """

    class Kind(models.TextChoices):
        TRAIN = "train", _("training from ImageNet's weights")
        FINETUNE = "finetune", _("fine-tuning of a version")
        SEARCH = "search", _("search for hyper-parameters")

    class Status(models.TextChoices):
        QUEUED = "queued", pgettext_lazy("run", "queued")
        RUNNING = "running", pgettext_lazy("run", "running")
        SUCCEEDED = "succeeded", pgettext_lazy("run", "succeeded")
        FAILED = "failed", pgettext_lazy("run", "failed")
        CANCELLED = "cancelled", pgettext_lazy("run", "cancelled")

    kind = models.CharField(max_length=20, choices=Kind)
    status = models.CharField(max_length=20, choices=Status, default=Status.QUEUED)
    parameters = models.JSONField(help_text="The requested parameters, including the seed.")
    parent = models.ForeignKey(
        "ModelVersion", models.PROTECT, null=True, blank=True, related_name="finetunings",
        help_text="The version that a fine-tuning continues.",
    )  # fmt: skip
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True
    )
    dataset = models.JSONField(
        null=True, blank=True, help_text="SHA-256, label and split of every photo, once it began."
    )
    dataset_sha256 = models.CharField(max_length=64, blank=True)
    composition = models.JSONField(
        null=True,
        help_text="Photos of the dataset, by species and by where their labels came from then.",
    )
    validation_is_new = models.BooleanField(
        null=True,
        help_text="False: the parent was trained on the validation photos. None: not known.",
    )
    packages = models.JSONField(
        default=dict, help_text="Versions of the packages that the result depends on."
    )
    progress = models.JSONField(default=dict, help_text="percent, stage, epoch, epochs, eta_s.")
    history = models.JSONField(default=list, help_text="One entry an epoch.")
    trials = models.JSONField(default=list, help_text="One entry a trial of a search.")
    error = MessageField(blank=True)
    attempt = models.PositiveSmallIntegerField(
        default=0, help_text="How many workers have started it."
    )
    lost_workers = models.PositiveSmallIntegerField(
        default=0, help_text="How many of them ended unexpectedly."
    )
    holder = models.CharField(
        max_length=100, blank=True, help_text="The processes that hold it, or held it last."
    )
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    tracked_at = models.DateTimeField(
        null=True, blank=True, help_text="When MLflow was told how it ended."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["status"], condition=Q(status="running"), name="one_run_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return str(
            Message(
                "run %(number)s (%(kind)s, %(status)s)",
                number=str(self.pk),
                kind=self.get_kind_display(),
                status=self.get_status_display(),
            )
        )


class ModelVersion(Annotated):
    """One trained model: a folder of files that never change. Only its stage, note and tags do.

    The folder's card repeats the fields of this row, so that the folder can be registered
    elsewhere.
    """

    class Stage(models.TextChoices):
        NONE = "None", pgettext_lazy("stage", "None")
        STAGING = "Staging", pgettext_lazy("stage", "Staging")
        PRODUCTION = "Production", pgettext_lazy("stage", "Production")
        ARCHIVED = "Archived", pgettext_lazy("stage", "Archived")

    name = models.CharField(max_length=50, help_text="The architecture: VGG16.")
    version = models.PositiveIntegerField(help_text="1, 2, … for each name.")
    stage = models.CharField(max_length=20, choices=Stage, default=Stage.NONE)
    labels = models.JSONField(help_text="Species names in the order of the network's outputs.")
    input_size = models.PositiveIntegerField(help_text=_("Side of the square input, in pixels."))
    preprocessing = models.CharField(
        max_length=100, help_text=_("Which resize it was trained with.")
    )
    temperature = models.FloatField(help_text=_("Divides the logits before the softmax."))
    files = models.JSONField(help_text="SHA-256 and bytes of each file in the folder.")
    metrics = models.JSONField(help_text="As measured when it was made; later ones: Evaluation.")
    card = models.JSONField(help_text="The folder's card.json: data, recipe, seed, packages.")
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True)
    run = models.OneToOneField(
        TrainingRun, models.PROTECT, null=True, blank=True, related_name="model_version"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="one_version_per_number"),
            models.UniqueConstraint(
                fields=["stage"], condition=Q(stage="Production"), name="one_version_in_production"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def files_name(self) -> str:
        """The name of the folder of its files in the storage of models."""
        return f"{self.name}/{self.version}"


class StageTransition(models.Model):
    """One change of a version's stage. Rows are only added."""

    model_version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="transitions")
    from_stage = models.CharField(max_length=20, choices=ModelVersion.Stage)
    to_stage = models.CharField(max_length=20, choices=ModelVersion.Stage)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    reason = models.TextField()
    gate = models.JSONField(
        default=dict, help_text="What the gate said: passed, overridden, and each check."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.model_version}: {self.stages}"

    @property
    def stages(self) -> str:
        """The stages before and after, as people read them."""
        return f"{self.get_from_stage_display()} → {self.get_to_stage_display()}"
