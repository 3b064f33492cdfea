import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import F
from tqdm import tqdm

from mlmodels.ml.backbone import BackboneUnavailable
from mlmodels.ml.preprocessing import PhotoError
from supervision.datasets.selectors import TooFewPhotos
from supervision.models import LabelDoubt
from supervision.review.label_audit import audit_labels

SHOWN = 30


class Command(BaseCommand):
    help = (
        "Lists the training and evaluation photos with the most doubtful labels, according to "
        "networks that were not trained on them. The admin shows those whose label is doubted "
        "with pictures: Photos, filter “audit doubts the label”."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--first", type=int, default=SHOWN, metavar="N", help=f"how many ({SHOWN})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        bar = tqdm(unit="photo", file=sys.stderr, disable=None)

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            with bar:
                audit = audit_labels(on_photos=show)
        except (TooFewPhotos, BackboneUnavailable) as error:
            raise CommandError(str(error)) from error
        except (PhotoError, OSError) as error:
            raise CommandError(
                f"Nothing was audited: a photo cannot be read ({error}). Restore it from a backup, "
                "or exclude it in the admin, then start again: computed features are kept."
            ) from error
        doubts = LabelDoubt.objects.select_related("photo", "label", "likelier")
        for row in doubts.order_by("-doubt", "photo__sha256")[: max(0, options["first"])]:
            name = row.photo.origin or row.photo.sha256[:12]
            likelier = "" if row.likelier == row.label else f", likelier {row.likelier}"
            self.stdout.write(
                f"{row.doubt:6.1%}  {row.photo.split:<10}  {name}: {row.label}{likelier}"
            )
        for name, count in audit.left_out.items():
            self.stderr.write(f"{name} was left out: its {count} photos show too few finds.")
        doubted = doubts.exclude(likelier=F("label")).count()
        self.stdout.write(
            f"{audit.photos} photos audited; another species is likelier for {doubted}."
        )
