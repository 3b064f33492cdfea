from typing import Any

from django.core.management.base import BaseCommand

from accounts.services import logins_seed


class Command(BaseCommand):
    help = "Creates the four logins of the specification if there is no user yet."

    def handle(self, *args: Any, **options: Any) -> None:
        created = logins_seed()
        self.stdout.write(
            f"Created the logins {', '.join(created)}."
            if created
            else "There are users already, so no login was created."
        )
