from typing import Any

from django.core.management.base import BaseCommand

from predictions.vector_services import NO_VECTORS, vectors_prepare


class Command(BaseCommand):
    help = (
        "Makes what similar photos need in the database, as far as it is missing: the extension "
        "vector, where this role may make it, and the index. `up` runs it; run it yourself once a "
        "server of yours has got the extension."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if vectors_prepare():
            self.stdout.write("Similar photos can be searched for.")
        else:
            self.stderr.write(f"{NO_VECTORS} See docs/operations.md, *Similar photos*.")
