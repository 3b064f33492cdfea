"""The admin's pages: one module for each subject."""

from supervision.admin import alerts, dashboard, evaluations, runs, versions

__all__ = ["alerts", "dashboard", "evaluations", "runs", "versions"]
