"""The rule that tells several photos of one find together."""

import numpy as np
import pytest

from mlmodels.ml.answers import read_calibration
from mlmodels.ml.finds import find_answer, find_scope, find_scores
from tests.support.calibrations import made_up_calibration


def test_one_photo_is_told_as_it_is() -> None:
    assert find_scores([[0.0, 0.2, 0.8]]).tolist() == [0.0, 0.2, 0.8]
    assert find_scope([0.3]) == pytest.approx(0.3)


def test_photos_that_agree_say_more_than_one_and_less_than_if_they_were_independent() -> None:
    together = find_scores([[0.8, 0.1, 0.1]] * 4)
    assert together.sum() == pytest.approx(1)
    # n^0.5 photos: the odds of 8 to 1 squared, not to the power of four.
    assert together[0] == pytest.approx(64 / 66)


def test_the_order_of_photos_and_of_species_does_not_matter() -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(5), 6)
    together = find_scores(scores)
    assert find_scores(scores[::-1]) == pytest.approx(together)
    assert find_scores(scores[:, ::-1]) == pytest.approx(together[::-1])


def test_two_photos_that_are_rather_sure_outvote_one_that_is_surer() -> None:
    scores = [[0.85, 0.15, 0.0], [0.2, 0.8, 0.0], [0.2, 0.8, 0.0]]
    assert find_scores(scores).argmax() == 1


def test_a_photo_that_says_little_counts_less() -> None:
    # Log odds of ln 9 and ln 1.5, weighted 0.9 to 0.6, times the root of 2.
    expected = 1 / (1 + np.exp(-np.sqrt(2) * (0.9 * np.log(9) + 0.6 * np.log(1.5)) / 1.5))
    assert find_scores([[0.9, 0.1], [0.6, 0.4]])[0] == pytest.approx(expected)


def test_a_score_that_was_rounded_to_0_rules_nothing_out() -> None:
    together = find_scores([[1.0, 0.0], [0.0, 1.0]])
    assert together == pytest.approx([0.5, 0.5])


def test_scope_is_the_mean_in_log_odds() -> None:
    assert find_scope([0.9, 0.1]) == pytest.approx(0.5)
    assert find_scope([0.7] * 12) == pytest.approx(0.7)
    assert 0 < find_scope([0.0, 0.0]) < find_scope([1.0, 0.0]) < find_scope([1.0, 1.0]) < 1


@pytest.mark.parametrize("scores", [np.zeros((0, 3)), np.ones(3) / 3])
def test_what_is_no_find_is_refused(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be \\[photos, species\\]"):
        find_scores(scores)


def test_a_find_is_judged_as_one_photo_with_the_scores_and_scope_of_all() -> None:
    calibration = read_calibration(made_up_calibration(threshold=0.5), 10)
    scores = np.full((2, 10), 0.1 / 9)
    scores[:, 3] = 0.9
    answer = find_answer(scores, [0.9, 0.4], calibration)
    assert answer.scores == pytest.approx(find_scores(scores))
    assert answer.scope == pytest.approx(find_scope([0.9, 0.4]))
    assert (answer.in_scope, answer.plausible) == (True, [3])
    assert answer.probabilities_right.argmax() == 3
    assert find_answer(scores, [0.4, 0.4], calibration).in_scope is False
