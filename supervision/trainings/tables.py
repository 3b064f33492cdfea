"""The tables of a run as plain rows, for its page and for spreadsheets."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mlmodels.models import TrainingRun

TRIAL_COLUMNS = ("state", "epochs", "nll", "accuracy", "seconds")
EPOCH_COLUMNS = ("epoch", "loss", "accuracy", "nll", "seconds")
Table = tuple[Sequence[str], Iterable[Sequence[Any]]]
"""Names of the columns, and rows."""


def trial_table(run: TrainingRun) -> tuple[list[str], list[list[Any]]]:
    """Return a search's trials (`mlmodels.ml.search.Trial`); counted from 1, as in its progress."""
    parameters = sorted({name for trial in run.trials for name in trial["parameters"]})
    rows = [
        [trial["number"] + 1]
        + [trial[name] for name in TRIAL_COLUMNS]
        + [trial["parameters"].get(name, "") for name in parameters]
        for trial in run.trials
    ]
    return ["trial", *TRIAL_COLUMNS, *parameters], rows


def photos_per_species(manifest: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Return (species, training photos, validation photos) for each species of a run's dataset."""
    training = Counter(label for _, label in manifest["training"])
    validation = Counter(label for _, label in manifest["validation"])
    return [
        (name, training[index], validation[index]) for index, name in enumerate(manifest["labels"])
    ]


def _epochs(run: TrainingRun) -> Table:
    return EPOCH_COLUMNS, ([entry[name] for name in EPOCH_COLUMNS] for entry in run.history)


def _photos(run: TrainingRun) -> Table:
    rows = photos_per_species(run.dataset) if run.dataset else []
    return ("species", "training", "validation"), rows


def _poolings(run: TrainingRun) -> Table:
    version = getattr(run, "model_version", None)
    compared = version.card.get("recipe", {}).get("compared_poolings", ()) if version else ()
    rows = (
        (
            "; ".join(f"{name} {value}" for name, value in row["pooling"].items()),
            *(row[name] for name in ("n", "accuracy", "nll")),
        )
        for row in compared
    )
    return ("pooling", "photos", "accuracy", "nll"), rows


RUN_TABLES: Mapping[str, Callable[[TrainingRun], Table]] = {
    "trials": trial_table,
    "epochs": _epochs,
    "photos": _photos,
    "poolings": _poolings,
}
"""By name: returns a table of a run."""
