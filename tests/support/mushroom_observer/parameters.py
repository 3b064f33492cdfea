"""Reads the parameters of a call to API2, and says which it does not know."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

_DIGITS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_TIME = r"\d{4}(?:[-/]\d\d?){0,2}(?:[ T]\d\d?(?::\d\d?){0,2})?|\d{6,14}"


class ApiError(Exception):
    """An error that API2 tells with status 200."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = f"API2::{code}"
        self.details = details


class Parameters:
    """The parameters of one call. Those that nothing asked for make the call fail."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        self._known = {"format", "detail", "page", "api_key"}

    def text(self, key: str) -> str | None:
        self._known.add(key)
        return self._values.get(key) or None

    def integer(self, key: str) -> int | None:
        text = self.text(key)
        if text is None:
            return None
        if not re.fullmatch(r"-?\d{1,12}", text):
            raise ApiError("BadParameterValue", f"Invalid integer: {text}")
        return int(text)

    def decimal(self, key: str) -> float | None:
        text = self.text(key)
        if text is None:
            return None
        if not re.fullmatch(r"-?\d+(\.\d+)?", text):
            raise ApiError("BadParameterValue", f"Invalid float: {text}")
        return float(text)

    def confidence(self, key: str) -> float | None:
        value = self.decimal(key)
        if value is not None and not -3 <= value <= 3:
            raise ApiError("BadLimitedParameterValue", f"Invalid confidence: {value:g}")
        return value

    def confidence_range(self, key: str) -> tuple[float, float] | None:
        """Return (from, to); a minus before the first number is told from the dash between."""
        text = self.text(key)
        if text is None:
            return None
        match = re.fullmatch(r"(\\?-?\d+(?:\.\d+)?)(?:-(\\?-?\d+(?:\.\d+)?))?", text)
        if match is None:
            raise ApiError("BadParameterValue", f"Invalid range of confidence: {text}")
        low, high = (float((each or match[1]).replace("\\", "")) for each in match.groups())
        return min(low, high), max(low, high)

    def boolean(self, key: str) -> bool | None:
        text = self.text(key)
        if text is None:
            return None
        if text.lower() not in {"1", "0", "yes", "no", "true", "false"}:
            raise ApiError("BadParameterValue", f"Invalid boolean: {text}")
        return text.lower() in {"1", "yes", "true"}

    def texts(self, key: str) -> list[str] | None:
        text = self.text(key)
        return None if text is None else [each.strip() for each in text.split(",")]

    def ids(self, key: str = "id") -> list[range] | None:
        """Return ranges of ids, of "1,5-7"."""
        texts = self.texts(key)
        if texts is None:
            return None
        ranges = []
        for text in texts:
            match = re.fullmatch(r"(\d{1,12})(?:-(\d{1,12}))?", text)
            if match is None:
                raise ApiError("BadParameterValue", f"Invalid id: {text}")
            ranges.append(range(int(match[1]), int(match[2] or match[1]) + 1))
        return ranges

    def times(self, key: str) -> tuple[datetime, datetime] | None:
        """Return (from, to), both inclusive, of "from-to" or of one time that is not exact."""
        text = self.text(key)
        if text is None:
            return None
        match = re.fullmatch(rf"({_TIME})(?:\s*-\s*({_TIME}))?", text)
        if match is None:
            raise ApiError("BadParameterValue", f"Invalid time_range: {text}")
        try:
            return _moment(match[1])[0], _moment(match[2] or match[1])[1]
        except (KeyError, ValueError):
            raise ApiError("BadParameterValue", f"Invalid time_range: {text}") from None

    def refuse_others(self) -> None:
        """Raise ApiError if there is a parameter that nothing has asked for."""
        unknown = sorted(set(self._values) - self._known)
        if unknown:
            raise ApiError("UnusedParameters", f"Unexpected parameters: {', '.join(unknown)}")


def _moment(text: str) -> tuple[datetime, datetime]:
    """Return the first and the last second that a time means."""
    parts = re.split(r"[-/ T:]", text)
    digits = parts[0] + "".join(part.zfill(2) for part in parts[1:])
    start = datetime.strptime(digits, _DIGITS[len(digits)]).replace(tzinfo=UTC)
    lasts = {14: 1, 12: 60, 10: 3600, 8: 86400, 6: 28 * 86400, 4: 365 * 86400}
    return start, start + timedelta(seconds=lasts[len(digits)] - 0.001)
