import copy
import json
import math

import numpy as np
import pytest

from mlmodels.ml.answer_calibration import calibrate
from mlmodels.ml.answers import AnswerCalibration, answer, read_calibration
from tests.support.outputs import SPECIES, made_up_outputs


@pytest.fixture(scope="module")
def calibration() -> AnswerCalibration:
    return calibrate(*made_up_outputs(0).arguments(), n_labels=SPECIES)


@pytest.fixture(scope="module")
def calibration_without_others() -> AnswerCalibration:
    return calibrate(*made_up_outputs(0).of_species_alone().arguments(), n_labels=SPECIES)


def clear_photo(species: int) -> np.ndarray:
    logits = np.full(SPECIES + 1, 0.02)
    logits[species] = 0.95
    return logits


def test_a_clear_photo_is_in_scope_and_only_its_species_is_plausible(calibration):
    said = answer(clear_photo(3), 0.0, calibration)
    assert said.scores.sum() == pytest.approx(1)
    assert said.scores.argmax() == 3
    assert said.in_scope
    assert said.scope > 0.95
    assert said.plausible == [3]
    assert said.probabilities_right[3] >= calibration.verdict_rule.supported_from
    assert np.delete(said.probabilities_right, 3).max() < 0.3


def test_a_photo_of_something_else_is_out_of_scope(calibration):
    logits = np.full(SPECIES + 1, 0.02)
    logits[SPECIES] = 0.9
    said = answer(logits, 0.6, calibration)
    assert not said.in_scope
    assert said.scope < 0.2
    assert said.scores.sum() == pytest.approx(1)


def test_a_name_is_the_likelier_right_the_higher_its_score_and_the_scope(calibration):
    said = answer(np.array([0.6, 0.4, 0.3, 0.2, 0.1, 0.0]), 0.0, calibration)
    assert (np.diff(said.probabilities_right) < 0).all()
    odd = answer(np.array([0.6, 0.4, 0.3, 0.2, 0.1, 0.8]), 0.0, calibration)
    assert odd.scope < said.scope
    assert (odd.probabilities_right < said.probabilities_right).all()


def test_an_answer_without_an_output_for_others_needs_no_norm(calibration_without_others):
    calibration = calibration_without_others
    assert calibration.scope.method == "best_score"
    clear, unclear = clear_photo(0)[:SPECIES], np.full(SPECIES, 0.2)
    assert answer(clear, None, calibration).scope > 0.9
    said = answer(unclear, None, calibration)
    assert not said.in_scope
    # An output more than the calibration uses changes nothing.
    longer = answer(np.append(unclear, 0.9), 0.0, calibration)
    assert longer.scope == said.scope
    assert longer.p_values.tolist() == said.p_values.tolist()


@pytest.mark.parametrize(
    ("logits", "lognorm", "message"),
    [
        (np.zeros(SPECIES), 0.0, "needs 6 outputs"),
        (np.zeros(SPECIES + 2), 0.0, "7 outputs do not fit"),
        (np.zeros(SPECIES + 1), None, "needs the embedding's norm"),
        (np.zeros(SPECIES + 1), math.nan, "needs the embedding's norm"),
        (np.array([0, 0, 0, 0, 0, np.inf]), 0.0, "not all finite"),
        (np.zeros((2, SPECIES + 1)), 0.0, "must be"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(calibration, logits, lognorm, message):
    with pytest.raises(ValueError, match=message):
        answer(logits, lognorm, calibration)


def test_a_calibration_is_the_same_after_json(calibration, calibration_without_others):
    for fitted in (calibration, calibration_without_others):
        raw = json.loads(json.dumps(fitted.as_dict(), allow_nan=False))
        assert read_calibration(raw, SPECIES) == fitted


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("temperature",), 0, "must be 0.0001 or more"),
        (("temperature",), 1e-300, "must be 0.0001 or more"),
        (("temperature",), True, "temperature must be a number"),
        (("temperature",), math.nan, "temperature must be a number"),
        (("scope",), None, "scope must have the fields"),
        (("scope", "method"), "guess", "method must be one of"),
        (("scope", "method"), ["other_class"], "method must be one of"),
        (("scope", "method"), "best_score", "list of 1 numbers"),
        (("scope", "weights"), {}, "list of 4 numbers"),
        (("scope", "weights"), [1, 2, 3, 1e7], "weight of scope must be a number"),
        (("scope", "weights"), [1, 2, 3, 10**400], "weight of scope must be a number"),
        (("scope", "threshold"), 1.5, "threshold must be from 0 to 1"),
        (("names", "intercept"), "0", "names' intercept must be a number"),
        (("names",), {"intercept": 0}, "names must have the fields"),
        (("verdict_rule", "supported_from"), 2, "verdict rule"),
        (("verdict_rule", "contradicted_below"), math.inf, "must be a number"),
        (("conformal", "species"), [], "0 species"),
        (("conformal", "score"), "best", "unknown score"),
        (("conformal", "species", 0, "scores"), [10**400], "species 0 in the table are not valid"),
        (("conformal",), 3, "conformal table"),
    ],
)
def test_a_calibration_that_is_not_valid_is_refused(calibration, path, value, message):
    raw = copy.deepcopy(calibration.as_dict())
    inner = raw
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(ValueError, match=message):
        read_calibration(raw, SPECIES)


@pytest.mark.parametrize("raw", [None, [], "x", {}, {"temperature": 1}])
def test_something_else_than_a_calibration_is_refused(raw):
    with pytest.raises(ValueError, match="the calibration must have the fields"):
        read_calibration(raw, SPECIES)


def test_a_calibration_for_other_species_is_refused(calibration):
    with pytest.raises(ValueError, match="for 5 species, the model has 6"):
        read_calibration(calibration.as_dict(), SPECIES + 1)
