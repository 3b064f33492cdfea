"""Registers the admin pages of every package of supervision; Django imports this module."""

from supervision.datasets import admin as datasets
from supervision.evaluations.admin import evaluations, transitions, versions
from supervision.monitoring.admin import alerts, dashboard
from supervision.review.admin import photos
from supervision.trainings.admin import runs

__all__ = [
    "alerts",
    "dashboard",
    "datasets",
    "evaluations",
    "photos",
    "runs",
    "transitions",
    "versions",
]
