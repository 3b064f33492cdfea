"""Reads values of a JSON that may lack keys, or have strings where numbers should be."""

import math
import re
from datetime import UTC, date, datetime
from typing import Any

MAX_TEXT = 10_000
MAX_ITEMS = 2_000
_MAX_INTEGER = 2**53
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def as_object(value: Any) -> dict[str, Any]:
    """Return a JSON object; an empty one if it is anything else."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, at most MAX_ITEMS; other items are left out."""
    items = value[:MAX_ITEMS] if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]


def as_integer(value: Any) -> int | None:
    """Return a whole number that is not negative, also of a string of digits."""
    number = as_decimal(value)
    if number is None or not number.is_integer() or not 0 <= number < _MAX_INTEGER:
        return None
    return int(number)


def as_decimal(value: Any) -> float | None:
    """Return a finite number, also of a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > 40:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_text(value: Any, length: int = MAX_TEXT) -> str:
    """Return a text that PostgreSQL can store, of at most `length` characters; else ""."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return _UNPRINTABLE.sub("\ufffd", value[:length]).strip() if isinstance(value, str) else ""


def as_boolean(value: Any) -> bool:
    """Return whether it is true, also as text. An absent value is false: the site leaves it out."""
    return value is True or str(value).strip().lower() in {"true", "1", "yes"}


def as_time(value: Any) -> datetime | None:
    """Return a time; one without a zone is UTC."""
    text = as_text(value, 40)
    try:
        at = datetime.fromisoformat(re.sub(r" UTC$", "+00:00", text))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def as_date(value: Any) -> date | None:
    """Return a date, also of a time."""
    try:
        return date.fromisoformat(as_text(value, 40)[:10])
    except ValueError:
        return None
