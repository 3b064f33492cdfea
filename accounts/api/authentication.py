from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox import auth
from knox.models import AbstractAuthToken
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request


class TokenAuthentication(auth.TokenAuthentication):
    """Knox's, but a token that is not even text is refused as any other bad one."""

    def authenticate_credentials(self, token: bytes) -> tuple:
        try:
            return super().authenticate_credentials(token)
        except UnicodeDecodeError as error:
            raise AuthenticationFailed("Invalid token.") from error

    def _cleanup_token(self, auth_token: AbstractAuthToken) -> bool:
        """Tell whether the token has expired.

        Knox's own reads all tokens of the user at each request, to delete those that have: beat
        does that, once a day (`accounts.tasks`).
        """
        return auth_token.expiry is not None and auth_token.expiry < timezone.now()


class LoginAuthentication(TokenAuthentication):
    """Ignores a token in the header (a login with a stale one is still a login), yet makes a wrong
    password a 401 with its `WWW-Authenticate`, which DRF asks the authentication class for."""

    def authenticate(self, request: Request) -> None:
        return None


class TokenScheme(OpenApiAuthenticationExtension):
    """How the schema describes it."""

    target_class = "accounts.api.authentication.TokenAuthentication"
    match_subclasses = True
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token …`, with a token from `POST /api/v1/token`.",
        }
