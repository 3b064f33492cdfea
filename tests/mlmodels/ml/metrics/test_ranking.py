import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mlmodels.ml.metrics import auroc, paired_auroc, scope_by_group, wilson_interval


def delong_interval(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float, float]:
    """Compute the definition, pair by pair: value and 95 % interval on the logit scale."""
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    value = wins.mean()
    rows, columns = wins.mean(axis=1), wins.mean(axis=0)
    variance = ((rows - value) ** 2).sum() / (len(rows) - 1) / len(rows)
    variance += ((columns - value) ** 2).sum() / (len(columns) - 1) / len(columns)
    half = 1.959964 * math.sqrt(variance) / (value * (1 - value))
    logit = math.log(value / (1 - value))
    return value, *(1 / (1 + math.exp(-x)) for x in (logit - half, logit + half))


@pytest.mark.parametrize("decimals", [0, 1, 8], ids=["many ties", "some ties", "no ties"])
def test_auroc_is_what_the_definition_and_scikit_learn_say(decimals):
    rng = np.random.default_rng(21)
    positive = np.round(rng.normal(1.0, 1, 60), decimals)
    negative = np.round(rng.normal(0.0, 1.5, 45), decimals)
    result = auroc(positive, negative)
    assert (result.value, *result.ci95) == pytest.approx(delong_interval(positive, negative))
    truth = np.repeat([1, 0], [60, 45])
    assert result.value == pytest.approx(roc_auc_score(truth, np.r_[positive, negative]))
    assert (result.n_positive, result.n_negative) == (60, 45)


def test_auroc_of_a_few_scores_by_hand():
    # Pairs: 3 beats 1, 2, and ties with 3; 4 beats all; 2 beats 1, ties with 2, loses to 3.
    assert auroc([3, 4, 2], [1, 2, 3]).value == pytest.approx((2.5 + 3 + 1.5) / 9)


def test_exchanging_the_samples_mirrors_the_result():
    rng = np.random.default_rng(22)
    a, b = rng.normal(1, 1, 30), rng.normal(0, 1, 80)
    there, back = auroc(a, b), auroc(b, a)
    assert back.value == pytest.approx(1 - there.value)
    assert back.ci95 == pytest.approx((1 - there.ci95[1], 1 - there.ci95[0]))


@pytest.mark.parametrize("shift", [0.5, 1.8, 2.6])
def test_the_interval_holds_the_true_area_in_95_of_100_samples(shift):
    rng = np.random.default_rng(23)
    true_area = 0.5 * (1 + math.erf(shift / 2))  # of two normal distributions
    held = 0
    for _ in range(1000):
        low, high = auroc(rng.normal(shift, 1, 100), rng.normal(0, 1, 60)).ci95
        held += low <= true_area <= high
    assert 0.93 <= held / 1000 <= 0.97


def test_perfectly_separated_samples_still_have_an_interval():
    perfect, hopeless = auroc([3, 4, 5], [1, 2]), auroc([1, 2], [3, 4, 5])
    assert (perfect.value, perfect.ci95) == (1.0, wilson_interval(2, 2))
    assert (hopeless.value, hopeless.ci95) == (0.0, wilson_interval(0, 2))
    assert auroc(np.ones(50), np.zeros(50)).ci95[0] == pytest.approx(0.929, abs=0.001)


def test_equal_scores_and_single_photos_tell_nothing():
    constant = auroc([0.5] * 10, [0.5] * 20)
    assert (constant.value, constant.ci95) == (0.5, wilson_interval(5, 10))
    single = auroc([0.5], [0.1, 0.9, 0.2])
    assert single.value == pytest.approx(2 / 3)
    assert single.ci95[1] - single.ci95[0] > 0.8


def test_infinite_scores_are_ordered_like_others():
    assert auroc([math.inf, 1], [-math.inf, 2]).value == 0.75


@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        ([], [1], "positive scores must be"),
        ([1], [], "negative scores must be"),
        ([[1.0]], [1], "positive scores must be"),
        ([1, 2], [math.nan], "some are NaN"),
    ],
)
def test_what_is_no_sample_is_refused(positive, negative, message):
    with pytest.raises(ValueError, match=message):
        auroc(positive, negative)


def test_each_group_is_told_apart_by_itself():
    in_scope = [0.9, 0.8, 0.7]
    scores = [0.1, 0.75, 0.2, 0.95]
    groups = ["Russula", "Boletus", "Russula", "Boletus"]
    boletus, russula = scope_by_group(in_scope, scores, groups, threshold=0.75)
    assert (boletus.group, boletus.auroc) == ("Boletus", auroc(in_scope, [0.75, 0.95]))
    assert (boletus.passed.n, boletus.passed.correct) == (2, 2)  # 0.75 is at the threshold
    assert (russula.group, russula.auroc.value) == ("Russula", 1.0)
    assert (russula.passed.accuracy, russula.passed.ci95) == (0.0, wilson_interval(0, 2))


def test_groups_of_another_number_are_refused():
    with pytest.raises(ValueError, match="2 answers but 1 groups"):
        scope_by_group([0.9], [0.1, 0.2], ["Russula"], threshold=0.5)


def two_scores(seed: int = 0, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return two correlated scores of 80 positive and of 120 negative photos."""
    rng = np.random.default_rng(seed)
    shared = [rng.normal(1, 1, 80), rng.normal(0, 1, 120)]
    positive, negative = (
        np.stack([values + rng.normal(0, 0.3, len(values)) for _ in range(2)]) for values in shared
    )
    positive[0] += gain
    return positive, negative


def test_paired_areas_are_those_of_each_score():
    positive, negative = two_scores()
    paired = paired_auroc(positive, negative)
    for place, area in enumerate((paired.first, paired.second)):
        assert area == auroc(positive[place], negative[place]).value
    assert (paired.n_positive, paired.n_negative) == (80, 120)


def test_the_interval_of_a_paired_difference_is_that_of_a_bootstrap():
    positive, negative = two_scores()
    rng = np.random.default_rng(1)
    differences = []
    for _ in range(400):
        drawn_positive = positive[:, rng.integers(0, 80, 80)]
        drawn_negative = negative[:, rng.integers(0, 120, 120)]
        drawn = paired_auroc(drawn_positive, drawn_negative)
        differences.append(drawn.first - drawn.second)
    low, high = paired_auroc(positive, negative).ci95
    assert high - low == pytest.approx(2 * 1.96 * np.std(differences), rel=0.15)
    alone = auroc(positive[0], negative[0]).ci95
    assert high - low < alone[1] - alone[0], "the photos' difficulty cancels"


def test_a_better_score_is_told_from_chance():
    assert paired_auroc(*two_scores(gain=1.0)).ci95[0] > 0
    low, high = paired_auroc(*two_scores()).ci95
    assert low < 0 < high
    positive, negative = two_scores()
    same = paired_auroc(positive[[0, 0]], negative[[0, 0]])
    assert same.ci95 == (0, 0)


@pytest.mark.parametrize("shape", [(2, 1), (1, 5), (5,), (2, 0)])
def test_scores_that_are_no_pairs_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be \[2, m\]"):
        paired_auroc(np.zeros(shape), np.zeros((2, 3)))
