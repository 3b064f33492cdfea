"""Measures how several photos of one find are told together, out of fold.

    python -m benchmarks.finds PHOTOS WEIGHTS

PHOTOS is the folder that `benchmarks.reference` reads; WEIGHTS is a file of VGG16's ImageNet
convolutions. Finds are photos of one species with Mushroom Observer ids at most three apart. Each
photo is scored by a head that was fitted without its find, and calibrated by others' photos; this
is repeated for three splits into fifths. Once the training photos alone are used, once the
evaluation photos besides, as if they were training photos: then there are more finds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.reference import group_of, photos_of, rows_of, split_groups
from benchmarks.scope import share
from mlmodels.ml.answer_calibration import calibrate
from mlmodels.ml.answer_measures import FOLDS, folds_by_group
from mlmodels.ml.answers import Answer, AnswerCalibration, scope_scores, species_scores
from mlmodels.ml.backbone import load_backbone
from mlmodels.ml.dataset import group_photos
from mlmodels.ml.features import extract_features, open_cache
from mlmodels.ml.finds import INDEPENDENCE, MIN_SCORE, find_answer, find_scores
from mlmodels.ml.head import out_of_fold
from mlmodels.ml.layers import CONVOLUTIONS, DEFAULT_POOLING
from mlmodels.ml.metrics import mcnemar_p_value
from mlmodels.ml.reference import load_others, load_projections
from mlmodels.ml.training_types import TrainingParameters
from mlmodels.ml.verdict_measures import verdict_figures

SPLITS = ("train", "evaluation", "evaluation_near_train")
OTHERS = ("other_species_mo", "other_species", "not_mushrooms")
"""In the order of `load_others`."""
SEEDS = (0, 1, 2)
VIEWS = 2

Rule = Callable[[np.ndarray], np.ndarray]
RULES: dict[str, Rule] = {
    "the photo with the highest score": lambda scores: scores[scores.max(axis=1).argmax()],
    "mean of the probabilities": lambda scores: scores.mean(axis=0),
    **{
        f"mean of their logarithms, times n to the power of {power:g}": partial(
            find_scores, independence=power
        )
        for power in (0.0, 0.25, INDEPENDENCE, 0.75, 1.0)
    },
}


@dataclass(frozen=True)
class Said:
    """What is said of each photo out of fold: of the species first, then of others."""

    scores: np.ndarray
    """Float64 [n + m, k]."""
    scopes: np.ndarray
    """Float64 [n + m]."""
    calibrations: list[AnswerCalibration]
    """The one that answers for each photo, [n + m]."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("weights", type=Path)
    arguments = parser.parse_args()
    embeddings = embeddings_of(arguments.photos, arguments.weights)
    others = finds_of_others(arguments.photos)
    rows = [row for split in SPLITS for row in rows_of(arguments.photos, split)]
    for name, count in (
        ("training photos", len(rows_of(arguments.photos, SPLITS[0]))),
        ("training and evaluation photos", len(rows)),
    ):
        print(f"--- {name}", flush=True)
        labels, groups = labels_and_groups(rows[:count])
        measure(embeddings[:, :count], labels, groups, others)


def measure(
    embeddings: np.ndarray, labels: np.ndarray, groups: list[str], others: list[list[int]]
) -> None:
    """Print the figures for the finds among photos [views, n, d], and `others`, finds of others."""
    finds = several(groups)
    truth = np.array([labels[find[0]] for find in finds])
    print(f"{len(finds)} finds with {sum(map(len, finds))} photos, {len(others)} of other species")
    said = [said_out_of_fold(embeddings, labels, groups, seed) for seed in SEEDS]
    compare(said, finds, truth)
    shifted = [[len(labels) + index for index in find] for find in others]
    for seed, each in zip(SEEDS, said, strict=True):
        print(f"split {seed}, by the rule in use:")
        answers = [answer_for(each, find) for find in (*finds, *shifted)]
        known, unknown = answers[: len(finds)], answers[len(finds) :]
        share("  kept in scope", np.array([answer.in_scope for answer in known]))
        share("  of other species passed", np.array([answer.in_scope for answer in unknown]))
        covered = [label in answer.plausible for answer, label in zip(known, truth, strict=True)]
        share("  plausible holds the species", np.array(covered))
        print(f"  species plausible: {np.mean([len(answer.plausible) for answer in known]):.2f}")
        print_verdicts(each, answers, [*finds, *shifted], truth)


