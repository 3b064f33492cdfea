"""Forms that start a run; each explains its parameters and states their bounds."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from common.messages import Message, Text
from mlmodels.ml.layers import TRAINABLE_LAYERS
from mlmodels.ml.training_types import TrainingParameters
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.selectors import production_version
from supervision.trainings.services import MAX_EPOCHS, MAX_TRIALS

Kind = TrainingRun.Kind
RECIPE = TrainingParameters()
MINUTES = settings.CHAMPIPY_TRAINING_MINUTES
PHOTOS = 1000
"""Photos of a training, as the specification has it."""


class RunForm(forms.Form):
    """Base class of the three forms. Field names are the parameter names of `run_request`."""

    title: Text
    explanation: Text

    def parameters(self) -> dict[str, Any]:
        """Return the chosen values, as `run_request` takes them."""
        return {name: value for name, value in self.cleaned_data.items() if name != "parent"}

    def parent_version(self) -> ModelVersion | None:
        """Return the version to start from; None if the form has no such field."""
        return self.cleaned_data.get("parent")


class VariablesForm(RunForm):
    """Form for training a number of layers for a number of epochs."""

    variables = forms.IntegerField(
        min_value=1, max_value=TRAINABLE_LAYERS, initial=RECIPE.variables, label=_("Layers"),
        help_text=Message(
            "Number of layers to train, counted from the output: 1 is the dense layer only (the "
            "usual choice: a minute or two), 4 includes block5, %(max)d is the whole network "
            "(slow: fewer epochs fit into the time budget). 1 to %(max)d.",
            max=TRAINABLE_LAYERS,
        ),
    )  # fmt: skip
    epochs = forms.IntegerField(
        min_value=1, max_value=MAX_EPOCHS, initial=RECIPE.epochs, label=_("Epochs"),
        help_text=Message(
            "Number of passes over the photos. If time runs short, the training ends sooner with "
            "the best weights so far. The dense layer alone needs none. 1 to %(max)d.",
            max=MAX_EPOCHS,
        ),
    )  # fmt: skip


class TrainForm(VariablesForm):
    title = _("Start a training")
    explanation = Message(
        "Trains a new version from ImageNet's weights, on the most recent training photos of each "
        "species, %(photos)s together. It takes at most %(minutes)d minutes.",
        photos=PHOTOS,
        minutes=MINUTES,
    )


class VersionField(forms.ModelChoiceField):
    """Choice of a version; shows its stage."""

    def label_from_instance(self, obj: ModelVersion) -> str:
        return f"{obj} ({obj.get_stage_display()})"


class FinetuneForm(VariablesForm):
    title = _("Start a fine-tuning")
    explanation = Message(
        "Continues to train a version on the most recent training photos of each species, "
        "%(photos)s together, the new ones included. It takes at most %(minutes)d minutes.",
        photos=PHOTOS,
        minutes=MINUTES,
    )
    parent = VersionField(
        # Without the long columns: the field shows only names and stages.
        ModelVersion.objects.only("name", "version", "stage"),
        label=_("Version"), empty_label=None,
        help_text=_("The version to start from; usually the one in production."),
    )  # fmt: skip
    field_order = ("parent", "variables", "epochs")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("parent", production_version())


class SearchForm(RunForm):
    title = _("Start a search")
    explanation = _(
        "Tries values for the learning rate, weight decay, label smoothing, mixup, dropout and the "
        "numbers of layers and views; records every trial; trains a new version with the best."
    )
    trials = forms.IntegerField(
        min_value=1, max_value=MAX_TRIALS, initial=20, label=_("Trials"),
        help_text=Message(
            "Maximum number of settings to try; fewer if the time runs out. 1 to %(max)d.",
            max=MAX_TRIALS,
        ),
    )  # fmt: skip
    minutes = forms.IntegerField(
        min_value=1, max_value=MINUTES, initial=MINUTES, label=_("Minutes"),
        help_text=Message(
            "Time for all trials and the training with the best settings. 1 to %(max)d.",
            max=MINUTES,
        ),
    )  # fmt: skip


RUN_FORMS: dict[str, type[RunForm]] = {
    Kind.TRAIN.value: TrainForm,
    Kind.FINETUNE.value: FinetuneForm,
    Kind.SEARCH.value: SearchForm,
}
