"""Search for the pooling's parts, and for hyper-parameters by short trainings (trials).

The pooling comes first: heads in closed form, cross-validated by find on the training photos, tell
which blocks' statistics it takes and whether their second order (`pooling_search`).

Trials use half of the training photos, which ranks parameters nearly as well as all photos in half
the time (Klein et al. 2017, "Fast Bayesian optimization of machine learning hyperparameters on
large datasets"). The first one fits the head alone, in closed form, as a training with `variables`
= 1 does. The others train more layers: Optuna's tree-structured Parzen estimator (Bergstra et al.
2011) chooses their parameters; its median pruner ends a trial that is worse than half of the others
were at the same epoch. Trials minimise the negative log-likelihood of the validation photos: with a
few hundred photos it distinguishes trials better than the accuracy.
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
from mlmodels.ml.head import head_logits
from mlmodels.ml.layer_training import LayerTraining, scaled_head
from mlmodels.ml.layers import frozen_convolutions
from mlmodels.ml.network import set_weights
from mlmodels.ml.pooling_search import ComparedPooling, choose_pooling
from mlmodels.ml.reference import load_projections
from mlmodels.ml.training import prepare
from mlmodels.ml.training_session import TrainingSession
from mlmodels.ml.training_types import Progress, TrainingParameters

MAX_VARIABLES = 4
"""Most layers that a trial trains. More would need features at a lower cut, and too much time."""
SEARCH_CUT = frozen_convolutions(MAX_VARIABLES)
"""Cut of the features that all trials share which train more than the head."""
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
HEAD_PARAMETERS = ("variables", "views")
"""Those of `SEARCHED_PARAMETERS` that play a part where only the head is fitted."""


@dataclass(frozen=True)
class Trial:
    """One short training of a search."""

    number: int
    parameters: dict[str, Any]
    """Values of `SEARCHED_PARAMETERS` by name, or of `HEAD_PARAMETERS` if only the head is fitted.
    """
    state: str
    """"complete", "pruned" (worse than half of the others at that epoch) or "out of time"."""
    epochs: int
    """Epochs that were trained; 0 if only the head is fitted."""
    accuracy: float
    """Accuracy on the validation photos after the last epoch, 0 to 1."""
    nll: float
    """Negative log-likelihood of the same photos in nats, at the best temperature: minimised."""
    seconds: float
    """Duration of the trial."""


@dataclass(frozen=True)
class SearchResult:
    """What a search has found."""

    parameters: TrainingParameters
    """The given ones, with the pooling and the values of the best trial."""
    poolings: tuple[ComparedPooling, ...]
    """Those that were compared, the best first; empty if there was nothing to choose from."""

    @property
    def cut(self) -> int | None:
        """The cut at which the trials have cached the features of the best one."""
        return None if self.parameters.variables == 1 else SEARCH_CUT


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
) -> SearchResult:
    """Return the best pooling and the searched values of the best of at most `trials` trials.

    The poolings compared are those that `parameters.pooling` has. Trials train on half of each
    species' training photos. The first fits the head alone; the second trains layers with the given
    `parameters`, and counts only if it is complete. None but the first begins after
    `parameters.minutes`, which all share. Features are cached at the cut of the result, and
    `training.train` reuses them there. `on_trial` is called after each trial that was measured.
    `progress`, `should_stop` and `clock` are as for `train`; the stage is "search", and the epoch
    is the number of the trial, from 1. Raises the same errors as `train`.
    """
    shared = _Shared(
        backbone, cache_dir, max_cache_bytes, dataset.photos, should_stop, clock, clock(), trials
    )
    poolings = choose_pooling(
        shared.session(
            dataset, replace(parameters, variables=1), _as_search(progress, shared, parameters, 0)
        ),
        weights=shared.weights(parameters),
        cache_dir=cache_dir,
    )
    if poolings:
        parameters = replace(parameters, pooling=poolings[0].pooling)
    halved = _with_half_the_training_photos(dataset, parameters.seed)
    first = _head_trial(halved, parameters, shared, progress)
    on_trial(first)
    found = replace(parameters, **first.parameters)
    if trials > 1 and shared.minutes_left(parameters) > 0:
        best = _search_layers(halved, parameters, shared, progress, on_trial)
        if best is not None and best.nll < first.nll:
            found = replace(parameters, **best.parameters)
    return SearchResult(found, tuple(poolings))


@dataclass(frozen=True)
class _Shared:
    """What all parts of a search share."""

    backbone: Mapping[str, np.ndarray]
    cache_dir: Path
    max_cache_bytes: int
    needed: tuple[LabelledPhoto, ...]
    """Photos whose features stay cached: the training that follows uses them all."""
    should_stop: Callable[[], bool]
    clock: Callable[[], float]
    began: float
    trials: int

    def session(
        self,
        dataset: Dataset,
        parameters: TrainingParameters,
        report: Callable[[Progress], None],
    ) -> TrainingSession:
        return TrainingSession(dataset, parameters, report, self.should_stop, self.clock)

    def weights(self, parameters: TrainingParameters) -> dict[str, np.ndarray]:
        return {**load_projections(parameters.pooling), **self.backbone}

    def used_minutes(self) -> float:
        return (self.clock() - self.began) / 60

    def minutes_left(self, parameters: TrainingParameters) -> float:
        return parameters.minutes - self.used_minutes()


def _as_search(
    progress: Callable[[Progress], None],
    shared: _Shared,
    parameters: TrainingParameters,
    number: int,
) -> Callable[[Progress], None]:
    """Return a report that tells the progress of a part of the search as that of the whole."""

    def report(part: Progress) -> None:
        share = max(shared.used_minutes() / parameters.minutes, number / shared.trials)
        progress(
            replace(
                part, stage="search", epoch=number + 1, epochs=shared.trials, record=None,
                fraction=min(0.99, share), eta_seconds=None,
            )
        )  # fmt: skip

    return report


def _head_trial(
    dataset: Dataset,
    parameters: TrainingParameters,
    shared: _Shared,
    progress: Callable[[Progress], None],
) -> Trial:
    """Fit the head to the training photos, in closed form, and measure it."""
    began = shared.clock()
    minutes = max(shared.minutes_left(parameters), 0.01)
    chosen = replace(parameters, variables=1, minutes=minutes)
    session = shared.session(dataset, chosen, _as_search(progress, shared, parameters, 0))
    setup = prepare(session, shared.weights(parameters), shared.cache_dir, None)
    embeddings = session.embeddings(setup, dataset.photos, setup.views)
    head = session.fit_head(embeddings, dataset.training, None)
    session.measure_head(head_logits(embeddings[0, len(dataset.training) :], head))
    (record,) = session.history
    return Trial(
        number=0,
        parameters={name: getattr(chosen, name) for name in HEAD_PARAMETERS},
        state="complete",
        epochs=0,
        accuracy=record.accuracy,
        nll=record.nll,
        seconds=shared.clock() - began,
    )


def _search_layers(
    dataset: Dataset,
    parameters: TrainingParameters,
    shared: _Shared,
    progress: Callable[[Progress], None],
    on_trial: Callable[[Trial], None],
) -> Trial | None:
    """Try parameters for more layers than the head; return the best complete trial, if any."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=parameters.seed, n_startup_trials=5),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1),
    )
    given = {name: getattr(parameters, name) for name in SEARCHED_PARAMETERS}
    if given["variables"] == 1:
        given["variables"] = MAX_VARIABLES
    study.enqueue_trial(given)
    weights = shared.weights(parameters)
    first_head: dict[str, np.ndarray] = {}
    complete: list[Trial] = []

    def run_trial(trial: optuna.Trial) -> float:
        number = trial.number + 1
        began = shared.clock()
        chosen = replace(
            parameters,
            **_suggest(trial, parameters.views),
            epochs=TRIAL_EPOCHS,
            minutes=max(shared.minutes_left(parameters), 0.01),
        )
        report_search = _as_search(progress, shared, parameters, number)

        def report_progress(trial_progress: Progress) -> None:
            report_search(trial_progress)
            record = trial_progress.record
            if record is not None and record.epoch:
                trial.report(record.nll, record.epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

        session = shared.session(dataset, chosen, report_progress)
        state = "pruned"
        try:
            setup = prepare(session, weights, shared.cache_dir, SEARCH_CUT)
            prune_cache(shared.cache_dir, setup.cache, shared.needed, shared.max_cache_bytes)
            if not first_head:  # it does not depend on the searched parameters
                embeddings = session.embeddings(setup, dataset.photos, setup.views)
                temperature, _ = session.temperatures(session.out_of_fold(embeddings).logits)
                head = session.fit_head(embeddings, dataset.training, None)
                first_head.update(scaled_head(head, len(dataset.labels), temperature))
            set_weights(setup.tail, {**weights, **first_head})
            LayerTraining(session, setup).fit(will_refit=False)
            state = "out of time" if session.out_of_time else "complete"
        finally:
            if session.history and session.history[-1].epoch:
                last = session.history[-1]
                done = Trial(
                    number=number,
                    parameters={name: asdict(chosen)[name] for name in SEARCHED_PARAMETERS},
                    state=state,
                    epochs=last.epoch,
                    accuracy=last.accuracy,
                    nll=last.nll,
                    seconds=shared.clock() - began,
                )
                on_trial(done)
                if state == "complete":
                    complete.append(done)
        if state != "complete":
            # Its learning rate did not reach the end of its schedule: not comparable to others.
            raise optuna.TrialPruned
        return session.history[-1].nll

    for _ in range(shared.trials - 1):
        study.optimize(run_trial, n_trials=1)
        if shared.minutes_left(parameters) <= 0:
            break
    return min(complete, key=lambda trial: trial.nll, default=None)


def _with_half_the_training_photos(dataset: Dataset, seed: int) -> Dataset:
    order = np.random.default_rng(seed).permutation(len(dataset.training))
    by_label: dict[int, list[LabelledPhoto]] = {}
    for photo in (dataset.training[i] for i in order):
        by_label.setdefault(photo.label, []).append(photo)
    halves = (photos[: -(-len(photos) // 2)] for photos in by_label.values())
    return replace(dataset, training=tuple(photo for half in halves for photo in half))


def _suggest(trial: optuna.Trial, views: int) -> dict[str, Any]:
    return {
        "variables": trial.suggest_int("variables", 2, MAX_VARIABLES),
        "views": trial.suggest_int("views", 1, views),
        "learning_rate": trial.suggest_float("learning_rate", 3e-5, 5e-4, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.005, 0.2, log=True),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
        "mixup": trial.suggest_float("mixup", 0.0, 0.8),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
    }
