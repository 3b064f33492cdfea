from dataclasses import replace

import numpy as np

from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.metrics import evaluate
from mlmodels.ml.model_card import model_card
from mlmodels.services import PRETRAINED


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
