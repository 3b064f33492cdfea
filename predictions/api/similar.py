"""Photos that are similar to the photo of a prediction."""

from typing import cast

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from common.api import error_response
from common.messages import Message
from common.prefer import PREFER, wait_preferred
from mlmodels.names import MAX_NAME_LENGTH, parse_name
from mlmodels.species_selectors import species_called
from predictions.api.waiting import waiting_places
from predictions.embedding_services import embedding_wait
from predictions.labels import Label, label_of, other_species
from predictions.selectors import predictions_shown_to
from predictions.similar_selectors import SimilarPhoto, is_any_called, similar_photos
from predictions.vector_services import NO_VECTORS, has_vectors

COUNT = 10
"""Photos that an answer lists at most."""


class SimilarUnavailable(APIException):
    """The database can't search for similar photos."""

    status_code = 503
    default_code = "similar_unavailable"
    default_detail = Message("%(reason)s An administrator has to install it.", reason=NO_VECTORS)


class SimilarNotReady(APIException):
    """The inference worker has not embedded the photo yet."""

    status_code = 503
    default_code = "similar_not_ready"
    default_detail = _("The photo is still being read. Ask again in a few seconds.")
    wait = 5  # becomes the header Retry-After


class SimilarQuery(serializers.Serializer):
    """The query parameters."""

    species = serializers.CharField(
        required=False,
        max_length=MAX_NAME_LENGTH,
        help_text="Any name of the species that the listed photos shall show.",
    )

    def validate_species(self, name: str) -> Label:
        """Return the label that photos of this name have."""
        species = species_called(name)
        if species is not None:
            return species
        try:
            parsed = parse_name(name).species  # without author, in lower case
            other = other_species(parsed or name)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error
        if not other.name or not is_any_called(other):
            raise serializers.ValidationError(
                Message(
                    "Neither a model nor a listed photo knows a species named %(name)s.",
                    name=repr(name),
                )
            )
        return other


class SimilarPhotoSerializer(serializers.Serializer):
    """A photo that may be shown under its licence, beside its author's name."""

    photo = serializers.IntegerField(source="photo.pk", help_text="Its id, for `GET /photos/{id}`.")
    species = serializers.SerializerMethodField()
    similarity = serializers.SerializerMethodField(
        help_text="100 times the cosine of the two photos' embeddings, 0 where that is negative."
    )
    author = serializers.CharField(
        source="photo.author", help_text="Name the author wherever you show the photo."
    )
    licence = serializers.CharField(source="photo.licence", help_text="Address of the licence.")
    source = serializers.SerializerMethodField(  # type: ignore[assignment]
        help_text="Address of the page that shows it."
    )

    def get_species(self, found: SimilarPhoto) -> str:
        label = label_of(found.photo)
        return label.name if label is not None else ""

    def get_similarity(self, found: SimilarPhoto) -> float:
        return round(100 * min(max(found.cosine, 0.0), 1.0), 2)

    def get_source(self, found: SimilarPhoto) -> str | None:
        return found.photo.source or None


class SimilarSerializer(serializers.Serializer):
    results = SimilarPhotoSerializer(many=True)


EXAMPLE = OpenApiExample(
    "The most similar photo of a species",
    value={
        "results": [
            {
                "photo": 17,
                "species": "Amanita muscaria",
                "similarity": 71.46,
                "author": "Nathan Wilson",
                "licence": "https://creativecommons.org/licenses/by-sa/3.0/",
                "source": "https://mushroomobserver.org/images/1713410",
            }
        ]
    },
    response_only=True,
    status_codes=["200"],
)


class SimilarView(APIView):
    @extend_schema(
        operation_id="listSimilarPhotos",
        summary="List the most similar photos of known species that may be shown to anybody",
        description=f"At most {COUNT}, the most similar first: imported photos whose licence "
        "allows it, never another user's upload, and no copies of the photo itself.",
        parameters=[PREFER, SimilarQuery],
        responses={
            200: SimilarSerializer,
            503: error_response(
                ["similar_unavailable", "similar_not_ready", "database_unavailable"]
            ),
        },
        examples=[EXAMPLE],
    )
    def get(self, request: Request, id: str) -> Response:
        query = SimilarQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        user = cast(User, request.user)
        prediction = predictions_shown_to(user).filter(pk=id).first()
        if prediction is None:
            raise NotFound
        photo = prediction.inference.photo if prediction.inference else None
        if photo is None or not photo.file:
            raise NotFound(Message("No photo of prediction %(id)s is stored.", id=id))
        if not has_vectors():
            raise SimilarUnavailable
        wait_s = wait_preferred(request.headers.get("Prefer", ""))
        with waiting_places.taken_by(user.pk) as may_wait:
            numbers = embedding_wait(photo=photo, timeout_s=wait_s if may_wait else 0)
        if numbers is None:
            raise SimilarNotReady
        label = query.validated_data.get("species")
        found = similar_photos(photo=photo, numbers=numbers, label=label, count=COUNT)
        return Response(SimilarSerializer({"results": found}).data)
