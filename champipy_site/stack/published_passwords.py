"""Prints a message if logins still have the passwords from the documentation, else nothing.

`up --host` runs it as a process of its own, because the supervisor does not load Django.
"""

import django


def main() -> None:
    """Print what `check --deploy` says of the published passwords, even if DEBUG is on."""
    django.setup()
    from django.conf import settings

    from accounts.checks import published_passwords

    settings.DEBUG = False
    for message in published_passwords(None):
        print(message.msg, message.hint)


if __name__ == "__main__":
    main()
