"""The home folder of this installation and the environment of its processes."""

import os
import sys
from pathlib import Path

import environ

from champipy_site.stack.state import Home

PROJECT = Path(__file__).resolve().parents[2]
PYTHON = [sys.executable, "-P"]  # -P: never import from the current folder


def load_dotenv() -> None:
    """Read `.env` as settings.py does: variables that are already set win.

    Make CHAMPIPY_HOME absolute. A relative one is relative to the current folder if it comes from
    the environment, and to the project if it comes from `.env`.
    """
    if given := os.environ.get("CHAMPIPY_HOME"):
        os.environ["CHAMPIPY_HOME"] = str(Path(given).absolute())
    environ.Env.read_env(PROJECT / ".env")
    home = os.environ.get("CHAMPIPY_HOME") or "var"
    os.environ["CHAMPIPY_HOME"] = str((PROJECT / home).resolve())


def home_from_environment() -> Home:
    """Return the home that CHAMPIPY_HOME names (see `load_dotenv`) and make its folders."""
    home = Home(Path(os.environ["CHAMPIPY_HOME"]))
    home.make()
    return home


def project_environment(home: Home, urls: dict[str, str]) -> dict[str, str]:
    """Return the environment for the project's processes.

    `urls` are DATABASE_URL and REDIS_URL.
    """
    return {
        **os.environ,
        **urls,
        "CHAMPIPY_HOME": str(home.path),
        "DJANGO_SETTINGS_MODULE": "champipy_site.settings",
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def server_environment(home: Home) -> dict[str, str]:
    """Return the few variables that an embedded server needs, without the project's secrets."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "TZ", "TMPDIR") if name in os.environ
    }
    return {**kept, "LC_ALL": "C", "CHAMPIPY_HOME": str(home.path)}
