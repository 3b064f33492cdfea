"""The forms of observations: requests, answers, decisions."""

from typing import Any

from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from common.messages import Message
from mlmodels.names import MAX_NAME_LENGTH
from mlmodels.species_selectors import accepted_names
from observations.api.site_forms import NamingSerializer, ObservationPhotoSerializer
from observations.links import links_of
from observations.models import Observation, ProposedName
from observations.remarks import remark_sentence
from observations.write_selectors import seen_of
from predictions.api.serializers import (
    EXAMPLE as PHOTO_EXAMPLE,
)
from predictions.api.serializers import (
    FailureSerializer,
    ScopeSerializer,
    SpeciesScoreSerializer,
    UrlField,
    UrlOrUploadField,
    checked_name,
)
from predictions.verdicts import VERDICTS, verdict_sentence

MAX_PHOTOS = 12
MAX_NAMES = 20
MAX_NOTE = 2000

EXAMPLE: dict[str, Any] = {
    "id": 5,
    "status": "done",
    "error": None,
    "source": None,
    "photos": [
        PHOTO_EXAMPLE | {"id": 21, "verdict": None, "attribution": None},
        PHOTO_EXAMPLE
        | {
            "id": 22,
            "file": "https://mushroomobserver.org/images/320/1521.jpg",
            "sha256": "b1d5e0b7f3826d4e9a10c8b5f27361d0e4a98c7b52f6130d9e8a4b7c6f5247a9",
            "predictions": [{"species": "Aleuria aurantia", "score": 81.2}],
            "verdict": None,
            "attribution": {
                "text": "© 2019 Jane Doe",
                "url": "https://mushroomobserver.org/images/1521",
                "licence": "Creative Commons Wikipedia Compatible v3.0",
                "licence_url": "https://creativecommons.org/licenses/by-sa/3.0/",
                "is_usable": True,
            },
        },
    ],
    "predictions": [
        {"species": "Aleuria aurantia", "score": 95.11},
        {"species": "Mycena haematopus", "score": 4.89},
    ],
    "scope": {"in_scope": True, "score": 97.4},
    "plausible": ["Aleuria aurantia"],
    "verdicts": [
        {
            "proposed": "Peziza aurantia",
            "species": "Aleuria aurantia",
            "verdict": "supported",
            "score": 99.48,
            "because": "Aleuria aurantia is right with a probability of 99.48 %: a name is "
            "supported from 96.94 % on.",
            "naming": None,
        }
    ],
    "decision": "agree",
    "decision_name": "Peziza aurantia",
    "note": "",
    "created_at": "2026-11-24T15:00:00Z",
    "decided_at": "2026-11-24T15:01:00Z",
    "remarks": [],
    "links": None,
}


class ProposedNameField(serializers.CharField):
    """A text that can be the name of a species."""

    def to_internal_value(self, data: Any) -> str:
        return checked_name(super().to_internal_value(data)) or ""


def _names() -> serializers.ListField:
    return serializers.ListField(
        child=ProposedNameField(max_length=MAX_NAME_LENGTH),
        default=list,
        max_length=MAX_NAMES,
        help_text="Names that people propose for the find; each gets a verdict.",
    )


class ObservationJsonRequest(serializers.Serializer):
    """A find whose photos are sent as URLs."""

    photos = serializers.ListField(
        child=UrlField(),
        allow_empty=False,
        max_length=MAX_PHOTOS,
        help_text="The photos' http or https URLs.",
    )
    proposed = _names()


class ObservationForm(serializers.Serializer):
    """A find whose photos are sent as files (or URLs) in a form."""

    photo = serializers.ListField(
        child=UrlOrUploadField(), allow_empty=False, max_length=MAX_PHOTOS, source="photos"
    )
    proposed = _names()


class ObservationUploadRequest(serializers.Serializer):
    """The schema of `ObservationForm`."""

    photo = serializers.ListField(
        child=serializers.FileField(),
        allow_empty=False,
        max_length=MAX_PHOTOS,
        help_text="JPEG, PNG, WebP, GIF, BMP or TIFF, at most 10 MB each and 60 MB together.",
    )
    proposed = _names()


