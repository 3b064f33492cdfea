from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import MAX_TOKEN_NAME, User
from accounts.services import user_token_create


class Command(BaseCommand):
    help = (
        "Makes a token for a user of the API and prints it: alone on standard output, so that "
        "TOKEN=$(./champipy token NAME) works."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the user's name")
        parser.add_argument("--called", default="", metavar="TEXT", help="a name for the token")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        try:
            token, expiry = user_token_create(
                username=name, name=options["called"][:MAX_TOKEN_NAME]
            )
        except User.DoesNotExist as error:
            raise CommandError(
                f"There is no active user {name!r}. The admin lists the users; "
                "./champipy createsuperuser makes an administrator."
            ) from error
        self.stdout.write(token)
        self.stderr.write(f"Valid until {expiry:%Y-%m-%d %H:%M} UTC, or until it is revoked.")
