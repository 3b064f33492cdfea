from collections.abc import Sequence

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import LoginAuthentication
from accounts.api.serializers import LoginSerializer, TokenSerializer, UserSerializer
from accounts.api.throttling import LoginThrottle
from accounts.services import token_create
from common.api import error_response


class TokenView(APIView):
    """Logs users in and out."""

    @property
    def is_login(self) -> bool:
        return self.request is not None and self.request.method == "POST"

    def get_authenticators(self) -> list:
        return [LoginAuthentication()] if self.is_login else super().get_authenticators()

    def get_permissions(self) -> Sequence:
        return [] if self.is_login else super().get_permissions()

    def get_throttles(self) -> list:
        return [LoginThrottle()] if self.is_login else []

    @extend_schema(
        operation_id="createToken",
        summary="Exchange a user name and password for a token",
        auth=[],
        request=LoginSerializer,
        responses={
            200: TokenSerializer,
            401: error_response(["authentication_failed"]),
            429: error_response(["throttled", "login_locked"]),
            503: error_response(["login_busy", "database_unavailable"]),
        },
    )
    def post(self, request: Request) -> Response:
        login = LoginSerializer(data=request.data)
        login.is_valid(raise_exception=True)
        token, expiry = token_create(request=request._request, **login.validated_data)
        return Response(TokenSerializer({"token": token, "expiry": expiry}).data)

    @extend_schema(
        operation_id="revokeToken",
        summary="Revoke the token of this request",
        request=None,
        responses={204: OpenApiResponse(description="The token is no longer valid.")},
    )
    def delete(self, request: Request) -> Response:
        request.auth.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


class UserView(APIView):
    @extend_schema(
        operation_id="getUser", summary="Return the user of this token", responses=UserSerializer
    )
    def get(self, request: Request) -> Response:
        return Response(UserSerializer(request.user).data)
