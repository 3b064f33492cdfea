from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers

from common.api import WholeNumberField
from common.messages import Message
from mlmodels.names import MAX_NAME_LENGTH, InvalidName, parse_name
from predictions.models import Prediction
from predictions.verdicts import VERDICTS, verdict_sentence

EXAMPLE: dict[str, Any] = {
    "id": 12,
    "status": "done",
    "file": "https://mushroomobserver.org/images/320/1520.jpg",
    "sha256": "47a9c1d5e0b7f3826d4e9a10c8b5f27361d0e4a98c7b52f6130d9e8a4b7c6f52",
    "model": {"name": "VGG16", "version": 3},
    "predictions": [{"species": "Aleuria aurantia", "score": 97.31}],
    "scope": {"in_scope": True, "score": 98.02},
    "plausible": ["Aleuria aurantia"],
    "verdict": {
        "proposed": "Peziza aurantia",
        "species": "Aleuria aurantia",
        "verdict": "supported",
        "score": 99.61,
        "because": "Aleuria aurantia is right with a probability of 99.61 %: a name is supported "
        "from 96.94 % on.",
    },
    "reused": False,
    "created_at": "2026-11-24T15:00:00Z",
    "duration_ms": 61,
    "error": None,
}
EXAMPLE_OUT_OF_SCOPE = EXAMPLE | {
    "id": 13,
    "file": "chanterelle.jpg",
    "sha256": "0d9e8a4b7c6f5247a9c1d5e0b7f3826d4e9a10c8b5f27361d0e4a98c7b52f613",
    "predictions": [{"species": "Mycena haematopus", "score": 41.7}],
    "scope": {"in_scope": False, "score": 12.34},
    "plausible": [],
    "verdict": None,
}
_time = serializers.DateTimeField()
PROPOSED = "A name that somebody proposes for the photo; the answer says whether it is right."


class UrlOrUploadField(serializers.Field):
    """A photo's URL (text), or the photo itself (an uploaded file)."""

    default_error_messages = {
        "invalid": _("Send a photo's URL, or upload the photo as multipart/form-data."),
        "blank": _("The URL is empty."),
    }

    def to_internal_value(self, data: Any) -> str | UploadedFile:
        if isinstance(data, UploadedFile):
            return data
        if not isinstance(data, str):
            self.fail("invalid")
        url = data.strip()
        if not url:
            self.fail("blank")
        return url

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field(OpenApiTypes.STR)
class UrlField(UrlOrUploadField):
    """A photo's URL in JSON, where there are no uploads. Whether it is sound is said later."""

    default_error_messages = {"invalid": _("Send a photo's URL as text.")}


class NbPredsSerializer(serializers.Serializer):
    """How many species to return. The context's `species_count` is the maximum."""

    nb_preds = WholeNumberField(default=1, min_value=1)

    def validate_nb_preds(self, value: int) -> int:
        maximum = self.context["species_count"]
        if value > maximum:
            raise serializers.ValidationError(
                Message("Ensure this value is less than or equal to %(limit)d.", limit=maximum),
                code="max_value",
            )
        return value


def checked_name(name: str | None) -> str | None:
    """Return a name as it was sent; raise ValidationError if it can't be the name of a species."""
    if name is not None:
        try:
            parse_name(name)
        except InvalidName as error:
            raise serializers.ValidationError(str(error)) from error
    return name


class PredictionRequestSerializer(NbPredsSerializer):
    """A request for a prediction."""

    file = UrlOrUploadField()
    proposed = serializers.CharField(
        required=False, allow_null=True, max_length=MAX_NAME_LENGTH, help_text=PROPOSED
    )

    def validate_proposed(self, name: str | None) -> str | None:
        return checked_name(name)


class PredictionJsonRequest(serializers.Serializer):
    """The schema of a request with a URL."""

    file = serializers.CharField(help_text="The photo's http or https URL.")
    nb_preds = serializers.IntegerField(
        default=1,
        min_value=1,
        help_text="How many species to return; at most the number that the model knows.",
    )
    proposed = serializers.CharField(
        required=False, allow_null=True, max_length=MAX_NAME_LENGTH, help_text=PROPOSED
    )


class PredictionUploadRequest(serializers.Serializer):
    """The schema of a request with a photo."""

    file = serializers.FileField(help_text="JPEG, PNG, WebP, GIF, BMP or TIFF, at most 10 MB.")
    nb_preds = serializers.IntegerField(default=1, min_value=1)
    proposed = serializers.CharField(required=False, max_length=MAX_NAME_LENGTH, help_text=PROPOSED)


class SpeciesScoreSerializer(serializers.Serializer):
    species = serializers.CharField()
    score = serializers.FloatField(help_text="Calibrated percentage with two decimals.")


