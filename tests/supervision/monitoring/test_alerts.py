"""Alerts: uniqueness, delivery, acknowledgement and resolution."""

from datetime import timedelta
from email.header import decode_header, make_header
from threading import Thread

import pytest
from celery import current_app
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from supervision.models import Alert, AlertMessage
from supervision.monitoring.alert_delivery import messages_deliver
from supervision.monitoring.alert_services import (
    alert_acknowledge,
    alert_raise,
    alerts_resolve,
    alerts_resolve_of_other_versions,
)
from tests.support.locks import start_blocked
from tests.support.rows import version_row

pytestmark = pytest.mark.django_db
PATH = "/api/v1/alerts"
LOW, NEW = Alert.Kind.LOW_ACCURACY, Alert.Kind.NEW_PHOTOS


def low_accuracy(version, value: float = 65.5, threshold: float = 70) -> Alert:
    return alert_raise(kind=LOW, version=version, value=value, threshold=threshold)


def end_pauses() -> None:
    """End the pauses after failed deliveries."""
    AlertMessage.objects.filter(next_attempt_at__isnull=False).update(
        next_attempt_at=timezone.now()
    )


def test_one_unresolved_alert_per_kind_and_model() -> None:
    first, second = version_row(1), version_row(2, "Staging")
    alert = low_accuracy(first)
    again = low_accuracy(first, 61)
    assert again.pk == alert.pk
    assert (again.value, again.since) == (61, alert.since)
    assert again.measured_at > alert.measured_at
    low_accuracy(second)
    alert_raise(kind=NEW, version=first, value=500, threshold=500)
    alert_raise(kind=Alert.Kind.UNANSWERED, value=10, threshold=10)
    alert_raise(kind=Alert.Kind.UNANSWERED, value=11, threshold=10)
    assert Alert.objects.count() == 4
    for twin in Alert.objects.all():
        twin.pk = None
        with pytest.raises(IntegrityError), transaction.atomic():
            twin.save()
    alerts_resolve(kind=LOW, version=first)
    assert low_accuracy(first).pk != alert.pk
    assert Alert.objects.get(pk=alert.pk).status == "resolved"


