"""Formats numbers for people, for the admin pages."""

from common.messages import CountedMessage, Message, number_told


def format_duration(seconds: float) -> str:
    """Return a duration as text: "40 seconds", "12 minutes", "2 hours 5 minutes"."""
    if seconds < 90:
        return str(CountedMessage("%(count)d second", "%(count)d seconds", max(1, round(seconds))))
    minutes = round(seconds / 60)
    if minutes < 90:
        return _minutes(minutes)
    hours, rest = divmod(minutes, 60)
    told = str(CountedMessage("%(count)d hour", "%(count)d hours", hours))
    return f"{told} {_minutes(rest)}" if rest else told


def format_number(value: float, form: str) -> str:
    """Return a number as `format` writes it, but with the signs of the active language."""
    return number_told(format(value, form))


def format_bytes(count: float) -> str:
    """Return a number of bytes as text: "310 kB", "12 MB" or "1.3 GB"."""
    if 0 < count < 1e6:
        return str(Message("%(count).0f kB", count=count / 1e3))
    if count < 1e9:
        return str(Message("%(count).0f MB", count=count / 1e6))
    return str(Message("%(count).1f GB", count=count / 1e9))


def format_share(share: float) -> str:
    """Return a share from 0 to 1 in percent: "93.4 %", with a space that does not break."""
    text = str(Message("%(percent).1f %%", percent=100 * share))
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _minutes(count: int) -> str:
    return str(CountedMessage("%(count)d minute", "%(count)d minutes", count))