class SourceSerializer(serializers.Serializer):
    mushroom_observer = serializers.IntegerField(help_text="Id of the observation there.")
    url = serializers.URLField(help_text="Of its page.")
    read_at = serializers.DateTimeField(
        allow_null=True, help_text="When it was last read there; null: it was not yet."
    )
    seen = serializers.CharField(
        help_text="Send it with what you write there: nothing is written if the observation has "
        "changed since. Empty until it was read."
    )


class LinksSerializer(serializers.Serializer):
    page = serializers.URLField(help_text="Of the observation.")
    propose = serializers.URLField(
        allow_null=True,
        help_text="The form that proposes the best species; null while pending and if it is none "
        "of the species that the model knows.",
    )
    suggestions = serializers.URLField(
        allow_null=True,
        help_text="The page of suggestions, with the scores of each photo that shows one of the "
        "species; null without such a photo.",
    )


class ProposedVerdictSerializer(serializers.ModelSerializer):
    """`verdict`, `score` and `because` are null until all photos are answered.

    They stay null if all photos failed, and where the model version has no rule for the species.
    """

    proposed = serializers.CharField(source="name", help_text="The name, as it was given.")
    species = serializers.SerializerMethodField(
        help_text="The species of that name, as in `predictions`."
    )
    verdict = serializers.SerializerMethodField()
    score = serializers.FloatField(
        allow_null=True,
        help_text="Probability that the name is right, in percent; null if it is not covered. It "
        "counts in that eight of ten proposed names are right.",
    )
    because = serializers.SerializerMethodField(help_text="A sentence for people.")
    naming = serializers.SerializerMethodField(
        help_text="The proposal at Mushroom Observer; null for a name that was sent here."
    )

    class Meta:
        model = ProposedName
        fields = ("proposed", "species", "verdict", "score", "because", "naming")
        read_only_fields = fields

    def get_species(self, name: ProposedName) -> str | None:
        return name.species or None

    @extend_schema_field(serializers.ChoiceField(VERDICTS, allow_null=True))
    def get_verdict(self, name: ProposedName) -> str | None:
        return name.verdict or None

    def get_because(self, name: ProposedName) -> str | None:
        return verdict_sentence(name.because) if name.because else None

    @extend_schema_field(NamingSerializer(allow_null=True))
    def get_naming(self, name: ProposedName) -> Any:
        return NamingSerializer(name).data if name.naming_id is not None else None