def compare(said: Sequence[Said], finds: list[list[int]], truth: np.ndarray) -> None:
    """Print how often each rule is right, and how probable it holds the right species."""
    outcomes: list[tuple[np.ndarray, np.ndarray]] = []
    for name, rule in RULES.items():
        told = np.array([[rule(each.scores[find]) for find in finds] for each in said])
        right = told.argmax(axis=2) == truth
        logs = np.log(np.maximum(told[:, np.arange(len(truth)), truth], MIN_SCORE))
        outcomes.append((right, logs))
        print(
            f"{name}: right {right.sum(axis=1).tolist()} of {len(truth)}, "
            f"mean best score {told.max(axis=2).mean():.1%}, "
            f"mean log-likelihood {logs.mean():.3f}"
        )
        if len(outcomes) > 1:
            (first_right, first_logs), *_ = outcomes
            for seed, ours, theirs in zip(SEEDS, right, first_right, strict=True):
                only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
                p = mcnemar_p_value(only_ours, only_theirs)
                print(
                    f"  split {seed}: alone right {only_ours}, the first {only_theirs}, p {p:.2f}"
                )
            low, gain, high = gain_of(right, first_right)
            print(f"  right more often by {gain:+.1%} ({low:+.1%} to {high:+.1%})")
            low, gain, high = gain_of(logs, first_logs)
            print(f"  log-likelihood {gain:+.3f} ({low:+.3f} to {high:+.3f})", flush=True)


