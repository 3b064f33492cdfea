"""Forms that start a run; each explains its parameters and states their bounds."""

from typing import Any

from django import forms
from django.conf import settings

from mlmodels.ml.layers import TRAINABLE_LAYERS
from mlmodels.ml.training_types import TrainingParameters
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.selectors import production_version
from supervision.trainings.services import MAX_EPOCHS, MAX_TRIALS

Kind = TrainingRun.Kind
RECIPE = TrainingParameters()
MINUTES = settings.CHAMPIPY_TRAINING_MINUTES


class RunForm(forms.Form):
    """Base class of the three forms. Field names are the parameter names of `run_request`."""

    title: str
    explanation: str

    def parameters(self) -> dict[str, Any]:
        """Return the chosen values, as `run_request` takes them."""
        return {name: value for name, value in self.cleaned_data.items() if name != "parent"}

    def parent_version(self) -> ModelVersion | None:
        """Return the version to start from; None if the form has no such field."""
        return self.cleaned_data.get("parent")


class VariablesForm(RunForm):
    """Form for training a number of layers for a number of epochs."""

    variables = forms.IntegerField(
        min_value=1, max_value=TRAINABLE_LAYERS, initial=RECIPE.variables, label="Layers",
        help_text="Number of layers to train, counted from the output: 1 is the dense layer "
        f"only (a minute or two), 4 includes block5 (the usual choice), {TRAINABLE_LAYERS} is the "
        "whole network (slow: fewer epochs fit into the time budget). 1 to "
        f"{TRAINABLE_LAYERS}.",
    )  # fmt: skip
    epochs = forms.IntegerField(
        min_value=1, max_value=MAX_EPOCHS, initial=RECIPE.epochs, label="Epochs",
        help_text="Number of passes over the photos. If time runs short, the training ends sooner "
        f"with the best weights so far. 1 to {MAX_EPOCHS}.",
    )  # fmt: skip


class TrainForm(VariablesForm):
    title = "Start a training"
    explanation = (
        "Trains a new version from ImageNet's weights, on the most recent training photos of each "
        f"species, 1,000 together. It takes at most {MINUTES} minutes."
    )


class VersionField(forms.ModelChoiceField):
    """Choice of a version; shows its stage."""

    def label_from_instance(self, obj: ModelVersion) -> str:
        return f"{obj} ({obj.stage})"


class FinetuneForm(VariablesForm):
    title = "Start a fine-tuning"
    explanation = (
        "Continues to train a version on the most recent training photos of each species, 1,000 "
        f"together, the new ones included. It takes at most {MINUTES} minutes."
    )
    parent = VersionField(
        # Without the long columns: the field shows only names and stages.
        ModelVersion.objects.only("name", "version", "stage"),
        label="Version", empty_label=None,
        help_text="The version to start from; usually the one in production.",
    )  # fmt: skip
    field_order = ("parent", "variables", "epochs")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("parent", production_version())


class SearchForm(RunForm):
    title = "Start a search"
    explanation = (
        "Tries values for the learning rate, weight decay, label smoothing, mixup, dropout and the "
        "numbers of layers and views; records every trial; trains a new version with the best."
    )
    trials = forms.IntegerField(
        min_value=1, max_value=MAX_TRIALS, initial=20, label="Trials",
        help_text="Maximum number of settings to try; fewer if the time runs out. "
        f"1 to {MAX_TRIALS}.",
    )  # fmt: skip
    minutes = forms.IntegerField(
        min_value=1, max_value=MINUTES, initial=MINUTES, label="Minutes",
        help_text=f"Time for all trials and the training with the best settings. 1 to {MINUTES}.",
    )  # fmt: skip


RUN_FORMS: dict[str, type[RunForm]] = {
    Kind.TRAIN.value: TrainForm,
    Kind.FINETUNE.value: FinetuneForm,
    Kind.SEARCH.value: SearchForm,
}
