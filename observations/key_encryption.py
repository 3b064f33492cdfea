"""Encrypts users' API keys of Mushroom Observer for the database.

The encryption key is derived from SECRET_KEY, for one user and one site: a text that is moved to
another user's row, or read where CHAMPIPY_MUSHROOM_OBSERVER_URL names another site, is not
readable. SECRET_KEY_FALLBACKS are tried as well. `cryptography` is imported when it is needed, to
keep it out of processes that encrypt nothing.
"""

import base64
from typing import TYPE_CHECKING

from django.conf import settings

from observations.mushroom_observer.references import site_url
from observations.mushroom_observer.transport import ApiKey

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class UnreadableKey(Exception):  # noqa: N818 - a condition to report, not a fault
    """The stored text was not made with this SECRET_KEY, for this user and this site."""


def key_encrypt(key: ApiKey, *, user_id: int) -> str:
    """Return an API key encrypted for a user's row, as text."""
    return _cipher(user_id).encrypt(key.reveal().encode()).decode()


def key_decrypt(ciphertext: str, *, user_id: int) -> ApiKey:
    """Return the API key of an encrypted text. Raises UnreadableKey."""
    from cryptography.fernet import InvalidToken

    try:
        return ApiKey(_cipher(user_id).decrypt(ciphertext).decode())
    except InvalidToken:
        raise UnreadableKey from None


def key_renew(ciphertext: str, *, user_id: int) -> str:
    """Return the text encrypted anew, with the present SECRET_KEY. Raises UnreadableKey."""
    from cryptography.fernet import InvalidToken

    try:
        return _cipher(user_id).rotate(ciphertext).decode()
    except InvalidToken:
        raise UnreadableKey from None


def _cipher(user_id: int) -> "MultiFernet":
    """Return what encrypts with SECRET_KEY, and decrypts with the fallbacks, too."""
    from cryptography.fernet import Fernet, MultiFernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = f"ChampiPy: API key of user {user_id} at {site_url()}".encode()
    return MultiFernet(
        [
            Fernet(
                base64.urlsafe_b64encode(
                    HKDF(SHA256(), length=32, salt=None, info=info).derive(secret.encode())
                )
            )
            for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        ]
    )
