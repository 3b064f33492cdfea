"""`GET /usage`, and the RateLimit headers of the calls that cost quota."""

from typing import Any, cast

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from common.api import error_response
from common.openapi import CODES
from predictions.quotas import DAY_S, Usage, seconds_until_tomorrow, usage_of


class UsageUnavailable(APIException):
    """Valkey, which counts, does not answer."""

    status_code = 503
    default_code = "usage_unavailable"
    default_detail = _("What you have used is not known at the moment. Try again later.")


class PredictionUsageSerializer(serializers.Serializer):
    today = serializers.IntegerField()
    this_month = serializers.IntegerField()
    limit = serializers.IntegerField(help_text="Of a day.")
    left = serializers.IntegerField(help_text="Of today.")


class UploadUsageSerializer(serializers.Serializer):
    today = serializers.IntegerField()
    limit = serializers.IntegerField(help_text="Of a day.")
    left = serializers.IntegerField(help_text="Of today.")


class UsageSerializer(serializers.Serializer):
    """Days and months are those of UTC."""

    predictions = PredictionUsageSerializer()
    new_photo_bytes = UploadUsageSerializer()
    resets_at = serializers.DateTimeField(help_text="When tomorrow begins.")


class RateLimitHeaders:
    """Mixin of views: tells in each answer to a POST what is left of today's predictions."""

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        # An answer that comes before the user is known must not look for a token again.
        user = getattr(request, "_user", None)
        if request.method == "POST" and isinstance(user, User):
            usage = usage_of(user=user)
            if usage is not None:
                add_rate_limit(response, usage)
        return response


def add_rate_limit(response: Any, usage: Usage) -> None:
    """Set RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers)."""
    limit, left = usage.prediction_limit, usage.predictions_left
    response.headers["RateLimit-Policy"] = f'"day";q={limit};w={DAY_S}'
    response.headers["RateLimit"] = f'"day";r={left};t={seconds_until_tomorrow()}'


class UsageView(APIView):
    @extend_schema(
        operation_id="getUsage",
        summary="What you have used today and this month, and what is left",
        responses={
            200: UsageSerializer,
            503: error_response(["usage_unavailable", *CODES["503"]]),
        },
    )
    def get(self, request: Request) -> Response:
        usage = usage_of(user=cast(User, request.user))
        if usage is None:
            raise UsageUnavailable
        body = {
            "predictions": {
                "today": usage.predictions_today,
                "this_month": usage.predictions_this_month,
                "limit": usage.prediction_limit,
                "left": usage.predictions_left,
            },
            "new_photo_bytes": {
                "today": usage.bytes_today,
                "limit": usage.byte_limit,
                "left": max(0, usage.byte_limit - usage.bytes_today),
            },
            "resets_at": usage.resets_at,
        }
        response = Response(UsageSerializer(body).data)
        add_rate_limit(response, usage)
        return response
