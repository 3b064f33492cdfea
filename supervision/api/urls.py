"""The paths of supervision: each module of this package has its own."""

from supervision.api import alerts, models, runs, statistics

urlpatterns = [
    *alerts.urlpatterns,
    *models.urlpatterns,
    *runs.urlpatterns,
    *statistics.urlpatterns,
]
