"""Which of the secrets each process needs.

Nobody can take from a process what it was never given. CHAMPIPY_PROCESS says which one it is; `up`,
docker-compose.yml and deploy/kubernetes set it. Without it, it is a command, which may need all.
"""

_KEYS = frozenset(("SECRET_KEY", "SECRET_KEY_FALLBACKS"))
_ALERTS = frozenset(("EMAIL_URL", "CHAMPIPY_ALERT_URLS"))
_METRICS = frozenset(("CHAMPIPY_METRICS_TOKEN",))
_FILES = frozenset(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"))
_TRACKER = frozenset(("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"))
SECRETS = _KEYS | _ALERTS | _METRICS | _FILES | _TRACKER
NEEDED = {
    "web": _KEYS | _ALERTS | _METRICS | _FILES,
    # It writes at Mushroom Observer with users' API keys.
    "monitoring": _KEYS | _ALERTS | _FILES | _TRACKER,
    "fetch": _FILES,
    "inference": _FILES,
    "training": _FILES,
    "beat": frozenset[str](),
    "after-setup": frozenset[str](),  # asks whether the database is migrated, before a pod starts
}


def unneeded_secrets(process: str) -> frozenset[str]:
    """Return the names of the settings that a process can do without."""
    return SECRETS - NEEDED.get(process, SECRETS)
