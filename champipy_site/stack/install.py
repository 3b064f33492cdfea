"""Make `.venv` and install a requirements file into it.

`./champipy` runs this file by its path before anything else, so it uses only the standard library.
A lock on the project's folder keeps two runs apart; it ends with the process that holds it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
VENV = PROJECT / ".venv"
PYTHON = VENV / "bin" / "python"


def say(text: str) -> None:
    """Print a message to stderr; stdout is for the output of the command itself."""
    print(text, file=sys.stderr, flush=True)


def venv_works() -> bool:
    """Return whether `.venv` has pip and a Python 3.11 or later that starts."""
    try:
        check = [str(PYTHON), "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
        return subprocess.run(check, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make_venv() -> None:
    """Delete `.venv` and make it again with the Python that runs this file."""
    say(f"Making {VENV} with Python {sys.version.split()[0]} …")
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", VENV], stdout=sys.stderr, check=False)
    if made.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            f"{sys.executable} could not make {VENV} (see its message above). On Debian or "
            "Ubuntu, run: apt install python3-venv. Then run this command again."
        )


def install(requirements: Path) -> None:
    """Install a requirements file with pip, then copy it into `.venv` to mark it as installed.

    requirements-dev.txt contains every line of others, so it marks these as installed, too.
    """
    say(f"Installing {requirements.name}. The first time takes a minute or two …")
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--require-hashes", "-r", str(requirements)]
    content = requirements.read_bytes()
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
        sys.exit(
            f"pip could not install {requirements} (see its message above). "
            "Fix the cause and run this command again; it continues where it stopped."
        )
    lines = set(content.splitlines())
    for file in PROJECT.glob("requirements*.txt"):
        if set(file.read_bytes().splitlines()) <= lines:
            leave_stamp(file.name, file.read_bytes())


def leave_stamp(name: str, content: bytes) -> None:
    """Write the copy that marks a requirements file as installed, completely or not at all."""
    stamp = VENV / f"installed-{name}"
    temporary = stamp.with_suffix(".new")
    temporary.write_bytes(content)
    temporary.replace(stamp)


def main() -> None:
    """Install the requirements file named on the command line if it has changed."""
    requirements = PROJECT / sys.argv[1]
    if not os.access(PROJECT, os.W_OK):
        sys.exit(
            f"This user cannot write to {PROJECT}, so .venv cannot be made there. "
            "Run this command as the owner of the folder."
        )
    folder = os.open(PROJECT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Waiting for another ./champipy that is installing …")
        fcntl.flock(folder, fcntl.LOCK_EX)
    if not venv_works():
        make_venv()
    stamp = VENV / f"installed-{requirements.name}"
    if not stamp.is_file() or stamp.read_bytes() != requirements.read_bytes():
        install(requirements)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("The installation was interrupted. Run the same command again to continue it.")
