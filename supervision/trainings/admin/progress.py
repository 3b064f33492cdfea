"""Texts, figures and charts of a training run for the admin pages, computed from its row."""

from collections import Counter
from typing import Any

from common.wording import format_duration
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.selectors import training_runs
from supervision.datasets.composition import composition_text, training_composition
from supervision.datasets.selectors import TooFewPhotos
from supervision.pictures.charts import learning_curves_svg, trials_svg
from supervision.review.admin.filters import next_training_path

LIVE_STATUSES = (TrainingRun.Status.QUEUED, TrainingRun.Status.RUNNING)
STAGES = {
    "queued": "waiting in the queue",
    "dataset": "choosing the photos",
    "features": "computing the photos' features",
    "head": "fitting the dense layer",
    "search": "trying settings",
    "layers": "training the chosen layers",
    "refit": "training again, with the validation photos included",
    "calibration": "calibrating the scores",
    "export": "exporting the engine that serves predictions",
    "parity": "comparing the int8 engine with the float network",
    "evaluation": "measuring on the evaluation photos",
    "registration": "registering the version",
    "done": "done",
}
RECENT_RUNS = 5
TRIAL_COLUMNS = ("state", "epochs", "nll", "accuracy", "seconds")


def run_now(run: TrainingRun) -> dict[str, Any]:
    """Return the context of `supervision/run_now.html`: a run's progress and learning curves."""
    ahead = 0
    if run.status == TrainingRun.Status.QUEUED:
        ahead = TrainingRun.objects.filter(status__in=LIVE_STATUSES, pk__lt=run.pk).count()
    return {"run": run, "ahead": ahead, **run_line(run), **_learning_context(run)}


def run_line(run: TrainingRun) -> dict[str, Any]:
    """Return a run's progress for one line: percent, stage and remaining time as text."""
    stage, eta = run.progress.get("stage", ""), run.progress.get("eta_s")
    is_live = run.status in LIVE_STATUSES
    return {
        "is_live": is_live,
        "percent": round(run.progress.get("percent", 0)),
        "stage": STAGES.get(stage, stage),
        "unit": "trial" if stage == "search" else "epoch",
        "left": format_duration(eta) if is_live and eta is not None else "",
    }


def recent_runs() -> dict[str, Any]:
    """Return the context of `supervision/recent_runs.html`: the last runs, one line each."""
    runs = list(training_runs().defer("history", "trials")[:RECENT_RUNS])
    lines = [{"run": run, "in_short": run_parameters_text(run), **run_line(run)} for run in runs]
    return {"lines": lines, "is_live": any(line["is_live"] for line in lines)}


def _learning_context(run: TrainingRun) -> dict[str, Any]:
    if not run.history:
        return {}
    validation_is_new = is_validation_new(run)
    last = run.history[-1]
    if not last["epoch"]:
        return {
            "validation_is_new": validation_is_new,
            "fitted_accuracy": f"{100 * last['accuracy']:.1f} %",
        }
    return {
        "curves": learning_curves_svg(run.history, validation_is_new=validation_is_new),
        "validation_is_new": validation_is_new,
        "epochs": [
            {
                "epoch": entry["epoch"],
                "loss": "" if entry["loss"] is None else f"{entry['loss']:.3f}",
                "accuracy": f"{100 * entry['accuracy']:.1f} %",
                "nll": f"{entry['nll']:.3f}",
                "time": format_duration(entry["seconds"]),
            }
            for entry in reversed(run.history)
        ],
    }


def is_validation_new(run: TrainingRun) -> bool:
    """Return False if the parent version was trained on the validation photos.

    Of a run before this was recorded, the card of its version says it.
    """
    if run.validation_is_new is not None:
        return run.validation_is_new
    version: ModelVersion | None = getattr(run, "model_version", None)
    return version is None or version.metrics.get("validation", {}).get("is_new", True)


def run_parameters_text(run: TrainingRun) -> str:
    """Return the chosen parameters as text: "variables 4, epochs 10, from VGG16 1"."""
    is_search = run.kind == TrainingRun.Kind.SEARCH
    names = ("trials", "minutes") if is_search else ("variables", "epochs")
    texts = [f"{name} {run.parameters[name]}" for name in names if name in run.parameters]
    if run.parent is not None:
        texts.append(f"from {run.parent}")
    return ", ".join(texts)


def run_duration_text(run: TrainingRun) -> str:
    """Return a run's duration as text; empty if it has not ended or never began."""
    if run.started_at is None or run.finished_at is None:
        return ""
    return format_duration((run.finished_at - run.started_at).total_seconds())


def photos_per_species(manifest: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Return (species, training photos, validation photos) for each species of a run's dataset."""
    training = Counter(label for _, label in manifest["training"])
    validation = Counter(label for _, label in manifest["validation"])
    return [
        (name, training[index], validation[index]) for index, name in enumerate(manifest["labels"])
    ]


def next_photos() -> dict[str, Any]:
    """Return the context that tells what a run would be trained on, or why it would be refused."""
    try:
        composition = training_composition()
    except TooFewPhotos as error:
        return {"refusal": str(error)}
    return {
        "composition": composition,
        "composition_text": composition_text(composition),
        "review_path": next_training_path(),
    }


def other_photos_text(manifest: dict[str, Any]) -> str:
    """Return how many photos of other species a run's dataset has: "164 of 30 genera"."""
    names = [name for _, _, name in manifest.get("others", ())]
    genera = {name.partition(" ")[0] for name in names if name}
    nameless = names.count("")
    parts = [f"{len(names)}", f"of {len(genera)} genera" if genera else ""]
    parts.append(f"({nameless} without a name)" if nameless else "")
    return " ".join(part for part in parts if part) if names else "none"


def trials_table(run: TrainingRun) -> dict[str, Any]:
    """Return a search's trials (`mlmodels.ml.search.Trial`) as columns, rows and a chart."""
    parameters = sorted({name for trial in run.trials for name in trial["parameters"]})
    rows = [
        [trial["number"] + 1]
        + [trial[name] for name in TRIAL_COLUMNS]
        + [trial["parameters"].get(name, "") for name in parameters]
        for trial in run.trials
    ]
    return {
        "columns": [name.replace("_", " ") for name in ("trial", *TRIAL_COLUMNS, *parameters)],
        "rows": [[_cell(value) for value in row] for row in rows],
        "picture": trials_svg(run.trials),
    }


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
