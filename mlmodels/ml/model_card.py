"""A model version's card as a page for human readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlmodels.ml.answers import OTHER_CLASS
from mlmodels.ml.card import Card
from mlmodels.ml.layers import Pooling
from mlmodels.ml.texts import translatable


def model_card(card: Card) -> str:
    """Return the card as Markdown: how good the version is, and how it was made.

    Metrics that the card lacks are left out.
    """
    recipe, metrics = card.recipe, card.metrics
    engine = metrics.get("engine", {})
    method = None if card.calibration is None else card.calibration.scope.method
    missing = missing_scope(method, recipe)
    lines = [
        f"# {card.name}: a model version of ChampiPy",
        "",
        "It names the likeliest of the species below, for people who check names that others "
        f"proposed. {_of_others(card)}, and does not say whether a mushroom is edible.",
        *([f"\n{missing}"] if missing else []),
        "",
        "## How good it is",
        "",
        "| | photos | correct | accuracy | 95 % interval | calibration error (ECE) |",
        "|---|---|---|---|---|---|",
    ]
    evaluation = metrics.get("evaluation")
    if evaluation:
        lines.append(_row("evaluation photos (never trained on)", evaluation))
        if dissimilar := evaluation.get("without_near_training"):
            lines.append(_row("those that resemble no training photo", dissimilar))
    if validation := metrics.get("validation"):
        note = "" if validation.get("is_new", True) else " (some were trained on before)"
        lines.append(_row(f"validation photos{note}", validation))
    if engine:
        lines += [
            "",
            f"Engine: {engine['precision']}. int8 gives the float network's answer on "
            f"{_percent(engine['int8_agreement'])} of {engine['n']} photos; its accuracy is "
            f"{100 * engine['int8_accuracy_loss']:.1f} percentage points lower.",
        ]
    if evaluation:
        lines += ["", "## By species", "", *_confusion(card.labels, evaluation["confusion"])]
    lines += ["", "## How it was made", ""]
    told = {"pooling", "compared_poolings"}
    lines += [f"- {name}: {_text(value)}" for name, value in recipe.items() if name not in told]
    lines += [
        f"- pooling: {card.pooling}",
        f"- temperature: {card.temperature:.3f}",
        f"- trained layers: {', '.join(card.changed_layers)}",
        f"- dataset: {card.dataset_hash}",
        f"- backbone: {card.backbone}",
        f"- packages: {', '.join(f'{name} {number}' for name, number in card.packages.items())}",
    ]
    if rows := compared_poolings(recipe):
        lines += [
            "",
            "The search compared these poolings by cross-validation by find on the training photos "
            "alone, each with a head fitted in closed form, and took the first:",
            "",
            "| pooling | photos | right | negative log-likelihood |",
            "|---|---|---|---|",
            *(
                f"| {pooling} | {n} | {_percent(accuracy)} | {nll:.3f} |"
                for pooling, n, accuracy, nll in rows
            ),
        ]
    return "\n".join(lines) + "\n"


def compared_poolings(recipe: Mapping[str, Any]) -> list[tuple[Pooling, int, float, float]]:
    """Return what a search measured of each pooling, the best first.

    These are the pooling, the number of photos, the accuracy from 0 to 1, and the negative
    log-likelihood.
    """
    return [
        (_pooling(row["pooling"]), row["n"], row["accuracy"], row["nll"])
        for row in recipe.get("compared_poolings", ())
    ]


def _pooling(raw: Mapping[str, Any]) -> Pooling:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()
    }
    return Pooling(**values)


def missing_scope(method: str | None, recipe: Mapping[str, Any]) -> str:
    """Return why a version does not tell other species as well as it could; empty if it does.

    `method`: its `answers.ScopeCalibration.method`, or None; `recipe`: that of its card.
    """
    if method == OTHER_CLASS:
        return ""
    trains_layers = recipe.get("variables", 1) > 1
    if method is None:
        if not trains_layers:
            return translatable(
                "Its answers could not be calibrated, so it says nothing of other species."
            )
        return translatable(
            "Its answers could not be calibrated, so it says nothing of other species: if more "
            "than the dense layer is trained, that needs at least 100 validation photos that the "
            "version it continued from was not trained on."
        )
    if trains_layers:
        return translatable(
            "It tells other species by its best score alone: if more than the dense layer is "
            "trained, only a training's own photos of other species, of five genera or more, can "
            "teach it what is none of its own. Those that come with ChampiPy are numbers that fit "
            "untrained convolutions only."
        )
    return translatable(
        "It learnt from too few photos of other species, and tells them by its best score alone."
    )


def _of_others(card: Card) -> str:
    """Return what the version says of photos of other species."""
    if card.calibration is None:
        return "It knows no other species"
    return "It also says how likely a photo shows none of them"


def _row(name: str, metrics: Mapping[str, Any]) -> str:
    low, high = metrics["ci95"]
    return (
        f"| {name} | {metrics['n']} | {metrics['correct']} | {_percent(metrics['accuracy'])} "
        f"| {_percent(low)} to {_percent(high)} | {_percent(metrics['ece'])} |"
    )


def _percent(share: float, digits: int = 1) -> str:
    """Return a share from 0 to 1 in percent, with a space that does not break."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def _confusion(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[str]:
    """Return the confusion matrix as lines of a Markdown table."""
    lines = [
        "Rows are the true species, columns the answers in the same order.",
        "",
        f"| | species | photos | correct |{'|'.join(f' {i + 1} ' for i in range(len(labels)))}|",
        "|" + "---|" * (len(labels) + 4),
    ]
    for i, (label, row) in enumerate(zip(labels, confusion, strict=True)):
        n = sum(row)
        share = _percent(row[i] / n, 0) if n else "-"
        counts = "|".join(
            f" **{count}** " if i == j else f" {count or ''} " for j, count in enumerate(row)
        )
        lines.append(f"| {i + 1} | {label} | {n} | {share} |{counts}|")
    return lines


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
