"""Photos of predictions, and similar ones, as pictures made anew from their pixels."""

from typing import Any, cast

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import renderers
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from common.api import error_response
from common.messages import Message
from common.prefer import PREFER, wait_preferred
from predictions.api.waiting import waiting_places
from predictions.models import Photo
from predictions.pictures import picture_wait
from predictions.selectors import predictions_shown_to
from predictions.similar_selectors import photos_visible_to


class PictureNotReady(APIException):
    """The inference worker has not made the picture yet."""

    status_code = 503
    default_code = "picture_not_ready"
    default_detail = _("The picture is still being made. Ask again in a few seconds.")
    wait = 5  # becomes the header Retry-After


class JpegRenderer(renderers.BaseRenderer):
    """Lets clients ask for image/jpeg. Errors are JSON all the same."""

    media_type = "image/jpeg"
    format = "json"  # the same as JSON's: there is no `?format=` to choose by


RESPONSES = {
    (200, "image/jpeg"): OpenApiResponse(OpenApiTypes.BINARY, description="The photo."),
    503: error_response(["picture_not_ready", "storage_unavailable", "database_unavailable"]),
}


class PhotoReserved(NotFound):
    """The owner of the photo allows nobody to show it."""

    default_detail = _(
        "This photo may not be shown: its owner at Mushroom Observer does not allow it, or its "
        "licence is not known. Look at it there."
    )


class ErrorsAsJson(APIView):
    """Answers with pictures as HttpResponse, and with errors in JSON, whatever was asked for."""

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(response, Response):
            request.accepted_renderer = renderers.JSONRenderer()
            request.accepted_media_type = "application/json"
        return super().finalize_response(request, response, *args, **kwargs)


class PictureView(ErrorsAsJson):
    """Answers with the picture of a photo. `kind` is one of `predictions.pictures.SIDES`."""

    kind = "picture"
    renderer_classes = [JpegRenderer, renderers.JSONRenderer]
    kind = "picture"
    """A key of `pictures.SIDES`."""

    def answer(self, request: Request, photo: Photo) -> HttpResponse:
        """Return the picture, for which the request waits as it prefers."""
        wait_s = wait_preferred(request.headers.get("Prefer", ""))
        with waiting_places.taken_by(cast(User, request.user).pk) as may_wait:
            data = picture_wait(photo=photo, kind=self.kind, timeout_s=wait_s if may_wait else 0)
        if data is None:
            raise PictureNotReady
        return HttpResponse(data, content_type="image/jpeg")


class PredictionPhotoView(PictureView):
    @extend_schema(
        operation_id="getPredictionPhoto",
        summary="Return the photo as JPEG, at most 1,280 pixels wide and high, without metadata",
        parameters=[PREFER],
        responses=RESPONSES,
    )
    def get(self, request: Request, id: str) -> HttpResponse:
        prediction = predictions_shown_to(cast(User, request.user)).filter(pk=id).first()
        if prediction is None:
            raise NotFound
        photo = prediction.inference.photo if prediction.inference else None
        if photo is None or not photo.file:
            raise NotFound(Message("No photo of prediction %(id)s is stored.", id=id))
        if photo.is_reserved:
            raise PhotoReserved
        return self.answer(request, photo)


class PhotoView(PictureView):
    @extend_schema(
        operation_id="getPhoto",
        summary="Return a photo that `similar` lists, as JPEG without metadata",
        description="Any user may see what `similar` lists; its author and licence stand there. "
        "Other photos are seen by those who sent them and by administrators.",
        parameters=[PREFER],
        responses=RESPONSES,
    )
    def get(self, request: Request, id: str) -> HttpResponse:
        photo = photos_visible_to(cast(User, request.user)).filter(pk=id).first()
        if photo is None:
            raise NotFound
        if not photo.file:
            raise NotFound(Message("The bytes of photo %(id)s are no longer stored.", id=id))
        return self.answer(request, photo)
