import numpy as np
import pytest

from mlmodels.ml.answer_calibration import Proposals, calibrate, choose_rule, without_truth
from mlmodels.ml.answer_measures import cross_measure, folds_by_group, measure
from mlmodels.ml.verdicts import VerdictRule
from tests.support.outputs import GENERA, SPECIES, Outputs, made_up_outputs


@pytest.fixture(scope="module")
def fitted_and_new():
    return calibrate(*made_up_outputs(1).arguments(), n_labels=SPECIES), made_up_outputs(
        2, n_known=8000, n_other=2000
    )


def test_what_a_calibration_promises_holds_for_new_photos(fitted_and_new):
    calibration, new = fitted_and_new
    figures = measure(calibration, *new.arguments())
    assert (figures["n_known"], figures["n_other"]) == (8000, 2000)
    assert figures["scope"]["method"] == "other_class"
    for name in (
        "calibration_error",
        "calibration_error_in_scope",
        "calibration_error_of_scope",
        "calibration_error_of_names",
    ):
        assert figures[name]["value"] < 0.03, name
    assert 0.93 < figures["scope"]["kept"]["share"] < 0.97
    assert figures["scope"]["passed"]["share"] < 0.4
    assert figures["scope"]["auroc"]["value"] > 0.9
    assert len(figures["scope"]["per_genus"]) == GENERA
    assert 0.89 < figures["plausible"]["coverage"] < 0.96
    assert figures["plausible"]["mean_set_size"] < 1.3
    random = figures["verdicts"]["random"]
    assert random["supported"]["precision"] > 0.97
    assert random["contradicted"]["precision"] > 0.96
    assert random["covered"]["share"] > 0.6
    assert figures["verdicts"]["most_confused"]["supported"]["precision"] > 0.94


def test_cross_fitting_tells_what_new_photos_will_show(fitted_and_new):
    calibration, new = fitted_and_new
    expected = measure(calibration, *new.arguments())
    found = cross_measure(*made_up_outputs(1).arguments(), n_labels=SPECIES)
    for name in ("kept", "passed"):
        low, high = found["scope"][name]["ci95"]
        assert low <= expected["scope"][name]["share"] <= high
    low, high = found["scope"]["auroc"]["ci95"]
    assert low <= expected["scope"]["auroc"]["value"] <= high
    low, high = found["verdicts"]["random"]["covered"]["ci95"]
    assert low - 0.02 <= expected["verdicts"]["random"]["covered"]["share"] <= high + 0.02


def test_without_photos_of_others_the_best_score_tells_scope_as_well_as_it_can():
    training = made_up_outputs(3).of_species_alone()
    calibration = calibrate(*training.arguments(), n_labels=SPECIES)
    assert calibration.scope.method == "best_score"
    new = made_up_outputs(4)
    figures = measure(calibration, *new.arguments())
    assert 0.92 < figures["scope"]["kept"]["share"] < 0.98
    assert figures["scope"]["auroc"]["value"] > 0.75
    with_others = calibrate(*made_up_outputs(3).arguments(), n_labels=SPECIES)
    better = measure(with_others, *new.arguments())
    assert better["scope"]["auroc"]["value"] > figures["scope"]["auroc"]["value"]
    alone = cross_measure(*training.arguments(), n_labels=SPECIES)
    assert alone["n_other"] == 0
    assert alone["scope"]["auroc"] is None
    assert alone["scope"]["passed"] is None
    assert alone["calibration_error_of_scope"] is None


@pytest.mark.parametrize("n_other", [0, 3])
def test_too_few_photos_of_others_teach_nothing(n_other):
    few = made_up_outputs(5, n_known=200, n_other=n_other)
    assert calibrate(*few.arguments(), n_labels=SPECIES).scope.method == "best_score"


def test_others_of_a_single_genus_teach_nothing():
    outputs = made_up_outputs(5)
    one_genus = np.where(outputs.labels == SPECIES, "Russula", outputs.groups)
    calibration = calibrate(
        outputs.logits, outputs.lognorm, outputs.labels, one_genus, n_labels=SPECIES
    )
    assert calibration.scope.method == "best_score"


