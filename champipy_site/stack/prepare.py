"""Prepares the database, the static files, the first users and the shipped model.

`python -m champipy_site.stack.prepare` runs at each start. A step whose work is done changes
nothing, and of several that are started at the same time one waits for the other. One process runs
all steps, because importing Django takes longer than they do.
"""

import sys
import time

import django
from django.core.management import CommandError, call_command

LOCK = 0x7072657061  # "prepa" in ASCII; any number that no other advisory lock has
PAUSE_S = 1.0
STEPS = (
    ["migrate", "--noinput"],
    ["prepare_similar"],
    ["collectstatic", "--noinput"],
    ["seed_logins"],
    ["register_model", "--pretrained"],
)


def main() -> None:
    """Run the steps in order; one that fails ends the process with exit code 1."""
    django.setup()
    from common.sessions import SessionLock
    from common.storage import StorageUnavailable

    lock = SessionLock(LOCK)
    while not lock.acquire():
        print("Waiting for another process that prepares the database …", flush=True)
        time.sleep(PAUSE_S)
    for step in STEPS:
        began = time.monotonic()
        print(f"--- {' '.join(step)}", flush=True)
        try:
            call_command(*step)
        except CommandError as error:
            sys.exit(str(error))
        except StorageUnavailable as unavailable:
            sys.exit(f"{unavailable}\n{unavailable.advice}")
        print(f"    {time.monotonic() - began:.1f} s", flush=True)
    lock.release()


if __name__ == "__main__":
    main()