class ModelNameSerializer(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.IntegerField()


class FailureSerializer(serializers.Serializer):
    code = serializers.CharField()
    detail = serializers.CharField()


class ScopeSerializer(serializers.Serializer):
    in_scope = serializers.BooleanField(
        help_text="False: the photo shows none of the species that the model knows."
    )
    score = serializers.FloatField(
        help_text="Probability that it shows one of them, in percent with two decimals."
    )


class VerdictSerializer(serializers.Serializer):
    proposed = serializers.CharField(help_text="The name, as it was given.")
    species = serializers.CharField(
        allow_null=True, help_text="The species of that name, as in `predictions`."
    )
    verdict = serializers.ChoiceField(VERDICTS)
    score = serializers.FloatField(
        allow_null=True,
        help_text="Probability that the name is right, in percent; null if it is not covered. It "
        "counts in that eight of ten proposed names are right.",
    )
    because = serializers.CharField(help_text="A sentence for people.")


@extend_schema_serializer(
    examples=[
        OpenApiExample("In scope", value=EXAMPLE, response_only=True),
        OpenApiExample(
            "None of the species that the model knows",
            value=EXAMPLE_OUT_OF_SCOPE,
            response_only=True,
        ),
    ]
)
class PredictionSerializer(serializers.ModelSerializer):
    """`model` and `predictions` are null until the prediction is done, `error` unless it failed.

    `scope` and `plausible` are null, too, if the model version does not tell them; `verdict` if no
    name was proposed, or if the version has no rule for it.
    """

    model = serializers.SerializerMethodField()
    predictions = serializers.SerializerMethodField()
    scope = serializers.SerializerMethodField()
    plausible = serializers.SerializerMethodField()
    verdict = serializers.SerializerMethodField()
    duration_ms = serializers.IntegerField(allow_null=True, read_only=True)
    error = serializers.SerializerMethodField()

    class Meta:
        model = Prediction
        fields = (
            "id",
            "status",
            "file",
            "sha256",
            "model",
            "predictions",
            "scope",
            "plausible",
            "verdict",
            "reused",
            "created_at",
            "duration_ms",
            "error",
        )
        read_only_fields = fields

    def to_representation(self, prediction: Prediction) -> dict[str, Any]:
        """Return what the fields say: making them anew for each answer takes longer than this."""
        return {
            "id": prediction.pk,
            "status": prediction.status,
            "file": prediction.file,
            "sha256": prediction.sha256,
            "model": self.get_model(prediction),
            "predictions": self.get_predictions(prediction),
            "scope": self.get_scope(prediction),
            "plausible": self.get_plausible(prediction),
            "verdict": self.get_verdict(prediction),
            "reused": prediction.reused,
            "created_at": _time.to_representation(prediction.created_at),
            "duration_ms": prediction.duration_ms,
            "error": self.get_error(prediction),
        }

    @extend_schema_field(ModelNameSerializer(allow_null=True))
    def get_model(self, prediction: Prediction) -> dict[str, Any] | None:
        if prediction.inference is None:
            return None
        version = prediction.inference.model_version
        return {"name": version.name, "version": version.version}

    @extend_schema_field(SpeciesScoreSerializer(many=True, allow_null=True))
    def get_predictions(self, prediction: Prediction) -> list[dict[str, Any]] | None:
        if prediction.inference is None:
            return None
        return [
            {"species": species, "score": score}
            for species, score in prediction.inference.best(prediction.nb_preds)
        ]

    @extend_schema_field(ScopeSerializer(allow_null=True))
    def get_scope(self, prediction: Prediction) -> dict[str, Any] | None:
        inference = prediction.inference
        if inference is None or inference.in_scope is None:
            return None
        return {"in_scope": inference.in_scope, "score": inference.scope_score}

    @extend_schema_field(serializers.ListField(child=serializers.CharField(), allow_null=True))
    def get_plausible(self, prediction: Prediction) -> list[str] | None:
        return prediction.inference.plausible if prediction.inference else None

    @extend_schema_field(VerdictSerializer(allow_null=True))
    def get_verdict(self, prediction: Prediction) -> dict[str, Any] | None:
        if prediction.verdict is None:
            return None
        return {
            "proposed": prediction.proposed,
            "species": prediction.proposed_species or None,
            "verdict": prediction.verdict["verdict"],
            "score": prediction.verdict["score"],
            "because": verdict_sentence(prediction.verdict["because"]),
        }

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, prediction: Prediction) -> dict[str, str] | None:
        if not prediction.error_code:
            return None
        return {"code": prediction.error_code, "detail": str(prediction.error_detail)}
