import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from mlmodels.ml.answer_calibration import calibrate
from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.layers import DEFAULT_POOLING, Pooling
from mlmodels.ml.metrics import evaluate
from mlmodels.ml.model_card import missing_scope, model_card
from mlmodels.services import PRETRAINED
from tests.support.outputs import SPECIES, made_up_outputs


def test_the_model_card_shows_the_metrics_and_the_recipe():
    card = read_artifact(PRETRAINED).card
    labels = np.arange(40) % 10
    logits = np.eye(10)[np.where(np.arange(40) < 3, 9, labels)]
    metrics = evaluate(logits, labels, card.labels).as_dict()
    page = model_card(replace(card, metrics={"evaluation": metrics}))
    assert "| 40 | 37 | 92.5\xa0% | 80.1\xa0% to 97.4\xa0% |" in page
    assert "| 1 | Aleuria aurantia | 4 | 75\xa0% | **3** |" in page
    assert all(species in page for species in card.labels)
    assert card.dataset_hash in page
    assert f"- seed: {card.seed}" in page
    assert "validation" not in page.split("## How it was made")[0]


def test_the_model_card_says_which_photos_were_trained_on_before():
    card = read_artifact(PRETRAINED).card
    metrics = {**evaluate(np.eye(10), np.arange(10), card.labels).as_dict(), "is_new": False}
    assert "trained on before" in model_card(replace(card, metrics={"validation": metrics}))


def test_the_model_card_says_what_the_version_tells_of_other_species():
    card = replace(read_artifact(PRETRAINED).card, calibration=None)
    assert "It knows no other species, and does not say" in model_card(card)
    outputs = made_up_outputs(1, n_known=300, n_other=60)
    calibrated = replace(card, calibration=calibrate(*outputs.arguments(), n_labels=SPECIES))
    page = model_card(calibrated)
    assert "It also says how likely a photo shows none of them, and does not say" in page
    assert "knows no other species" not in page


@pytest.mark.parametrize(
    ("method", "variables", "told"),
    [
        ("other_class", 1, None),
        ("other_class", 4, None),
        ("best_score", 1, "learnt from too few photos"),
        ("best_score", 4, "only a training's own photos of other species"),
        (None, 1, "could not be calibrated, so it says nothing of other species."),
        (None, 4, "at least 100 validation photos that the version it continued from"),
    ],
)
def test_the_model_card_says_why_scope_is_missing(method, variables, told):
    text = missing_scope(method, {"variables": variables})
    assert (told in text) if told else not text
    card = read_artifact(PRETRAINED).card
    calibration = card.calibration
    assert calibration is not None
    told_by = replace(calibration.scope, method=method)
    calibration = replace(calibration, scope=told_by) if method else None
    page = model_card(
        replace(card, calibration=calibration, recipe={**card.recipe, "variables": variables})
    )
    assert text in page


def test_the_model_card_says_which_pooling_was_chosen_among_which():
    card = read_artifact(PRETRAINED).card
    page = model_card(card)
    assert f"- pooling: {DEFAULT_POOLING}\n" in page
    assert "compared" not in page
    compared = [
        {
            "pooling": asdict(Pooling((4, 5), 128, (4,), 0.5)),
            "accuracy": 0.875,
            "nll": 0.41234,
            "n": 800,
        },
        {"pooling": asdict(Pooling((5,))), "accuracy": 0.8, "nll": 0.6, "n": 800},
    ]
    recipe = json.loads(json.dumps({**card.recipe, "compared_poolings": compared}))
    page = model_card(replace(card, recipe=recipe))
    assert (
        "| statistics of blocks 4 and 5; second order of block 4 in 128; the middle counts more "
        "| 800 | 87.5\xa0% | 0.412 |\n"
        "| statistics of block 5 | 800 | 80.0\xa0% | 0.600 |\n"
    ) in page
