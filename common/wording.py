"""Formats numbers for people, for the admin pages."""


def format_duration(seconds: float) -> str:
    """Return a duration as text: "40 seconds", "12 minutes", "2 hours 5 minutes"."""
    if seconds < 90:
        return _counted(max(1, round(seconds)), "second")
    minutes = round(seconds / 60)
    if minutes < 90:
        return _counted(minutes, "minute")
    hours, rest = divmod(minutes, 60)
    return _counted(hours, "hour") + (f" {_counted(rest, 'minute')}" if rest else "")


def format_bytes(count: float) -> str:
    """Return a number of bytes as text: "310 kB", "12 MB" or "1.3 GB"."""
    if 0 < count < 1e6:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"
