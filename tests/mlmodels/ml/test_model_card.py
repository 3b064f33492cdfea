from dataclasses import replace

import numpy as np

from mlmodels.ml.answer_calibration import calibrate
from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.metrics import evaluate
from mlmodels.ml.model_card import model_card
from mlmodels.services import PRETRAINED
from tests.support.outputs import SPECIES, made_up_outputs


def test_the_model_card_shows_the_metrics_and_the_recipe():
    card = read_artifact(PRETRAINED).card
    labels = np.arange(40) % 10
    logits = np.eye(10)[np.where(np.arange(40) < 3, 9, labels)]
    metrics = evaluate(logits, labels, card.labels).as_dict()
    page = model_card(replace(card, metrics={"evaluation": metrics}))
    assert "| 40 | 37 | 92.5% | 80.1% to 97.4% |" in page
    assert "| 1 | Aleuria aurantia | 4 | 75% | **3** |" in page
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
