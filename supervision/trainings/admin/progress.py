"""What the pages show of a run: words, numbers and pictures out of its row."""

from collections import Counter
from typing import Any

from common.wording import duration_in_words
from mlmodels.models import TrainingRun
from mlmodels.selectors import training_runs
from supervision.pictures.charts import learning_curves_svg, trials_svg

LIVE = (TrainingRun.Status.QUEUED, TrainingRun.Status.RUNNING)
STAGES = {
    "queued": "waiting in the queue",
    "dataset": "choosing the photos",
    "features": "computing features of the photos",
    "head": "fitting the dense layer",
    "search": "trying settings",
    "layers": "training the chosen layers",
    "refit": "training again, on the validation photos as well",
    "calibration": "calibrating the scores",
    "export": "making the engine that serves predictions",
    "evaluation": "measuring on the evaluation photos",
    "done": "done",
}
RECENT = 5
TRIAL_COLUMNS = ("state", "epochs", "nll", "accuracy", "seconds")


def run_now(run: TrainingRun) -> dict[str, Any]:
    """Return what `supervision/run_now.html` needs: where the run is, and how it has learnt."""
    ahead = 0
    if run.status == TrainingRun.Status.QUEUED:
        ahead = TrainingRun.objects.filter(status__in=LIVE, pk__lt=run.pk).count()
    return {"run": run, "ahead": ahead, **run_line(run), **_learning(run)}


def run_line(run: TrainingRun) -> dict[str, Any]:
    """Return where a run is, for a line: percent, stage and time left in words."""
    stage, eta = run.progress.get("stage", ""), run.progress.get("eta_s")
    is_live = run.status in LIVE
    return {
        "is_live": is_live,
        "percent": round(run.progress.get("percent", 0)),
        "stage": STAGES.get(stage, stage),
        "unit": "trial" if stage == "search" else "epoch",
        "left": duration_in_words(eta) if is_live and eta is not None else "",
    }


def recent_runs() -> dict[str, Any]:
    """Return what `supervision/recent_runs.html` needs: the last runs, a line each."""
    runs = list(training_runs().defer("history", "trials")[:RECENT])
    lines = [
        {"run": run, "in_short": run_parameters_in_short(run), **run_line(run)} for run in runs
    ]
    return {"lines": lines, "is_live": any(line["is_live"] for line in lines)}


def _learning(run: TrainingRun) -> dict[str, Any]:
    if not run.history:
        return {}
    return {
        "curves": learning_curves_svg(run.history),
        "epochs": [
            {
                "epoch": entry["epoch"],
                "loss": "" if entry["loss"] is None else f"{entry['loss']:.3f}",
                "accuracy": f"{100 * entry['accuracy']:.1f} %",
                "nll": f"{entry['nll']:.3f}",
                "time": duration_in_words(entry["seconds"]),
            }
            for entry in reversed(run.history)
        ],
    }


def run_parameters_in_short(run: TrainingRun) -> str:
    """Return what somebody chose, in a line: "variables 4, epochs 10, from VGG16 1"."""
    is_search = run.kind == TrainingRun.Kind.SEARCH
    names = ("trials", "minutes") if is_search else ("variables", "epochs")
    words = [f"{name} {run.parameters[name]}" for name in names if name in run.parameters]
    if run.parent is not None:
        words.append(f"from {run.parent}")
    return ", ".join(words)


def run_took(run: TrainingRun) -> str:
    """Return how long a run took, in words; empty before it ended or where it never began."""
    if run.started_at is None or run.finished_at is None:
        return ""
    return duration_in_words((run.finished_at - run.started_at).total_seconds())


def photos_per_species(manifest: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Return (species, training photos, validation photos) of a run's dataset."""
    training = Counter(label for _, label in manifest["training"])
    validation = Counter(label for _, label in manifest["validation"])
    return [
        (name, training[index], validation[index]) for index, name in enumerate(manifest["labels"])
    ]


def trials_table(run: TrainingRun) -> dict[str, Any]:
    """Return a search's trials (`mlmodels.ml.search.Trial`) as columns and rows, and a picture."""
    searched = sorted(run.trials[0]["parameters"])
    rows = [
        [trial["number"] + 1]
        + [trial[name] for name in TRIAL_COLUMNS]
        + [trial["parameters"][name] for name in searched]
        for trial in run.trials
    ]
    return {
        "columns": [name.replace("_", " ") for name in ("trial", *TRIAL_COLUMNS, *searched)],
        "rows": [[_cell(value) for value in row] for row in rows],
        "picture": trials_svg(run.trials),
    }


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
