from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import check
from django.db import DatabaseError, InterfaceError, connection

from supervision.models import Check
from supervision.monitoring.alert_texts import alert_advice, alert_summary
from supervision.monitoring.check_services import check_run
from supervision.monitoring.selectors import channels_configured, open_alerts

ONLY_SYSTEM_CHECKS = ("tags", "list_tags", "deploy", "databases")


class Command(check.Command):
    """Django's `check`, followed by the weekly checks unless options restrict it."""

    help = (
        "Checks the project's code and settings. Without app labels, --tag, --list-tags, --deploy "
        "or --database, it then also checks the accuracy of the model in production and the number "
        "of new photos, as beat does weekly."
    )

    def handle(self, *app_labels: Any, **options: Any) -> None:
        super().handle(*app_labels, **options)
        if app_labels or any(options[name] for name in ONLY_SYSTEM_CHECKS):
            return
        try:
            connection.ensure_connection()  # fail at once: the checks would wait minutes
            failed = self._check_service()
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(
                f"Only the code and the settings were checked, not the service: {error}\n"
                "Start the database, and run `migrate` if it is new: ./champipy up does both."
            ) from error
        if failed:
            raise CommandError("Not everything could be checked. Fix the errors shown above.")

    def _check_service(self) -> bool:
        """Carry out each check and print its result; return whether one failed."""
        checks = [check_run(kind=kind) for kind in Check.Kind]
        for finished in checks:
            self.stdout.write(f"{finished.get_kind_display()}: {finished.error or finished.result}")
        for alert in open_alerts():
            self.stdout.write(self.style.WARNING(f"Alert: {alert_summary(alert)}"))
            self.stdout.write(f"  {alert_advice(alert)}")
        if not channels_configured():
            self.stdout.write(
                "Alerts are shown in the admin only: neither EMAIL_URL nor CHAMPIPY_ALERT_URLS is "
                "set (docs/operations.md)."
            )
        return any(finished.error for finished in checks)
