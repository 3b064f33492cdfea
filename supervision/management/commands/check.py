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
    """Django's `check`; asked for nothing in particular, it then checks what beat does weekly."""

    help = (
        "Checks the project's code and settings; then, unless labels, --tag, --list-tags, --deploy "
        "or --database ask for something in particular, the accuracy of the model in production "
        "and the number of new photos, as beat does weekly."
    )

    def handle(self, *app_labels: Any, **options: Any) -> None:
        super().handle(*app_labels, **options)
        if app_labels or any(options[name] for name in ONLY_SYSTEM_CHECKS):
            return
        try:
            connection.ensure_connection()  # the checks would wait for it, minutes long
            failed = self._check_service()
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(
                f"The service was not checked, only the code and the settings: {error}\n"
                "Start the database, and run `migrate` where it is new: ./champipy up does both."
            ) from error
        if failed:
            raise CommandError("Not everything could be checked. Mend what is named above.")

    def _check_service(self) -> bool:
        """Carry out each check, print what it found, and tell whether one failed."""
        checks = [check_run(kind=kind) for kind in Check.Kind]
        for done in checks:
            self.stdout.write(f"{done.get_kind_display()}: {done.error or done.result}")
        for alert in open_alerts():
            self.stdout.write(self.style.WARNING(f"Alert: {alert_summary(alert)}"))
            self.stdout.write(f"  {alert_advice(alert)}")
        if not channels_configured():
            self.stdout.write(
                "Alerts are seen in the admin only: neither EMAIL_URL nor CHAMPIPY_ALERT_URLS is "
                "set (docs/operations.md)."
            )
        return any(done.error for done in checks)
