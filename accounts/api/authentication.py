import binascii
from hmac import compare_digest
from typing import Any

from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox import auth
from knox.crypto import hash_token
from knox.models import AbstractAuthToken, AuthToken
from knox.settings import CONSTANTS
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.models import User
from accounts.services import token_seen
from common.prepared import Prepared

_users_of_tokens = Prepared(
    lambda key: User.objects.filter(auth_token_set__token_key=key).annotate(
        token_digest=F("auth_token_set__digest"), token_expiry=F("auth_token_set__expiry")
    ),
    key=str,
)


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

    def authenticate_credentials(self, token: bytes) -> tuple[User, AbstractAuthToken]:
        """Return the user and the stored token.

        Knox's own method reads all the user's tokens on each request to delete the expired ones.
        Here beat deletes them, once a day (`accounts.tasks`).
        """
        invalid = AuthenticationFailed(gettext("Invalid token."))
        try:
            text = token.decode()
            digest = hash_token(text)
        except (UnicodeDecodeError, binascii.Error) as error:
            raise invalid from error
        key = text[: CONSTANTS.TOKEN_KEY_LENGTH]
        found: list[Any] = _users_of_tokens.all(key=key)
        for user in found:
            expiry = user.token_expiry
            is_expired = expiry is not None and expiry < timezone.now()
            if not is_expired and compare_digest(digest, user.token_digest):
                stored = AuthToken.from_db(
                    user._state.db,
                    ["digest", "token_key", "user_id", "expiry"],
                    [user.token_digest, key, user.pk, expiry],
                )
                stored.user = user
                self.validate_user(stored)
                token_seen(token=stored)
                return user, stored
        raise invalid


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