@extend_schema_serializer(examples=[OpenApiExample("Done", value=EXAMPLE, response_only=True)])
class ObservationSerializer(serializers.ModelSerializer):
    """`predictions`, `scope` and `plausible` tell of all photos together.

    They are null until all photos are answered, and if all failed. Photos that failed are left out.
    While an observation of Mushroom Observer is read again, and if that fails, they are what was
    told before.
    """

    error = serializers.SerializerMethodField()
    source = serializers.SerializerMethodField()  # type: ignore[assignment]
    photos = serializers.SerializerMethodField()
    predictions = serializers.SerializerMethodField()
    scope = serializers.SerializerMethodField()
    plausible = serializers.SerializerMethodField()
    verdicts = ProposedVerdictSerializer(source="names", many=True, read_only=True)
    decision = serializers.SerializerMethodField()
    decision_name = serializers.SerializerMethodField()
    remarks = serializers.SerializerMethodField(
        help_text="Sentences about an observation of Mushroom Observer: that it has more photos, "
        "no names, and the like."
    )
    links = serializers.SerializerMethodField(help_text="Pages at Mushroom Observer.")

    class Meta:
        model = Observation
        fields = (
            *("id", "status", "error", "source", "photos", "predictions", "scope", "plausible"),
            *("verdicts", "decision", "decision_name", "note", "created_at", "decided_at"),
            *("remarks", "links"),
        )
        read_only_fields = fields

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, observation: Observation) -> dict[str, str] | None:
        if not observation.error_code:
            return None
        return {"code": observation.error_code, "detail": str(observation.error_detail)}

    @extend_schema_field(SourceSerializer(allow_null=True))
    def get_source(self, observation: Observation) -> dict[str, Any] | None:
        if observation.mushroom_observer_id is None:
            return None
        return {
            "mushroom_observer": observation.mushroom_observer_id,
            "url": observation.url,
            "read_at": observation.read_at,
            "seen": seen_of(observation),
        }

    @extend_schema_field(LinksSerializer(allow_null=True))
    def get_links(self, observation: Observation) -> dict[str, Any] | None:
        if observation.mushroom_observer_id is None:
            return None
        if not hasattr(self, "_accepted"):
            self._accepted = accepted_names()  # once for a list
        return links_of(observation, self._accepted)

    @extend_schema_field(ObservationPhotoSerializer(many=True))
    def get_photos(self, observation: Observation) -> list[dict[str, Any]]:
        predictions = [photo.prediction for photo in observation.photos.all()]
        return list(ObservationPhotoSerializer(predictions, many=True).data)

    @extend_schema_field(SpeciesScoreSerializer(many=True, allow_null=True))
    def get_predictions(self, observation: Observation) -> list[dict[str, Any]] | None:
        if observation.answer is None:
            return None
        return list(SpeciesScoreSerializer(observation.answer["predictions"], many=True).data)

    @extend_schema_field(ScopeSerializer(allow_null=True))
    def get_scope(self, observation: Observation) -> dict[str, Any] | None:
        scope = observation.answer and observation.answer["scope"]
        return ScopeSerializer(scope).data if scope else None

    @extend_schema_field(serializers.ListField(child=serializers.CharField(), allow_null=True))
    def get_plausible(self, observation: Observation) -> list[str] | None:
        return observation.answer["plausible"] if observation.answer else None

    @extend_schema_field(serializers.ChoiceField(Observation.Decision.choices[1:], allow_null=True))
    def get_decision(self, observation: Observation) -> str | None:
        return observation.decision or None

    def get_remarks(self, observation: Observation) -> list[str]:
        return [remark_sentence(each) for each in observation.remarks]

    def get_decision_name(self, observation: Observation) -> str | None:
        return observation.decision_name or None


class DecisionRequest(serializers.Serializer):
    """What changes; fields that are absent stay as they are.

    The context's `observation` is what is decided about.
    """

    decision = serializers.ChoiceField(
        Observation.Decision.choices[1:],
        required=False,
        allow_null=True,
        help_text="Null withdraws an earlier decision.",
    )
    decision_name = serializers.CharField(
        required=False,
        allow_null=True,
        max_length=MAX_NAME_LENGTH,
        help_text="Which of the proposed names it is about. May be left out where there is only "
        "one, and where the decision is `unsure`.",
    )
    note = serializers.CharField(required=False, allow_blank=True, max_length=MAX_NOTE)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict) and (unknown := sorted(data.keys() - self.fields.keys())):
            message = Message(
                "This field is unknown. Known are %(names)s.", names=", ".join(self.fields)
            )
            raise serializers.ValidationError(dict.fromkeys(unknown, message), "invalid")
        return dict(super().to_internal_value(data))

    def validate(self, attributes: dict[str, Any]) -> dict[str, Any]:
        observation: Observation = self.context["observation"]
        if "decision" not in attributes:
            if "decision_name" in attributes:
                raise serializers.ValidationError(
                    {"decision_name": gettext("Send the decision about this name with it.")},
                    "invalid",
                )
            return attributes
        decision, name = attributes["decision"], attributes.get("decision_name")
        proposed = [each.name for each in observation.names.all()]
        if name is not None and name not in proposed:
            raise serializers.ValidationError(
                {
                    "decision_name": Message(
                        "It must be one of the proposed names: %(names)s.",
                        names=", ".join(proposed),
                    )
                },
                "invalid",
            )
        if name is None and decision not in (None, Observation.Decision.UNSURE):
            if len(set(proposed)) != 1:
                message = gettext("Say which of the proposed names the decision is about.")
                if not proposed:
                    message = gettext(
                        "No name was proposed, so there is none to agree or disagree with."
                    )
                raise serializers.ValidationError({"decision_name": message}, "required")
            name = proposed[0]
        return attributes | {"decision_name": name}