def test_a_handful_of_photos_is_enough_to_answer_but_contradicts_nothing():
    outputs = made_up_outputs(6, n_known=12, n_other=0)
    calibration = calibrate(*outputs.arguments(), n_labels=SPECIES)
    assert calibration.verdict_rule.contradicted_below == 0
    figures = cross_measure(*outputs.arguments(), n_labels=SPECIES)
    assert figures["n_known"] == 12
    assert figures["verdicts"]["random"]["contradicted"] == {
        "precision": None,
        "ci95": None,
        "n": 0,
        "share": 0.0,
    }


def test_two_species_can_be_calibrated():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    logits = np.eye(2)[labels] + rng.normal(0, 0.4, (40, 2))
    calibration = calibrate(logits, np.zeros(40), labels, np.arange(40), n_labels=2)
    assert calibration.n_labels == 2


def test_equal_outputs_can_be_calibrated():
    labels = np.arange(50) % SPECIES
    logits = np.zeros((50, SPECIES + 1))
    calibration = calibrate(logits, np.zeros(50), labels, np.arange(50), n_labels=SPECIES)
    assert calibration.verdict_rule == VerdictRule(supported_from=1.0, contradicted_below=0.0)


def test_a_rule_judges_as_many_names_as_its_precision_allows():
    # 3 of 1,000 right names are as improbable as nearly all wrong ones; a tenth of others are not.
    right = np.concatenate([np.full(3, 0.01), np.linspace(0.5, 0.99, 997)])
    wrong = np.full((1000, 4), 0.01)
    other = np.concatenate([np.full((180, 5), 0.01), np.full((20, 5), 0.6)])
    rule = choose_rule(Proposals(right=right, wrong=wrong, other=other))
    # 0.8 x 0.3 % right ones of 19 % are 1.3 %; the probabilities expect 1 %.
    assert 0.01 < rule.contradicted_below <= 0.501
    # Of the names from 0.5 on 1.2 % are wrong.
    assert rule.supported_from == pytest.approx(0.5, abs=0.001)
    # Where the most confused of others are too probable, only what is above them is supported.
    confused = np.concatenate([other[:, :4], np.where(np.arange(200) < 120, 0.6, 0.01)[:, None]], 1)
    stricter = choose_rule(Proposals(right=right, wrong=wrong, other=confused))
    assert 0.6 < stricter.supported_from < 0.61
    # With 9 such right names, 3.7 % of the contradicted ones would be right: none is contradicted.
    right[:9] = 0.01
    assert choose_rule(Proposals(right=right, wrong=wrong, other=other)).contradicted_below <= 0.01
    # With 3, but twice as probable wrong names, the probabilities expect 2 %: none either.
    right[3:9] = 0.5
    likelier = choose_rule(Proposals(right=right, wrong=2 * wrong, other=other * 2))
    assert likelier.contradicted_below <= 0.02


def test_without_truth_drops_each_photos_own_species():
    values = np.arange(6.0).reshape(2, 3)
    assert without_truth(values, np.array([1, 2])).tolist() == [[0, 2], [3, 4]]


def test_no_group_is_in_two_folds_and_each_label_in_all():
    outputs = made_up_outputs(7)
    fold_of = folds_by_group(outputs.labels, outputs.groups, seed=0)
    for group in set(outputs.groups):
        assert len(set(fold_of[outputs.groups == group])) == 1
    for label in range(SPECIES + 1):
        counts = np.bincount(fold_of[outputs.labels == label], minlength=5)
        assert counts.min() > 0.6 * counts.mean()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": np.full(100, SPECIES + 1)}, "Labels must be"),
        ({"labels": np.full(100, SPECIES)}, "without photos of the species"),
        ({"lognorm": np.zeros(99)}, "do not fit"),
        ({"logits": np.zeros((100, SPECIES + 2))}, "do not fit"),
        ({"lognorm": np.full(100, np.nan)}, "must be finite"),
    ],
)
def test_photos_that_do_not_fit_are_refused(changed, message):
    outputs = made_up_outputs(8, n_known=80, n_other=20)
    given = Outputs(**{**outputs.__dict__, **changed})
    with pytest.raises(ValueError, match=message):
        calibrate(*given.arguments(), n_labels=SPECIES)
