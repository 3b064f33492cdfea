"""Tests that no page, endpoint or periodic task reads a whole table, however long the tables are.

The tables are filled as `benchmarks/growth.py` does it, with so many rows that PostgreSQL plans as
for more. Then each query is explained. What is counted or listed by an index ends at a limit, so
the rows that a query looks at do not grow either.
"""

import json
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from rest_framework.test import APIClient

from accounts import people
from accounts.models import User
from benchmarks.growth import FILL, set_sizes
from champipy_site.celery import app
from common import paging
from mlmodels.ml.preprocessing import NEAR_DUPLICATE_BITS
from mlmodels.models import ModelVersion
from observations.models import Observation
from predictions.deletion_services import prediction_delete
from predictions.models import Photo, Prediction
from predictions.photo_services import photo_file_delete, photo_keep_for_training
from predictions.selectors import photos_resembling, stored_inference
from supervision.monitoring import feedback, summaries
from supervision.monitoring.admin import dashboard
from supervision.monitoring.metrics import ServiceCollector
from supervision.monitoring.summaries import disagreements_note, summaries_update
from supervision.review import selectors
from supervision.review.admin import lists
from tests.support.growing_paths import (
    OF_ADMINISTRATORS,
    OF_USERS,
    OF_VERIFIERS,
    PAGES_OF_ADMINISTRATORS,
    filled,
)
from tests.support.page_paths import OWN_ADMIN_PAGES, VERIFIERS_PAGES
from tests.support.plans import Query, captured_queries, reading

pytestmark = pytest.mark.django_db

SIZES = {"predictions": 60_000, "photos": 30_000, "answers": 20_000}
LARGE = 5_000
"""A table with as many rows must not be read from its beginning to its end."""
LIMITS = {
    "MAX_COUNTED": 500,
    "MAX_REVIEWED": 50,
    "MAX_FEEDBACK": 20,
    "MAX_COMPARED": 50,
    "MAX_COUNTED_OF_EACH": 50,
    "INFERENCES_AGAIN": 50,
}
"""At which counting stops here: a twentieth, as the tables are shorter than they may be."""
MAX_ROWS = 20_000
"""Rows that a query may look at: those of a list, and what belongs to each in a few tables."""
MAY_SCAN = {
    "/admin/observations/queueentry/": "PostgreSQL reads the names of so few finds at once; of two "
    "million finds it looks up those of the page (docs/performance.md)",
}
"""Pages of which a query may read a table of this size, and why."""
NOT_CALLED = {
    "poll-mushroom-observer": "asks Mushroom Observer",
    "check-accuracy": "measures a version on photos, whose files are not there",
    "score-shadows": "scores photos, whose files are not there",
    "prune": "looks once a day, by key, for photos that nobody needs",
}
"""Periodic tasks that are not called here, and why."""
NOT_OPENED = {
    "/admin/password_change/": "reads only the user",
    "/admin/mlmodels/trainingrun/start/finetune": "is that of a training",
    "/admin/mlmodels/trainingrun/compare/": "reads only runs",
    "/admin/mlmodels/modelversion/2/shadow/": "is there with another id",
}
"""Pages that are not opened here, and why."""


@pytest.fixture
def large(
    users: dict[str, User], production: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> frozenset[str]:
    """Fill the tables, and return the names of the large ones."""
    for module in (people, paging, selectors, lists, dashboard, feedback, summaries):
        for name in LIMITS.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, LIMITS[name])
    monkeypatch.setattr(paging.ReviewPaginator, "limit", LIMITS["MAX_REVIEWED"])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")  # filling takes a while
        set_sizes(cursor, **SIZES)
        cursor.execute(FILL.read_text())
        cursor.execute("ANALYZE")
        summaries_update()
        while disagreements_note():
            pass
        large = "SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples >= %s"
        cursor.execute(large, [LARGE])
        return frozenset(name for (name,) in cursor.fetchall())


def faults(queries: list[Query], large: frozenset[str]) -> list[str]:
    """Return what is wrong with queries: the tables that they scan, and how much they read."""
    found = []
    for query in queries:
        read = reading(query)
        text = f"{query.sql} {query.parameters}"
        if scanned := read.scanned & large:
            found.append(f"scans {', '.join(sorted(scanned))}: {text}")
        elif read.rows > MAX_ROWS:
            found.append(f"reads {read.rows} rows: {text}")
    return found


