from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from accounts.services import terminal_token_create
from common.files import write_atomically
from common.home import TERMINAL_TOKEN


class Command(BaseCommand):
    help = (
        "Writes a new token into CHAMPIPY_HOME, with which ./champipy predict asks the running "
        "stack. `predict` does this by itself where it has no valid token."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.CHAMPIPY_HOME) / TERMINAL_TOKEN
        write_atomically(path, [terminal_token_create().encode()])
