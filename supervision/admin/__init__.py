"""The admin's pages: one module for each subject."""

from supervision.admin import evaluations, runs, versions

__all__ = ["evaluations", "runs", "versions"]
