"""The home folder of this installation and the environment of its processes."""

import os
import sys
from pathlib import Path

from champipy_site.stack.state import Home
from common.home import PROJECT

PYTHON = [sys.executable, "-P"]  # -P: never import from the current folder


def home_from_environment() -> Home:
    """Return the home that CHAMPIPY_HOME names, once `load_dotenv` has run; make its folders."""
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
