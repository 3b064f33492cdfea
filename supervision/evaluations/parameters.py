"""Parameters of versions and of runs side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlmodels.models import ModelVersion

LEFT_OUT = frozenset({"compared_poolings"})
"""What a recipe tells of the search before it: a table of its own."""


@dataclass(frozen=True)
class ParameterRow:
    """One parameter of two trainings, as text; empty if one does not have it."""

    name: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        return self.first != self.second


def version_parameters(version: ModelVersion) -> dict[str, Any]:
    """Return how a version was made: the recipe of its card, and what its engine expects."""
    recipe = {
        name: value
        for name, value in version.card.get("recipe", {}).items()
        if name not in LEFT_OUT
    }
    return {
        **recipe,
        "input_size": version.input_size,
        "preprocessing": version.preprocessing,
        "temperature": version.temperature,
        "dataset": version.card.get("dataset_hash", "")[:12],
        "changed_layers": version.card.get("changed_layers", ()),
    }


def parameter_rows(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[ParameterRow]:
    """Return the parameters that one of both has, by name. What is nested has a row for each."""
    texts = dict(_texts(first)), dict(_texts(second))
    names = sorted(texts[0].keys() | texts[1].keys())
    return [ParameterRow(name, texts[0].get(name, ""), texts[1].get(name, "")) for name in names]


def _texts(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _texts(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}".replace("_", " "), _text(value)


def _text(value: Any) -> str:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    return ", ".join(_text(each) for each in value)
