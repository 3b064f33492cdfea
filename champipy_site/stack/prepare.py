"""Prepares the database, the static files, the first users and the shipped model.

`python -m champipy_site.stack.prepare` runs at each start. A step whose work is done changes
nothing. One process runs all steps, because importing Django takes longer than they do.
"""

import time

import django
from django.core.management import call_command

STEPS = (
    ["migrate", "--noinput"],
    ["prepare_similar"],
    ["collectstatic", "--noinput"],
    ["seed_logins"],
    ["register_model", "--pretrained"],
)


def main() -> None:
    """Run the steps in order; a step that fails ends the process with a traceback."""
    django.setup()
    for step in STEPS:
        began = time.monotonic()
        print(f"--- {' '.join(step)}", flush=True)
        call_command(*step)
        print(f"    {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
