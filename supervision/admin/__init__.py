"""The admin's pages: one module for each subject."""

from supervision.admin import (
    alerts,
    dashboard,
    evaluation_sets,
    evaluations,
    review,
    runs,
    versions,
)

__all__ = [
    "alerts",
    "dashboard",
    "evaluation_sets",
    "evaluations",
    "review",
    "runs",
    "versions",
]
