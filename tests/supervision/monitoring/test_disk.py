"""The alert before the disk is full. It looks at the real disk; the settings change."""

import shutil

import pytest

from supervision.models import Alert
from supervision.monitoring.alert_texts import alert_advice, alert_summary
from supervision.monitoring.check_services import service_watch
from supervision.monitoring.selectors import disk_bytes_needed

pytestmark = pytest.mark.django_db


def test_an_alert_is_raised_while_the_disk_is_nearly_full_and_resolved_by_itself(settings) -> None:
    settings.CHAMPIPY_HOME.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(settings.CHAMPIPY_HOME)
    settings.CHAMPIPY_DISK_RESERVE_MB = disk.total // 10**6  # twice as much is never free
    service_watch()
    service_watch()
    alert = Alert.objects.get()
    assert (alert.kind, alert.status) == ("disk_full_soon", "open")
    assert alert.threshold == 2 * settings.CHAMPIPY_DISK_RESERVE_MB
    assert 0 <= alert.value <= alert.threshold / 2
    assert "CHAMPIPY_HOME has" in alert_summary(alert)
    assert "./champipy prune --dry-run" in alert_advice(alert)
    settings.CHAMPIPY_DISK_RESERVE_MB = 0
    is_enough = shutil.disk_usage(settings.CHAMPIPY_HOME).free > 0.06 * disk.total
    service_watch()
    assert is_enough == (not Alert.objects.exclude(status="resolved").exists())


@pytest.mark.parametrize(
    ("total", "reserve_mb", "needed"),
    [(10**12, 500, 5 * 10**10), (10**10, 500, 10**9), (10**10, 0, 5 * 10**8)],
)
def test_twice_the_reserve_or_five_percent_must_be_free(
    settings, total, reserve_mb, needed
) -> None:
    settings.CHAMPIPY_DISK_RESERVE_MB = reserve_mb
    assert disk_bytes_needed(total) == needed
