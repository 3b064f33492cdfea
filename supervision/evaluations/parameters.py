"""Parameters of versions and of runs side by side."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.wording import format_number
from mlmodels.models import ModelVersion
from mlmodels.words import parameter_name

LEFT_OUT = frozenset({"compared_poolings"})
"""What a recipe tells of the search before it: a table of its own."""


@dataclass(frozen=True)
class ParameterRow:
    """One parameter of two trainings, as text; empty if one does not have it."""

    name: str
    first: str
    second: str
    label: str
    """The name as people read it, and so the texts of both."""
    first_told: str
    second_told: str

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
    values = dict(_values(first)), dict(_values(second))
    rows = []
    for path in sorted(values[0].keys() | values[1].keys()):
        pair = [each.get(path, "") for each in values]
        plain = [_text(value, format) for value in pair]
        told = [_text(value, format_number) for value in pair]
        name, label = " ".join(path).replace("_", " "), " ".join(map(parameter_name, path))
        rows.append(ParameterRow(name, plain[0], plain[1], label, told[0], told[1]))
    return rows


def _values(parameters: Mapping[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _values(value, *path, name)
        else:
            yield (*path, name), value


def _text(value: Any, form: Callable[[float, str], str]) -> str:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return form(value, ".4g") if isinstance(value, float) else str(value)
    return ", ".join(_text(each, form) for each in value)
