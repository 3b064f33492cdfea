"""Make `.venv` and install a requirements file into it; run by `./champipy`, before anything else.

Only the standard library is there at this point, and this file is run by its path. Two at once
take turns by a lock on the project's folder, which ends with the process that holds it.
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
    """Say it on stderr: stdout is for what the command itself prints."""
    print(text, file=sys.stderr, flush=True)


def venv_works() -> bool:
    """Tell whether `.venv` has a Python that starts and has pip."""
    try:
        check = [str(PYTHON), "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
        return subprocess.run(check, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make_venv() -> None:
    """Make `.venv` anew with the Python that runs this file."""
    say(f"Making {VENV} with Python {sys.version.split()[0]} …")
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", VENV], stdout=sys.stderr, check=False)
    if made.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            f"{sys.executable} could not make {VENV} (its message is above). On Debian and Ubuntu: "
            "apt install python3-venv. Then run this command again."
        )


def install(requirements: Path) -> None:
    """Install the file with pip, then leave a copy of it in `.venv` as the sign that it is done.

    requirements-dev.txt names all that requirements.txt does: with it, both are installed.
    """
    say(f"Installing {requirements.name}: a minute or two the first time …")
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["-r", str(requirements)]
    content = requirements.read_bytes()
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
        sys.exit(
            f"pip could not install {requirements} (its message is above). "
            "Once that is mended, run this command again: it goes on where it stopped."
        )
    main_file = PROJECT / "requirements.txt"
    if set(main_file.read_bytes().splitlines()) <= set(content.splitlines()):
        leave_stamp(main_file.name, main_file.read_bytes())
    leave_stamp(requirements.name, content)


def leave_stamp(name: str, content: bytes) -> None:
    """Write the sign whole or not at all."""
    stamp = VENV / f"installed-{name}"
    fresh = stamp.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(stamp)


def main() -> None:
    """Install the named file of the project unless another process has just done so."""
    requirements = PROJECT / sys.argv[1]
    if not os.access(PROJECT, os.W_OK):
        sys.exit(f"{PROJECT} is not writable for this user: .venv cannot be made there.")
    folder = os.open(PROJECT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another ./champipy is installing: waiting for it …")
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
        sys.exit("Stopped before the installation was complete. Run the same command to go on.")