def value_of(query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        [value] = cursor.fetchone()
    return value


def faults_of_paths(
    client: Client | APIClient, paths: tuple[str, ...], large: frozenset[str]
) -> dict[str, list[str]]:
    """Open addresses, and return what is wrong with the queries of each."""
    found = {}
    for path, address in zip(paths, filled(paths, value_of), strict=True):
        with transaction.atomic(), captured_queries() as queries:
            response = client.get(address)
            wrong = faults(queries, large)
            transaction.set_rollback(True)
        assert response.status_code in (200, 302), (address, response.content)
        if wrong and path not in MAY_SCAN:
            found[path] = wrong
    return found


def told(wrong: dict[str, list[str]]) -> str:
    return "\n".join(f"{name}: {text}" for name, found in wrong.items() for text in found)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def api_client(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def faults_of_pages(large: frozenset[str], users: dict[str, User]) -> dict[str, list[str]]:
    """Return what is wrong with the queries of pages and endpoints."""
    wrong: dict[str, list[str]] = {}
    alice, bob = users["alice"], users["bob"]
    for client, paths in (
        (browser(alice), OF_VERIFIERS),
        (browser(bob), PAGES_OF_ADMINISTRATORS),
        (api_client(alice), OF_USERS),
        (api_client(bob), (*OF_USERS, *OF_ADMINISTRATORS)),
    ):
        wrong |= faults_of_paths(client, paths, large)
    lists = tuple(path for path in OF_USERS if "{" not in path)
    for name in ("verifier1", "verifier200"):  # who asked a little, and who asked nothing
        user = User.objects.get(username=name)
        of_user = faults_of_paths(api_client(user), lists, large)
        of_user |= faults_of_paths(browser(user), ("/", "/finds", "/photos", "/queue"), large)
        wrong |= {f"{name} {path}": found for path, found in of_user.items()}
    return wrong


def faults_of_tasks(large: frozenset[str], production: ModelVersion) -> dict[str, list[str]]:
    """Return what is wrong with the queries of periodic tasks, and of a new photo."""
    wrong = {}
    app.loader.import_default_modules()
    for name in sorted(settings.CELERY_BEAT_SCHEDULE.keys() - NOT_CALLED.keys()):
        entry: dict[str, Any] = settings.CELERY_BEAT_SCHEDULE[name]
        with transaction.atomic(), captured_queries() as queries:
            app.tasks[entry["task"]](*entry.get("args", ()))
            wrong[name] = faults(queries, large)
            transaction.set_rollback(True)
    with captured_queries() as queries:
        list(ServiceCollector().collect())
    wrong["metrics"] = faults(queries, large)

    known = Photo.objects.filter(split="training", label__name="Amanita muscaria").first()
    new = Photo.objects.filter(split="", excluded=False).exclude(file="").first()
    assert known is not None
    assert new is not None
    new.perceptual_hash = known.perceptual_hash
    for place in range(NEAR_DUPLICATE_BITS):
        new.perceptual_hash ^= 1 << 8 * place  # as different as one that resembles it may be
    with captured_queries() as queries:
        stored_inference(sha256=new.sha256, version=production)
        assert not photo_keep_for_training(photo=new, species_name="Amanita muscaria")
        assert known in photos_resembling(
            perceptual_hash=new.perceptual_hash,
            mushroom_observer_id=None,
            label=known.label,
            split="training",
        )
    wrong["a new photo"] = faults(queries, large)
    assert max(reading(query).rows for query in queries) < 2_000

    asked = Prediction.objects.filter(user__username="alice", status="done").first()
    assert asked is not None
    with captured_queries() as queries, transaction.atomic():
        prediction_delete(prediction=asked)
        photo_file_delete(name=f"photos/ff/{'f' * 64}")
        wrong["a deletion"] = faults(queries, large)
        transaction.set_rollback(True)
    return {name: found for name, found in wrong.items() if found}


def assert_faults_are_found(large: frozenset[str]) -> None:
    assert large >= {
        "observations_observation", "observations_observationphoto", "observations_proposedname",
        "predictions_inference", "predictions_photo", "predictions_photosource",
        "predictions_prediction", "supervision_evaluationanswer",
    }  # fmt: skip
    with captured_queries() as queries:
        list(Prediction.objects.filter(file="x"))
        list(Prediction.objects.order_by("id").filter(file__endswith="x").values("id")[:1])
        list(Prediction.objects.filter(pk=1))
    scanned, walked = faults(queries, large)
    assert scanned.startswith("scans predictions_prediction")
    assert "LIKE" in walked


def assert_few_undecided_finds_are_expected() -> None:
    """Of the queue's finds few are undecided: who expects many reads the whole queue for them."""
    queue, done = Observation.Source.QUEUE, Observation.Status.DONE
    undecided = Observation.objects.filter(source=queue, status=done, decision="").order_by()
    [plan] = json.loads(undecided.explain(format="json"))
    assert plan["Plan"]["Plan Rows"] < 2 * undecided.count()


@pytest.mark.timeout(900)
def test_no_page_endpoint_or_task_reads_a_long_table(
    large: frozenset[str],
    users: dict[str, User],
    production: ModelVersion,
    fresh_rate_limits: None,
    lost_messages: None,
) -> None:
    """Look at everything in one test, because it takes a minute to fill the tables."""
    assert_faults_are_found(large)
    assert_few_undecided_finds_are_expected()
    wrong = faults_of_pages(large, users) | faults_of_tasks(large, production)
    assert not wrong, told(wrong)


def test_every_page_is_opened() -> None:
    opened = {path.partition("?")[0] for path in (*OF_VERIFIERS, *PAGES_OF_ADMINISTRATORS)}
    pages = {path.partition("?")[0] for path in (*VERIFIERS_PAGES, *OWN_ADMIN_PAGES)}
    assert pages - opened == NOT_OPENED.keys()
