"""Where this installation's data are, for code that runs before Django's settings are read."""

import os
from pathlib import Path

TERMINAL_TOKEN = "terminal.token"  # noqa: S105 - a file's name
"""File in CHAMPIPY_HOME (mode 0600) with the token of `./champipy predict`."""
PROJECT = Path(__file__).resolve().parents[1]


def load_dotenv() -> None:
    """Read `.env` as settings.py does: variables that are already set win.

    Make CHAMPIPY_HOME absolute. A relative one is relative to the current folder if it comes from
    the environment, and to the project if it comes from `.env`.
    """
    if given := os.environ.get("CHAMPIPY_HOME"):
        os.environ["CHAMPIPY_HOME"] = str(Path(given).absolute())
    if (PROJECT / ".env").exists():
        import environ  # late: most homes have no .env, and each command waits for this import

        environ.Env.read_env(PROJECT / ".env")
    home = os.environ.get("CHAMPIPY_HOME") or "var"
    os.environ["CHAMPIPY_HOME"] = str((PROJECT / home).resolve())
