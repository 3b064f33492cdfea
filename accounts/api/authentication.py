from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox import auth
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request


class TokenAuthentication(auth.TokenAuthentication):
    """Knox's, with a token that is not even text refused as any other bad one."""

    def authenticate_credentials(self, token: bytes) -> tuple:
        try:
            return super().authenticate_credentials(token)
        except UnicodeDecodeError as error:
            raise AuthenticationFailed("Invalid token.") from error


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