def gain_of(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """Return by how much `ours` is more than `theirs` in the mean, between its 95 % bounds.

    Both are [splits, finds]. The bounds are those of a bootstrap over the finds, of which each
    counts with its mean over the splits.
    """
    gains = ours.mean(axis=0) - theirs.mean(axis=0)
    drawn = np.random.default_rng(0).choice(gains, (10_000, len(gains))).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(gains.mean()), float(high)


def print_verdicts(
    said: Said, answers: list[Answer], finds: list[list[int]], truth: np.ndarray
) -> None:
    """Print precision and coverage of the verdicts on finds, `truth` [known] of the first ones."""
    rules = [said.calibrations[find[0]].verdict_rule for find in finds]
    right = np.array([answer.probabilities_right for answer in answers])
    probable = right >= np.array([[rule.supported_from] for rule in rules])
    supported = probable & np.array([[answer.in_scope] for answer in answers])
    contradicted = ~probable & (right < np.array([[rule.contradicted_below] for rule in rules]))
    labels = np.append(truth, np.full(len(finds) - len(truth), right.shape[1]))
    for kind, figures in verdict_figures(right, supported, contradicted, labels).items():
        for verdict in ("supported", "contradicted"):
            figure = figures[verdict]
            if figure["precision"] is not None:
                low, high = figure["ci95"]
                print(
                    f"  {kind}: {verdict} is right in {figure['precision']:.1%} "
                    f"({low:.1%} to {high:.1%})"
                )
        print(f"  {kind}: together they cover {figures['covered']['share']:.0%}")


def answer_for(said: Said, find: list[int]) -> Answer:
    """Return what is said of a find, by the calibration of its first photo."""
    return find_answer(said.scores[find], said.scopes[find], said.calibrations[find[0]])


def said_out_of_fold(
    embeddings: np.ndarray, labels: np.ndarray, groups: list[str], seed: int
) -> Said:
    """Return what is said of photos [views, n, d] and of others, by heads without their finds."""
    others = load_others()
    held_out = out_of_fold(
        embeddings,
        labels,
        groups,
        regularisation=TrainingParameters().head_regularisation,
        pooling=DEFAULT_POOLING,
        others=others.values,
        other_groups=others.groups,
        seed=seed,
    )
    k, m = int(labels.max()) + 1, len(others.groups)
    logits = np.concatenate([held_out.logits, held_out.other_logits])
    lognorms = np.concatenate([held_out.lognorms, held_out.other_lognorms])
    all_labels = np.append(labels, np.full(m, k))
    all_groups = np.array([*groups, *(f"other {group}" for group in others.groups)])
    fold_of = folds_by_group(all_labels, all_groups, seed)
    scores, scopes = np.zeros((len(all_labels), k)), np.zeros(len(all_labels))
    fitted = []
    for fold in range(FOLDS):
        inside = fold_of == fold
        fitted.append(
            calibrate(
                logits[~inside],
                lognorms[~inside],
                all_labels[~inside],
                all_groups[~inside],
                n_labels=k,
            )
        )
        scores[inside] = species_scores(logits[inside], fitted[fold])
        scopes[inside] = scope_scores(logits[inside], lognorms[inside], fitted[fold])
    # Stored scores have two decimals, in percent.
    return Said(scores.round(4), scopes.round(4), [fitted[fold] for fold in fold_of])


def labels_and_groups(rows: Sequence[dict[str, str]]) -> tuple[np.ndarray, list[str]]:
    """Return the index of each row's species, and its find."""
    species = sorted({row["species"] for row in rows})
    labels = [species.index(row["species"]) for row in rows]
    return np.array(labels), group_photos(
        labels, [image_id(row) for row in rows], [None] * len(rows)
    )


def finds_of_others(photos: Path) -> list[list[int]]:
    """Return the finds of other species with several photos, as indices of `load_others`."""
    learnt, _ = split_groups(photos)
    rows = [row for split in OTHERS for row in rows_of(photos, split) if group_of(row) in learnt]
    assert tuple(group_of(row) for row in rows) == load_others().groups
    return several(labels_and_groups(rows)[1])


def several(groups: Sequence[str]) -> list[list[int]]:
    """Return the indices of the photos of each group that has several."""
    indices = defaultdict(list)
    for index, group in enumerate(groups):
        indices[group].append(index)
    return [found for found in indices.values() if len(found) > 1]


def image_id(row: dict[str, str]) -> int | None:
    """Return the id of a photo at Mushroom Observer, or None if it comes from elsewhere."""
    site, _, number = row["origin"].partition(":")
    return int(number) if site == "mushroomobserver" else None


def embeddings_of(photos: Path, weights: Path) -> np.ndarray:
    """Return the embeddings, float32 [views, n, d], of the photos of `SPLITS`.

    They are kept in the system's folder for temporary files, for the next time.
    """
    root = Path(tempfile.gettempdir()) / "champipy-finds"
    training = photos_of(photos, SPLITS[0])
    cache = open_cache(
        root,
        {**load_backbone(root, weights_file=weights), **load_projections(DEFAULT_POOLING)},
        training,
        cut=len(CONVOLUTIONS),
        input_size=TrainingParameters().input_size,
        pooling=DEFAULT_POOLING,
    )
    chosen = [photo for split in SPLITS for photo in photos_of(photos, split)]
    pairs = [(photo, view) for view in range(VIEWS) for photo in chosen]
    extract_features(
        cache,
        pairs,
        threads=os.cpu_count() or 1,
        progress=lambda done, total: print(f"\r{done} of {total}", end="", flush=True),
        should_stop=lambda _done: False,
    )
    print()
    values = cache.load([(photo.sha256, view) for photo, view in pairs])["pooled"]
    return values.astype(np.float32).reshape(VIEWS, len(chosen), -1)


if __name__ == "__main__":
    main()