@pytest.mark.django_db(transaction=True)
def test_simultaneous_raises_make_one_alert_with_one_message(settings) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    version = version_row()

    def check() -> None:
        low_accuracy(version)
        connection.close()

    threads = [Thread(target=check) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Alert.objects.count() == AlertMessage.objects.count() == 1


def test_resolving_affects_one_kind_and_model() -> None:
    first, second = version_row(1), version_row(2, "Staging")
    for version in (first, second):
        low_accuracy(version)
    unanswered = alert_raise(kind=Alert.Kind.UNANSWERED, value=10, threshold=10)
    alerts_resolve_of_other_versions(version=first)
    assert [
        alert.model_version for alert in Alert.objects.filter(status="open").order_by("id")
    ] == [
        first,
        None,
    ]
    alerts_resolve(kind=LOW)  # not about a model: there is none
    assert Alert.objects.filter(status="open").count() == 2
    alerts_resolve(kind=Alert.Kind.UNANSWERED)
    unanswered.refresh_from_db()
    assert unanswered.resolved_at is not None
    alerts_resolve_of_other_versions(version=None)
    assert not Alert.objects.exclude(status="resolved").exists()


def test_an_acknowledged_alert_stays_quiet_until_it_is_resolved(users, mail) -> None:
    version = version_row()
    alert_acknowledge(alert=low_accuracy(version), by=users["bob"])
    alert = low_accuracy(version, 60)
    assert (alert.status, alert.value) == ("acknowledged", 60)
    assert AlertMessage.objects.count() == 1
    alerts_resolve(kind=LOW, version=version)
    alert.refresh_from_db()
    assert alert.status == "resolved"
    assert alert_acknowledge(alert=alert, by=users["admin"]).acknowledged_by == users["bob"]
    assert alert.status == "resolved"


def test_a_mail_states_the_problem_its_start_and_the_advice(mail) -> None:
    alert = low_accuracy(version_row())
    assert messages_deliver() == 1
    [(message, recipients)] = mail.received
    assert recipients == ["bob@example.org"]
    subject = message["Subject"].replace("\r\n", "")
    assert subject == "ChampiPy: The accuracy of VGG16 1 is 65.5 %, below the target of 70 %."
    text = message.get_payload(decode=True).decode()
    assert f"Since: {alert.since:%Y-%m-%d %H:%M} UTC" in text
    assert "train or fine-tune" in text
    assert messages_deliver() == 0
    low_accuracy(alert.model_version)
    assert messages_deliver() == 0
    assert len(mail.received) == 1


def test_each_administrator_reads_mails_in_their_language(mail, users) -> None:
    users["admin"].email, users["admin"].language = "admin@example.org", "fr"
    users["admin"].save()
    low_accuracy(version_row())
    assert messages_deliver() == 1
    by_reader = {recipients[0]: message for message, recipients in mail.received}
    assert set(by_reader) == {"admin@example.org", "bob@example.org"}
    english, french = (
        str(make_header(decode_header(by_reader[reader]["Subject"])))
        for reader in ("bob@example.org", "admin@example.org")
    )
    assert english.startswith("ChampiPy: The accuracy of VGG16 1 is 65.5 %")
    assert french.startswith(
        "ChampiPy\N{NO-BREAK SPACE}: L'exactitude de VGG16 1 est de 65,5\N{NO-BREAK SPACE}%"
    )
    text = by_reader["admin@example.org"].get_payload(decode=True).decode()
    assert "Que faire" in text
    assert (
        by_reader["admin@example.org"]["Message-ID"] != by_reader["bob@example.org"]["Message-ID"]
    )
    assert messages_deliver() == 0


def test_an_unreachable_mail_server_delays_messages_and_loses_none(mail, webhook) -> None:
    mail.stop()
    version = version_row()
    low_accuracy(version)
    assert messages_deliver() == 1, "the other channel does not wait"
    message = AlertMessage.objects.get(channel="mail")
    assert message.attempts == 1
    assert "refused" in message.error
    assert messages_deliver() == 0, "not before the pause is over"
    pauses = []
    for _ in range(9):
        end_pauses()
        messages_deliver()
        message.refresh_from_db()
        assert message.next_attempt_at is not None
        pauses.append(round((message.next_attempt_at - timezone.now()) / timedelta(minutes=1)))
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    alerts_resolve(kind=LOW, version=version)
    mail.start()
    end_pauses()
    assert messages_deliver() == 1
    [(received, _)] = mail.received
    assert "Resolved: " in received.get_payload(decode=True).decode()
    assert received["Message-ID"] == f"<alert-{message.alert_id}-{message.pk}-en@champipy>"
    end_pauses()
    assert messages_deliver() == 0
    assert len(mail.received) == len(webhook.received) == 1


def test_a_refusing_mail_server_and_webhook_are_tried_again(mail, webhook) -> None:
    mail.is_refusing = webhook.is_refusing = True
    low_accuracy(version_row())
    assert messages_deliver() == 0
    errors = AlertMessage.objects.values_list("error", flat=True)
    assert "secret" not in " ".join(map(str, errors))
    mail.is_refusing = webhook.is_refusing = False
    end_pauses()
    assert messages_deliver() == 2
    assert len(mail.received) == 1
    assert "below the target" in webhook.received[0]["title"]
    assert "What to do" in webhook.received[0]["message"]


def test_a_mail_waits_for_an_administrator_with_an_address(mail, users) -> None:
    users["bob"].email = ""
    users["bob"].save()
    low_accuracy(version_row())
    assert messages_deliver() == 0
    assert "No administrator has an e-mail address" in AlertMessage.objects.get().error
    users["admin"].email = "admin@example.org"
    users["admin"].save()
    end_pauses()
    assert messages_deliver() == 1
    assert mail.received[0][1] == ["admin@example.org"]


def test_an_address_that_is_no_longer_configured_gets_no_message(webhook, settings) -> None:
    low_accuracy(version_row())
    settings.CHAMPIPY_ALERT_URLS = []
    assert messages_deliver() == 0
    assert webhook.received == []
    assert "no longer" in AlertMessage.objects.get().error


def test_without_channels_an_alert_is_only_in_the_admin_and_the_api(bob) -> None:
    low_accuracy(version_row())
    assert AlertMessage.objects.count() == 0
    assert len(bob.get(PATH).json()["results"]) == 1


@pytest.mark.parametrize(("who", "status"), [("nobody", 401), ("alice", 403)])
def test_alerts_are_for_administrators(request, who, status) -> None:
    alert = low_accuracy(version_row())
    client = request.getfixturevalue(who)
    assert client.get(PATH).status_code == status
    assert client.post(f"{PATH}/{alert.pk}/acknowledge").status_code == status
    alert.refresh_from_db()
    assert (alert.status, alert.acknowledged_by) == ("open", None)


def test_open_alerts_come_first(bob, users, django_assert_num_queries) -> None:
    versions = [version_row(number, "Archived") for number in (1, 2, 3, 4)]
    alerts = [low_accuracy(version) for version in versions]
    alerts_resolve(kind=LOW, version=versions[3])
    alert_acknowledge(alert=alerts[2], by=users["bob"])
    with django_assert_num_queries(3):  # the token with its user, the count, the page
        listed = bob.get(PATH).json()["results"]
    assert [each["id"] for each in listed] == [alerts[i].pk for i in (1, 0, 2, 3)]
    assert listed[2]["acknowledged_by"] == "bob"
    assert listed[0] == {
        "id": alerts[1].pk,
        "kind": "low_accuracy",
        "status": "open",
        "model": {"name": "VGG16", "version": 2},
        "value": 65.5,
        "threshold": 70.0,
        "message": "The accuracy of VGG16 2 is 65.5 %, below the target of 70 %.",
        "detail": "",
        "advice": listed[0]["advice"],
        "run": None,
        "since": alerts[1].since.isoformat().replace("+00:00", "Z"),
        "measured_at": alerts[1].measured_at.isoformat().replace("+00:00", "Z"),
        "acknowledged_by": None,
        "acknowledged_at": None,
        "resolved_at": None,
    }


def test_an_alert_is_acknowledged_through_the_api(bob, users) -> None:
    alert = low_accuracy(version_row())
    body = bob.post(f"{PATH}/{alert.pk}/acknowledge").json()
    assert (body["status"], body["acknowledged_by"]) == ("acknowledged", "bob")
    assert bob.post(f"{PATH}/{alert.pk}/acknowledge").json() == body
    assert bob.post(f"{PATH}/999999/acknowledge").status_code == 404
    assert bob.get(f"{PATH}/{alert.pk}/acknowledge").status_code == 405


def test_every_admin_page_shows_open_alerts_only_to_administrators(client, users) -> None:
    alert = low_accuracy(version_row())
    assert "below the target" not in client.get("/admin/login/").content.decode()
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    for path in ("/admin/supervision/alert/", "/admin/accounts/user/"):
        assert "65.5 %, below the target" in client.get(path).content.decode()
    url = f"/admin/supervision/alert/{alert.pk}/acknowledge/"
    assert client.get(url).status_code == 405
    client.post(url)
    alert.refresh_from_db()
    assert (alert.status, alert.acknowledged_by) == ("acknowledged", users["bob"])
    assert "below the target" not in client.get("/admin/accounts/user/").content.decode()
    page = client.get(f"/admin/supervision/alert/{alert.pk}/change/").content.decode()
    assert "below the target" in page
    assert "fine-tune" in page


def test_admin_buttons_are_for_administrators(client, users) -> None:
    alert = low_accuracy(version_row())
    client.force_login(users["alice"], backend="django.contrib.auth.backends.ModelBackend")
    for action in (f"{alert.pk}/acknowledge/", "check/"):
        response = client.post(f"/admin/supervision/alert/{action}")
        assert (response.status_code, "/admin/login/" in response.headers["Location"]) == (
            302,
            True,
        )
    alert.refresh_from_db()
    assert alert.status == "open"


def test_several_alerts_are_acknowledged_at_once_in_the_admin(client, users) -> None:
    alerts = [low_accuracy(version_row(number, "Archived")) for number in (1, 2, 3)]
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    chosen = [alert.pk for alert in alerts[:2]]
    client.post(
        "/admin/supervision/alert/",
        {"action": "acknowledge_selected", "_selected_action": chosen},
    )
    open_ones = Alert.objects.filter(status="open").values_list("pk", flat=True)
    assert list(open_ones) == [alerts[2].pk]


@pytest.mark.django_db(transaction=True)
def test_an_alert_that_is_resolved_meanwhile_is_not_updated_but_opened_anew() -> None:
    version = version_row()
    first = low_accuracy(version)
    with transaction.atomic():
        alerts_resolve(kind=LOW, version=version)
        resolved = Alert.objects.filter(pk=first.pk).values().get()
        waiting = start_blocked(lambda: low_accuracy(version, 50))
    again = waiting.result(30)
    assert again.pk != first.pk
    assert (again.status, again.value) == ("open", 50)
    assert Alert.objects.filter(pk=first.pk).values().get() == resolved


def test_the_admin_lists_open_alerts_first(client, users) -> None:
    versions = [version_row(number, "Staging") for number in range(1, 5)]
    for version in versions:
        low_accuracy(version)
    alerts_resolve(kind=LOW, version=versions[3])
    alert_acknowledge(alert=Alert.objects.get(model_version=versions[2]), by=users["bob"])
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    page = client.get("/admin/supervision/alert/")
    listed = [alert.model_version.version for alert in page.context["cl"].result_list]
    assert listed == [2, 1, 3, 4]


def test_each_check_is_sent_although_another_could_not_be(client, users, monkeypatch) -> None:
    sent: list[str] = []

    def send(name: str, arguments: tuple[str], **_: object) -> None:
        if arguments == ("accuracy",):
            raise OperationalError("the broker is restarting")
        sent.extend(arguments)

    monkeypatch.setattr(current_app, "send_task", send)
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    page = client.post("/admin/supervision/alert/check/", follow=True).content.decode()
    assert sent == ["new_photos"]
    assert "The check of accuracy was not sent" in page
    assert "A worker checks now." in page
