"""Texts, figures and charts of a training run for the admin pages, computed from its row."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.wording import format_duration, format_number, format_share
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.selectors import training_runs
from mlmodels.words import parameter_name, state_name
from supervision.datasets.composition import composition_text, training_composition
from supervision.datasets.selectors import TooFewPhotos
from supervision.pictures.charts import learning_curves_svg, trials_svg
from supervision.pictures.parallel import parallel_svg
from supervision.review.admin.filters import next_training_path
from supervision.trainings.importance import parameter_importances
from supervision.trainings.tables import trial_table

LIVE_STATUSES = (TrainingRun.Status.QUEUED, TrainingRun.Status.RUNNING)
STAGES = {
    "queued": gettext_lazy("waiting in the queue"),
    "dataset": gettext_lazy("choosing the photos"),
    "features": gettext_lazy("computing the photos' features"),
    "head": gettext_lazy("fitting the dense layer"),
    "search": gettext_lazy("trying settings"),
    "layers": gettext_lazy("training the chosen layers"),
    "refit": gettext_lazy("training again, with the validation photos included"),
    "calibration": gettext_lazy("calibrating the scores"),
    "export": gettext_lazy("exporting the engine that serves predictions"),
    "parity": gettext_lazy("comparing the int8 engine with the float network"),
    "evaluation": gettext_lazy("measuring on the evaluation photos"),
    "registration": gettext_lazy("registering the version"),
    "done": gettext_lazy("done"),
}
RECENT_RUNS = 5


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
        "unit": _("trial") if stage == "search" else _("epoch"),
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
            "fitted_accuracy": format_share(last["accuracy"]),
        }
    return {
        "curves": learning_curves_svg(run.history, validation_is_new=validation_is_new),
        "validation_is_new": validation_is_new,
        "epochs": [
            {
                "epoch": entry["epoch"],
                "loss": "" if entry["loss"] is None else format_number(entry["loss"], ".3f"),
                "accuracy": format_share(entry["accuracy"]),
                "nll": format_number(entry["nll"], ".3f"),
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
    version = version_of(run)
    return version is None or version.metrics.get("validation", {}).get("is_new", True)


def run_parameters_text(run: TrainingRun) -> str:
    """Return the chosen parameters as text: "variables 4, epochs 10, from VGG16 1"."""
    is_search = run.kind == TrainingRun.Kind.SEARCH
    names = ("trials", "minutes") if is_search else ("variables", "epochs")
    texts = [
        f"{parameter_name(name)} {run.parameters[name]}" for name in names if name in run.parameters
    ]
    if run.parent is not None:
        texts.append(_("from %(version)s") % {"version": run.parent})
    return ", ".join(texts)


def run_duration_text(run: TrainingRun) -> str:
    """Return a run's duration as text; empty if it has not ended or never began."""
    if run.started_at is None or run.finished_at is None:
        return ""
    return format_duration((run.finished_at - run.started_at).total_seconds())


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
    if not names:
        return _("none")
    text = str(len(names))
    if genera:
        text = _("%(n)d of %(genera)d genera") % {"n": len(names), "genera": len(genera)}
    return f"{text} " + _("(%(n)d without a name)") % {"n": nameless} if nameless else text


def trials_table(run: TrainingRun) -> dict[str, Any]:
    """Return a search's trials (`mlmodels.ml.search.Trial`) as columns, rows and a chart."""
    columns, rows = trial_table(run)
    return {
        "columns": [parameter_name(name) for name in columns],
        "rows": [[_cell(*named) for named in zip(columns, row, strict=True)] for row in rows],
        "picture": trials_svg(run.trials),
        "parallel": parallel_svg(run.trials),
        "importances": parameter_importances(run.trials),
    }


def _cell(column: str, value: Any) -> str:
    if column == "accuracy":
        return format_share(value)
    if column == "seconds":
        return format_number(value, ".0f")
    return format_number(value, ".4g") if isinstance(value, float) else state_name(str(value))


def version_of(run: TrainingRun) -> ModelVersion | None:
    """Return the version that a run produced, or None."""
    return getattr(run, "model_version", None)
