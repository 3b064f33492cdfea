"""A search on drawn photos and random weights: the pooling's parts, then parameters."""

from dataclasses import replace

import numpy as np
import pytest

from mlmodels.ml.layers import AVERAGE, Pooling
from tests.support.clocks import TickingClock
from tests.support.networks import SMALLEST_INPUT, STATISTICS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(training, backbone, cache_dir, dataset):
    """Return a function that searches and returns the result, its trials and its reports."""

    def run(trials, data=dataset, parameters=None, **options):
        from mlmodels.ml.search import search

        done: list = []
        reports: list = []
        given = {"input_size": SMALLEST_INPUT, "pooling": STATISTICS, "batch_size": 8}
        found = search(
            data,
            training.TrainingParameters(**{**given, **(parameters or {})}),
            trials=trials,
            backbone=backbone,
            cache_dir=cache_dir,
            progress=reports.append,
            on_trial=done.append,
            **options,
        )
        return found, done, reports

    return run


@pytest.fixture(scope="module")
def searched(run):
    return run(3)


def test_the_first_trial_fits_the_head_and_the_others_train_layers(searched):
    _, trials, _ = searched
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert (trials[0].state, trials[0].epochs) == ("complete", 0)
    assert trials[0].parameters == {"variables": 1, "views": 2}
    assert trials[1].parameters["variables"] == 4
    assert all(trial.parameters["variables"] > 1 for trial in trials[1:])


def test_the_best_trial_is_returned_with_the_cut_of_its_features(searched):
    found, trials, _ = searched
    complete = [trial for trial in trials if trial.state == "complete"]
    best = min(complete, key=lambda trial: trial.nll)
    values = {name: getattr(found.parameters, name) for name in best.parameters}
    assert values == best.parameters
    assert found.cut == (None if best.number == 0 else 10)


def test_all_parts_of_the_pooling_are_compared_and_the_best_is_taken(searched, dataset):
    found, _, _ = searched
    assert {one.pooling for one in found.poolings} == set(STATISTICS.variants())
    assert (
        len(found.poolings) == 7 * 4
    )  # blocks 3, 4 and 5; second order of 4 and 5, either or none
    losses = [one.nll for one in found.poolings]
    assert losses == sorted(losses)
    assert found.parameters.pooling == found.poolings[0].pooling
    assert {one.n for one in found.poolings} == {len(dataset.training)}
    assert all(one.accuracy > 0.5 for one in found.poolings[:3]), "chance is 0.33"


def test_validation_photos_play_no_part_in_the_choice_of_the_pooling(searched, run, dataset):
    found, _, _ = searched
    relabelled = tuple(replace(photo, label=(photo.label + 1) % 3) for photo in dataset.validation)
    again, _, _ = run(1, data=replace(dataset, validation=relabelled))
    assert again.poolings == found.poolings


def test_the_closed_form_trial_is_what_a_training_of_half_the_photos_measures(
    run, training, dataset, backbone, cache_dir
):
    from mlmodels.ml.search import _with_half_the_training_photos

    found, (trial,), _ = run(1)
    network = training.train(
        _with_half_the_training_photos(dataset, 0),
        found.parameters,
        backbone=backbone,
        cache_dir=cache_dir,
        progress=lambda progress: None,
    )
    assert trial.nll == pytest.approx(network.history[0].nll, rel=1e-3)
    assert trial.accuracy == network.history[0].accuracy


def test_the_average_has_no_parts_to_choose_from(run):
    found, trials, _ = run(1, parameters={"pooling": AVERAGE})
    assert (found.poolings, found.parameters.pooling, len(trials)) == ((), AVERAGE, 1)


def test_without_any_time_the_first_trial_is_all_and_the_largest_pooling_is_tried(run):
    found, trials, reports = run(5, clock=TickingClock(), parameters={"minutes": 0.01})
    assert [trial.number for trial in trials] == [0]
    assert [one.pooling for one in found.poolings] == [STATISTICS]
    assert {report.stage for report in reports} == {"search"}


def test_a_species_of_a_single_find_leaves_the_pooling_as_it_is(run, dataset):
    training = tuple(
        replace(photo, group="find") if photo.label == 2 else photo for photo in dataset.training
    )
    found, _, _ = run(1, data=replace(dataset, training=training))
    assert (found.poolings, found.parameters.pooling) == ((), STATISTICS)


def test_a_search_stops_on_request(run, training):
    with pytest.raises(training.TrainingStopped):
        run(1, should_stop=lambda: True)


def test_the_parts_of_a_pooling_are_the_numbers_that_it_pools_itself():
    from mlmodels.ml.pooling import pool

    rng = np.random.default_rng(3)
    maps = {
        block: rng.random((2, 2, channels), np.float32)
        for block, channels in ((3, 256), (4, 512), (5, 512))
    }
    projections = {block: rng.standard_normal((512, 8), np.float32) for block in (4, 5)}
    whole = pool(maps, STATISTICS, projections)
    assert len(STATISTICS.variants()) == 7 * 4  # blocks 3, 4 and 5; 4 and 5, either or no order
    for part in STATISTICS.variants():
        own = pool({block: maps[block] for block in part.maps}, part, projections)
        assert np.array_equal(whole[STATISTICS.columns(part)], own), part
        assert STATISTICS.has(part)
    for other in (AVERAGE, Pooling((3, 4, 5), 8), replace(STATISTICS, second_order=9)):
        assert not STATISTICS.has(other)
    assert not Pooling((3, 5)).has(Pooling((4,)))
    assert str(STATISTICS) == (
        "statistics of blocks 3, 4 and 5; second order of blocks 4 and 5 in 8; the middle counts "
        "more"
    )
    assert str(Pooling((5,))) == "statistics of block 5"
