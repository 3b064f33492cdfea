"""Reads CHAMPIPY_STORAGE_URL."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.core.exceptions import ImproperlyConfigured

FOLDERS = {"default": "media", "incoming": "incoming", "models": "models", "pictures": "pictures"}
"""Where each storage's files are in a bucket."""
LOCAL_FOLDERS = FOLDERS | {"default": "", "pictures": "cache/pictures"}
"""Where each storage's files are in CHAMPIPY_HOME; empty: MEDIA_ROOT."""
EXAMPLE = "s3://bucket?endpoint=https://s3.example.org&region=eu-west-1"


def storages_of(url: str) -> dict[str, dict[str, Any]]:
    """Return the entries of STORAGES for CHAMPIPY_STORAGE_URL; raise ImproperlyConfigured.

    An empty URL stands for files under CHAMPIPY_HOME. The URL itself is not repeated in errors: it
    may hold a password that does not belong there.
    """
    if not url:
        return {
            alias: {"BACKEND": "common.storage.local.LocalStorage", "OPTIONS": {"folder": folder}}
            for alias, folder in LOCAL_FOLDERS.items()
        }
    options = _options(url)
    prefix = options.pop("prefix")
    return {
        alias: {
            "BACKEND": "common.storage.objects.ObjectStorage",
            "OPTIONS": {**options, "location": prefix + folder},
        }
        for alias, folder in FOLDERS.items()
    }


def _options(url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise ImproperlyConfigured(
            f"CHAMPIPY_STORAGE_URL is no URL. Give one like {EXAMPLE}."
        ) from error
    if "@" in parts.netloc or "@" in query.get("endpoint", ""):
        raise ImproperlyConfigured(
            "CHAMPIPY_STORAGE_URL holds a user or a password. Put them into AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY instead."
        )
    unknown = sorted(query.keys() - {"endpoint", "region"})
    if parts.scheme != "s3" or not parts.netloc or unknown or parts.fragment:
        raise ImproperlyConfigured(
            f"CHAMPIPY_STORAGE_URL is not like {EXAMPLE}: it needs s3:// and a bucket, and only "
            "`endpoint` and `region` may follow."
        )
    path = parts.path.strip("/")
    return {
        "bucket_name": parts.netloc,
        "endpoint_url": query.get("endpoint") or None,
        "region_name": query.get("region") or None,
        "prefix": f"{path}/" if path else "",
    }
