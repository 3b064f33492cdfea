"""The alert about a version that came with an upgrade and is better."""

import pytest
from django.test import Client

from mlmodels.models import ModelVersion
from mlmodels.services import PRETRAINED, version_promote, version_register
from supervision.models import Alert
from supervision.monitoring.alert_texts import alert_summary
from supervision.monitoring.check_services import service_watch
from supervision.monitoring.upgrade_services import waiting_shipped_version
from tests.support.calibrations import uncalibrate_version
from tests.support.versions import another_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def versions(db) -> tuple[ModelVersion, ModelVersion]:
    """Return a version in production, and the shipped one, which waits."""
    current = another_version(temperature=0.5)
    version_promote(version=current, by=None, reason="before the upgrade")
    shipped, _ = version_register(folder=PRETRAINED)
    assert waiting_shipped_version() == shipped
    return current, shipped


def accuracy_of(version: ModelVersion, accuracy: float) -> None:
    version.metrics["evaluation"]["accuracy"] = accuracy
    version.save()


def test_an_upgrade_tells_of_a_better_version_once_and_promotes_nothing(versions, users) -> None:
    current, shipped = versions
    service_watch()
    assert not Alert.objects.exists(), "it is as good"
    accuracy_of(current, 0.878)
    for _ in range(3):
        service_watch()
    alert = Alert.objects.get()
    assert (alert.kind, alert.model_version) == ("better_version", shipped)
    right = shipped.metrics["evaluation"]["accuracy"]
    assert (alert.value, alert.threshold) == (round(100 * right, 2), 87.8)
    assert alert_summary(alert) == (
        f"VGG16 2 came with ChampiPy and waits in Staging. It is right on {100 * right:.1f} % of "
        "the same evaluation photos, VGG16 1 on 87.8 %."
    )
    assert ModelVersion.objects.get(stage="Production") == current
    client = Client()
    client.force_login(users["bob"])
    page = client.get(f"/admin/supervision/alert/{alert.pk}/change/").content.decode()
    assert f'<a href="/admin/mlmodels/modelversion/{shipped.pk}/promote/">Compare…</a>' in page


@pytest.mark.parametrize("stage", ["Production", "Archived"])
def test_the_alert_ends_with_the_waiting(versions, stage) -> None:
    current, shipped = versions
    accuracy_of(current, 0.878)
    service_watch()
    if stage == "Production":
        version_promote(version=shipped, by=None, reason="better")
    else:
        ModelVersion.objects.filter(pk=shipped.pk).update(stage=stage)
    service_watch()
    service_watch()
    assert Alert.objects.get().status == "resolved"


def test_a_version_that_learnt_other_species_is_better_than_one_that_did_not(versions) -> None:
    current, _ = versions
    uncalibrate_version(current)
    service_watch()
    assert (
        "It tells photos of other species apart, which VGG16 1 never" in Alert.objects.get().detail
    )


def test_a_worse_version_raises_nothing(versions) -> None:
    accuracy_of(versions[0], 0.95)
    service_watch()
    assert not Alert.objects.exists()
