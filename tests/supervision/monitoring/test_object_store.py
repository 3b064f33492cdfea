"""The alert about the object store, against two real ones."""

import pytest

from common.metrics import FILE_STORE_SECONDS
from supervision.models import Alert
from supervision.monitoring.alert_texts import alert_advice, alert_summary
from supervision.monitoring.check_services import service_watch
from tests.support.object_stores import Proxy, StoredFiles

pytestmark = pytest.mark.django_db


@pytest.fixture
def proxy_in_use(proxy: Proxy, stored_files: StoredFiles) -> Proxy:
    """Return the proxy before the store that has the files, below a prefix of their own."""
    stored_files.home.mkdir()
    return proxy


def unresolved() -> list[Alert]:
    return list(Alert.objects.exclude(status="resolved"))


def test_an_alert_is_open_while_the_object_store_fails(
    proxy_in_use: Proxy, stored_files: StoredFiles
) -> None:
    service_watch()
    assert unresolved() == []
    assert stored_files.remote() == []  # it was tried out, and cleaned up
    proxy_in_use.plan = lambda request: "error"
    for failures in (1, 2):
        service_watch()
        [alert] = unresolved()
        assert (alert.kind, alert.value) == ("store_unavailable", failures)
    assert alert_summary(alert) == "The object store failed 2 times in a row."
    assert "CHAMPIPY_STORAGE_URL" in alert_advice(alert)
    proxy_in_use.plan = lambda request: ""
    service_watch()
    assert unresolved() == []


def test_an_alert_about_a_store_that_is_no_longer_used_is_resolved() -> None:
    Alert.objects.create(kind="store_unavailable", value=1, threshold=1)
    service_watch()
    assert unresolved() == []


def test_failed_requests_are_measured(proxy_in_use: Proxy) -> None:
    def failures() -> float:
        [metric] = FILE_STORE_SECONDS.collect()
        of_failures = ("_count", "failure")
        return sum(
            each.value
            for each in metric.samples
            if (each.name[-6:], each.labels["outcome"]) == of_failures
        )

    service_watch()
    before = failures()
    service_watch()
    assert failures() == before
    proxy_in_use.plan = lambda request: "error"
    service_watch()
    assert failures() > before
