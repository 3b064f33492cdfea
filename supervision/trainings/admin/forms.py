"""The forms that start a run: what may be chosen, within which bounds, and what it does."""

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
    """What the three have in common. The fields are the parameters of `run_request`, by name."""

    title: str
    explanation: str

    def parameters(self) -> dict[str, Any]:
        """Return what was chosen, as `run_request` takes it."""
        return {name: value for name, value in self.cleaned_data.items() if name != "parent"}

    def parent_version(self) -> ModelVersion | None:
        """Return the version to go on from, where the form asks for one."""
        return self.cleaned_data.get("parent")


class VariablesForm(RunForm):
    """A training of some layers for some epochs."""

    variables = forms.IntegerField(
        min_value=1, max_value=TRAINABLE_LAYERS, initial=RECIPE.variables, label="Layers",
        help_text=f"How many layers are trained, counted from the output: 1 is the dense layer "
        f"alone (a minute or two), 4 takes in block5 (the usual choice), {TRAINABLE_LAYERS} is the "
        "whole network (slow: fewer epochs fit into the time). 1 to "
        f"{TRAINABLE_LAYERS}.",
    )  # fmt: skip
    epochs = forms.IntegerField(
        min_value=1, max_value=MAX_EPOCHS, initial=RECIPE.epochs, label="Epochs",
        help_text="How often it goes through the photos. When the time runs short it ends sooner, "
        f"on the best weights so far. 1 to {MAX_EPOCHS}.",
    )  # fmt: skip


class TrainForm(VariablesForm):
    title = "Start a training"
    explanation = (
        "Trains a new version from ImageNet's weights, on the 1,000 most recent training "
        f"photos. It takes {MINUTES} minutes at most."
    )


class VersionField(forms.ModelChoiceField):
    """A version, with the stage that it is in."""

    def label_from_instance(self, obj: ModelVersion) -> str:
        return f"{obj} ({obj.stage})"


class FinetuneForm(VariablesForm):
    title = "Start a fine-tuning"
    explanation = (
        "Trains a version further on the 1,000 most recent training photos, the new ones among "
        f"them. It takes {MINUTES} minutes at most."
    )
    parent = VersionField(
        # Without their long columns: the field shows their names and stages only.
        ModelVersion.objects.only("name", "version", "stage"),
        label="Version", empty_label=None,
        help_text="The version to go on from. The one in production unless you know better.",
    )  # fmt: skip
    field_order = ("parent", "variables", "epochs")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("parent", production_version())


class SearchForm(RunForm):
    title = "Start a search"
    explanation = (
        "Tries learning rates, weight decay, label smoothing, mixup, dropout, and how many "
        "layers and views, keeps every trial, and trains a new version with the best."
    )
    trials = forms.IntegerField(
        min_value=1, max_value=MAX_TRIALS, initial=20, label="Trials",
        help_text="How many settings are tried, at the most: as many as fit into the time. "
        f"1 to {MAX_TRIALS}.",
    )  # fmt: skip
    minutes = forms.IntegerField(
        min_value=1, max_value=MINUTES, initial=MINUTES, label="Minutes",
        help_text=f"For all trials together and the training of the best one. 1 to {MINUTES}.",
    )  # fmt: skip


RUN_FORMS: dict[str, type[RunForm]] = {
    Kind.TRAIN.value: TrainForm,
    Kind.FINETUNE.value: FinetuneForm,
    Kind.SEARCH.value: SearchForm,
}
