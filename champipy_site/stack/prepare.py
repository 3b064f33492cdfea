"""Bring database, static files, logins and the model that comes along up to date.

Run as `python -m champipy_site.stack.prepare`, at each start: each step does nothing where there
is nothing to do. One process for all of them, because importing Django takes longer than they do.
"""

import time

import django
from django.core.management import call_command

STEPS = (
    ["migrate", "--noinput"],
    ["collectstatic", "--noinput"],
    ["seed_logins"],
    ["register_model", "--pretrained"],
)


def main() -> None:
    """Run the steps; the first that fails ends it with its traceback."""
    django.setup()
    for step in STEPS:
        began = time.monotonic()
        print(f"--- {' '.join(step)}", flush=True)
        call_command(*step)
        print(f"    {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
