import json

import numpy as np
import pytest

from mlmodels.ml.calibration import fit_temperature, softmax
from mlmodels.ml.conformal import (
    ConformalTableError,
    conformal_table,
    coverage,
    nonconformity,
    p_values,
    plausible,
    read_table,
)
from mlmodels.ml.metrics import wilson_interval

SPECIES = 10


def made_up_photos(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels like the real ones: nine of ten right.

    Species are unequally difficult, pairs look alike, and a third of the photos are hard.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(SPECIES, size=n)
    rows = np.arange(n)
    logits = rng.normal(0, 1.6, (n, SPECIES))
    clearness = rng.choice([0.5, 1.0], n, p=[0.3, 0.7])
    logits[rows, labels] += np.linspace(5, 11, SPECIES)[labels] * clearness
    logits[rows, labels ^ 1] += rng.normal(1.2, 1, n)
    return logits, labels


def calibrated(seed: int, n_training: int = 1000, n_new: int = 4000):
    """Return probabilities and labels of training photos, then of new ones."""
    training_logits, training_labels = made_up_photos(seed, n_training)
    new_logits, new_labels = made_up_photos(seed + 1000, n_new)
    temperature = fit_temperature(training_logits, training_labels)
    return (
        softmax(training_logits, temperature),
        training_labels,
        softmax(new_logits, temperature),
        new_labels,
    )


def chosen_sets(probabilities: np.ndarray, values: np.ndarray, **kwargs) -> list[list[int]]:
    return [plausible(p, v, **kwargs) for p, v in zip(probabilities, values, strict=True)]


@pytest.mark.parametrize("score", ["lac", "aps", "raps"])
def test_each_species_is_covered_in_nine_of_ten_photos(score):
    hits = np.zeros(SPECIES)
    photos = np.zeros(SPECIES)
    for seed in range(5):
        training, labels, new, truth = calibrated(seed)
        values = p_values(new, conformal_table(training, labels, score))
        is_covered = values[np.arange(len(truth)), truth] > 0.1 + 1e-9
        hits += np.bincount(truth, is_covered, SPECIES)
        photos += np.bincount(truth, minlength=SPECIES)
    # 91 of 101 are expected of each species; the tables of 5 x 100 photos vary by 1.3 points.
    assert (hits / photos).min() > 0.865
    assert 0.895 < hits.sum() / photos.sum() < 0.92


def test_the_default_score_has_the_smallest_sets_at_the_same_coverage():
    sizes: dict[str, float] = {}
    for score in ("lac", "aps", "raps"):
        results = []
        for seed in range(3):
            training, labels, new, truth = calibrated(seed)
            table = conformal_table(training, labels, score)
            results.append(coverage(chosen_sets(new, p_values(new, table)), truth, SPECIES))
        sizes[score] = float(np.mean([result.mean_set_size for result in results]))
        assert all(result.share >= 0.9 for result in results)
    assert conformal_table(training, labels).score == "lac"
    assert sizes["lac"] < 1.15
    assert sizes["lac"] + 0.1 < sizes["raps"] < 1.4
    assert sizes["aps"] > 4


def test_other_levels_are_kept_too():
    training, labels, new, truth = calibrated(7, n_training=3000)
    table = conformal_table(training, labels)
    for level in (0.8, 0.95):
        sets = chosen_sets(new, p_values(new, table), level=level, is_in_scope=False)
        assert coverage(sets, truth, SPECIES).share == pytest.approx(level, abs=0.015)


def test_the_p_values_of_the_true_species_are_uniform():
    training, labels, new, truth = calibrated(8, n_training=20_000)
    table = conformal_table(training, labels, max_scores=10_000)
    own = np.sort(p_values(new, table)[np.arange(len(truth)), truth])
    # Kolmogorov-Smirnov: 1.63 / sqrt(n) is passed once in a hundred.
    assert np.abs(own - np.arange(1, len(own) + 1) / len(own)).max() < 1.63 / np.sqrt(len(own))


def test_p_values_by_hand():
    training = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    table = conformal_table(training, np.array([0, 0, 0, 1]))
    assert [row.scores for row in table.species] == [
        pytest.approx((0.1, 0.3, 0.4), abs=2e-6),
        pytest.approx((0.2,), abs=2e-6),
    ]
    # 0.35 is reached by one of three scores: (1 + 1) / (3 + 1). 0.65 by none of one.
    assert p_values(np.array([0.65, 0.35]), table).tolist() == [0.5, 0.5]
    assert p_values(np.array([0.3, 0.7]), table).tolist() == [0.25, 0.5]
    # A score that a training photo has, too, counts as reached.
    assert p_values(np.array([[0.7, 0.3], [0.95, 0.05]]), table).tolist() == [
        [0.75, 0.5],
        [1.0, 0.5],
    ]


def test_a_species_without_training_photos_is_never_ruled_out():
    table = conformal_table(np.array([[0.9, 0.1]] * 30), np.zeros(30, dtype=int))
    probabilities = np.array([1.0, 0.0])
    values = p_values(probabilities, table)
    assert values.tolist() == [1.0, 1.0]
    assert plausible(probabilities, values) == [0, 1]


def test_too_few_photos_rule_nothing_out_at_ninety_percent():
    # With nine photos the lowest p-value is 1 / 10: not below 10 %, but not above it either.
    for n, expected in ((8, [0, 1]), (9, [0])):
        labels = np.repeat([0, 1], n)
        training = np.where(labels[:, None] == [0, 1], 0.99, 0.01)
        values = p_values(np.array([0.99, 0.01]), conformal_table(training, labels))
        assert plausible(np.array([0.99, 0.01]), values) == expected


def test_quantiles_make_a_compact_table_and_never_rule_out_more():
    training, labels, new, _ = calibrated(9, n_training=8000, n_new=500)
    full = conformal_table(training, labels, max_scores=10_000)
    compact = conformal_table(training, labels)
    assert max(len(row.scores) for row in compact.species) == 200
    assert [row.n for row in compact.species] == np.bincount(labels).tolist()
    difference = p_values(new, compact) - p_values(new, full)
    assert difference.min() >= 0
    assert 0 < difference.max() <= 1 / 200 + 1e-3


def test_aps_adds_up_and_raps_charges_for_ranks():
    probabilities = np.array([[0.2, 0.7, 0.1], [0.5, 0.25, 0.25]])
    assert nonconformity(probabilities, "lac") == pytest.approx(1 - probabilities)
    assert nonconformity(probabilities, "aps") == pytest.approx(
        np.array([[0.9, 0.7, 1.0], [0.5, 0.75, 1.0]])
    )
    assert nonconformity(probabilities, "raps") == pytest.approx(
        np.array([[1.0, 0.7, 1.2], [0.5, 0.85, 1.2]])
    )
    with pytest.raises(ValueError, match="lac, aps or raps"):
        nonconformity(probabilities, "margin")


def test_a_photo_in_scope_has_its_best_species_and_another_may_have_none():
    probabilities, low = np.array([0.3, 0.4, 0.3]), np.array([0.05, 0.1, 0.02])
    assert plausible(probabilities, low) == [1]
    assert plausible(probabilities, low, is_in_scope=False) == []
    other = np.array([0.5, 0.02, 0.2])
    assert plausible(probabilities, other) == [1, 0, 2]
    assert plausible(probabilities, other, is_in_scope=False) == [0, 2]
    assert plausible(probabilities, other, level=0.6) == [1, 0]
    with pytest.raises(ValueError, match="between 0 and 1"):
        plausible(probabilities, low, level=90)


def test_coverage_by_hand():
    result = coverage([[0], [1, 0], [2, 1], []], [0, 0, 1, 1], 3)
    assert (result.n, result.covered, result.share) == (4, 3, 0.75)
    assert result.ci95 == wilson_interval(3, 4)
    assert result.mean_set_size == 1.25
    assert [(row.n, row.covered, row.share, row.ci95) for row in result.per_species] == [
        (2, 2, 1.0, wilson_interval(2, 2)),
        (2, 1, 0.5, wilson_interval(1, 2)),
        (0, 0, None, None),
    ]


@pytest.mark.parametrize(
    ("sets", "labels", "message"),
    [([], [], "0 sets"), ([[0]], [0, 1], "1 sets for 2"), ([[0]], [3], "from 0 to 2")],
)
def test_coverage_refuses_what_does_not_fit(sets, labels, message):
    with pytest.raises(ValueError, match=message):
        coverage(sets, labels, 3)


@pytest.mark.parametrize("score", ["lac", "raps"])
def test_a_table_survives_json(score):
    training, labels, _, _ = calibrated(10)
    table = conformal_table(training, labels, score)
    text = json.dumps(table.as_dict())
    assert len(text) < 12_000
    assert read_table(json.loads(text), SPECIES) == table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "margin"}, "unknown score"),
        ({"score": ["lac"]}, "unknown score"),
        ({"species": []}, "for 0 species, the model has 2"),
        ({"species": 3}, "lacks"),
        ({"species": ["a", "b"]}, "lacks"),
        ({"species": [{"n": 1}, {"n": 1}]}, "lacks"),
        ({"species": [{"n": 1, "scores": [0.1]}, {"n": 1, "scores": [0.1, 0.2]}]}, "species 1"),
        ({"species": [{"n": 2, "scores": [0.2, 0.1]}] * 2}, "species 0"),
        ({"species": [{"n": 2, "scores": []}] * 2}, "species 0"),
        ({"species": [{"n": -1, "scores": []}] * 2}, "species 0"),
        ({"species": [{"n": True, "scores": [0.1]}] * 2}, "species 0"),
        ({"species": [{"n": 10**30, "scores": [0.1]}] * 2}, "species 0"),
        ({"species": [{"n": 1, "scores": ["x"]}] * 2}, "species 0"),
        ({"species": [{"n": 1, "scores": [float("nan")]}] * 2}, "species 0"),
        ({"species": [{"n": 3, "scores": "abc"}] * 2}, "species 0"),
    ],
)
def test_a_broken_table_is_refused(change, message):
    raw = {"score": "lac", "species": [{"n": 1, "scores": [0.1]}] * 2}
    assert read_table(raw, 2).species[1].scores == (0.1,)
    with pytest.raises(ConformalTableError, match=message):
        read_table(raw | change, 2)


@pytest.mark.parametrize("raw", [None, [], "lac", 3, {}])
def test_what_is_no_table_is_refused(raw):
    with pytest.raises(ConformalTableError, match="lacks"):
        read_table(raw, 2)


def test_photos_that_do_not_fit_are_refused():
    probabilities = np.array([[0.9, 0.1]])
    with pytest.raises(ValueError, match=r"must be \[n, k\]"):
        conformal_table(probabilities, np.array([0, 1]))
    with pytest.raises(ValueError, match="from 0 to 1"):
        conformal_table(probabilities, np.array([2]))
    with pytest.raises(ValueError, match="Probabilities must be from 0 to 1"):
        conformal_table(np.array([[np.nan, 1.0]]), np.array([0]))
    table = conformal_table(probabilities, np.array([0]))
    with pytest.raises(ValueError, match="do not fit 2 species"):
        p_values(np.array([0.2, 0.3, 0.5]), table)
