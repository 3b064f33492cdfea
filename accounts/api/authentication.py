from typing import Any

from django.utils import timezone
from django.utils.translation import gettext
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox import auth
from knox.models import AbstractAuthToken
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.services import token_seen


class TokenAuthentication(auth.TokenAuthentication):
    """Knox's authentication, with `Bearer` beside `Token`.

    It also refuses a token that is not valid UTF-8 with a 401.
    """

    def authenticate(self, request: Request) -> Any:
        scheme, *token = get_authorization_header(request).split() or [b""]
        if scheme.lower() != b"bearer":
            return super().authenticate(request)
        if len(token) != 1:
            raise AuthenticationFailed(gettext("Invalid token."))
        return self.authenticate_credentials(token[0])

    def authenticate_credentials(self, token: bytes) -> tuple:
        try:
            user, stored = super().authenticate_credentials(token)
        except UnicodeDecodeError as error:
            raise AuthenticationFailed(gettext("Invalid token.")) from error
        token_seen(token=stored)
        return user, stored

    def _cleanup_token(self, auth_token: AbstractAuthToken) -> bool:
        """Return whether the token has expired.

        Knox's own method reads all the user's tokens on each request to delete the expired ones.
        Here beat deletes them, once a day (`accounts.tasks`).
        """
        return auth_token.expiry is not None and auth_token.expiry < timezone.now()


class LoginAuthentication(TokenAuthentication):
    """Authentication of the login endpoint: ignores a token in the header.

    So a client with an expired token can log in. DRF takes the `WWW-Authenticate` header from this
    class, and without one it would answer a wrong password with 403 instead of 401.
    """

    def authenticate(self, request: Request) -> None:
        return None


class TokenScheme(OpenApiAuthenticationExtension):
    """The token's description in the OpenAPI schema."""

    target_class = "accounts.api.authentication.TokenAuthentication"
    match_subclasses = True
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": (
                "`Authorization: Bearer TOKEN` (or `Token TOKEN`), with a token from "
                "`POST /api/v1/token`."
            ),
        }
