"""The forms of what comes from Mushroom Observer: requests, photos, proposed names."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from observations.models import ObservationPhoto, ProposedName
from observations.mushroom_observer.answers import attribution_text
from observations.mushroom_observer.errors import BadReferenceError
from observations.mushroom_observer.references import image_page_url, observation_id
from predictions.api.serializers import PredictionSerializer
from predictions.licences import licence_url
from predictions.models import Prediction


@extend_schema_field({"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]})
class MushroomObserverField(serializers.Field):
    """The number of an observation at Mushroom Observer, or its address there."""

    default_error_messages = {
        "invalid": _("Give the number of an observation at Mushroom Observer, or its address.")
    }

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int | str):
            self.fail("invalid")
        try:
            return observation_id(data)
        except BadReferenceError as error:
            raise serializers.ValidationError(str(error), "invalid") from error

    def to_representation(self, value: Any) -> Any:
        return value


class MushroomObserverRequest(serializers.Serializer):
    """An observation of Mushroom Observer: its photos and proposed names are read there."""

    mushroom_observer = MushroomObserverField(
        help_text="Its number, or the address of its page at the site that is configured."
    )

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if others := sorted({"photos", "photo", "proposed"} & data.keys()):
            message = "Leave it out: photos and names of this observation are read there."
            raise serializers.ValidationError(dict.fromkeys(others, message), "invalid")
        return dict(super().to_internal_value(data))


class AttributionSerializer(serializers.ModelSerializer):
    """What must stand beside a photo of Mushroom Observer wherever it is shown."""

    text = serializers.SerializerMethodField(help_text="Year and copyright holder.")
    url = serializers.SerializerMethodField(help_text="Of the image's page there.")
    licence = serializers.CharField(help_text="As the site names it.")
    licence_url = serializers.SerializerMethodField(help_text="Null: all rights are reserved.")
    is_usable = serializers.BooleanField(
        help_text="False: do not show it. Its owner does not allow it, or the licence is not known."
    )

    class Meta:
        model = ObservationPhoto
        fields = ("text", "url", "licence", "licence_url", "is_usable")
        read_only_fields = fields

    def get_text(self, photo: ObservationPhoto) -> str:
        return attribution_text(photo.year, photo.holder)

    def get_url(self, photo: ObservationPhoto) -> str:
        return image_page_url(photo.image_id or 0)

    def get_licence_url(self, photo: ObservationPhoto) -> str | None:
        return licence_url(photo.licence) or None


class ObservationPhotoSerializer(PredictionSerializer):
    """The prediction of a photo, and whose photo it is."""

    attribution = serializers.SerializerMethodField(
        help_text="Of a photo of Mushroom Observer; null for one that was sent here."
    )

    class Meta:
        model = Prediction
        fields = (*PredictionSerializer.Meta.fields, "attribution")
        read_only_fields = fields

    def to_representation(self, prediction: Prediction) -> dict[str, Any]:
        attribution = self.get_attribution(prediction)
        return super().to_representation(prediction) | {"attribution": attribution}

    @extend_schema_field(AttributionSerializer(allow_null=True))
    def get_attribution(self, prediction: Prediction) -> Any:
        photo = prediction.observation_photo
        return AttributionSerializer(photo).data if photo.image_id is not None else None


class NamingSerializer(serializers.ModelSerializer):
    """What Mushroom Observer tells of a proposed name."""

    id = serializers.IntegerField(source="naming_id", help_text="Of the proposal there.")
    name_id = serializers.IntegerField(help_text="Of the name there.")
    confidence = serializers.FloatField(
        allow_null=True, help_text="Weighted mean of the votes, -3 (as if) to 3 (I'd call it that)."
    )
    votes = serializers.ListField(
        child=serializers.FloatField(), help_text="All votes, -3 to 3, the highest first."
    )
    is_consensus = serializers.BooleanField(
        help_text="Whether the observation has this name there now."
    )

    class Meta:
        model = ProposedName
        fields = ("id", "name_id", "confidence", "votes", "is_consensus")
        read_only_fields = fields
