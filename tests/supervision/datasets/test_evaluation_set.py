"""The evaluation set: frozen under a hash, and changed only by freezing a new version."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.utils import timezone

from mlmodels.models import Species
from predictions.models import Photo
from supervision.datasets.selectors import (
    current_evaluation_set,
    evaluation_set,
    evaluation_set_sha256,
)
from supervision.datasets.services import evaluation_set_changes, evaluation_set_freeze
from supervision.models import EvaluationSet
from supervision.review.services import photo_exclude, photo_label
from tests.support.labelled_photos import ten_species
from tests.support.locks import start_blocked
from tests.support.photos import drawn_photo
from tests.support.rows import photo_rows

pytestmark = pytest.mark.django_db
LIST = "/admin/supervision/evaluationset/"


def frozen_rows() -> EvaluationSet:
    """Freeze ten evaluation photos, one per species, as rows without files."""
    photo_rows(1)
    Photo.objects.update(split="evaluation")
    evaluation_set_freeze(by=None, reason="test")
    return EvaluationSet.objects.get()


def folder_of(folder: Path, **photos: int) -> Path:
    """Fill a folder with drawn photos of the fly agaric, by name and seed."""
    (folder / "Amanita_muscaria").mkdir(parents=True)
    for name, seed in photos.items():
        (folder / "Amanita_muscaria" / f"{name}.jpg").write_bytes(drawn_photo(seed))
    return folder


def run_import(folder: Path, split: str, *options: str) -> str:
    out = StringIO()
    arguments = (str(folder), "--split", split, *options)
    call_command("import_photos", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_review_changes_nothing_in_a_frozen_set(users) -> None:
    frozen = frozen_rows()
    labels = [species.name for species in ten_species()]
    before = evaluation_set(labels)
    assert (before.sha256, len(before.photos)) == (frozen.sha256, 10)
    relabelled, excluded = Photo.objects.order_by("pk")[:2]
    other = Species.objects.exclude(name=relabelled.label.name).first()
    photo_label(photo=relabelled, species=other, by=users["bob"])
    photo_exclude(photo=excluded, by=users["bob"])
    after = evaluation_set(labels)
    assert evaluation_set_sha256(labels) == (after.sha256, 10) == (before.sha256, 10)
    assert [(p.sha256, p.label) for p in after.photos] == [
        (p.sha256, p.label) for p in before.photos
    ]
    assert str(evaluation_set_changes()) == "0 photos added, 1 removed, 1 relabelled"

    second = evaluation_set_freeze(by=users["bob"], reason="two labels were wrong")
    assert (second.version, second.n, second.by) == (2, 9, users["bob"])
    assert not evaluation_set_changes()
    species_by_photo = dict(second.manifest)
    assert species_by_photo[relabelled.sha256] == other.name
    assert excluded.sha256 not in species_by_photo
    assert evaluation_set(labels).sha256 == second.sha256 != frozen.sha256
    assert EvaluationSet.objects.get(version=1).manifest == frozen.manifest


def test_freezing_without_changes_makes_no_new_version() -> None:
    assert evaluation_set_freeze(by=None, reason="nothing there") is None
    frozen = frozen_rows()
    assert evaluation_set_freeze(by=None, reason="again") == frozen
    assert EvaluationSet.objects.count() == 1


def test_a_model_is_measured_on_the_species_that_it_knows() -> None:
    frozen_rows()
    four_species = [species.name for species in ten_species()][:4]
    full_set = evaluation_set([species.name for species in ten_species()])
    part = evaluation_set(four_species)
    assert len(part.photos) == 4
    assert part.sha256 != full_set.sha256
    assert evaluation_set(["Boletus edulis"]) is None
    assert evaluation_set_sha256(["Boletus edulis"]) is None


def test_a_photo_that_is_no_longer_stored_is_an_error() -> None:
    frozen_rows()
    missing = Photo.objects.first()
    missing.delete()
    with pytest.raises(LookupError, match=f"1 photos .* {missing.sha256[:12]}"):
        evaluation_set([species.name for species in ten_species()])


def test_the_first_import_freezes_and_a_second_one_needs_a_reason(tmp_path: Path) -> None:
    first = folder_of(tmp_path / "first", a=900, b=901)
    assert "Frozen as evaluation set 1 (2 photos)" in run_import(first, "evaluation")
    more = folder_of(tmp_path / "more", c=902)
    for reason in ((), ("--new-version", " ")):
        with pytest.raises(CommandError, match="Nothing was imported: evaluation set 1"):
            run_import(more, "evaluation", *reason)
    assert Photo.objects.count() == 2
    assert EvaluationSet.objects.count() == 1
    out = run_import(more, "evaluation", "--new-version", "one more")
    assert "Frozen as evaluation set 2 (3 photos)" in out
    assert EvaluationSet.objects.get(version=2).reason == "one more"
    out = run_import(more, "evaluation", "--new-version", "again")
    assert "Nothing changed: evaluation set 2 (3 photos) stays." in out
    assert EvaluationSet.objects.count() == 2
    with pytest.raises(CommandError, match="for evaluation photos only"):
        run_import(more, "training", "--new-version", "x")


def test_training_photos_are_imported_unless_they_resemble_the_frozen_set(
    tmp_path: Path,
) -> None:
    run_import(folder_of(tmp_path / "evaluation", e=910), "evaluation")
    training = folder_of(tmp_path / "training", t=911)
    file = training / "Amanita_muscaria" / "same.png"
    file.write_bytes(drawn_photo(910, format="PNG"))
    out = run_import(training, "training")
    assert "1 resembles a photo of the other split, 1 imported." in out
    assert "same.png: looks like e.jpg (Amanita muscaria, evaluation), 0 of 64 bits" in out
    assert list(Photo.objects.filter(split="training").values_list("origin")) == [("t.jpg",)]
    assert current_evaluation_set().version == 1


@pytest.mark.parametrize("who", [None, "alice"])
def test_only_administrators_see_and_freeze_sets(users, who: str | None) -> None:
    frozen_rows()
    photo_exclude(photo=Photo.objects.first(), by=users["bob"])
    client = Client()
    if who:
        client.force_login(users[who], backend="django.contrib.auth.backends.ModelBackend")
    for response in (client.get(LIST), client.post(f"{LIST}freeze/", {"reason": "mine"})):
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/admin/login/")
    assert EvaluationSet.objects.count() == 1


def test_bob_freezes_a_new_version_in_the_admin(users) -> None:
    frozen_rows()
    client = Client(enforce_csrf_checks=True)
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    assert "Freeze a new version" not in client.get(LIST).content.decode()
    photo_exclude(photo=Photo.objects.first(), by=users["bob"])
    page = client.get(LIST)
    assert "0 photos added, 1 removed, 0 relabelled" in page.content.decode()
    assert client.post(f"{LIST}freeze/", {"reason": "no token"}).status_code == 403
    assert client.get(f"{LIST}freeze/").status_code == 405
    token = {"csrfmiddlewaretoken": client.cookies["csrftoken"].value}
    empty = client.post(f"{LIST}freeze/", {**token, "reason": " "}, follow=True)
    assert "Nothing was frozen: enter a reason" in empty.content.decode()
    assert EvaluationSet.objects.count() == 1
    done = client.post(f"{LIST}freeze/", {**token, "reason": "a bad photo"}, follow=True)
    assert "measured on evaluation set 2 (9 photos) from now on" in done.content.decode()
    assert EvaluationSet.objects.get(version=2).by == users["bob"]


@pytest.mark.django_db(transaction=True)
def test_an_upgrade_freezes_the_present_evaluation_photos() -> None:
    ten_species()
    tables = MigrationExecutor(connection)
    tables.migrate([("supervision", "0003_checks_and_alerts")])
    try:
        old_photo = tables.loader.project_state(
            [("predictions", "0002_review"), ("mlmodels", "0003_runs_and_gate")]
        ).apps.get_model("predictions", "Photo")
        for number, species in enumerate(ten_species()[:3]):
            old_photo.objects.create(
                sha256=f"{number:064}", file="a", bytes=1, width=9, height=9, perceptual_hash=0,
                label_id=species.pk, split="evaluation", split_at=timezone.now(),
            )  # fmt: skip
    finally:
        tables = MigrationExecutor(connection)
        tables.migrate(tables.loader.graph.leaf_nodes())
    frozen = EvaluationSet.objects.get()
    assert (frozen.version, frozen.n) == (1, 3)
    assert evaluation_set_freeze(by=None, reason="the same") == frozen, "the same hash"


@pytest.mark.django_db(transaction=True)
def test_a_freeze_that_waits_for_another_sees_what_it_froze(users) -> None:
    frozen_rows()
    with transaction.atomic():
        photo_exclude(photo=Photo.objects.first(), by=users["bob"])
        second = evaluation_set_freeze(by=users["bob"], reason="one is bad")
        waiting = start_blocked(lambda: evaluation_set_freeze(by=None, reason="at the same time"))
    assert waiting.result(30) == second
    assert list(EvaluationSet.objects.values_list("version", "n")) == [(2, 9), (1, 10)]


def test_a_freeze_without_changes_says_so_in_the_admin(users) -> None:
    client = Client()
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    page = client.post(f"{LIST}freeze/", {"reason": "none"}, follow=True).content.decode()
    assert "Nothing was frozen: there are no evaluation photos." in page
    frozen = frozen_rows()
    page = client.post(f"{LIST}freeze/", {"reason": "again"}, follow=True).content.decode()
    assert "Nothing was frozen: the evaluation photos are still those of evaluation set 1" in page
    assert "from now on" not in page
    assert list(EvaluationSet.objects.all()) == [frozen]
