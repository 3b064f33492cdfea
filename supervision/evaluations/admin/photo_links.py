"""Addresses that lead from a figure of an evaluation to its photos."""

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from supervision.evaluations.gallery import Outcome

ANCHOR = "#photos"


class PhotoLinks:
    """Makes the addresses of one evaluation's photos."""

    def __init__(self, evaluation_id: int) -> None:
        self._page = reverse("admin:supervision_evaluation_change", args=[evaluation_id])
        self._others = reverse("admin:supervision_evaluation_others", args=[evaluation_id])

    def species(self, name: str) -> str:
        """Return the address of the photos of a species."""
        return self._url(species=name)

    def cell(self, species: str, answered: str) -> str:
        """Return the address of the photos of a cell of the confusion matrix."""
        return self._url(species=species, answered=answered)

    def answered(self, name: str) -> str:
        """Return the address of the photos that were named so, whatever they show."""
        return self._url(answered=name)

    def score_bin(self, number: int) -> str:
        """Return the address of the photos of a bin of the reliability diagram."""
        return self._url(score_bin=number)

    def errors(self) -> str:
        """Return the address of the photos that were named wrongly."""
        return self._url(rightness="wrong")

    def others(self, outcome: Outcome) -> str:
        """Return the address of the photos of other species with this outcome."""
        return f"{self._others}?{urlencode({'outcome': outcome})}"

    def genus(self, name: str) -> str:
        """Return the address of the photos of a genus of other species."""
        return f"{self._others}?{urlencode({'outcome': 'all', 'genus': name})}"

    def _url(self, **filters: Any) -> str:
        return f"{self._page}?{urlencode({'rightness': 'all', **filters})}{ANCHOR}"
