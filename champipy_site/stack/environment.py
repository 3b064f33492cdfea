"""Where this installation lives and what its processes find in their environment."""

import os
import sys
from pathlib import Path

import environ

from champipy_site.stack.state import Home

PROJECT = Path(__file__).resolve().parents[2]
PYTHON = [sys.executable, "-P"]  # -P: never import from the current folder


def load_dotenv() -> None:
    """Read `.env` as settings.py does: what the environment already says wins.

    A relative CHAMPIPY_HOME is taken from the folder of whoever wrote it: the caller's current
    one, or the project's for `.env`.
    """
    if given := os.environ.get("CHAMPIPY_HOME"):
        os.environ["CHAMPIPY_HOME"] = str(Path(given).absolute())
    environ.Env.read_env(PROJECT / ".env")
    home = os.environ.get("CHAMPIPY_HOME") or "var"
    os.environ["CHAMPIPY_HOME"] = str((PROJECT / home).resolve())


def home_from_environment() -> Home:
    """Return the home that `load_dotenv` has settled on, its folders made."""
    home = Home(Path(os.environ["CHAMPIPY_HOME"]))
    home.make()
    return home


def project_environment(home: Home, urls: dict[str, str]) -> dict[str, str]:
    """Return the environment for the project's own processes; `urls` names the servers."""
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
    """Return the little that an embedded server needs, without the project's secrets."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "TZ", "TMPDIR") if name in os.environ
    }
    return {**kept, "LC_ALL": "C", "CHAMPIPY_HOME": str(home.path)}
