"""Hyper-parameter search by short trainings (trials).

Trials use half of the training photos, which ranks parameters nearly as well as all photos in half
the time (Klein et al. 2017, "Fast Bayesian optimization of machine learning hyperparameters on
large datasets"). Optuna's tree-structured Parzen estimator (Bergstra et al. 2011) chooses the
parameters; its median pruner ends a trial that is worse than half of the others were at the same
epoch. Trials minimise the negative log-likelihood of the validation photos: with a few hundred
photos it distinguishes trials better than the accuracy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from mlmodels.ml.dataset import Dataset, LabelledPhoto
from mlmodels.ml.features import CACHE_BYTES, prune_cache
from mlmodels.ml.layers import frozen_convolutions
from mlmodels.ml.network import set_weights
from mlmodels.ml.reference import load_projection
from mlmodels.ml.training import prepare, scaled_head
from mlmodels.ml.training_session import TrainingSession
from mlmodels.ml.training_types import Progress, TrainingParameters

MAX_VARIABLES = 4
"""Most layers that a trial trains. More would need features at a lower cut, and too much time."""
SEARCH_CUT = frozen_convolutions(MAX_VARIABLES)
"""Cut of the features that all trials share."""
TRIAL_EPOCHS = 3
SEARCHED_PARAMETERS = (
    "variables",
    "views",
    "learning_rate",
    "weight_decay",
    "label_smoothing",
    "mixup",
    "dropout",
)


@dataclass(frozen=True)
class Trial:
    """One short training of a search."""

    number: int
    parameters: dict[str, Any]
    """Values of `SEARCHED_PARAMETERS` by name."""
    state: str
    """"complete", "pruned" (worse than half of the others at that epoch) or "out of time"."""
    epochs: int
    """Epochs that were trained."""
    accuracy: float
    """Accuracy on the validation photos after the last epoch, 0 to 1."""
    nll: float
    """Negative log-likelihood of the same photos in nats, at the best temperature: minimised."""
    seconds: float
    """Duration of the trial."""


def search(
    dataset: Dataset,
    parameters: TrainingParameters,
    *,
    trials: int,
    backbone: Mapping[str, np.ndarray],
    cache_dir: Path,
    progress: Callable[[Progress], None],
    on_trial: Callable[[Trial], None],
    max_cache_bytes: int = CACHE_BYTES,
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> TrainingParameters:
    """Return `parameters` with the searched values of the best of at most `trials` trials.

    Trials train on half of each species' training photos. The first uses `parameters` unchanged and
    counts even if it runs out of time; no other begins after `parameters.minutes`. Features are
    cached at `SEARCH_CUT`; `training.train` reuses them when given the same cut. `on_trial` is
    called after each trial that trained in at least one epoch. `progress`, `should_stop` and
    `clock` are as for `train`; the stage is "search", and the epoch is the number of the trial,
    from 1. Raises the same errors as `train`.
    """
    needed = dataset.photos  # the training that follows uses them all
    dataset = _with_half_the_training_photos(dataset, parameters.seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=parameters.seed, n_startup_trials=5),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1),
    )
    study.enqueue_trial({name: getattr(parameters, name) for name in SEARCHED_PARAMETERS})
    search_start = clock()
    budget = 60 * parameters.minutes
    weights = {**load_projection(parameters.pooling), **backbone}
    first_head: dict[str, np.ndarray] = {}

    def run_trial(trial: optuna.Trial) -> float:
        number = trial.number
        chosen = replace(parameters, **_suggest(trial, parameters.views))
        trial_start = clock()
        # The first trial should be completed; the others have the time that is left.
        used = (trial_start - search_start) / 60
        minutes = parameters.minutes - used if number else parameters.minutes
        chosen = replace(chosen, epochs=TRIAL_EPOCHS, minutes=max(minutes, 0.01))

        def report_progress(trial_progress: Progress) -> None:
            share = max((clock() - search_start) / budget, number / trials)
            progress(
                replace(
                    trial_progress, stage="search", epoch=number + 1, epochs=trials, record=None,
                    fraction=min(0.99, share), eta_seconds=None,
                )
            )  # fmt: skip
            record = trial_progress.record
            if record is not None and record.epoch:
                trial.report(record.nll, record.epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

        session = TrainingSession(dataset, chosen, report_progress, should_stop, clock)
        state = "pruned"
        try:
            setup = prepare(session, weights, cache_dir, SEARCH_CUT)
            prune_cache(cache_dir, setup.cache, needed, max_cache_bytes)
            if not first_head:  # it does not depend on the searched parameters
                photos = dataset.photos
                embeddings = session.embeddings(setup.tail, setup.cache, photos, setup.views)
                temperature, _ = session.temperatures(session.out_of_fold(embeddings).logits)
                head = session.fit_head(embeddings, dataset.training, None)
                first_head.update(scaled_head(head, len(dataset.labels), temperature))
            set_weights(setup.tail, {**weights, **first_head})
            session.fit_layers(setup.tail, setup.cache, setup.views, will_refit=False)
            state = "out of time" if session.out_of_time else "complete"
        finally:
            if session.history and session.history[-1].epoch:
                last = session.history[-1]
                on_trial(
                    Trial(
                        number=number,
                        parameters={name: asdict(chosen)[name] for name in SEARCHED_PARAMETERS},
                        state=state,
                        epochs=last.epoch,
                        accuracy=last.accuracy,
                        nll=last.nll,
                        seconds=clock() - trial_start,
                    )
                )
        if state != "complete" and number:
            # Its learning rate did not reach the end of its schedule: not comparable to others.
            raise optuna.TrialPruned
        return session.history[-1].nll

    for _ in range(trials):
        study.optimize(run_trial, n_trials=1)
        if clock() - search_start >= budget:
            break
    return replace(parameters, **study.best_params)


def _with_half_the_training_photos(dataset: Dataset, seed: int) -> Dataset:
    order = np.random.default_rng(seed).permutation(len(dataset.training))
    by_label: dict[int, list[LabelledPhoto]] = {}
    for photo in (dataset.training[i] for i in order):
        by_label.setdefault(photo.label, []).append(photo)
    halves = (photos[: -(-len(photos) // 2)] for photos in by_label.values())
    return replace(dataset, training=tuple(photo for half in halves for photo in half))


def _suggest(trial: optuna.Trial, views: int) -> dict[str, Any]:
    return {
        "variables": trial.suggest_int("variables", 1, MAX_VARIABLES),
        "views": trial.suggest_int("views", 1, views),
        "learning_rate": trial.suggest_float("learning_rate", 3e-5, 5e-4, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.005, 0.2, log=True),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
        "mixup": trial.suggest_float("mixup", 0.0, 0.8),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
    }
