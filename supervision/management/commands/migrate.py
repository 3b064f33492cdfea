import time
from typing import Any

from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import OperationalError, connections
from psycopg2.errors import LockNotAvailable

from common.sessions import is_pooled, past_the_pooler, statement_timeout_set

LOCK_TIMEOUT_MS = 3000
"""How long a statement waits for a table. Whoever comes after it waits as long."""
MAX_TRIES = 40
PAUSE_S = 5


class Command(MigrateCommand):
    help = (
        f"{MigrateCommand.help} No statement of a migration is cut off for its duration. One that "
        f"does not get its table within {LOCK_TIMEOUT_MS} ms gives way, and is tried again. With "
        "DATABASE_DIRECT_URL, they go past the pooler."
    )

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Check and migrate past a pooler; its sessions, which begin later, have a time limit."""
        with past_the_pooler():
            if is_pooled():
                statement_timeout_set(connections[options["database"]])
            return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_TIMEOUT_MS}ms"])
        self._migrate(*args, **options)
        with connection.cursor() as cursor:
            cursor.execute("RESET statement_timeout")
            cursor.execute("RESET lock_timeout")

    def _migrate(self, *args: Any, **options: Any) -> None:
        """Migrate; start again, with the migration that gave way, where a table was in use."""
        for remaining in reversed(range(MAX_TRIES)):
            try:
                super().handle(*args, **options)
                return
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable) or not remaining:
                    raise
            self.stdout.write(f"A table is in use. Trying again in {PAUSE_S} seconds.")
            time.sleep(PAUSE_S)
