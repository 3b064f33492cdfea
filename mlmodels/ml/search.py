"""Search for hyper-parameters: short trainings, the most promising of which show what to train.

They train on half of the photos, which ranks parameters nearly as all do in half the time (Klein et
al. 2017, "Fast Bayesian optimization of machine learning hyperparameters on large datasets").
Optuna's tree-structured Parzen estimator (Bergstra et al. 2011) chooses, its median pruner ends
what does worse than half of the others did at the same epoch. A trial is judged by the negative
log-likelihood of the validation photos: with a few hundred of them it tells more than the accuracy.
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
from mlmodels.ml.layers import frozen_convolutions
from mlmodels.ml.network import set_weights
from mlmodels.ml.training import prepare
from mlmodels.ml.training_session import TrainingSession
from mlmodels.ml.training_types import Progress, TrainingParameters

MAX_VARIABLES = 4
"""More layers would need other features than the trials share, and more time than they have."""
CUT = frozen_convolutions(MAX_VARIABLES)
TRIAL_EPOCHS = 3
SEARCHED = (
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
    """Those of `SEARCHED`."""
    state: str
    """"complete", "pruned" (worse than most at that epoch) or "out of time"."""
    epochs: int
    accuracy: float
    """Of the validation photos after the last epoch, 0 to 1."""
    nll: float
    """The same, in nats, at the temperature that suits it best: what is minimised."""
    seconds: float


def search(
    dataset: Dataset,
    parameters: TrainingParameters,
    *,
    trials: int,
    backbone: Mapping[str, np.ndarray],
    cache_dir: Path,
    progress: Callable[[Progress], None],
    on_trial: Callable[[Trial], None],
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> TrainingParameters:
    """Return `parameters` with what the best of at most `trials` short trainings had.

    The trials are trained on half of each species' training photos. The first has `parameters` as
    they are; at least that one is finished, whatever the time says, and no other begins after
    `parameters.minutes`. Features are cached at `CUT`, where `training.train` finds them again when
    it is given the same cut. `progress` and `should_stop` are those of `train`; the stage is
    "search", its epoch the trial.
    """
    dataset = _with_half_the_training_photos(dataset, parameters.seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=parameters.seed, n_startup_trials=5),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1),
    )
    study.enqueue_trial({name: getattr(parameters, name) for name in SEARCHED})
    begun = clock()
    budget = 60 * parameters.minutes
    first_head: dict[str, np.ndarray] = {}

    def one_trial(trial: optuna.Trial) -> float:
        number = trial.number
        chosen = replace(parameters, **_suggest(trial, parameters.views))
        started = clock()
        # The first one is to end; the others end with the time.
        minutes = parameters.minutes - (started - begun) / 60 if number else parameters.minutes
        chosen = replace(chosen, epochs=TRIAL_EPOCHS, minutes=max(minutes, 0.01))

        def report_trial(inner: Progress) -> None:
            share = max((clock() - begun) / budget, number / trials)
            progress(
                replace(
                    inner, stage="search", epoch=number + 1, epochs=trials, record=None,
                    fraction=min(0.99, share), eta_seconds=None,
                )
            )  # fmt: skip
            if inner.record is not None and inner.record.epoch:
                trial.report(inner.record.nll, inner.record.epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

        session = TrainingSession(dataset, chosen, report_trial, should_stop, clock)
        state = "pruned"
        try:
            setup = prepare(session, backbone, cache_dir, CUT)
            if not first_head:  # nothing that is searched for changes it
                embeddings = session.embeddings(setup.tail, setup.cache, setup.views)
                first_head.update(session.fit_head(embeddings))
            set_weights(setup.tail, {**backbone, **first_head})
            session.fit_layers(setup.tail, setup.cache, setup.views, refits=False)
            state = "out of time" if session.out_of_time else "complete"
        finally:
            if session.history and session.history[-1].epoch:
                last = session.history[-1]
                on_trial(
                    Trial(
                        number=number,
                        parameters={name: asdict(chosen)[name] for name in SEARCHED},
                        state=state,
                        epochs=last.epoch,
                        accuracy=last.accuracy,
                        nll=last.nll,
                        seconds=clock() - started,
                    )
                )
        if state != "complete" and number:
            # Its rate had no time to fall: no match for those that were finished.
            raise optuna.TrialPruned
        return session.history[-1].nll

    for _ in range(trials):
        study.optimize(one_trial, n_trials=1)
        if clock() - begun >= budget:
            break
    return replace(parameters, **study.best_params)


def _with_half_the_training_photos(dataset: Dataset, seed: int) -> Dataset:
    order = np.random.default_rng(seed).permutation(len(dataset.training))
    of_label: dict[int, list[LabelledPhoto]] = {}
    for photo in (dataset.training[i] for i in order):
        of_label.setdefault(photo.label, []).append(photo)
    halves = (photos[: -(-len(photos) // 2)] for photos in of_label.values())
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
