from typing import Any

from django.conf import settings
from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers

from common.api import WholeNumberField
from common.messages import Message
from mlmodels.ml.layers import TRAINABLE_LAYERS
from mlmodels.models import ModelVersion, TrainingRun
from supervision.datasets.composition import composition_text
from supervision.review.admin.filters import next_training_path
from supervision.trainings.services import MAX_EPOCHS, MAX_SEED, MAX_TRIALS


def whole_number(minimum: int, maximum: int, **options: Any) -> WholeNumberField:
    """Return a field for a whole number; each of its error messages states the bounds."""
    message = Message(
        "Give a whole number from %(minimum)d to %(maximum)d.", minimum=minimum, maximum=maximum
    )
    codes = ("invalid", "min_value", "max_value", "required", "null")
    return WholeNumberField(
        min_value=minimum,
        max_value=maximum,
        error_messages=dict.fromkeys(codes, message),
        **options,
    )


def variables_field(**options: Any) -> WholeNumberField:
    """Return a field for the number of layers to train, 1 to TRAINABLE_LAYERS."""
    text = "Number of layers with weights to train, from the output: 4 includes block5, 14 is all."
    return whole_number(1, TRAINABLE_LAYERS, help_text=text, **options)


class SeedRequest(serializers.Serializer):
    seed = whole_number(0, MAX_SEED, default=0, help_text="The same seed gives the same result.")


class TrainRequest(SeedRequest):
    """Every field has a default, so the body may be empty."""

    variables = variables_field(required=False)
    epochs = whole_number(1, MAX_EPOCHS, required=False)


class FinetuneRequest(SeedRequest):
    model_name = serializers.CharField(help_text="`VGG16`.")
    stage = serializers.CharField(
        help_text="`Production`, `Staging`, `Archived` or `None`; its newest version is trained."
    )
    variables = variables_field()
    epochs = whole_number(1, MAX_EPOCHS)


class SearchRequest(SeedRequest):
    trials = whole_number(1, MAX_TRIALS, default=20)
    minutes = whole_number(
        1, settings.CHAMPIPY_TRAINING_MINUTES, default=settings.CHAMPIPY_TRAINING_MINUTES
    )


class RunProgressSerializer(serializers.Serializer):
    percent = serializers.FloatField(help_text="0 to 100.")
    stage = serializers.CharField()
    epoch = serializers.IntegerField()
    epochs = serializers.IntegerField()
    eta_s = serializers.IntegerField(allow_null=True, help_text="Remaining seconds, if known.")


class EpochSerializer(serializers.Serializer):
    epoch = serializers.IntegerField(help_text="0 is before the first pass.")
    loss = serializers.FloatField(allow_null=True)
    accuracy = serializers.FloatField(help_text="On the validation photos, 0 to 1.")
    nll = serializers.FloatField()
    seconds = serializers.FloatField(help_text="Since the training began.")


class RunVersionSerializer(serializers.ModelSerializer):
    class Meta:
        model = ModelVersion
        fields = ("id", "name", "version", "stage")
        read_only_fields = fields


class SourceCountsSerializer(serializers.Serializer):
    photos = serializers.IntegerField()
    imported = serializers.IntegerField(help_text="Imported with their names.")
    confirmed = serializers.IntegerField(help_text="An administrator confirmed the name.")
    corrected = serializers.IntegerField(help_text="An administrator gave another name.")
    settled = serializers.IntegerField(
        default=0, help_text="The community of Mushroom Observer settled the name."
    )
    predicted = serializers.IntegerField(help_text="Named by the model alone.")


class SpeciesCompositionSerializer(SourceCountsSerializer):
    species = serializers.CharField()


class RunCompositionSerializer(SourceCountsSerializer):
    others = serializers.IntegerField(
        help_text="Photos of other species, which come besides: `photos` leaves them out."
    )
    species = SpeciesCompositionSerializer(many=True)
    text = serializers.SerializerMethodField(help_text="The totals in words.")

    def get_text(self, composition: dict[str, Any]) -> str:
        return composition_text(composition)


EXAMPLE_COUNTS = {
    "imported": 902,
    "confirmed": 41,
    "corrected": 20,
    "settled": 10,
    "predicted": 27,
}


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "27 photos to review",
            value={
                "photos": 1000,
                **EXAMPLE_COUNTS,
                "others": 164,
                "species": [
                    {
                        "photos": 100,
                        "imported": 91,
                        "confirmed": 5,
                        "corrected": 0,
                        "settled": 0,
                        "predicted": 4,
                        "species": "Aleuria aurantia",
                    }
                ],
                "text": composition_text({"photos": 1000, **EXAMPLE_COUNTS, "others": 164}),
                "review": "/admin/predictions/photo/?review=next_training",
            },
            response_only=True,
        )
    ]
)
class NextCompositionSerializer(RunCompositionSerializer):
    """What a training that began now would consist of."""

    review = serializers.SerializerMethodField(
        help_text="Path of the admin's page to review the photos that the model alone named."
    )

    def get_review(self, composition: dict[str, Any]) -> str:
        return next_training_path()


class RunSerializer(serializers.ModelSerializer):
    """`model_version` and `metrics` are null until the run succeeded, `error` unless it failed.

    `composition` is null until the run has chosen its photos, and for runs before 0.2.0.
    """

    parent = RunVersionSerializer(read_only=True, allow_null=True)
    progress = RunProgressSerializer(read_only=True)
    composition = RunCompositionSerializer(read_only=True, allow_null=True)
    history = EpochSerializer(many=True, read_only=True)
    metrics = serializers.SerializerMethodField()
    model_version = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    requested_by = serializers.SerializerMethodField()

    class Meta:
        model = TrainingRun
        fields = (
            "id",
            "kind",
            "status",
            "parameters",
            "parent",
            "progress",
            "history",
            "trials",
            "metrics",
            "model_version",
            "error",
            "dataset_sha256",
            "composition",
            "validation_is_new",
            "requested_by",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields

    @extend_schema_field(RunVersionSerializer(allow_null=True))
    def get_model_version(self, run: TrainingRun) -> dict[str, Any] | None:
        version = getattr(run, "model_version", None)
        return dict(RunVersionSerializer(version).data) if version else None

    @extend_schema_field({"type": "object", "nullable": True})
    def get_metrics(self, run: TrainingRun) -> dict[str, Any] | None:
        version = getattr(run, "model_version", None)
        return version.metrics if version else None

    def get_error(self, run: TrainingRun) -> str | None:
        return str(run.error) or None

    def get_requested_by(self, run: TrainingRun) -> str | None:
        return run.requested_by.username if run.requested_by else None
